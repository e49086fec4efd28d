// What a command costs in the ledger and in the ack aggregator.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <nuncio/commands/ack_aggregator.hpp>
#include <nuncio/commands/command_ledger.hpp>
#include <vector>

namespace {

using namespace nuncio;

std::vector<protocol::actor_checkpoint> checkpoints(std::size_t n) {
  std::vector<protocol::actor_checkpoint> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back({actor_id{fmt::format("{:028}00", i)}, 1, 1});
  return out;
}

void ledger_fresh(benchmark::State& state) {
  const auto at = checkpoints(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    command_ledger ledger;
    for (const auto& x : at) benchmark::DoNotOptimize(ledger.admit(x, 0, 0, time_point{}));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void ledger_duplicate(benchmark::State& state) {
  const auto at = checkpoints(static_cast<std::size_t>(state.range(0)));
  command_ledger ledger;
  for (const auto& x : at) (void)ledger.admit(x, 0, 0, time_point{});
  for (auto _ : state)
    for (const auto& x : at) benchmark::DoNotOptimize(ledger.admit(x, 0, 0, time_point{}));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// Start, Stop, gone, and in time forgotten: what a host does all day on a connection that never drops.
void ledger_lifetimes(benchmark::State& state) {
  const auto at = checkpoints(1'000'000);
  auto now = time_point{std::chrono::hours{1}};
  command_ledger ledger;
  std::uint32_t generation = 0;
  for (auto _ : state) {
    ++generation;
    for (auto x : at) {
      now += std::chrono::milliseconds{2};
      const auto ms = now.time_since_epoch() / std::chrono::milliseconds{1};
      x.generation = generation;
      benchmark::DoNotOptimize(ledger.admit(x, ms, ms, now));
      ledger.handle_live({x.actor_id, generation});
      x.index = 2;
      benchmark::DoNotOptimize(ledger.admit(x, std::nullopt, ms, now));
      ledger.handle_gone({x.actor_id, generation}, now);
      ledger.expire(now);
    }
  }
  state.SetItemsProcessed(state.iterations() * 1'000'000);
  state.counters["bytes"] = static_cast<double>(ledger.stats().bytes);
}

void acks_folded(benchmark::State& state) {
  const auto at = checkpoints(static_cast<std::size_t>(state.range(0)));
  ack_aggregator acks;
  acks.handle_link_up(1);
  for (auto _ : state) {
    acks.handle_processed(1, at);
    while (auto frame = acks.poll_transmit()) {
      benchmark::DoNotOptimize(frame);
      acks.handle_written(1);
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

BENCHMARK(ledger_fresh)->Arg(1000)->Arg(1'000'000)->Unit(benchmark::kMicrosecond);
BENCHMARK(ledger_duplicate)->Arg(1000)->Arg(1'000'000)->Unit(benchmark::kMicrosecond);
BENCHMARK(ledger_lifetimes)->Unit(benchmark::kMillisecond);
BENCHMARK(acks_folded)->Arg(256)->Unit(benchmark::kMicrosecond);

}  // namespace

// What ingress sustains when it is fed decoded frames: duplicates answered with acks, fresh Starts turned into running
// CAF actors; and what an idle actor costs in memory. The link is a sink, everything else is the real thing.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <malloc.h>

#include <caf/all.hpp>
#include <condition_variable>
#include <mutex>
#include <nuncio/host.hpp>
#include <nuncio/host/ack.hpp>
#include <nuncio/host/ingress.hpp>
#include <nuncio/host/outbox.hpp>

namespace {

using namespace nuncio;

/// Counts what is granted back, which is how a feeder knows that ingress is done.
class sink_link final : public link_port {
public:
  void close() override {}

  outcome<void> send_frame(frame_class, epoch, const protocol::to_rivet&) override { return {}; }

  outcome<void> send_for_connection(
      std::shared_ptr<const output_gate>, epoch, const protocol::to_rivet&) override {
    return {};
  }

  outcome<void> send_across_connections(
      tunnel_source, protocol::to_rivet_tunnel_message&&) override {
    return {};
  }

  [[nodiscard]] bool has_room_for_bodies(const room_waiter&) override { return true; }

  void fence(epoch, std::uint64_t) override {}

  void greet(std::vector<protocol::to_rivet>, bool) override {}

  void grant(std::size_t messages, std::size_t) override {
    const std::lock_guard guard{mutex_};
    granted_ += messages;
    changed_.notify_all();
  }

  void await(std::size_t n) {
    std::unique_lock guard{mutex_};
    changed_.wait(guard, [&] { return granted_ >= n; });
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t granted_ = 0;
};

struct fixture {
  fixture() {
    ingress_options options;
    options.link = link;
    options.counts = counts;
    options.factories.emplace(
        "idle", internal::function_factory([](engine_actor*) -> caf::behavior {
          return {[](const http_request&) { return http_response{}; }};
        }));
    const auto acks = system.spawn<ack, caf::hidden>(link, counts);
    const auto events = system.spawn<outbox, caf::hidden>(link, counts);
    to = system.spawn<ingress, caf::hidden + caf::detached>(std::move(options), acks, events);
    caf::anon_send(acks, internal::link_up{1});
    caf::anon_send(events, internal::link_up{1});
    caf::anon_send(to, internal::link_up{1});
    feed(
        {protocol::to_envoy_init{{15'000, 1'800'000, 20'971'520}},
         protocol::to_envoy_ping{now_ms}});
    helpers = {acks, events};
  }

  ~fixture() {
    caf::anon_send_exit(to, caf::exit_reason::kill);
    for (const auto& x : helpers) caf::anon_send_exit(x, caf::exit_reason::kill);
  }

  void feed(std::vector<protocol::to_envoy> messages) {
    sent += messages.size();
    caf::anon_send(to, inbound_batch{1, 1, std::move(messages), 0, boot_clock::now()});
  }

  protocol::to_envoy starts(std::size_t first, std::size_t n) const {
    protocol::to_envoy_commands frame;
    for (std::size_t i = first; i < first + n; ++i) {
      protocol::command_start_actor start;
      start.config.name = name;
      start.config.create_ts = now_ms;
      frame.commands.push_back({{actor_id{fmt::format("{:028}00", i)}, 1, 1}, std::move(start)});
    }
    return frame;
  }

  static constexpr std::int64_t now_ms = 1'800'000'000'000;
  static inline const text name{"idle"};

  struct config : caf::actor_system_config {
    config() { recommended(*this); }
  } settings;

  caf::actor_system system{settings};
  std::shared_ptr<sink_link> link = std::make_shared<sink_link>();
  std::shared_ptr<counters> counts = std::make_shared<counters>();
  caf::actor to;
  std::vector<caf::actor> helpers;
  std::size_t sent = 0;
};

void intake_duplicates(benchmark::State& state) {
  fixture f;
  f.feed({f.starts(0, 256)});
  f.link->await(f.sent);
  const auto frame = f.starts(0, 256);
  for (auto _ : state) {
    for (int i = 0; i < 64; ++i) f.feed({frame});
    f.link->await(f.sent);
  }
  state.SetItemsProcessed(state.iterations() * 64 * 256);
}

void intake_fresh_starts(benchmark::State& state) {
  fixture f;
  std::size_t next = 0;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<protocol::to_envoy> frames;
    for (int i = 0; i < 40; ++i, next += 256) frames.push_back(f.starts(next, 256));
    state.ResumeTiming();
    for (auto& frame : frames) f.feed({std::move(frame)});
    f.link->await(f.sent);
  }
  state.SetItemsProcessed(state.iterations() * 40 * 256);
  const auto used = mallinfo2().uordblks;
  state.counters["heap_bytes_per_actor"] = static_cast<double>(used) / static_cast<double>(next);
}

BENCHMARK(intake_duplicates)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(intake_fresh_starts)->UseRealTime()->Iterations(10)->Unit(benchmark::kMillisecond);

}  // namespace

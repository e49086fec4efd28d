// What a whole host takes in over a real WebSocket on loopback: an engine's end that sends frames of commands as fast as
// the socket takes them, acks events, and stops the clock when the ack of the last command has come.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <nuncio/codec.hpp>
#include <nuncio/host.hpp>

#include "support/raw_server.hpp"

namespace end_to_end_bench {
namespace {

using namespace nuncio;
using test::raw_peer;

constexpr std::uint16_t version = 8;
constexpr std::size_t per_frame = 256;

std::int64_t wall_clock() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::string framed(const protocol::to_envoy& x) {
  const auto raw = protocol::encode(x, version);
  return raw_peer::frame(2, {reinterpret_cast<const char*>(raw->data()), raw->size()});
}

std::string id_of(std::size_t n) { return fmt::format("{:028}00", n); }

/// Starts of the actors `first` to `first + n - 1`, framed.
std::string starts(std::size_t first, std::size_t n) {
  protocol::to_envoy_commands frame;
  for (auto i = first; i < first + n; ++i) {
    protocol::command_start_actor start;
    start.config.name = text{std::string_view{"idle"}};
    start.config.create_ts = wall_clock();
    frame.commands.push_back({{actor_id{id_of(i)}, 1, 1}, std::move(start)});
  }
  return framed(std::move(frame));
}

/// The engine's end: answers for the pool, takes the one WebSocket, and then does one job after the other.
class engine_end {
public:
  ~engine_end() { give({}); }

  /// Sends `frames` and waits until `last` is acked. An empty job ends the thread's work.
  void run(std::vector<std::string> frames, std::size_t last) {
    job x{std::move(frames), id_of(last), {}};
    auto done = x.done.get_future();
    give(std::move(x));
    done.wait();
  }

  [[nodiscard]] std::uint16_t port() const { return server_.port(); }

private:
  struct job {
    std::vector<std::string> frames;
    std::string last;
    std::promise<void> done;
  };

  void give(job x) {
    {
      const std::lock_guard guard{mutex_};
      jobs_.push_back(std::move(x));
    }
    changed_.notify_one();
  }

  job take() {
    std::unique_lock guard{mutex_};
    changed_.wait(guard, [this] { return !jobs_.empty(); });
    auto x = std::move(jobs_.front());
    jobs_.pop_front();
    return x;
  }

  void serve(raw_peer& peer) {
    if (!peer.take_host("bench")) return;
    peer.send(framed(protocol::to_envoy_init{{15'000, 1'800'000, 20'971'520}}));
    for (;;) {
      auto next = take();
      if (next.frames.empty()) return;
      peer.send(framed(protocol::to_envoy_ping{wall_clock()}));
      for (const auto& x : next.frames) peer.send(x);
      while (!acked(peer, next.last)) {
      }
      next.done.set_value();
    }
  }

  /// Reads one frame. @returns whether it acked `last`, or the stream has ended
  static bool acked(raw_peer& peer, const std::string& last) {
    auto frame = peer.read_frame();
    if (frame.opcode < 0) return true;
    if (frame.opcode == 9) peer.send(raw_peer::frame(10, frame.payload));
    if (frame.opcode != 2) return false;
    const auto message = protocol::decode_to_rivet(bytes{std::move(frame.payload)}, version);
    if (const auto* acks = std::get_if<protocol::to_rivet_ack_commands>(&*message)) {
      const auto& all = acks->last_command_checkpoints;
      return std::any_of(
          all.begin(), all.end(), [&](const auto& x) { return x.actor_id.view() == last; });
    }
    if (const auto* events = std::get_if<protocol::to_rivet_events>(&*message)) {
      protocol::to_envoy_ack_events answer;
      for (const auto& x : events->events) answer.last_event_checkpoints.push_back(x.checkpoint);
      peer.send(framed(std::move(answer)));
    }
    return false;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<job> jobs_;
  test::raw_server server_{[this](raw_peer& p) { serve(p); }};
};

struct fixture {
  fixture() {
    running.serve("idle", [](engine_actor*) -> caf::behavior {
      return {[](const http_request&) { return http_response{}; }};
    });
    if (!running.start()) std::abort();
  }

  ~fixture() { running.abort(); }

  struct config : caf::actor_system_config {
    config() { recommended(*this); }
  } settings;

  engine_end engine;
  caf::actor_system system{settings};
  host running{
      system,
      {.endpoint = fmt::format("http://127.0.0.1:{}", engine.port()),
       .pool = "bench",
       .protocol_version = version}};
};

void socket_duplicates(benchmark::State& state) {
  fixture f;
  const auto same = starts(0, per_frame);
  f.engine.run({same}, 0);
  auto next = per_frame;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<std::string> frames(200, same);
    frames.push_back(starts(next, 1));  // whose ack says that all before it were judged
    state.ResumeTiming();
    f.engine.run(std::move(frames), next++);
  }
  state.SetItemsProcessed(state.iterations() * 200 * static_cast<std::int64_t>(per_frame));
}

void socket_fresh_starts(benchmark::State& state) {
  fixture f;
  std::size_t next = 0;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<std::string> frames;
    for (int i = 0; i < 40; ++i, next += per_frame) frames.push_back(starts(next, per_frame));
    state.ResumeTiming();
    f.engine.run(std::move(frames), next - 1);
  }
  state.SetItemsProcessed(state.iterations() * 40 * static_cast<std::int64_t>(per_frame));
}

BENCHMARK(socket_duplicates)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(socket_fresh_starts)->UseRealTime()->Iterations(10)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace end_to_end_bench

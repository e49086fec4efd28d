// I9: what a million actors leave behind is nothing.
#include <doctest/doctest.h>
#include <malloc.h>

#include "actors/sample_actors.hpp"
#include "support/fake_store.hpp"

namespace memory_test {

using namespace nuncio;
using namespace nuncio::test;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int lifetimes = 20'000;  // the heap can't be read there, and time is short
constexpr bool heap_counts = false;
#else
constexpr int lifetimes = 1'000'000;
constexpr bool heap_counts = true;
#endif
constexpr int burst = 1000;

// An actor without anything of its own: what is measured is the host.
caf::behavior idle(engine_actor*) {
  return {[](const http_request&) { return http_response{}; }};
}

std::size_t heap() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return 0;
#else
  return mallinfo2().uordblks;
#endif
}

struct fixture {
  sim_host host;
  int next = 0;

  fixture() {
    host.serve("idle", idle);
    host.boot(false);
    host.connect();
    host.link->record = false;
    host.link->sent = {};
  }

  /// Starts and stops `burst` new actors: Start, Running acked, Stop(DESTROY), Stopped.
  void lives() {
    std::vector<protocol::command_wrapper> starts, stops;
    protocol::to_envoy_ack_events acks;
    for (auto i = 0; i < burst; ++i) {
      const auto who = instance_of(fmt::format("actor-{:024}", next++));
      starts.push_back(host.start_command(who, "idle"));
      stops.push_back(sim_host::stop_command_for(who, protocol::stop_actor_reason::destroy));
      acks.last_event_checkpoints.push_back({who.actor, who.generation, event_index_first});
    }
    host.deliver(protocol::to_envoy_commands{std::move(starts)});
    host.deliver(std::move(acks));
    host.deliver(protocol::to_envoy_commands{std::move(stops)});
  }

  /// The engine replays nothing: every entry is proven, then forgotten.
  void settle_down() {
    host.cut();
    host.connect();
    host.pass(12min, 30s);
  }

  void check_empty() {
    CHECK(host.ledger().entries == 0);
    CHECK(host.events().actors == 0);
    CHECK(host.events().kept == 0);
    CHECK(host.stats().instances == 0);
    CHECK(host.stats().requests_open == 0);
    CHECK(host.counts->acks_pending == 0);
  }

  /// A planned reconnect, if ingress asked for one: as a link does it.
  void reconnect_if_asked() {
    if (std::exchange(host.link->reconnects, 0U) == 0) return;
    host.cut();
    host.connect();
  }

  void check_heap(std::size_t before, const char* where) {
    settle_down();
    check_empty();
    const auto after = heap();
    MESSAGE(where, ": heap before ", before, ", after ", after);
    if (heap_counts) CHECK(after < before + (256UL << 10U));
  }
};

}  // namespace

TEST_CASE_FIXTURE(
    fixture,
    "I9 bounded: bounded memory over 1,000,000 actor lifetimes, on one connection and over 100 "
    "reconnects") {
  lives();
  settle_down();
  check_empty();
  const auto before = heap();
  constexpr auto bursts = lifetimes / burst;
  for (auto i = 0; i < bursts / 2; ++i) {
    lives();
    host.pass(1s);
    reconnect_if_asked();
  }
  check_heap(before, "one connection");
  constexpr auto reconnects = std::min(100, bursts / 2);
  for (auto i = 0; i < reconnects; ++i) {
    for (auto n = 0; n < bursts / 2 / reconnects; ++n) lives();
    // A Stopped is sent again on each connection until its grace has passed on one.
    host.pass(330s, 30s);
    host.cut();
    host.connect();
  }
  check_heap(before, "100 reconnects");
  CHECK(host.stats().starts == static_cast<std::uint64_t>(lifetimes + burst));
}

TEST_CASE("I9 bounded: an idle hibernating WebSocket takes at most 1 KiB, and leaves nothing") {
  constexpr std::uint32_t n = 10'000;
  ingress_options options;
  options.sockets_max = options.host_sockets_max = n;
  sim_host host{std::move(options)};
  host.serve("sleeper", [](engine_actor*) -> caf::behavior {
    return {
        [](const socket_opened& s) {
          CHECK(s.socket.accept({.hibernate = true, .state = bytes{"a name"}}));
        },
        [](const socket_closed&) {},
    };
  });
  host.boot();
  const auto a = instance_of("a");
  host.start_accepted(a, "sleeper");
  fake_store store;
  const auto settle = [&] {
    store.serve(host);
    store.content.clear();
    host.link->sent = {};
    host.link->meters = {};
    store.handle_cleared();
  };
  const auto open = [&](std::uint32_t from) {
    for (auto i = from; i < from + n; ++i) {
      host.open_socket(a, i, "/websocket/room?name=ann");
      if (i % 1000 == 999) settle();
    }
    settle();
  };
  const auto close = [&](std::uint32_t from) {
    for (auto i = from; i < from + n; ++i) {
      host.close_socket(i, 1, 1000);
      if (i % 1000 == 999) settle();
    }
    settle();
  };
  const auto round = [&](std::uint32_t from) {
    open(from);
    host.pass(15s);  // the time to accept is over
    const auto open_now = heap();
    close(from);
    host.pass(15s);
    settle();
    return std::pair{open_now, heap()};
  };
  round(0);  // what is allocated once
  const auto before = round(n).second;
  const auto [during, after] = round(2 * n);
  CHECK(host.stats().sockets == 3 * n);
  MESSAGE("bytes for each idle hibernating WebSocket: ", (during - before) / n);
  MESSAGE("heap before ", before, ", after ", after);
  if (heap_counts) CHECK(during - before <= 1024UL * n);
  if (heap_counts) CHECK(after < before + (64UL << 10U));
}

}  // namespace memory_test

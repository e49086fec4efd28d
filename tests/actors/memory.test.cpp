// I9: a million actors leave nothing behind; and the size of an idle actor and an idle WebSocket.
#include <doctest/doctest.h>
#include <malloc.h>

#include "actors/watched_actors.hpp"
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
  const auto now = mallinfo2();
  return now.uordblks + now.hblkhd;  // a large table is a mapping of its own
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

  /// Every entry is forgotten.
  void settle_down() { host.pass(12min, 30s); }

  void check_empty() {
    CHECK(host.ledger().entries == 0);
    CHECK(host.events().actors == 0);
    CHECK(host.events().kept == 0);
    CHECK(host.stats().instances == 0);
    CHECK(host.stats().requests_open == 0);
    CHECK(host.counts->acks_pending == 0);
  }

  void check_heap(std::size_t before, const char* where) {
    settle_down();
    check_empty();
    const auto after = heap();
    MESSAGE(std::string{where}, ": heap before ", before, ", after ", after);
    if (heap_counts) CHECK(after < before + (256UL << 10U));
  }
};

}  // namespace

TEST_CASE_FIXTURE(
    fixture,
    "I9 bounded: bounded memory over 1,000,000 actor lifetimes, on one connection that never "
    "drops, "
    "and over 100 reconnects") {
  lives();
  settle_down();
  check_empty();
  const auto before = heap();
  constexpr auto bursts = lifetimes / burst;
  for (auto i = 0; i < bursts; ++i) {
    lives();
    host.pass(1s);
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
  CHECK(host.stats().starts == static_cast<std::uint64_t>(lifetimes + lifetimes / 2 + burst));
}

TEST_CASE("I9 bounded: an idle live actor takes at most 4 KiB beyond what CAF itself takes") {
  constexpr auto n = 10'000;
  sim_host host;
  host.serve("idle", idle);
  host.boot(false);
  host.connect();
  host.link->record = false;
  std::vector<caf::actor> plain;
  plain.reserve(n);
  const auto start_all = [&](int from) {
    for (auto i = from; i < from + n; ++i)
      host.start_accepted(instance_of(fmt::format("actor-{:024}", i)), "idle");
    host.link->sent = {};
  };
  const auto stop_all = [&](int from) {
    for (auto i = from; i < from + n; ++i)
      host.stop(instance_of(fmt::format("actor-{:024}", i)), protocol::stop_actor_reason::destroy);
    host.pass(60s);
  };
  // What is allocated once, and what of the tables of the host is there for any number.
  start_all(0);
  stop_all(0);
  REQUIRE(host.stats().instances == 0);
  const auto start = heap();
  for (auto i = 0; i < n; ++i)
    plain.push_back(spawn_plain(*host.sim, [](caf::event_based_actor*) -> caf::behavior {
      return {[](const http_request&) { return http_response{}; }};
    }));
  host.settle();
  const auto with_plain = heap();
  start_all(n);
  host.pass(60s);  // long past all that is only of the start
  const auto with_all = heap();
  REQUIRE(host.stats().instances == n);
  const auto of_caf = static_cast<long>(with_plain - start) / n;
  const auto of_ours = static_cast<long>(with_all - with_plain) / n;
  MESSAGE("bytes for each idle actor: ", of_ours, ", plain CAF actor: ", of_caf);
  if (!heap_counts) return;
  CHECK(of_caf > 256);
  CHECK(of_ours > of_caf);
  CHECK(of_ours - of_caf <= 4096);
}

namespace {

struct header_line {
  std::string_view name, value;
};

// What a browser sends.
constexpr header_line browser[] = {
    {"host", "game.example.com"},
    {"connection", "Upgrade"},
    {"pragma", "no-cache"},
    {"cache-control", "no-cache"},
    {"user-agent",
     "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
     "Safari/537.36"},
    {"upgrade", "websocket"},
    {"origin", "https://game.example.com"},
    {"sec-websocket-version", "13"},
    {"accept-encoding", "gzip, deflate, br, zstd"},
    {"accept-language", "en-GB,en;q=0.9,de;q=0.8"},
    {"cookie", "session=0a1b2c3d4e5f60718293a4b5c6d7e8f9; theme=dark; lang=en"},
    {"sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="},
    {"sec-websocket-extensions", "permessage-deflate; client_max_window_bits"},
};

// As the link hands it on: cut from a frame, which lives as long as any part of it.
protocol::to_envoy opened_by_browser(const actor_ref& who, std::uint32_t n, std::string_view path) {
  protocol::to_envoy_web_socket_open x{who.actor, std::nullopt, text{path}, {}};
  for (const auto& [name, value] : browser) x.headers.entries.emplace_back(name, value);
  auto frame = protocol::encode(sim_host::tunnel(n, 0, std::move(x)), wire::version_max);
  REQUIRE(frame);
  frame->shrink_to_fit();
  auto out = protocol::decode_to_envoy(bytes{std::move(*frame)}, wire::version_max);
  REQUIRE(out);
  return std::move(*out);
}

}  // namespace

// Counted is all of the host's heap, what the client said at the opening included: any handler may ask for it at any time.
TEST_CASE(
    "I9 bounded: an idle hibernating WebSocket takes at most 1 KiB, a browser's headers included, "
    "and leaves nothing") {
  constexpr std::uint32_t n = 10'000;
  constexpr std::string_view path = "/websocket/room?name=ann";
  auto said = path.size();
  for (const auto& [name, value] : browser) said += name.size() + value.size();
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
      host.deliver(opened_by_browser(a, i, path));
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
  MESSAGE(
      "bytes for each idle hibernating WebSocket: ",
      (during - before) / n,
      ", of which its client's: ",
      said);
  MESSAGE("heap before ", before, ", after ", after);
  if (heap_counts) CHECK(during - before <= 1024UL * n);
  if (heap_counts) CHECK(after < before + (64UL << 10U));
}

TEST_CASE("2.4: WebSockets that are opened and closed at once leave nothing, however many") {
  ingress_options options;
  options.sockets_max = options.host_sockets_max = 100;
  sim_host host{std::move(options)};
  host.serve("quick", [](engine_actor*) -> caf::behavior {
    return {
        [](const socket_opened& s) { CHECK(s.socket.accept()); },
        [](const socket_closed&) {},
    };
  });
  host.boot();
  const auto a = instance_of("a");
  host.start_accepted(a, "quick");
  host.link->record = false;
  const auto come_and_go = [&](std::uint32_t from, std::uint32_t n) {
    for (auto i = from; i < from + n; ++i) {
      host.open_socket(a, i);
      host.close_socket(i, 1, 1000);
      host.link->meters.clear();
    }
  };
  come_and_go(0, 1000);
  const auto before = heap();
  come_and_go(1000, 30'000);  // within the time that they have to be accepted
  const auto after = heap();
  MESSAGE("heap before ", before, ", after ", after);
  CHECK(host.stats().sockets == 31'000);
  if (heap_counts) CHECK(after < before + (64UL << 10U));
}

}  // namespace memory_test

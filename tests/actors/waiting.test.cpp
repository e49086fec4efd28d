// WebSocket messages that no handler has seen yet: whose limit they count against, and until when.
#include <doctest/doctest.h>
#include <malloc.h>

#include <nuncio/actor/instance_sockets.hpp>
#include <nuncio/codec.hpp>

#include "actors/watched_actors.hpp"

namespace waiting_test {

using namespace nuncio;
using namespace nuncio::test;
using reason = protocol::stop_actor_reason;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool heap_counts = false;  // the heap can't be read there
#else
constexpr bool heap_counts = true;
#endif

std::size_t allocated() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return 0;
#else
  const auto now = mallinfo2();
  return now.uordblks + now.hblkhd;
#endif
}

struct hall_state {
  std::size_t heard = 0;
  std::vector<socket_message> kept;
  std::vector<caf::typed_response_promise<int>> held;
  caf::actor self;
};

using hall_ptr = std::shared_ptr<hall_state>;

// Hears nothing between "hold" and release().
caf::behavior hall(engine_actor* self, hall_ptr to, caf::actor holder) {
  to->self = self;
  return {
      [](const socket_opened& s) { CHECK(s.socket.accept({.hibernate = false})); },
      [=](socket_message& m) {
        ++to->heard;
        if (m.text() == "hold") self->request(holder, caf::infinite, 1).await([](int) {});
        if (m.text().starts_with("keep")) to->kept.push_back(std::move(m));
      },
  };
}

caf::behavior hold(caf::event_based_actor* self, hall_ptr to) {
  return {
      [=](int) {
        to->held.push_back(self->make_response_promise<int>());
        return to->held.back();
      },
      [=](caf::unit_t) {
        for (auto& each : std::exchange(to->held, {})) each.deliver(1);
      }};
}

struct fixture {
  hall_ptr a = std::make_shared<hall_state>(), b = std::make_shared<hall_state>();
  std::vector<caf::actor> holders;
  int released = 0;
  sim_host host;

  static ingress_options limits(waiting_limits waiting) {
    ingress_options x;
    x.waiting = waiting;
    return x;
  }

  explicit fixture(waiting_limits waiting = {}) : fixture(limits(waiting)) {}

  explicit fixture(ingress_options options)
      : host([&] {
          options.release_memory = [this] { ++released; };
          return std::move(options);
        }()) {
    for (const auto& [name, state] : {std::pair{"a", a}, std::pair{"b", b}}) {
      holders.push_back((*host.sim).spawn(hold, state));
      host.serve(name, hall, state, holders.back());
    }
    host.boot();
    for (const auto* name : {"a", "b"}) host.start_accepted(instance_of(name), name);
  }

  ~fixture() {
    release();
    for (const auto& each : {a, b}) {
      each->self = nullptr;
      each->kept.clear();
    }
    for (const auto& each : holders) caf::anon_send_exit(each, caf::exit_reason::kill);
  }

  void release() {
    for (const auto& each : holders) caf::anon_send(each, caf::unit);
    host.settle();
  }

  std::size_t waiting() {
    host.ping();  // what ingress counts it tells with its next turn
    return host.stats().socket_bytes_waiting;
  }

  [[nodiscard]] std::vector<std::string> closes() const {
    std::vector<std::string> out;
    for (const auto& line : host.lines())
      if (line.find("close") != std::string::npos) out.push_back(line);
    return out;
  }

  /// @returns after how many messages it was closed, at most `most`
  int flood(std::uint32_t n, std::size_t size, int most, std::uint16_t from = 1) {
    const auto before = host.stats().sockets_flooded;
    for (int i = 0; i < most; ++i) {
      host.socket_says(n, static_cast<std::uint16_t>(from + i), std::string(size, 'x'), true);
      if (host.stats().sockets_flooded != before) return i;
    }
    return most;
  }
};

constexpr std::size_t kib = 1024;

}  // namespace

TEST_CASE("2.2: a burst of 5,000 tiny messages to a busy actor is not a flood") {
  fixture x;
  x.host.open_socket(instance_of("a"), 1);
  x.host.socket_says(1, 1, "hold");
  CHECK(x.flood(1, 5, 5000, 2) == 5000);
  CHECK(x.waiting() >= 5000 * (waiting_message_bytes + 5) - waiting_limits{}.socket_bytes_reserved);
  x.release();
  CHECK(x.a->heard == 5001);
  CHECK(x.waiting() == 0);
  CHECK(x.closes().empty());
}

TEST_CASE(
    "2.2: the limit for waiting messages of a WebSocket is an option of its name, and of the "
    "host") {
  ingress_options options;
  options.waiting.socket_bytes_max = 100 * (waiting_message_bytes + 5);
  sim_host host{options};
  const auto state = std::make_shared<hall_state>();
  const auto holder = (*host.sim).spawn(hold, state);
  host.serve("a", hall, state, holder);
  host.serve(
      serve_options{
          .name = "b",
          .idle_timeout = 0ms,
          .socket_waiting_bytes_max = 10 * (waiting_message_bytes + 5)},
      hall,
      state,
      holder);
  host.boot();
  for (const auto* name : {"a", "b"}) {
    host.start_accepted(instance_of(name), name);
    host.open_socket(instance_of(name), 1);
    host.socket_says(1, 1, "hold");
    std::uint16_t taken = 0;
    while (host.stats().sockets_open == 1)
      host.socket_says(1, static_cast<std::uint16_t>(2 + taken++), "tiny!");
    CHECK(taken == (*name == 'a' ? 101 : 11));
    caf::anon_send(holder, caf::unit);
    host.settle();
  }
  state->self = nullptr;
  caf::anon_send_exit(holder, caf::exit_reason::kill);
}

TEST_CASE("2.1: clients that fill their actor's room are closed, those with little are not") {
  fixture x{{.actor_bytes_max = 400 * kib, .host_bytes_max = 4000 * kib}};
  x.host.open_socket(instance_of("a"), 1);
  x.host.open_socket(instance_of("b"), 2);
  x.host.socket_says(1, 1, "hold");
  for (std::uint32_t n = 10; n < 60; ++n) {
    x.host.open_socket(instance_of("a"), n);
    CHECK(x.flood(n, 4 * kib, 1000) < 1000);
  }
  CHECK(x.waiting() <= 400 * kib);
  CHECK(x.closes().size() == 50);  // told at once, whatever their actor waits for
  CHECK(x.flood(1, 100, 10, 2) == 10);
  CHECK(x.flood(2, 64 * kib, 100) == 100);  // heard at once
  CHECK(x.b->heard == 100);
  CHECK(x.host.stats().sockets_open == 2);
  x.release();
  for (const auto& line : x.closes()) CHECK(line.ends_with("socket close 1013"));
  CHECK(x.closes().size() == 50);
  CHECK(x.waiting() == 0);
}

TEST_CASE("2.1: actors that fill the host's room cost another's clients nothing") {
  fixture x{{.actor_bytes_max = 600 * kib, .host_bytes_max = 600 * kib}};
  x.host.open_socket(instance_of("b"), 2);
  x.host.open_socket(instance_of("a"), 1);
  x.host.socket_says(1, 1, "hold");
  for (std::uint32_t n = 10; n < 200; ++n) {
    x.host.open_socket(instance_of("a"), n);
    CHECK(x.flood(n, kib, 1000) < 1000);
  }
  CHECK(x.waiting() <= 600 * kib);
  for (std::uint16_t i = 1; i <= 1000; ++i) x.host.socket_says(2, i, std::string(kib, 'y'), true);
  CHECK(x.b->heard == 1000);
  CHECK(x.host.stats().sockets_open == 2);
}

TEST_CASE("2.1: unhandled messages no longer count once their actor has ended") {
  fixture x;
  for (const std::string how : {"closed by its client", "with its instance"}) {
    CAPTURE(how);
    x.host.open_socket(instance_of("a"), 1);
    x.host.socket_says(1, 1, "hold");
    CHECK(x.flood(1, kib, 100, 2) == 100);
    CHECK(x.waiting() > 90 * kib);
    if (how.front() == 'c') {
      x.host.close_socket(1, 102, 1000);
      CHECK(x.waiting() > 90 * kib);  // the actor still has them before it
      x.release();
    } else {
      x.host.stop(instance_of("a"), reason::lost);
      x.release();  // an actor that awaits an answer hears of its end behind it
    }
    CHECK(x.waiting() == 0);
  }
}

TEST_CASE("2.1: what a handler keeps of messages does not count as waiting") {
  fixture x{
      {.socket_bytes_max = 20 * kib, .actor_bytes_max = 40 * kib, .socket_bytes_reserved = 0}};
  x.host.open_socket(instance_of("a"), 1);
  for (std::uint16_t i = 1; i <= 100; ++i) x.host.socket_says(1, i, "keep" + std::string(kib, 'x'));
  CHECK(x.a->kept.size() == 100);
  CHECK(x.waiting() == 0);
  CHECK(x.host.stats().sockets_open == 1);
}

TEST_CASE("2.1: memory is returned to the system once waiting messages were handled") {
  fixture x;
  x.host.open_socket(instance_of("a"), 1);
  x.host.socket_says(1, 1, "hold");
  for (std::uint32_t n = 10; n < 18; ++n) {
    x.host.open_socket(instance_of("a"), n);
    CHECK(x.flood(n, 1024 * kib, 3) == 3);
  }
  x.host.pass(3s);
  CHECK(x.released == 0);
  x.release();
  x.host.pass(3s);
  CHECK(x.released == 1);
  x.host.pass(10s);
  CHECK(x.released == 1);
}

TEST_CASE("2.1: a waiting message takes no more than is counted for it") {
  constexpr std::uint16_t n = 5000;
  for (const std::size_t size : {0U, 5U, 100U, 1000U}) {
    fixture x{{.socket_bytes_max = 64UL << 20U}};
    x.host.open_socket(instance_of("a"), 1);
    x.host.socket_says(1, 1, "hold");
    const auto from_wire = [&](std::uint16_t i) {
      auto frame = protocol::encode(
          sim_host::tunnel(
              1, i, protocol::to_envoy_web_socket_message{bytes{std::string(size, 'x')}, true}),
          wire::version_max);
      REQUIRE(frame);
      frame->shrink_to_fit();
      auto out = protocol::decode_to_envoy(bytes{std::move(*frame)}, wire::version_max);
      REQUIRE(out);
      x.host.deliver(std::move(*out));
    };
    from_wire(2);
    const auto before = allocated();
    for (std::uint16_t i = 3; i < n + 3; ++i) from_wire(i);
    const auto each = (allocated() - before) / n;
    MESSAGE("a message of ", size, " bytes takes ", each);
    if (heap_counts) CHECK(each <= size + waiting_message_bytes);
    if (heap_counts) CHECK(each > size + waiting_message_bytes / 3);  // nor is far too much counted
    x.release();
    CHECK(x.a->heard == n + 2);
  }
}

}  // namespace waiting_test

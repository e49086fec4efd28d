// The end of an engine client: by its last handle, by its actor system, with and without calls under way.
#include <doctest/doctest.h>

#include <atomic>
#include <caf/all.hpp>
#include <chrono>
#include <future>
#include <nuncio/engine_client.hpp>
#include <nuncio/host.hpp>
#include <optional>

#include "support/raw_server.hpp"

namespace client_host_test {

using namespace nuncio;
using namespace nuncio::test;
using namespace std::chrono_literals;

namespace {

struct config : caf::actor_system_config {
  config() { recommended(*this); }
};

caf::actor client_of(caf::actor_system& system, std::uint16_t port) {
  auto made = spawn_client(system, {.endpoint = "http://127.0.0.1:" + std::to_string(port)});
  REQUIRE(made);
  return *made;
}

/// Takes calls and never answers.
struct silent_engine {
  std::uint16_t port() const { return server.port(); }

  void await_call() { REQUIRE(called.get_future().wait_for(20s) == std::future_status::ready); }

  std::promise<void> called;
  raw_server server{[this](raw_peer& p) {
    if (!p.read_head().empty() && p.index() == 0) called.set_value();
    p.wait_for_end();
  }};
};

}  // namespace

TEST_SUITE_BEGIN("client");

TEST_CASE(
    "a client ends on a thread of its system, never on its own, when its last handle is released") {
  // Nobody listens there: the answer comes while the last handles go.
  std::optional<raw_server> closed{[](raw_peer&) {}};
  const auto port = closed->port();
  closed.reset();
  int answered = 0;
  for (int i = 0; i < 100; ++i) {
    config cfg;
    caf::actor_system system{cfg};
    auto client = client_of(system, port);
    caf::scoped_actor self{system};
    self->request(client, 20s, get_actor_by_id{"a"})
        .receive(
            [](const actor_info&) {},
            [&](const caf::error& e) {
              const auto why = engine_failure_of(e);
              answered += why && why->code == errc::unreachable ? 1 : 0;
            });
  }
  CHECK(answered == 100);
}

#ifdef __SANITIZE_ADDRESS__
// A client that the scheduler's end overtakes, one time in forty, does not hear of it: its caller's promise holds it for ever.
constexpr bool counts_leaks = true;
#else
constexpr bool counts_leaks = false;
#endif

TEST_CASE(
    "an actor system ends at once although a call is under way" * doctest::skip(counts_leaks)) {
  silent_engine engine;
  const auto before = std::chrono::steady_clock::now();
  {
    config cfg;
    caf::actor_system system{cfg};
    auto client = client_of(system, engine.port());
    caf::anon_send(client, get_actor_by_id{"a"});
    engine.await_call();
    SUBCASE("and nobody refers to the client") { client = nullptr; }
    SUBCASE("and a handle is there until just before the system's end") {}
  }
  CHECK(std::chrono::steady_clock::now() - before < 20s);
}

TEST_CASE("a client that is told to exit fails its calls at once") {
  silent_engine engine;
  config cfg;
  caf::actor_system system{cfg};
  auto client = client_of(system, engine.port());
  caf::scoped_actor self{system};
  auto asked = self->request(client, 20s, get_actor_by_id{"a"});
  engine.await_call();
  caf::anon_send_exit(client, caf::exit_reason::user_shutdown);
  asked.receive(
      [](const actor_info&) { FAIL("answered"); },
      [](const caf::error& e) {
        const auto why = engine_failure_of(e);
        REQUIRE(why);
        CHECK(why->code == errc::cancelled);
      });
}

TEST_CASE("a creation that lost the race for its key is retried a limited number of times") {
  std::atomic<int> calls{0};
  int losses = 0;
  raw_server engine{[&](raw_peer& p) {
    while (!p.read_head().empty()) {
      const std::string body =
          ++calls > losses
              ? R"({"actor":{"actor_id":"a1","name":"probe"}})"
              : R"({"group":"actor","code":"destroyed_during_creation","message":"gone"})";
      p.send(
          std::string{"HTTP/1.1 "} + (calls > losses ? "200 OK" : "400 Bad Request") +
          "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" +
          body);
      p.close();
    }
  }};
  const auto ask = [&] {
    config cfg;
    caf::actor_system system{cfg};
    caf::scoped_actor self{system};
    std::string said;
    self->request(
            client_of(system, engine.port()),
            20s,
            get_or_create_actor{.name = "probe", .key = {"k"}, .pool = "p"})
        .receive(
            [&](const actor_info& x) { said = x.id; },
            [&](const caf::error& e) {
              const auto why = engine_failure_of(e);
              said = why ? why->engine_code : "another error";
            });
    return said;
  };
  SUBCASE("won the third time") {
    losses = 2;
    CHECK(ask() == "a1");
    CHECK(calls == 3);
  }
  SUBCASE("never won") {
    losses = 100;
    CHECK(ask() == "actor.destroyed_during_creation");
    CHECK(calls == 5);
  }
}

TEST_SUITE_END();

}  // namespace client_host_test

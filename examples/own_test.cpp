// Tests of your own actor, with an engine in the same process: nothing to install, no fixed port, no leftovers. Copy this file
// and put your actor in place of `counter`. docs/testing.md has the CMake lines for it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <caf/all.hpp>
#include <nuncio/host.hpp>
#include <nuncio/persistent_actor.hpp>
#include <nuncio/socket.hpp>
#include <nuncio/testing/client.hpp>
#include <nuncio/testing/dev_engine.hpp>
#include <nuncio/testing/expect.hpp>
#include <nuncio/testing/simulated_host.hpp>

namespace {

using namespace std::chrono_literals;
using nuncio::testing::expect;

struct count {
  int n = 0;
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(count, n)

// The actor under test: it counts POSTs, reports the count to WebSockets, and keeps it while it sleeps.
caf::behavior counter(nuncio::persistent_actor<count>* self) {
  return {
      [self](const nuncio::http_request& r) -> caf::result<nuncio::http_response> {
        if (r.method == "POST") self->broadcast(std::to_string(++self->state.n));
        return nuncio::http_response::text(std::to_string(self->state.n));
      },
      [self](const nuncio::socket_opened& s) {
        s.socket.accept();
        s.socket.send(nuncio::text{std::to_string(self->state.n)});
      },
  };
}

// An engine, a host that serves the actor, and a client.
struct world {
  nuncio::testing::dev_engine engine;
  caf::actor_system_config config;
  caf::actor_system system{config};
  nuncio::host host{system, {.endpoint = expect(engine.start())}};
  nuncio::testing::client client{{.endpoint = engine.endpoint()}};

  world() {
    host.serve("counter", counter);
    expect(host.start());
    expect(host.wait_ready(10s));
  }

  ~world() { host.abort(); }  // at once: no actor has to sleep first
};

TEST_CASE_FIXTURE(world, "each counter counts separately") {
  const auto a = expect(client.create({.name = "counter", .key = "a"})).id;
  const auto b = expect(client.create({.name = "counter", .key = "b"})).id;
  CHECK(expect(client.request(a, "POST", "/request")).body == "1");
  CHECK(expect(client.request(a, "POST", "/request")).body == "2");
  CHECK(expect(client.request(b, "GET", "/request")).body == "0");
}

TEST_CASE_FIXTURE(world, "a WebSocket gets each count") {
  const auto id = expect(client.create({.name = "counter"})).id;
  auto socket = expect(client.open_socket(id, "/websocket"));
  CHECK(socket.text() == "0");
  expect(client.request(id, "POST", "/request"));
  CHECK(socket.text() == "1");
}

TEST_CASE_FIXTURE(world, "the count outlives a sleep") {
  const auto id = expect(client.create({.name = "counter"})).id;
  expect(client.request(id, "POST", "/request"));
  expect(client.sleep(id));
  expect(client.wait_for(
      id, [](const auto& actor) { return actor.sleeping; }, 10s));
  CHECK(expect(client.request(id, "POST", "/request")).body == "2");
}

TEST_CASE_FIXTURE(world, "a lost connection does not lose a count") {
  const auto id = expect(client.create({.name = "counter"})).id;
  expect(client.request(id, "POST", "/request"));
  engine.inject(expect(nuncio::testing::parse_fault("reset")));
  CHECK(expect(client.request(id, "POST", "/request")).body == "2");
  CHECK(engine.stats().commands_issued == 1);  // it was not started again
}

// In virtual time: no thread, no socket, no waiting.
TEST_CASE("an idle counter sleeps after 30 s") {
  nuncio::testing::simulated_host host;
  host.serve("counter", counter);
  const auto client = host.client();
  const auto id = expect(client.create({.name = "counter"})).id;
  expect(client.request(id, "POST", "/request"));
  host.pass(31s);
  CHECK(expect(client.get(id)).sleeping);
}

// Each run has other faults: connections are cut, acks are lost, commands arrive twice or out of order.
TEST_CASE("under faults, no count is lost and none counts twice") {
  nuncio::testing::for_each_seed(30, [](nuncio::testing::simulated_host& host) {
    CAPTURE(host.seed());  // named beside each check that fails
    host.serve("counter", counter);
    const auto client = host.client();
    const auto id = expect(client.create({.name = "counter"})).id;
    for (int n = 1; n <= 5; ++n) {
      REQUIRE(expect(client.request(id, "POST", "/request")).body == std::to_string(n));
      host.pass(10s);
    }
  });
}

}  // namespace

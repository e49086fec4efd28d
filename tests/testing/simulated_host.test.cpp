// Actors in a simulated world: virtual time, storage, sockets, ends and faults; each run is the same.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <caf/stateful_actor.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/persistent_actor.hpp>
#include <nuncio/socket.hpp>
#include <nuncio/testing/expect.hpp>
#include <nuncio/testing/simulated_host.hpp>

namespace simulated_host_test {

using namespace nuncio;
using namespace nuncio::testing;
using namespace std::chrono_literals;

struct count {
  int n = 0;
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(count, n)

namespace {

caf::behavior counter(persistent_actor<count>* self) {
  return {
      [self](const http_request& r) -> caf::result<http_response> {
        if (r.path_only() == "/throw") throw std::runtime_error{"as told"};
        if (r.path_only() == "/deaf") self->set_exit_handler([](const caf::exit_msg&) {});
        if (r.path_only() == "/put") self->kv().put("score", "42").then([] {});
        if (r.path_only() == "/alarm") self->set_alarm(std::chrono::system_clock::now() + 24h);
        if (r.method == "POST") {
          self->broadcast(std::to_string(++self->state.n));
          auto promise = self->make_response_promise<http_response>();
          self->save_now().then([self, promise]() mutable {
            promise.deliver(http_response{.body = bytes{std::to_string(self->state.n)}});
          });
          return promise;
        }
        return http_response{
            .body = bytes{fmt::format("{} in {}", self->state.n, self->start().self.generation)}};
      },
      [self](const alarm_due&) { self->state.n += 1000; },
      [](const socket_opened& s) { s.socket.accept(); },
  };
}

struct world {
  simulated_host host;
  testing::client client = host.client();
  std::string id;

  explicit world(simulation_options options = {}) : host(std::move(options)) {
    host.serve("counter", counter);
    id = expect(client.create({.name = "counter", .key = "k"})).id;
  }

  std::string post() { return expect(client.request(id, "POST", "/")).body; }

  std::string get() { return expect(client.request(id, "GET", "/")).body; }
};

}  // namespace

TEST_CASE_FIXTURE(world, "an idle actor sleeps, and keeps its state, in no time") {
  CHECK(post() == "1");
  CHECK_FALSE(expect(client.get(id)).sleeping);
  host.pass(31s);
  CHECK(expect(client.get(id)).sleeping);
  CHECK(get() == "1 in 2");
  CHECK(host.time() >= 31s);
}

TEST_CASE_FIXTURE(world, "an alarm tomorrow comes tomorrow") {
  expect(client.request(id, "GET", "/alarm"));
  host.pass(23h);
  CHECK(expect(client.get(id)).sleeping);
  host.pass(2h);
  CHECK(get().starts_with("1000 in "));
}

TEST_CASE_FIXTURE(world, "a WebSocket carries messages, and hears its end") {
  auto socket = expect(client.open_socket(id, "/ws"));
  CHECK(socket.receive(1s).error().code == errc::timed_out);
  post();
  CHECK(socket.text() == "1");
  expect(client.sleep(id));
  CHECK(socket.await_close().has_value());
  CHECK(socket.send("late").error().code == errc::link_lost);
}

TEST_CASE_FIXTURE(world, "an actor that throws is started again") {
  post();
  CHECK(expect(client.request(id, "GET", "/throw")).status == 500);
  CHECK(get() == "1 in 2");
}

TEST_CASE_FIXTURE(world, "crash() ends an actor as if it had thrown, and nobody else") {
  const auto other = expect(client.create({.name = "counter", .key = "other"})).id;
  CHECK_FALSE(host.crash("no-such-actor"));
  post();
  CHECK(expect(client.request(other, "GET", "/")).body == "0 in 1");
  CHECK(host.crash(id));
  CHECK_FALSE(host.crash(id));  // it is down
  CHECK(get() == "1 in 2");
  expect(client.request(id, "GET", "/deaf"));
  CHECK(host.crash(id));
  CHECK(get() == "1 in 3");
  CHECK(expect(client.request(other, "GET", "/")).body == "0 in 1");
}

TEST_CASE("actors that talk without end fail the run instead of holding it up") {
  const auto talker = [](engine_actor* self) -> caf::behavior {
    const auto talk = [self](int n) { caf::anon_send(caf::actor_cast<caf::actor>(self), n); };
    return {
        [talk](const http_request&) {
          talk(1);
          return http_response::text("");
        },
        [](const socket_opened& s) { s.socket.accept(); },
        [talk](const socket_closed&) { talk(1); },
        talk};
  };
  simulated_host host;
  host.serve("talker", talker);
  const auto client = host.client();
  const auto id = expect(client.create({.name = "talker"})).id;
  CHECK_THROWS_WITH(
      static_cast<void>(client.request(id, "GET", "/")),
      doctest::Contains("simulated_host: 1000000 messages were handled and no time has passed"));
  // A client that goes says nothing; the next call does.
  simulated_host other;
  other.serve("talker", talker);
  const auto goes = other.client();
  const auto left = expect(goes.create({.name = "talker"})).id;
  { const auto socket = expect(goes.open_socket(left, "/")); }
  CHECK_THROWS_WITH(other.pass(1s), doctest::Contains("no time has passed"));
}

TEST_CASE_FIXTURE(world, "a killed host's actors continue in the next one") {
  post();
  host.kill();
  host.pass(40s);
  CHECK(get().starts_with("1 in "));
}

TEST_CASE_FIXTURE(world, "a connection that is lost for a moment costs an actor nothing") {
  post();
  host.cut(2s);
  CHECK(post() == "2");
  CHECK(get() == "2 in 1");
  CHECK(host.engine_stats().connections == 2);
}

TEST_CASE_FIXTURE(world, "a host that is cut off for long has ended its actors") {
  post();
  host.cut(60s);
  host.pass(20s);
  CHECK(host.stats().ingress.instances == 0);
  host.pass(60s);
  CHECK(get().starts_with("1 in "));
}

TEST_CASE_FIXTURE(world, "what an actor has stored can be read") {
  CHECK_FALSE(host.stored(id, "score"));
  expect(client.request(id, "GET", "/put"));
  CHECK(host.stored(id, "score")->view() == "42");
}

TEST_CASE("a scenario holds under faults, whatever the seed") {
  unsigned runs = 0;
  std::uint64_t faults = 0;
  for_each_seed(50, [&](simulated_host& host) {
    host.serve("counter", counter);
    auto client = host.client();
    const auto id = expect(client.create({.name = "counter"})).id;
    for (int n = 1; n <= 5; ++n) {
      REQUIRE(expect(client.request(id, "POST", "/")).body == std::to_string(n));
      host.pass(7s);
    }
    ++runs;
    faults += host.engine_stats().faults + host.engine_stats().connections - 1;
  });
  CHECK(runs == 50);
  CHECK(faults > 50);
}

TEST_CASE("a failing seed is reported, and its run is the same again") {
  const auto stopped_at = [](std::uint64_t seed) {
    simulated_host host{{.seed = seed, .faults = true}};
    host.serve("counter", counter);
    auto client = host.client();
    const auto id = expect(client.create({.name = "counter"})).id;
    for (int n = 0; n < 5; ++n) expect(client.request(id, "POST", "/"));
    host.pass(2min);
    return std::pair{host.time(), host.engine_stats()};
  };
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    CHECK((stopped_at(seed) == stopped_at(seed)));
  }
  unsigned runs = 0;
  CHECK_THROWS_AS(
      for_each_seed(
          9,
          [&](simulated_host&) {
            if (++runs == 3) throw std::runtime_error{"the third"};
          }),
      std::runtime_error);
  CHECK(runs == 3);
}

}  // namespace simulated_host_test

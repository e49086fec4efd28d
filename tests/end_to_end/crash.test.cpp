// However an actor ends, only destroy() destroys it: afterwards the same id answers again.
#include <algorithm>
#include <cstdint>

#include "fixture.hpp"

namespace nuncio::e2e {

TEST_SUITE_BEGIN("crash");

TEST_CASE("quit() means sleep: the same id answers again, one generation later") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  // The handler ended its actor: whatever it returns after that is not taken.
  CHECK(x.client.post(id, "/quit").status == 500);
  const auto asleep = x.client.await_sleeping(id);
  CHECK(asleep.sleeping);
  CHECK(asleep.error.empty());
  CHECK(x.client.get(id, "/generation").body == "2");
  CHECK(x.backlog_drains());
}

TEST_CASE("a request whose handler quit without an answer is answered 500, once") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  CHECK(x.client.post(id, "/quit-unanswered").status == 500);
  CHECK(x.client.await_sleeping(id).sleeping);
  CHECK(x.client.get(id, "/generation").body == "2");
}

TEST_CASE("a handler's exception: 500, called once, and the same id answers again") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  CHECK(x.client.post(id, "/throw").status == 500);
  const auto asleep = x.client.await_sleeping(id);
  CHECK(asleep.sleeping);
  CHECK(asleep.error.find("an internal error occurred (error_id ") != std::string::npos);
  CHECK(asleep.error.find("probe threw on request") == std::string::npos);
  CHECK(x.host->log().find("probe threw on request") != std::string::npos);
  const auto after = x.client.get(id, "/generation");
  CHECK(after.status == 200);
  CHECK(after.body == "2");
  CHECK(x.client.get(id, "/calls").body == "1");
}

TEST_CASE("a handler's error value: 500, and the actor lives on") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  CHECK(x.client.post(id, "/fail").status == 500);
  CHECK(x.client.get(id, "/generation").body == "1");
}

TEST_CASE("a factory that throws: crashed, its text in the log; other actors are unaffected") {
  hosted_pool x;
  const auto other = x.client.create_running("counter");
  const auto id = must(x.client.create({.name = "thrower"})).id;
  const auto crashed = must(x.client.wait_for(
      id, [](const actor_view& a) { return !a.error.empty(); }, 20s));
  CHECK(crashed.error.find("an internal error occurred (error_id ") != std::string::npos);
  CHECK(crashed.error.find("the factory of thrower threw") == std::string::npos);
  CHECK(x.host->log().find("the factory of thrower threw") != std::string::npos);
  CHECK_FALSE(crashed.destroyed);
  CHECK(x.client.get(other, "/request/count").status == 200);
  CHECK(x.backlog_drains());
}

TEST_CASE(
    "3.6: an actor that can't start is retried more and more slowly, and logged only now and "
    "then") {
  hosted_pool x;
  const auto id = must(x.client.create({.name = "thrower"})).id;
  const auto from = std::chrono::steady_clock::now();
  // Who asks for it wakes it each time.
  while (std::chrono::steady_clock::now() - from < 5s) {
    const auto reply = x.client.request(id, "GET", "/");
    REQUIRE(reply);
    CHECK(reply->status == 503);
    CHECK(reply->error_code() == "guard.actor_wake_retries_exceeded");
  }
  const auto took = std::chrono::steady_clock::now() - from;
  const auto seen = x.host->stats().ingress;
  const auto log = x.host->log();
  INFO(log);
  // 0.1 s after the first, and twice as long with each up to two seconds: no more than six in the first five seconds.
  const auto most = 6 + static_cast<std::uint64_t>(took / 2s);
  CHECK(seen.starts > 1);
  CHECK(seen.actors_failed <= most);
  CHECK(seen.starts <= most + 1);
  CHECK(static_cast<std::uint64_t>(std::count(log.begin(), log.end(), '\n')) <= 3 * most);
}

TEST_CASE("a name that is not served: crashed, and the error names it") {
  hosted_pool x;
  const auto id = must(x.client.create({.name = "nobody"})).id;
  const auto crashed = must(x.client.wait_for(
      id, [](const actor_view& a) { return !a.error.empty(); }, 20s));
  CHECK(crashed.error.find("nobody") != std::string::npos);
  CHECK_FALSE(crashed.destroyed);
  CHECK(x.backlog_drains());
}

TEST_CASE("sleep() sleeps, and the next request wakes") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  CHECK(x.client.post(id, "/sleep").status == 200);
  CHECK(x.client.await_sleeping(id).sleeping);
  CHECK(x.client.get(id, "/generation").body == "2");
}

TEST_CASE("destroy() destroys: 404 afterwards") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  CHECK(x.client.post(id, "/destroy").status == 200);
  must(x.client.wait_for(
      id, [](const actor_view& a) { return a.destroyed; }, 20s));
  CHECK(x.client.get(id, "/generation").status == 404);
  CHECK(x.backlog_drains());
}

TEST_CASE("a cut between Stopped and its fence does not destroy a sleeping actor, five times") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  for (int i = 1; i <= 5; ++i) {
    CAPTURE(i);
    const auto connections = x.proxy->records().size();
    x.proxy->judge_to_engine([done = false](const protocol::to_rivet& m) mutable {
      const auto* events = std::get_if<protocol::to_rivet_events>(&m);
      if (events == nullptr || done) return fate::pass;
      for (const auto& e : events->events)
        if (const auto* update = std::get_if<protocol::event_actor_state_update>(&e.inner);
            update != nullptr &&
            std::holds_alternative<protocol::actor_state_stopped>(update->state))
          done = true;
      return done ? fate::cut_after : fate::pass;
    });
    CHECK(x.client.post(id, "/sleep").status == 200);
    REQUIRE(x.proxy->await_barrier(connections + 1));
    // The engine shows an actor as asleep from its intent on; that it is not destroyed later has nothing to wait on.
    std::this_thread::sleep_for(500ms);
    const auto asleep = x.client.await_sleeping(id);
    REQUIRE_FALSE(asleep.destroyed);
    CHECK(asleep.error.empty());
    CHECK(x.client.get(id, "/generation").body == std::to_string(i + 1));
  }
  CHECK(x.host->factory_calls() == 6);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

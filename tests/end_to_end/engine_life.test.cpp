// The engine goes away, comes back, or comes late.
#include "fixture.hpp"

namespace nuncio::e2e {

TEST_SUITE_BEGIN("engine_life");

TEST_CASE(
    "the engine is killed with -9 and restarted: actors keep their state, nothing runs twice") {
  engine_under_test engine{{.keep_data = true}};
  hosted_pool x{engine, {}};
  const auto counter = x.client.create_running("counter");
  const auto bench = x.client.create_running("bench");
  x.client.post(counter, "/request/increment");
  const auto instance = x.client.get(bench, "/request/instance").body;
  for (int i = 0; i < 2; ++i) {
    CAPTURE(i);
    engine.kill();
    engine.restart();
    REQUIRE(await([&] { return x.proxy->last().barrier && !x.proxy->last().ended; }));
    CHECK(x.client.get(bench, "/request/instance").body == instance);
  }
  CHECK(x.client.post(counter, "/request/increment").body == "2");
  CHECK(x.client.get(bench, "/request/instance").header("x-starts") == "1");
  CHECK(x.host->factory_calls() == 2);
  CHECK(x.client.create_running("counter").size() > 0);
  CHECK(x.backlog_drains());
}

TEST_CASE(
    "an engine that goes away in good order is met again at once; actors stay what they are") {
  engine_under_test engine{{.keep_data = true}};
  hosted_pool x{engine, {}};
  const auto id = x.client.create_running("probe");
  CHECK(x.client.post(id, "/increment").body == "1");
  const auto connections = x.proxy->records().size();
  engine.stop();
  engine.restart();
  REQUIRE(
      await([&] { return x.proxy->records().size() > connections && x.proxy->last().barrier; }));
  const auto log = x.host->log();
  INFO(log);
  const auto said = log.find("the engine is restarting (ws.going_away");
  REQUIRE(said != std::string::npos);
  const auto wait = log.find("retry_ms=", said);
  REQUIRE(wait != std::string::npos);
  CHECK(std::stoi(log.substr(wait + 9)) < 100);
  CHECK(x.client.post(id, "/increment").body == "2");
  CHECK(x.client.get(id, "/generation").body == "1");
  CHECK(x.host->factory_calls() == 1);
}

TEST_CASE("commands unacked when the engine is killed are replayed, and run once") {
  engine_under_test engine{{.keep_data = true}};
  hosted_pool x{engine, {}};
  x.proxy->lose_acks(true);
  const auto live = x.client.create_running("bench");
  const auto gone = x.client.create_running("bench");
  must(x.client.destroy(gone));
  engine.kill();
  engine.restart();
  REQUIRE(await([&] { return x.proxy->last().barrier && !x.proxy->last().ended; }));
  CHECK(x.proxy->last().starts == 2);
  CHECK(x.proxy->last().stops == 1);
  CHECK(x.client.get(live, "/request/instance").header("x-starts") == "1");
  CHECK(x.client.get(gone, "/request/instance").status == 404);
  CHECK(x.host->factory_calls() == 2);
  x.proxy->lose_acks(false);
  CHECK(x.backlog_drains());
}

TEST_CASE("an engine that is not there at first: the host waits and becomes ready") {
  engine_under_test engine{{.keep_data = true}};
  engine.kill();
  const auto pool = new_pool();
  test_host host{{.endpoint = engine.endpoint(), .pool = pool}};
  CHECK_FALSE(host.await_ready(1s));
  CHECK_FALSE(host.await_end(0ms).has_value());
  CHECK(host.log().find("trying again") != std::string::npos);
  engine.restart();
  const auto ready = host.await_ready(
      90s);  // after a kill -9 the real engine may refuse new pools with 500 for half a minute
  INFO(host.log());
  REQUIRE(ready);
  const pool_client client{engine, pool};
  CHECK(client.get(client.create_running("counter"), "/request/count").body == "0");
  host.abort();
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

// A host that ends in good order hands over its actors without losing them.
#include <signal.h>

#include <future>

#include "fixture.hpp"
#include "process.hpp"

namespace nuncio::e2e {

TEST_SUITE_BEGIN("drain");

TEST_CASE("SIGTERM drains `nuncio serve`: exit status 0, its actors move to the other host") {
  auto& engine = shared_engine();
  const auto pool = new_pool();
  const pool_client client{engine, pool};
  process first{serve_command(engine.endpoint(), pool)};
  REQUIRE(first.await_line("ready"));
  std::vector<std::string> ids, instances;
  for (int i = 0; i < 4; ++i) ids.push_back(client.create_running("bench"));
  for (const auto& id : ids) instances.push_back(client.get(id, "/request/instance").body);
  process second{serve_command(engine.endpoint(), pool)};
  REQUIRE(second.await_line("ready"));

  first.signal(SIGTERM);
  const auto status = first.await_exit(40s);
  INFO(first.log());
  REQUIRE(status.has_value());
  CHECK(*status == 0);
  CHECK(first.log().find("draining actors=4") != std::string::npos);
  CHECK(first.log().find("drained slept=0 moved=4 cut=0") != std::string::npos);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto after = client.get(ids[i], "/request/instance");
    CHECK(after.status == 200);
    CHECK(after.body != instances[i]);
    CHECK(after.header("x-starts") == "1");
    CHECK(client.view(ids[i]).error.empty());
  }
  second.signal(SIGINT);
  CHECK(second.await_exit(40s) == 0);
}

TEST_CASE("the last host drains too: its actors come back on the next one") {
  auto& engine = shared_engine();
  const auto pool = new_pool();
  const pool_client client{engine, pool};
  process first{serve_command(engine.endpoint(), pool)};
  REQUIRE(first.await_line("ready"));
  const auto id = client.create_running("bench");
  const auto before = client.get(id, "/request/instance").body;
  first.signal(SIGTERM);
  const auto status = first.await_exit(40s);
  INFO(first.log());
  REQUIRE(status.has_value());
  CHECK(*status == 0);
  CHECK_FALSE(client.view(id).destroyed);

  process second{serve_command(engine.endpoint(), pool)};
  REQUIRE(second.await_line("ready"));
  const auto after = client.get(id, "/request/instance");
  CHECK(after.status == 200);
  CHECK(after.body != before);
  CHECK(after.header("x-starts") == "1");
}

TEST_CASE("stop() lets a request in flight end first") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  auto reply = std::async(std::launch::async, [&] { return x.client.get(id, "/hold"); });
  REQUIRE(await([&] { return x.host->stats().ingress.requests_open == 1; }));
  // A host for what is repeated, should the drain not wait.
  test_host next{{.endpoint = x.engine.endpoint(), .pool = x.pool}};
  REQUIRE(next.await_ready());
  std::thread stops{[&] { x.host->stop(); }};
  CHECK(await([&] { return x.host->stats().ingress.stops == 1; }));
  CHECK(reply.wait_for(0s) == std::future_status::timeout);
  CHECK(x.host->release(id));
  stops.join();
  CHECK(x.host->stats().responses == 1);
  CHECK(x.host->log().find("drained slept=0 moved=1 cut=0") != std::string::npos);
  // The real engine's gateway now and then takes the end for earlier than the answer, and asks the next one (docs/protocol.md M).
  CHECK(await([&] { return reply.wait_for(0s) == std::future_status::ready || next.release(id); }));
  const auto answer = reply.get();
  CHECK(answer.status == 200);
  CHECK(answer.header("x-generation") == (next.stats().ingress.requests == 0 ? "1" : "2"));
  CHECK(x.client.get(id, "/generation").body == "2");
}

TEST_CASE("stop() from one of the host's own actors begins the drain; its owner ends it") {
  hosted_pool x;
  const auto id = x.client.create_running("stopper");
  const auto other = x.client.create_running("probe");
  test_host next{{.endpoint = x.engine.endpoint(), .pool = x.pool}};
  REQUIRE(next.await_ready());
  CHECK(x.client.get(id, "/stop").body == "1");
  CHECK(await([&] { return x.host->stats().ingress.instances == 0; }));
  x.host->stop();
  CHECK(x.client.get(id, "/").body == "2");
  CHECK(x.client.get(other, "/generation").body == "2");
  CHECK(next.factory_calls() == 1);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

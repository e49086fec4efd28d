// Options for a host's links and for how its actors run, against an engine.
#include <future>
#include <nuncio/host.hpp>
#include <set>
#include <thread>
#include <vector>

#include "fixture.hpp"

namespace nuncio::e2e {

TEST_SUITE_BEGIN("connection");

TEST_CASE("a host of three links: the engine spreads actors over its envoys, and all drain") {
  auto& engine = shared_engine();
  const auto pool = new_pool();
  const pool_client client{engine, pool};
  test_host host{{.endpoint = engine.endpoint(), .pool = pool, .links = 3}};
  REQUIRE(host.await_ready());
  CHECK(host.stats().link.connections >= 3);  // a busy engine may let one go at first
  const auto envoys = client.envoys();
  REQUIRE(envoys);
  CHECK(std::set<std::string>(envoys->begin(), envoys->end()).size() == 3);

  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(client.create_running("counter"));
  for (const auto& id : ids) CHECK(client.post(id, "/request/increment").body == "1");
  const auto stats = host.stats();
  CHECK(stats.ingress.instances == ids.size());
  CHECK(stats.ingress.starts == ids.size());
  CHECK(stats.acks_sent == ids.size());

  test_host next{{.endpoint = engine.endpoint(), .pool = pool}};
  REQUIRE(next.await_ready());
  host.stop();
  CHECK(host.stats().ingress.instances == 0);
  for (const auto& id : ids) CHECK(client.get(id, "/request/count").status == 200);
  CHECK(next.factory_calls() == ids.size());
  next.abort();
}

TEST_CASE(
    "1.1: a host whose ingress is blocked for seconds keeps its connection, and loses nothing") {
  auto& engine = shared_engine();
  const auto pool = new_pool();
  const pool_client client{engine, pool};
  std::promise<void> held, free;
  auto go_on = free.get_future();
  bool once = false;
  test_host host{
      {.endpoint = engine.endpoint(), .pool = pool, .on_log = [&](std::string_view message) {
         // What says this is ingress.
         if (message != "an actor failed" || std::exchange(once, true)) return;
         held.set_value();
         go_on.wait();
       }}};
  REQUIRE(host.await_ready());
  const auto id = client.create_running("counter");
  const auto before = host.stats();
  must(client.create({.name = "thrower"}));
  REQUIRE(held.get_future().wait_for(20s) == std::future_status::ready);
  std::vector<std::future<int>> answers;
  for (int i = 0; i < 20; ++i)
    answers.push_back(std::async(
        std::launch::async, [&] { return client.post(id, "/request/increment").status; }));
  std::this_thread::sleep_for(3s);
  for (auto& x : answers) CHECK(x.wait_for(0s) == std::future_status::timeout);
  free.set_value();
  for (auto& x : answers) CHECK(x.get() == 200);
  CHECK(client.get(id, "/request/count").body == "20");
  CHECK(host.stats().link.connections == before.link.connections);
  CHECK(host.stats().ingress.requests == before.ingress.requests + 21);
  host.abort();
}

TEST_CASE("a host uses the version that the engine reports") {
  test_host host{
      {.endpoint = shared_engine().endpoint(), .pool = new_pool(), .protocol_version = 0}};
  REQUIRE(host.await_ready());
  CHECK(host.application_host().protocol_version() == 8);
  host.abort();
}

TEST_CASE(
    "a drain logs each second how many actors are left, and at its end what happened to them") {
  hosted_pool x;
  const auto slow = x.client.create_running("probe");
  const auto quick = x.client.create_running("counter");
  std::thread client{[&] { static_cast<void>(x.client.request(slow, "GET", "/slow?ms=2600")); }};
  REQUIRE(await([&] { return x.host->stats().ingress.requests_open == 1; }));
  x.host->stop();
  client.join();
  const auto log = x.host->log();
  INFO(log);
  CHECK(log.find("draining actors=2") != std::string::npos);
  CHECK(log.find("draining actors=1 seconds_left=") != std::string::npos);
  CHECK(log.find("drained slept=") != std::string::npos);
  CHECK(log.find("cut=0") != std::string::npos);
}

TEST_CASE(
    "detached actors may block: pooled ones answer meanwhile, and each has a thread of its own") {
  hosted_pool x;
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(x.client.create_running("blocker"));
  for (int i = 0; i < 3; ++i) ids.push_back(x.client.create_running("blocking room"));
  const auto doorman = x.client.create_running("doorman");
  std::set<std::string> threads;
  for (const auto& id : ids) threads.insert(x.client.get(id, "/thread").body);
  CHECK(threads.size() == ids.size());

  std::vector<std::thread> callers;
  std::vector<int> statuses(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i)
    callers.emplace_back([&, i] {
      if (const auto reply = x.client.request(ids[i], "GET", "/wait")) statuses[i] = reply->status;
    });
  CHECK(
      await([&] { return x.client.get(doorman, "/waiting").body == std::to_string(ids.size()); }));
  CHECK(x.client.post(doorman, "/open").status == 200);
  for (auto& each : callers) each.join();
  CHECK(statuses == std::vector<int>(ids.size(), 200));
  for (const auto& id : ids) must(x.client.sleep(id));
  for (const auto& id : ids) CHECK(x.client.await_sleeping(id).sleeping);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

// An actor's life, with the probe of docs/probe.md: sleep, alarms, crash, the end; its storage; streaming bodies in both
// directions.
#include <fmt/format.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "probed_pool.hpp"

namespace nuncio::e2e {

namespace {

using json = nlohmann::json;

struct lifecycle : hosted_pool {
  using hosted_pool::hosted_pool;

  std::string id = client.create_running("outside", pool);

  json info() { return info_of(client, id); }

  client_reply call(std::string method, std::string_view path, std::string body = {}) {
    return must(client.request(id, std::move(method), path, std::move(body)));
  }

  void await_asleep(std::chrono::milliseconds limit = 20s) {
    CHECK(client.await_sleeping(id, limit).sleeping);
  }

  // Without a request, which would wake it.
  bool await_awake(std::chrono::milliseconds limit) {
    return client
        .wait_for(
            id, [](const actor_view& x) { return x.connectable; }, limit)
        .ok();
  }
};

struct streaming_lifecycle {
  engine_under_test engine{{.streaming = true}};
  lifecycle x{engine, {}};
};

}  // namespace

TEST_SUITE_BEGIN("lifecycle");

TEST_CASE_FIXTURE(
    lifecycle, "sleep, crash and destroy: answered first, and info tells what happened") {
  auto first = info();
  CHECK(first["id"] == id);
  CHECK(first["key"] == pool);
  CHECK(first["generation"] == 1);
  CHECK(first["starts"] == 1);
  CHECK(await([&] { return info()["wakes"] == 1; }));
  CHECK(client.post(id, "/request/sleep").body == "good night\n");
  await_asleep();
  CHECK(await([&] { return info()["wakes"] == 2; }));
  CHECK(info()["generation"] == 2);
  CHECK(info()["lastStop"] == "SLEEP_INTENT");
  const auto crash = client.post(id, "/request/crash");
  CHECK(crash.status == 500);
  CHECK(crash.body.starts_with("an internal error occurred (error_id "));
  await_asleep();
  CHECK(info()["generation"] == 3);
  CHECK(client.post(id, "/request/fail?status=418").status == 418);
  CHECK(client.post(id, "/request/nowhere").status == 404);
  CHECK(client.post(id, "/request/destroy").body == "farewell\n");
  CHECK(await([&] { return client.view(id).destroyed; }));
  CHECK(client.get(id, "/request/info").status == 404);
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(
    lifecycle, "a request in flight is answered by the instance that is being put to sleep") {
  const auto before = host->stats().ingress.requests;
  std::thread slow{[&] {
    const auto reply = client.request(id, "POST", "/request/slow?ms=1500");
    CHECK((reply && reply->status == 200));
  }};
  CHECK(await([&] { return host->stats().ingress.requests_open == 1; }));
  CHECK(client.post(id, "/request/sleep").status == 200);
  slow.join();
  // It was not asked again of the next.
  CHECK(host->stats().ingress.requests == before + 2);
  CHECK(info()["generation"] == 2);
}

TEST_CASE_FIXTURE(lifecycle, "an alarm wakes a sleeping actor, and comes to one that is awake") {
  CHECK(client.post(id, "/request/alarm?ms=100").status == 200);
  CHECK(await([&] { return info()["alarms"] == 1; }));
  CHECK(client.post(id, "/request/alarm?ms=8000").status == 200);
  CHECK(client.post(id, "/request/sleep").status == 200);
  await_asleep();
  CHECK(await_awake(20s));
  CHECK(await([&] { return info()["alarms"] == 1; }));
  CHECK(info()["generation"] == 2);
  // Replaced: the earlier one does not come.
  CHECK(client.post(id, "/request/alarm?ms=1000").status == 200);
  CHECK(client.post(id, "/request/alarm?ms=2000").status == 200);
  CHECK(await([&] { return info()["alarms"] == 2; }));
  CHECK(client.post(id, "/request/sleep").status == 200);
  await_asleep();
  CHECK(info()["alarms"] == 0);
}

TEST_CASE_FIXTURE(lifecycle, "an actor without requests sleeps after 30 s") {
  CHECK(info()["generation"] == 1);
  const auto from = std::chrono::steady_clock::now();
  await_asleep(60s);
  CHECK(std::chrono::steady_clock::now() - from > 28s);
  CHECK(info()["generation"] == 2);
}

TEST_CASE_FIXTURE(
    lifecycle,
    "the probe's storage: keys and values, SQL by the engine and by the actor in turns") {
  CHECK(call("PUT", "/request/kv?key=a", "1").status == 200);
  CHECK(call("PUT", "/request/kv?key=b", counting(1000)).status == 200);
  CHECK(call("GET", "/request/kv?key=a").body == "1");
  CHECK((call("GET", "/request/kv?key=b").body == counting(1000)));
  CHECK(call("DELETE", "/request/kv?key=b").status == 200);
  CHECK(call("GET", "/request/kv?key=b").status == 404);
  for (const auto* key : {"x/1", "x/2", "x/3"})
    call("PUT", fmt::format("/request/kv?key={}", key), key);
  CHECK(call("GET", "/request/kv?prefix=x/&limit=2").body == R"([["x/1","x/1"],["x/2","x/2"]])");
  CHECK(
      call("GET", "/request/kv?prefix=x/&reverse=1").body ==
      R"([["x/3","x/3"],["x/2","x/2"],["x/1","x/1"]])");
  CHECK(call("GET", "/request/kv").status == 400);
  CHECK(call("POST", "/request/sql", "create table t (a); insert into t values (1)").status == 200);
  CHECK(
      call("POST", "/request/sqlite", "select a from t").body ==
      R"({"columns":["a"],"rows":[[1]]})");
  CHECK(call("POST", "/request/sql", "insert into t values (2)").status == 200);
  CHECK(
      call("POST", "/request/sqlite", "insert into t values (3); select sum(a) as s from t").body ==
      R"({"columns":["s"],"rows":[[6]]})");
  // The engine's session of this generation does not see that commit.
  CHECK(
      call("POST", "/request/sql", "select a from t").body.find("the next start has a new one") !=
      std::string::npos);
  client.post(id, "/request/sleep");
  await_asleep();
  CHECK(
      call("POST", "/request/sql", "insert into t values (4); select sum(a) as s from t").body ==
      R"({"columns":["s"],"rows":[[10]]})");
  CHECK(call("POST", "/request/sqlite", "nonsense").status == 500);
  client.post(id, "/request/sleep");
  await_asleep();
  CHECK(
      call("POST", "/request/sqlite", "select count(*) as n from t").body ==
      R"({"columns":["n"],"rows":[[4]]})");
}

TEST_CASE_FIXTURE(lifecycle, "streaming bodies on a buffered gateway arrive whole") {
  CHECK((call("GET", "/request/stream?bytes=3000000&chunk=10000").body == counting(3'000'000)));
  CHECK(call("GET", "/request/stream?bytes=0").body.empty());
  const auto sunk = json::parse(call("POST", "/request/sink", std::string(3'000'000, 'a')).body);
  CHECK(sunk["bytes"] == 3'000'000);
  CHECK(sunk["sha256"] == "2a152c894398719c0570f83fac34ac03a0f6e8e474b995c2403aa5434f7b9dd4");
  CHECK(
      call("GET", "/request/events?count=3&ms=10").body ==
      "id: 0\ndata: 0\n\nid: 1\ndata: 1\n\nid: 2\ndata: 2\n\n");
  CHECK(call("GET", "/request/stream?bytes=21000000").status == 500);
  CHECK(info()["generation"] == 1);
}

TEST_CASE("streaming bodies on a streaming gateway: any size, credited, and a client that leaves") {
  streaming_lifecycle s;
  auto& x = s.x;
  CHECK((x.call("GET", "/request/stream?bytes=25000000&chunk=70000").body == counting(25'000'000)));
  const auto sunk = x.call("POST", "/request/sink", std::string(20'000'000, 'a'));
  CHECK(sunk.status == 200);
  CHECK(sunk.body.starts_with(R"({"bytes":20000000,)"));
  const auto slow =
      json::parse(x.call("POST", "/request/sink?read=2000000", std::string(3'000'000, 'a')).body);
  CHECK(slow["bytes"] == 3'000'000);
  CHECK(x.call("GET", "/request/events?count=3&ms=300").body.size() == 45);
  CHECK(x.info()["generation"] == 1);
  const auto left = x.client.call(
      {.method = "GET",
       .target = fmt::format("/gateway/{}/request/events?count=1000&ms=100", x.id),
       .timeout = std::chrono::milliseconds{700}});
  CHECK(!left);
  CHECK(await([&] { return x.host->stats().ingress.requests_open == 0; }));
  CHECK(x.info()["generation"] == 1);
  CHECK(x.backlog_drains());
}

TEST_CASE("a hundred downloads at once, more than the link holds, all arrive whole") {
  streaming_lifecycle s;
  auto& x = s.x;
  constexpr std::size_t size = 1'500'000;
  const auto whole = counting(size);
  std::atomic<int> good = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 100; ++i)
    clients.emplace_back([&] {
      const auto reply = x.client.call(
          {.method = "GET",
           .target = fmt::format("/gateway/{}/request/stream?bytes={}&chunk=65536", x.id, size),
           .timeout = std::chrono::minutes{4}});
      if (reply && reply->status == 200 && reply->body == whole) ++good;
    });
  for (auto& each : clients) each.join();
  CHECK(good == 100);
  CHECK(await([&] { return x.host->stats().ingress.requests_open == 0; }));
  CHECK(await([&] { return x.host->stats().link.outbound_bytes == 0; }));
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

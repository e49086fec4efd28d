// What the sample actors report about themselves and about open exchanges, on which other cases and people rely.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "probed_pool.hpp"
#include "raw_client.hpp"

namespace nuncio::e2e {
namespace {

using json = nlohmann::json;

struct streaming_probed_pool : probed_pool {
  streaming_probed_pool() : probed_pool(shared_streaming_engine(), {}) {}
};

std::string events(int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += fmt::format("id: {}\ndata: {}\n\n", i, i);
  return out;
}

}  // namespace

TEST_SUITE_BEGIN("probe");

TEST_CASE("a factory that is called again for one instance shows in the first one's answers") {
  auto& engine = shared_engine();
  const auto pool = new_pool();
  const pool_client client{engine, pool};
  test_host host{{.endpoint = engine.endpoint(), .pool = pool}};
  REQUIRE(host.await_ready());
  const auto id = client.create_running("bench");
  const auto other = client.create_running("bench");
  const auto first = client.get(id, "/request/instance");
  CHECK(first.header("x-starts") == "1");
  host.count_factory_call(id, 1);
  const auto again = client.get(id, "/request/instance");
  CHECK(again.header("x-starts") == "2");
  CHECK(again.body == first.body);
  CHECK(client.get(other, "/request/instance").header("x-starts") == "1");
  host.count_factory_call(id, 2);
  CHECK(client.get(id, "/request/instance").header("x-starts") == "2");
  host.abort();
}

TEST_CASE_FIXTURE(
    probed_pool, "info: starts are those of the actor in this process and of no other") {
  const auto other = client.create_running("outside");
  CHECK(info()["starts"] == 1);
  for (int generation = 2; generation <= 3; ++generation) {
    CHECK(client.post(id, "/request/sleep").status == 200);
    CHECK(client.await_sleeping(id).sleeping);
    const auto now = info();
    CHECK(now["generation"] == generation);
    CHECK(now["starts"] == generation);
  }
  CHECK(info_of(client, other)["starts"] == 1);
  // One that this instance has nothing to do with.
  host->count_factory_call(id, 1000);
  CHECK(info()["starts"] == 4);
  // The next host counts for itself.
  const test_host next{{.endpoint = engine.endpoint(), .pool = pool}};
  REQUIRE(next.await_ready());
  host->stop();
  const auto moved = info();
  CHECK(moved["generation"] == 4);
  CHECK(moved["starts"] == 1);
}

TEST_CASE_FIXTURE(streaming_probed_pool, "info: requests and sockets are those that are open now") {
  CHECK(info()["requests"] == 1);
  CHECK(info()["requests"] == 1);
  CHECK(info()["sockets"] == 0);
  raw_client slow{engine.port()}, upload{engine.port()}, download{engine.port()};
  CHECK(slow.send(request_head("POST", target("/request/slow?ms=60000"), "content-length: 0\r\n")));
  CHECK(await([&] { return info()["requests"] == 2; }));
  // More than the window, for an actor that takes little of it: it is in the middle for long.
  CHECK(upload.send(
      request_head("POST", target("/request/sink?read=20000"), "content-length: 1500000\r\n") +
      counting(1'500'000)));
  CHECK(await([&] { return info()["requests"] == 3; }));
  CHECK(download.send(request_head("GET", target("/request/events?count=1000&ms=50"))));
  CHECK(download.await("data: 1\n"));
  CHECK(info()["requests"] == 4);
  auto socket = open("echo");
  REQUIRE(socket.http_status() == 101);
  CHECK(await([&] { return info()["sockets"] == 1; }));
  slow.drop();
  CHECK(await([&] { return info()["requests"] == 3; }));
  upload.drop();
  CHECK(await([&] { return info()["requests"] == 2; }));
  download.drop();
  CHECK(await([&] { return info()["requests"] == 1; }));
  CHECK(socket.close(1000));
  CHECK(await([&] { return info()["sockets"] == 0; }));
  CHECK(info()["generation"] == 1);
}

TEST_CASE_FIXTURE(
    streaming_probed_pool, "events that find the window full go on when there is room") {
  constexpr int n = 150'000;  // far more than a window, and written as fast as they are taken
  const auto all = client.get(id, fmt::format("/request/events?count={}&ms=0", n));
  CHECK(all.status == 200);
  CHECK((all.body == events(n)));
  CHECK(info()["requests"] == 1);
}

TEST_CASE_FIXTURE(
    probed_pool, "events come whole through the buffered gateway; too many are an error") {
  constexpr int n = 150'000;
  CHECK((client.get(id, fmt::format("/request/events?count={}&ms=0", n)).body == events(n)));
  CHECK(client.get(id, "/request/events?count=2000000&ms=0").status == 500);
  CHECK(info()["requests"] == 1);
}

TEST_CASE_FIXTURE(
    probed_pool, "keys, values and texts that are not UTF-8 are shown in hex, and crash nothing") {
  const std::string raw("\xff\x00\x01", 3);
  CHECK(client.request(id, "PUT", "/request/kv?key=b%FE%00", raw)->status == 200);
  CHECK(client.request(id, "PUT", "/request/kv?key=b1", "text")->status == 200);
  CHECK(client.get(id, "/request/kv?key=b%FE%00").body == raw);
  CHECK(
      json::parse(client.get(id, "/request/kv?prefix=b").body) ==
      json::parse(R"([["b1","text"],[{"hex":"62fe00"},{"hex":"ff0001"}]])"));
  // The engine's SQL has nothing else than UTF-8 to answer with.
  CHECK(
      json::parse(client.post(id, "/request/sql", "select cast(x'ff41' as text) as t").body) ==
      json::parse(R"({"columns":["t"],"rows":[["\ufffdA"]]})"));
  CHECK(
      json::parse(client.post(id, "/request/sqlite", "select cast(x'ff41' as text) as t").body) ==
      json::parse(R"({"columns":["t"],"rows":[[{"hex":"ff41"}]]})"));
  CHECK(info()["generation"] == 1);
  CHECK(client.request(id, "PUT", "/request/kv?key=probe%2Fstop", raw)->status == 200);
  REQUIRE(client.post(id, "/request/crash").status == 500);
  CHECK(await([&] { return info()["lastStop"] == json{{"hex", "ff0001"}}; }));
}

TEST_CASE_FIXTURE(probed_pool, "a list by prefix has keys that continue with any byte") {
  for (const auto* key : {"b", "b%FE%FF", "b%FF", "b%FFz", "%FF", "c"})
    CHECK(client.request(id, "PUT", fmt::format("/request/kv?key={}", key), "v")->status == 200);
  CHECK(
      json::parse(client.get(id, "/request/kv?prefix=b").body) ==
      json::parse(
          R"([["b","v"],[{"hex":"62feff"},"v"],[{"hex":"62ff"},"v"],[{"hex":"62ff7a"},"v"]])"));
  CHECK(
      json::parse(client.get(id, "/request/kv?prefix=b%FF").body) ==
      json::parse(R"([[{"hex":"62ff"},"v"],[{"hex":"62ff7a"},"v"]])"));
  CHECK(
      json::parse(client.get(id, "/request/kv?prefix=%FF").body) ==
      json::parse(R"([[{"hex":"ff"},"v"]])"));
  const auto all = client.get(id, "/request/kv?prefix=").body;
  CHECK(all.find(R"({"hex":"62ff7a"})") != std::string::npos);
  CHECK(all.find(R"({"hex":"ff"})") != std::string::npos);
}

TEST_CASE_FIXTURE(probed_pool, "exceeding a storage limit is the client's mistake, and reported") {
  CHECK(client.request(id, "PUT", "/request/kv?key=k", std::string(200'000, 'x'))->status == 413);
  const auto long_key = "/request/kv?key=" + std::string(3000, 'k');
  CHECK(client.request(id, "PUT", long_key, "v")->status == 413);
  CHECK(client.get(id, "/request/kv?key=k").status == 404);
  CHECK(client.post(id, "/request/sql", "select '\xff'").status == 400);
  CHECK(client.post(id, "/request/alarm?ms=18446744073709551615").status == 200);
  CHECK(info()["generation"] == 1);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

// Clients with input that no well-behaved client sends; ends at odd moments; a second host that takes over; errors of storage.
#include <fmt/format.h>

#include <atomic>
#include <future>
#include <nlohmann/json.hpp>

#include "probed_pool.hpp"
#include "raw_client.hpp"

namespace nuncio::e2e {
namespace {

using json = nlohmann::json;

struct probed : probed_pool {
  using probed_pool::probed_pool;

  // Of the answer; 0 when the connection ended without one, -1 when nothing came of it.
  int status_of(std::string_view request) {
    raw_client sends{engine.port()};
    static_cast<void>(sends.send(request));
    if (!sends.await("\r\n\r\n", 3s) && !sends.await_end(1s)) return -1;
    return sends.status();
  }

  // Nothing is left of what has been, and the actor goes on as the same instance.
  void check_calm() {
    CHECK(await([&] {
      const auto now = host->stats().ingress;
      return now.requests_open == 0 && now.sockets_open == 0;
    }));
    CHECK(info()["generation"] == 1);
    CHECK(host->factory_calls() == 1);
    CHECK(host->stats().link.bad_frames == 0);
    CHECK(proxy->records().size() == 1);
  }
};

struct hostile {
  std::string name;
  std::string request;
  int status;  ///< that either engine answers
};

}  // namespace

TEST_SUITE_BEGIN("withstand");

TEST_CASE_FIXTURE(probed, "hostile requests: each is answered or ended, and the actor goes on") {
  const auto info = target("/request/info");
  const auto get = [&](std::string_view path, std::string_view headers = {}) {
    return request_head("GET", path, headers);
  };
  std::string many;
  for (int i = 0; i < 500; ++i) many += fmt::format("x-{}: {}\r\n", i, i);
  const auto on_real = kind_under_test() == engine_kind::rivet;
  const std::vector<hostile> all{
      {"a value that is not UTF-8", get(info, "x-odd: \xff\xfe\x80\r\n"), 200},
      {"a value of Latin-1", get(info, "x-odd: gr\xfc\xdf\r\n"), 200},
      {"a value with NUL", get(info, std::string_view{"x-odd: a\0b\r\n", 12}), 400},
      {"a value with a bare CR", get(info, "x-odd: a\rb\r\n"), 400},
      {"a name with a space", get(info, "x odd: 1\r\n"), 400},
      {"a name that is empty", get(info, ": 1\r\n"), 400},
      {"a name that is not ASCII", get(info, "x-\xc3\xbc: 1\r\n"), 400},
      {"a folded header", get(info, "x-odd: 1\r\n  2\r\n"), 400},
      {"the same header five times", get(info, "x: 1\r\nx: 2\r\nX: 3\r\nx:\r\nx: 5\r\n"), 200},
      {"a header of 200 kB",
       get(info, "x-long: " + std::string(200'000, 'x') + "\r\n"),
       on_real ? 200 : 431},  // the dev engine takes heads of at most 60 KiB
      {"a header of 40 kB", get(info, "x-long: " + std::string(40'000, 'x') + "\r\n"), 200},
      {"500 headers", get(info, many), 431},
      {"the engine's own headers",
       get(info, "x-rivet-ray-id: mine\r\nx-rivet-actor: other\r\n"),
       200},
      {"no HTTP version", "GET " + info + "\r\n\r\n", 400},
      {"HTTP/9.9", "GET " + info + " HTTP/9.9\r\nhost: x\r\n\r\n", 400},
      {"lines that end with LF", "GET " + info + " HTTP/1.1\nhost: x\n\n", 200},
      {"no host", "GET " + info + " HTTP/1.1\r\n\r\n", 200},
      {"a method of one's own", request_head("BREW", info), 200},
      {"a method that is none", request_head("G(T", info), 400},
      {"an encoded NUL", get(target("/request/%00")), 404},
      {"an encoding that is none", get(target("/request/%zz%")), 404},
      {"encoded bytes that are no UTF-8", get(target("/request/%ff%fe")), 404},
      {"a raw byte that is no UTF-8", get(target("/request/\xff")), 400},
      {"a way up", get(target("/../../actors")), 404},
      {"an encoded way up", get(target("/%2e%2e/%2e%2e/actors")), 404},
      {"slashes", get(target("//////")), 404},
      {"a space", get(target("/request/in fo")), 400},
      {"a path of 20 kB", get(target("/request/" + std::string(20'000, 'x'))), 404},
      {"a query of 20 kB", get(target("/request/info?" + std::string(20'000, '&'))), 200},
      {"a fragment", get(target("/request/info#here")), 200},
      {"an absolute target", get("http://127.0.0.1" + info), 200},
      {"a length that is negative", request_head("POST", info, "content-length: -1\r\n"), 400},
      {"a length that is too large",
       request_head("POST", info, "content-length: 99999999999999999999\r\n"),
       400},
      {"two lengths",
       request_head("POST", info, "content-length: 1\r\ncontent-length: 2\r\n") + "ab",
       400},
      {"a length and chunks",
       request_head("POST", info, "content-length: 3\r\ntransfer-encoding: chunked\r\n") +
           "0\r\n\r\n",
       200},
      {"a chunk's size that is none",
       request_head("POST", info, "transfer-encoding: chunked\r\n") + "zz\r\n",
       413},
      {"an upgrade to something else",
       get(info, "connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"),
       200},
      {"an actor that is none",
       get("/gateway/%ff/request/info"),
       on_real ? 404 : 500},  // the dev engine takes it for a malformed id
      {"bytes", std::string("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 15), 400},
  };
  for (const auto& each : all) {
    CAPTURE(each.name);
    CHECK(status_of(each.request) == each.status);
  }
  check_calm();
}

TEST_CASE_FIXTURE(probed, "hostile WebSockets: each is closed, and the actor goes on") {
  const std::string_view odd{"\xff\xfe\x80", 3};
  std::vector<std::pair<std::string, std::string>> all{
      {"a text that is not UTF-8", client_frame(0x81, odd)},
      {"a close reason that is not UTF-8", close_frame(1000, odd)},
      {"a close of one byte", client_frame(0x88, "x")},
      {"a close without a code", client_frame(0x88, {})},
      {"a close that is too long", close_frame(1000, std::string(200, 'x'))},
      {"a frame without a mask", std::string{"\x81\x01x", 3}},
      {"an opcode that is none", client_frame(0x83, "x")},
      {"a reserved bit", client_frame(0xc1, "x")},
      {"a continuation of nothing", client_frame(0x80, "x")},
      {"a text within a text", client_frame(0x01, "a") + client_frame(0x81, "b")},
      {"a ping in two", client_frame(0x09, "x") + client_frame(0x80, "y")},
      {"a length of 2^63", std::string{"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14}},
      {"half a frame, and the end", std::string{"\x81\xfe\x10", 3}},
  };
  for (const unsigned code : {0U, 1U, 999U, 1004U, 1005U, 1006U, 1015U, 2999U, 5000U, 65535U})
    all.emplace_back(
        fmt::format("the close code {}", code), close_frame(static_cast<std::uint16_t>(code)));
  for (const auto* path : {"echo", "hibernate"}) {
    for (const auto& each : all) {
      CAPTURE(path);
      CAPTURE(each.first);
      raw_client sends{engine.port()};
      CHECK(sends.send(upgrade_head(target(fmt::format("/websocket/{}", path)))));
      CHECK(sends.await("\r\n\r\n"));
      CHECK(sends.status() == 101);
      CHECK(sends.send(client_frame(0x81, "1")));
      CHECK(sends.await("1"));
      CHECK(sends.send(each.second));
      if (!each.first.starts_with("half")) CHECK(sends.await_end(5s));
    }
  }
  check_calm();
}

TEST_CASE_FIXTURE(probed, "an actor that is destroyed while it starts") {
  std::atomic<bool> held = false, asked = false;
  proxy->judge_to_engine([&](const protocol::to_rivet& m) {
    const bool events = std::holds_alternative<protocol::to_rivet_events>(m);
    if (events && !asked && !held.exchange(true)) return fate::hold;
    return asked ? fate::release : fate::pass;
  });
  const auto made = must(client.create({.name = "counter"})).id;
  CHECK(await([&] { return held.load(); }));
  auto destroyed = std::async(std::launch::async, [&] { return client.destroy(made).ok(); });
  CHECK(destroyed.wait_for(300ms) == std::future_status::timeout);
  asked = true;  // the next Pong brings Running along
  CHECK(destroyed.get());
  CHECK(client.view(made).destroyed);
  CHECK(await([&] { return host->stats().ingress.instances == 1; }));
  CHECK(host->factory_calls() == 2);
  CHECK(client.request(made, "GET", "/request/count")->status == 404);
  proxy->judge_to_engine({});
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(
    probed, "a second host takes over the envoy key while WebSockets and a request are open") {
  auto plain = open("echo");
  auto stays = open("hibernate");
  CHECK(plain.send("x"));
  CHECK(plain.text() == "x");
  CHECK(stays.send("1"));
  CHECK(stays.receive());
  auto slow = std::async(
      std::launch::async, [&] { return client.request(id, "POST", "/request/slow?ms=3000"); });
  CHECK(await([&] { return host->stats().ingress.requests_open == 1; }));

  test_host second{{.endpoint = engine.endpoint(), .pool = pool, .envoy_key = host->envoy_key()}};
  REQUIRE(second.await_ready());
  const auto why = host->await_end(5s);
  REQUIRE(why.has_value());
  CHECK(why->code == errc::evicted);
  CHECK(why->message.find(host->envoy_key()) != std::string::npos);
  CHECK(await([&] { return host->stats().ingress.instances == 0; }));
  // The engine takes the new host for the old one, so that the actor is nowhere until it is moved.
  CHECK(second.factory_calls() == 0);
  must(client.reschedule(id));
  CHECK(await([&] { return second.factory_calls() == 1; }));
  CHECK(info()["generation"] == 2);
  const auto answered = slow.get();
  REQUIRE(answered.ok());
  CHECK(answered->status == 200);
  CHECK(plain.await_close().has_value());
  CHECK(plain.close_reason() == "actor.stopped");
  CHECK(stays.send("2"));
  const auto got = stays.receive();
  REQUIRE(got);
  const auto x = json::parse(got->data);
  CHECK(x["n"] == 2);
  CHECK(x["generation"] == 2);
  CHECK(await([&] { return second.stats().ingress.requests_open == 0; }));
  CHECK(second.factory_calls_repeated() == 0);
  CHECK(host->factory_calls() == 1);
  second.abort();
}

TEST_CASE("errors of storage reach the actor with a text, and the next request works") {
  hosted_pool x;
  const auto id = x.client.create_running("store");
  const auto refused = [&](std::string_view path, std::string body, std::string_view why) {
    CAPTURE(path);
    CAPTURE(why);
    const auto reply = x.client.post(id, path, std::move(body));
    CHECK(reply.status == 500);
    CAPTURE(reply.body);
    CHECK(reply.body.find(why) != std::string::npos);
    CHECK(x.client.post(id, "/sql", "select 1 as one").body == "one\n1");
    CHECK(x.client.post(id, "/put?k", "v").body == "done");
    CHECK(x.client.get(id, "/get?k").body == "v");
  };
  CHECK(
      x.client.post(id, "/exec", "create table t (a integer primary key not null, b)").status ==
      200);
  refused("/sql", "selekt 1", "syntax error");
  refused("/sql", "select * from nowhere", "no such table: nowhere");
  refused("/sql", "select 1; select 2", "single statement");
  refused("/sql", "insert into t values ('x', 1)", "datatype mismatch");
  refused("/sql", "select abs(-9223372036854775808)", "integer overflow");
  refused("/exec", "select 1; selekt 2", "syntax error");
  refused(
      "/batch", "insert into t values (1, 1)\ninsert into t values (1, 2)", "UNIQUE constraint");
  CHECK(x.client.post(id, "/sql", "select count(*) as n from t").body == "n\n0");
  refused("/spare", {}, "column index out of range");
  refused("/bind?131073", {}, "131072");
  refused("/list?" + std::string(2047, 'k'), {}, "a key of 2048 bytes");
  refused("/get?" + std::string(2047, 'k'), {}, "a key of 2048 bytes");
  refused("/erase?" + std::string(2047, 'k'), {}, "a key of 2048 bytes");
  refused("/put?" + std::string(2047, 'k'), "v", "a key of 2048 bytes");
  refused("/put?k", std::string(131'073, 'v'), "a value of 131073 bytes");
  refused("/largest?999425", {}, "999425 bytes");
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

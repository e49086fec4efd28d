// The dev engine over real sockets, with the tests' own clients.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>
#include <nuncio/testing/dev_engine.hpp>
#include <thread>

#include "hand_envoy.hpp"

namespace dev_engine_test {

using namespace nuncio;
using namespace nuncio::test;
using namespace nuncio::testing;
using json = nlohmann::json;

namespace {

protocol::to_rivet_response_start ok(std::string_view body) {
  protocol::to_rivet_response_start out;
  out.status = 200;
  out.body = bytes{body};
  return out;
}

dev_engine_options with_pool() {
  dev_engine_options o;
  o.pools = {"p"};
  o.limits.retry_first = 10;
  return o;
}

dev_engine_options streaming() {
  auto o = with_pool();
  o.streaming = true;
  return o;
}

struct running_engine {
  explicit running_engine(dev_engine_options o = with_pool()) : engine(std::move(o)) {}

  std::uint16_t started() {
    const auto endpoint = engine.start();
    REQUIRE(endpoint);
    CHECK(*endpoint == "http://127.0.0.1:" + std::to_string(engine.port()));
    return engine.port();
  }

  dev_engine engine;
  std::uint16_t port = started();
};

/// With a host that has heard Init.
struct connected_host : running_engine {
  explicit connected_host(dev_engine_options o = with_pool(), std::uint16_t version = 8)
      : running_engine(std::move(o)), envoy(port, "host", version) {
    envoy.expect<protocol::to_envoy_init>();
  }

  hand_envoy envoy;
};

/// With an actor that runs there.
struct hosted_actor : connected_host {
  explicit hosted_actor(dev_engine_options o = with_pool(), std::uint16_t version = 8)
      : connected_host(std::move(o), version) {}

  void ask(std::uint32_t request, protocol::kv_request_data what) {
    envoy.send(protocol::to_rivet_kv_request{actor_id{id}, request, std::move(what)});
  }

  std::string id = id_of(create(port));
  protocol::actor_checkpoint actor = envoy.start();
};

/// Has its actor store 210 values, 27 MB in all. @returns how many requests that took
std::uint32_t store_much(hosted_actor& x) {
  const bytes value{std::vector<std::uint8_t>(131'072, 'v')};
  std::uint32_t n = 0;
  while (n < 30) {
    protocol::kv_put_request put;
    for (int k = 0; k < 7; ++k) {
      put.keys.emplace_back(fmt::format("{:02} {}", n, k));
      put.values.push_back(value);
    }
    x.ask(++n, std::move(put));
    x.envoy.expect<protocol::to_envoy_kv_response>();
  }
  return n;
}

struct streaming_gateway : hosted_actor {
  streaming_gateway() : hosted_actor(streaming()) {}
};

}  // namespace

TEST_CASE_FIXTURE(
    running_engine, "health, metadata, namespaces and pools answer as the real engine") {
  CHECK(json::parse(http(port, "GET", "/health").body).at("status") == "ok");
  CHECK(json::parse(http(port, "GET", "/metadata").body).at("envoy_protocol_version") == 8);
  CHECK(http(port, "GET", "/nothing").status == 404);
  CHECK(http(port, "POST", "/namespaces", R"({"name":"n1","display_name":"N"})").status == 200);
  const auto again = http(port, "POST", "/namespaces", R"({"name":"n1","display_name":"N"})");
  CHECK(again.status == 400);
  CHECK(json::parse(again.body).at("code") == "name_not_unique");
  const auto pool = R"({"datacenters":{"default":{"normal":{}}}})";
  CHECK(http(port, "PUT", "/runner-configs/p?namespace=default", pool).status == 200);
  CHECK(
      json::parse(http(port, "PUT", "/runner-configs/p?namespace=nope", pool).body).at("group") ==
      "namespace");
  const auto unknown = http(port, "POST", "/actors?namespace=default", R"({"name":"x","zz":1})");
  CHECK(unknown.status == 400);
  CHECK(unknown.body.find("unknown field `zz`") != std::string::npos);
  CHECK(http(port, "GET", "/gateway/bogus/x").status == 500);
}

TEST_CASE_FIXTURE(
    running_engine,
    "a body that waits for 100 Continue gets it, and a second request follows on the connection") {
  raw_socket client{port};
  const std::string body = R"({"name":"n2","display_name":"N"})";
  for (const auto* wanted : {"HTTP/1.1 200", "HTTP/1.1 400"}) {
    client.write(
        "POST /namespaces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: "
        "100-Continue\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\n\r\n");
    CHECK(client.read_until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
    client.write(body);
    const auto head = client.read_until("\r\n\r\n");
    CHECK(head.starts_with(wanted));
    const auto at = head.find("content-length: ");
    REQUIRE(at != std::string::npos);
    client.read(std::strtoul(head.c_str() + at + 16, nullptr, 10));
  }
  // One that is too long is not asked for.
  client.write(
      "PUT /nothing HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: "
      "99999999999\r\n\r\n");
  CHECK(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 413"));
}

TEST_CASE_FIXTURE(running_engine, "an invalid head is refused, and nothing after it is read") {
  const auto answer = [this](const std::string& head) {
    raw_socket client{port};
    client.write(head + "GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
    return client.read_all();
  };
  std::string many = "GET /health HTTP/1.1\r\n";
  for (int i = 0; i < 400; ++i) many += "x-" + std::to_string(i) + ": 1\r\n";
  CHECK(
      answer(many + "\r\n") ==
      "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: "
      "close\r\n\r\n");
  CHECK(
      answer("POST /actors HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n\r\n") ==
      "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

TEST_CASE_FIXTURE(hosted_actor, "chunks end a body whatever its declared length") {
  auto answer = std::async(std::launch::async, [&] {
    raw_socket client{port};
    client.write(
        "POST /gateway/" + id +
        "/ HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\ntransfer-encoding: chunked\r\n"
        "\r\n3\r\nabc\r\n0\r\n\r\nGET /health HTTP/1.1\r\nconnection: close\r\n\r\n");
    return client.read_all();
  });
  const auto [message, request] = envoy.expect_tunnel<protocol::to_envoy_request_start>();
  REQUIRE(request.body);
  CHECK(request.body->view() == "abc");
  std::map<std::string, std::string> headers;
  for (const auto& [name, value] : request.headers.entries) headers[name.str()] = value.str();
  CHECK(headers["content-length"] == "99999999");
  CHECK(headers["transfer-encoding"] == "chunked");
  envoy.reply(message, 0, ok("counted"));
  const auto got = answer.get();
  CHECK(got.find("counted") != got.npos);
  CHECK(got.find(R"("status":"ok")") != got.npos);
}

TEST_CASE_FIXTURE(
    hosted_actor, "a broken or invalid body gets 413, and no actor gets the request") {
  const std::vector<std::pair<std::string, std::string>> bodies{
      {"transfer-encoding: chunked\r\n", "2\r\nab\r\nzz\r\n"},
      {"transfer-encoding: chunked\r\n", "fffffffffffffffff\r\nab"},
      {"transfer-encoding: chunked\r\n", "3\r\nab"},
      {"content-length: 5\r\n", "ab"}};
  for (const auto& target : {"/gateway/" + id + "/", std::string{"/actors?namespace=default"}}) {
    for (const auto& [head, body] : bodies) {
      CAPTURE(target);
      CAPTURE(body);
      raw_socket client{port};
      client.write("POST " + target + " HTTP/1.1\r\nhost: x\r\n" + head + "\r\n" + body);
      client.end_writing();
      const auto got = client.read_all();
      CHECK(got.starts_with("HTTP/1.1 413"));
      CHECK(got.find("x-rivet-error: guard.invalid_request_body") != got.npos);
      CHECK(got.find(R"("reason":"error reading a body from connection")") != got.npos);
    }
  }
  CHECK(engine.stats().http_attempts == 0);
}

TEST_CASE_FIXTURE(
    streaming_gateway, "a broken or invalid body gets 500, and its actor is notified") {
  for (const std::string rest : {"zz\r\n", "3\r\nab"}) {
    CAPTURE(rest);
    raw_socket client{port};
    client.write(
        "POST /gateway/" + id + "/ HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    envoy.expect_tunnel<protocol::to_envoy_request_start>();
    client.write(rest);
    client.end_writing();
    const auto got = client.read_all();
    CHECK(got.starts_with("HTTP/1.1 500"));
    CHECK(got.find("x-rivet-error: core.internal_error") != got.npos);
    if (rest != "zz\r\n") envoy.expect_tunnel<protocol::to_envoy_request_chunk>();
    const auto told = envoy.expect_tunnel<protocol::to_envoy_request_abort>().second.reason;
    CHECK(told.kind == protocol::http_stream_abort_reason_kind::cancelled);
  }
}

TEST_CASE_FIXTURE(running_engine, "refusals come after the upgrade, as close frames") {
  const auto reason = [&](const std::string& target) {
    ws_client c{port, target, ""};
    CHECK(c.head().find("101") != std::string::npos);
    CHECK(c.head().find("rivet") != std::string::npos);
    const auto end = c.receive();
    CHECK(end.code == 1011);
    CHECK(end.data.size() == end.data.find('#') + 31);
    return end.data.substr(0, end.data.find('#'));
  };
  CHECK(reason(connect_target("host", "unknown")) == "ws.no_runner_config");
  CHECK(reason(connect_target("x")) == "ws.invalid_request");
  CHECK(reason(connect_target("host", "p", 2)) == "ws.invalid_request");
  CHECK(reason(connect_target("host", "p", 9)) == "ws.invalid_request");
  CHECK(reason("/envoys/connect") == "ws.invalid_request");
  CHECK(reason("/elsewhere") == "guard.websocket_not_supported");
  CHECK(
      reason(
          "/envoys/"
          "connect?protocol_version=abc&namespace=default&envoy_key=host&version=1&pool_name=p") ==
      "core.internal_error");
  CHECK(
      reason(
          "/envoys/connect?protocol_version=8&namespace=no&envoy_key=host&version=1&pool_name=p") ==
      "namespace.not_found");
}

TEST_CASE("start, HTTP, replay, stop, at every version") {
  for (std::uint16_t version = 3; version <= 8; ++version) {
    CAPTURE(version);
    running_engine x;
    auto& engine = x.engine;
    const auto port = x.port;
    hand_envoy envoy{port, "host", version};
    CHECK(envoy.expect<protocol::to_envoy_init>().metadata.envoy_lost_threshold == 15000);
    const auto id = id_of(create(port));
    const auto actor = envoy.start();
    CHECK(actor.actor_id.view() == id);

    auto answer = std::async(std::launch::async, [&] {
      return http(
          port,
          "POST",
          "/gateway/" + id + "/a%20b?c=d",
          "4\r\nbody\r\n0\r\n\r\n",
          "transfer-encoding: chunked\r\n");
    });
    const auto [message, request] = envoy.expect_tunnel<protocol::to_envoy_request_start>();
    CHECK(request.path == "/a%20b?c=d");
    CHECK(request.body->view() == "body");
    envoy.reply(message, 0, ok("hello"));
    const auto got = answer.get();
    CHECK(got.status == 200);
    CHECK(got.body == "hello");

    hand_envoy next{port, "host", version};
    next.expect<protocol::to_envoy_init>();
    CHECK(next.expect<protocol::to_envoy_commands>().commands.size() == 1);
    const auto evicted = [&] {
      while (true)
        if (const auto end = envoy.socket.receive(); end.closed) return end;
    }();
    CHECK(evicted.code == 1000);
    CHECK(evicted.data.starts_with("ws.eviction#"));

    auto deleted = std::async(std::launch::async, [&] {
      return http(port, "DELETE", "/actors/" + id + "?namespace=default");
    });
    const auto stop = next.expect<protocol::to_envoy_commands>().commands.at(0);
    next.next_event = envoy.next_event;
    next.stopped(actor, protocol::stop_code::ok);
    CHECK(deleted.get().status == 200);
    CHECK(engine.stats().commands_left == 2);
    next.send(protocol::to_rivet_ack_commands{{stop.checkpoint}});
    CHECK(http(port, "GET", "/gateway/" + id + "/").status == 404);
    hand_envoy last{port, "host", version};
    last.expect<protocol::to_envoy_init>();
    CHECK(engine.stats().commands_left == 0);
  }
}

TEST_CASE_FIXTURE(
    running_engine, "5.6: a list of actors may have any limit, as on the real engine") {
  create(port);
  const auto listed = [&](const std::string& limit) {
    const auto page = http(port, "GET", "/actors?namespace=default&name=x&limit=" + limit);
    return json::parse(page.body).at("actors").size();
  };
  CHECK(listed("0") == 0);
  for (const auto* limit : {"1", "4294967296", "9223372036854775808", "18446744073709551615"}) {
    CAPTURE(limit);
    CHECK(listed(limit) == 1);
  }
}

TEST_CASE_FIXTURE(
    hosted_actor, "an aborted request is sent again with the same ids, up to seven times") {
  auto answer =
      std::async(std::launch::async, [&] { return http(port, "GET", "/gateway/" + id + "/"); });
  std::optional<protocol::message_id> first;
  for (int i = 0; i < 7; ++i) {
    const auto [message, request] = envoy.expect_tunnel<protocol::to_envoy_request_start>();
    if (!first) first = message;
    CHECK(message == *first);
    envoy.reply(message, 0, protocol::to_rivet_response_abort{});
  }
  const auto got = answer.get();
  CHECK(got.status == 502);
  CHECK(got.head.find("x-rivet-error: guard.retry_attempts_exceeded") != std::string::npos);
  CHECK(engine.stats().http_retries == 6);
}

TEST_CASE_FIXTURE(
    running_engine, "a request wakes a sleeping actor, and one in flight survives a reconnect") {
  auto envoy = std::make_unique<hand_envoy>(port);
  envoy->expect<protocol::to_envoy_init>();
  const auto id = id_of(create(port, "PUT", "\"k\""));
  CHECK(create(port, "PUT", "\"k\"").at("created") == false);
  const auto actor = envoy->start();
  envoy->event(actor, protocol::event_actor_intent{protocol::actor_intent_sleep{}});
  envoy->expect<protocol::to_envoy_commands>();
  envoy->stopped(actor, protocol::stop_code::ok);
  auto answer = std::async(std::launch::async, [&] {
    return http(port, "GET", "/gateway/x/y?a=b&rvt-namespace=default&rvt-method=get&rvt-key=k");
  });
  CHECK(envoy->start().generation == 2);
  const auto [message, request] = envoy->expect_tunnel<protocol::to_envoy_request_start>();
  CHECK(request.path == "/y?a=b");
  CHECK(request.actor_id.view() == id);

  envoy->socket.end();
  hand_envoy next{port};
  next.expect<protocol::to_envoy_init>();
  next.reply(message, 0, ok("late"));
  CHECK(answer.get().body == "late");
  CHECK(engine.stats().http_attempts == 1);
}

TEST_CASE_FIXTURE(
    streaming_gateway, "the streaming gateway sends bodies by credit and streams responses") {
  const std::string body(1048576 + 100, 'x');
  auto answer = std::async(
      std::launch::async, [&] { return http(port, "POST", "/gateway/" + id + "/", body); });
  const auto [message, request] = envoy.expect_tunnel<protocol::to_envoy_request_start>();
  CHECK(request.stream);
  CHECK(request.response_stream);
  CHECK(request.actor_generation == 1);
  std::size_t got = 0;
  while (got < 1048576)
    got += envoy.expect_tunnel<protocol::to_envoy_request_chunk>().second.body.size();
  CHECK(got == 1048576);
  envoy.reply(message, 0, protocol::to_rivet_request_body_window_update{1048576});
  CHECK(envoy.expect_tunnel<protocol::to_envoy_request_chunk>().second.body.size() == 100);
  CHECK(envoy.expect_tunnel<protocol::to_envoy_request_chunk>().second.finish);
  auto head = ok("one ");
  head.stream = true;
  envoy.reply(message, 1, head);
  envoy.reply(message, 2, protocol::to_rivet_response_chunk{bytes{std::string_view{"two"}}, true});
  const auto result = answer.get();
  CHECK(result.status == 200);
  CHECK(result.body == "4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n");
}

TEST_CASE_FIXTURE(
    streaming_gateway,
    "the streaming gateway sends a body as it arrives, and reports a client that leaves") {
  const auto head =
      "POST /gateway/" + id + "/ HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n";
  const auto starts = [&](raw_socket& client) {
    client.write(head + std::string(100, 'x'));
    const auto [message, request] = envoy.expect_tunnel<protocol::to_envoy_request_start>();
    CHECK(request.stream);
    CHECK(envoy.expect_tunnel<protocol::to_envoy_request_chunk>().second.body.size() == 100);
    return message;
  };
  SUBCASE("an answer before the end of the body reaches a client that still sends") {
    raw_socket client{port};
    const auto message = starts(client);
    envoy.reply(message, 0, ok("enough"));
    client.write(std::string(1'000'000, 'x'));
    const auto all = client.read_all();
    CHECK(all.find("connection: close\r\n") != std::string::npos);
    CHECK(all.ends_with("\r\n\r\nenough"));
  }
  SUBCASE("a client that leaves while it is read, and while it is not") {
    for (const std::size_t more : {0UL, 1'200'000UL}) {  // the rest fits into the kernel's buffers
      CAPTURE(more);
      raw_socket client{port};
      starts(client);
      client.write(std::string(more, 'x'));
      std::size_t got = 100;
      while (got < std::min<std::size_t>(100 + more, 1048576))
        got += envoy.expect_tunnel<protocol::to_envoy_request_chunk>().second.body.size();
      client.reset();
      const auto why = envoy.expect_tunnel<protocol::to_envoy_request_abort>().second.reason;
      CHECK(why.kind == protocol::http_stream_abort_reason_kind::cancelled);
      CHECK(why.detail == text{"error reading a body from connection"});
    }
  }
}

TEST_CASE_FIXTURE(
    streaming_gateway, "uploads to a host that does not read wait with their clients, not here") {
  constexpr std::size_t uploads = 16;
  const std::string body(1U << 20U, 'u');
  std::vector<std::future<http_result>> answers;
  for (std::size_t i = 0; i < uploads; ++i)
    answers.push_back(std::async(
        std::launch::async, [&] { return http(port, "POST", "/gateway/" + id + "/", body); }));
  while (engine.stats().http_attempts < uploads) std::this_thread::yield();

  // Another host's actor is reached beside them.
  CHECK(
      http(
          port,
          "PUT",
          "/runner-configs/q?namespace=default",
          R"({"datacenters":{"default":{"normal":{}}}})")
          .status == 200);
  hand_envoy other{port, "other", 8, "q"};
  other.expect<protocol::to_envoy_init>();
  const auto beside = id_of(create(port, "POST", "null", "q"));
  other.start();
  auto answer = std::async(
      std::launch::async, [&] { return http(port, "POST", "/gateway/" + beside + "/", "here"); });
  const auto asked = other.expect_tunnel<protocol::to_envoy_request_start>().first;
  other.reply(asked, 0, ok("there"));
  CHECK(answer.get().body == "there");

  // All of each comes, in order and against credits.
  struct upload {
    std::uint64_t got = 0;
    std::uint16_t index = 0;
  };

  std::map<request_id, upload> all;
  for (std::size_t ended = 0; ended < uploads;) {
    const auto message = envoy.expect<protocol::to_envoy_tunnel_message>();
    auto& x = all[message.message_id.request_id];
    const auto* chunk = std::get_if<protocol::to_envoy_request_chunk>(&message.message_kind);
    if (chunk == nullptr) continue;
    x.got += chunk->body.size();
    if (chunk->finish) {
      ++ended;
      CHECK(x.got == body.size());
      envoy.reply(message.message_id, x.index++, ok("read"));
    } else if (x.got % (256U << 10U) < chunk->body.size()) {
      envoy.reply(
          message.message_id, x.index++, protocol::to_rivet_request_body_window_update{x.got});
    }
  }
  for (auto& each : answers) CHECK(each.get().body == "read");
  CHECK(engine.stats().body_bytes_max <= uploads * (128U << 10U));
}

TEST_CASE_FIXTURE(
    streaming_gateway,
    "a request that an actor has begun is not sent again: the actor stops, and its client gets "
    "503") {
  auto answer = std::async(
      std::launch::async, [&] { return http(port, "POST", "/gateway/" + id + "/", "once"); });
  const auto begun = envoy.expect_tunnel<protocol::to_envoy_request_start>().second;
  CHECK(envoy.expect_tunnel<protocol::to_envoy_request_chunk>().second.body.view() == "once");
  envoy.stopped(actor, protocol::stop_code::error);
  const auto got = answer.get();
  CHECK(got.status == 503);
  CHECK(got.head.find("x-rivet-error: guard.actor_stopped_while_waiting") != std::string::npos);
  CHECK(engine.stats().http_attempts == 1);
}

TEST_CASE(
    "a streaming gateway collects bodies for hosts that accept no parts, and reads them whole") {
  hosted_actor x{streaming(), 6};
  auto& envoy = x.envoy;
  const std::string body(3U << 20U, 'w');
  auto answer = std::async(
      std::launch::async, [&] { return http(x.port, "POST", "/gateway/" + x.id + "/", body); });
  const auto [message, request] = envoy.expect_tunnel<protocol::to_envoy_request_start>();
  REQUIRE(request.body);
  CHECK(request.body->view() == body);
  envoy.reply(message, 0, ok("all"));
  CHECK(answer.get().body == "all");
}

TEST_CASE_FIXTURE(hosted_actor, "a body of unknown length is read as it grows") {
  std::string chunked;
  for (int i = 0; i < 300; ++i) chunked += "4000\r\n" + std::string(0x4000, 'g') + "\r\n";
  auto answer = std::async(std::launch::async, [&] {
    return http(
        port,
        "POST",
        "/gateway/" + id + "/",
        chunked + "0\r\n\r\n",
        "transfer-encoding: chunked\r\n");
  });
  const auto [message, request] = envoy.expect_tunnel<protocol::to_envoy_request_start>();
  REQUIRE(request.body);
  CHECK(request.body->view() == std::string(300UL * 0x4000, 'g'));
  envoy.reply(message, 0, ok("grown"));
  CHECK(answer.get().body == "grown");
}

TEST_CASE_FIXTURE(
    hosted_actor,
    "a client that breaks the protocol gets the real engine's text, and its end is reported") {
  // The frame as it is, behind a text that the actor hears.
  const auto says = [&](const std::string& frame) {
    ws_client client{port, "/gateway/" + id + "/ws"};
    const auto message = envoy.expect_tunnel<protocol::to_envoy_web_socket_open>().first;
    envoy.reply(message, 0, protocol::to_rivet_web_socket_open{});
    client.send("before", 1);
    CHECK(
        envoy.expect_tunnel<protocol::to_envoy_web_socket_message>().second.data.view() ==
        "before");
    client.write(frame);
    const auto end = client.receive();
    CHECK(client.receive().code == 1006);
    const auto told = envoy.expect_tunnel<protocol::to_envoy_web_socket_close>().second;
    return std::to_string(end.code) + " " + end.data.substr(0, end.data.find('#')) + ", " +
           std::to_string(told.code.value_or(0)) + " " + told.reason.value_or(text{}).str();
  };
  const auto close = [](unsigned code) {
    return std::string{"\x88\x83\0\0\0\0", 6} + static_cast<char>(code >> 8U) +
           static_cast<char>(code & 0xffU) + "x";
  };
  for (const auto code :
       {0U, 999U, 1004U, 1005U, 1006U, 1014U, 1015U, 1016U, 2999U, 5000U, 65535U}) {
    CAPTURE(code);
    CHECK(says(close(code)) == "1002 Protocol violation, 1002 Protocol violation");
  }
  using namespace std::string_literals;
  for (const auto& frame :
       {"\x88\x81\0\0\0\0\x03"s,              // a close of one byte
        "\x88\x84\0\0\0\0\x03\xe8\xff\xfe"s,  // a reason that is not UTF-8
        "\x81\x01x"s,                         // not masked
        "\xc1\x81\0\0\0\0x"s,                 // a reserved bit
        "\x83\x81\0\0\0\0x"s,                 // an unknown kind
        "\x81\x82\0\0\0\0\xff\xfe"s,          // a text that is not UTF-8
        "\x09\x81\0\0\0\0x"s,                 // a ping in parts
        "\x80\x81\0\0\0\0x"s}) {              // goes on with nothing
    CAPTURE(frame);
    CHECK(says(frame) == "1011 core.internal_error, 1011 ws.downstream_closed");
  }
}

TEST_CASE_FIXTURE(hosted_actor, "messages full of close frames arrive as they were sent") {
  ws_client client{port, "/gateway/" + id + "/ws"};
  const auto message = envoy.expect_tunnel<protocol::to_envoy_web_socket_open>().first;
  envoy.reply(message, 0, protocol::to_rivet_web_socket_open{});
  std::uint16_t index = 0;
  for (std::size_t shift = 0; shift < 4; ++shift) {  // whatever parts the message is written in
    CAPTURE(shift);
    std::string close_like(shift, 'x');
    while (close_like.size() < (1U << 20U)) close_like += "\x88\x02\x03\xea";
    auto sent = std::async(std::launch::async, [&] { client.send(close_like); });
    const auto got = envoy.expect_tunnel<protocol::to_envoy_web_socket_message>().second.data;
    CHECK((got.view() == close_like));
    sent.get();
    auto heard = std::async(std::launch::async, [&] { return client.receive().data; });
    envoy.reply(message, ++index, protocol::to_rivet_web_socket_message{got, true});
    CHECK((heard.get() == close_like));
  }
}

TEST_CASE_FIXTURE(hosted_actor, "what a client sends right after its upgrade is not lost") {
  std::string frames;
  for (const auto* text : {"one", "two"}) frames += std::string{"\x81\x83\0\0\0\0", 6} + text;
  ws_client client{port, "/gateway/" + id + "/ws", "rivet", frames};
  const auto message = envoy.expect_tunnel<protocol::to_envoy_web_socket_open>().first;
  envoy.reply(message, 0, protocol::to_rivet_web_socket_open{});
  for (const auto* text : {"one", "two"})
    CHECK(envoy.expect_tunnel<protocol::to_envoy_web_socket_message>().second.data.view() == text);
  client.send("three", 1);
  CHECK(envoy.expect_tunnel<protocol::to_envoy_web_socket_message>().second.data.view() == "three");
}

TEST_CASE_FIXTURE(
    hosted_actor, "a client WebSocket is carried both ways and closed with the actor's code") {
  ws_client client{port, "/gateway/" + id + "/ws"};
  client.send("early", 1);
  const auto [message, open] = envoy.expect_tunnel<protocol::to_envoy_web_socket_open>();
  CHECK(open.path == "/ws");
  envoy.reply(message, 0, protocol::to_rivet_web_socket_open{});
  const auto [first, data] = envoy.expect_tunnel<protocol::to_envoy_web_socket_message>();
  CHECK(data.data.view() == "early");
  CHECK_FALSE(data.binary);
  CHECK(first.message_index == 1);
  envoy.reply(
      message, 1, protocol::to_rivet_web_socket_message{bytes{std::string_view{"hi"}}, false});
  CHECK(client.receive().data == "hi");
  envoy.reply(message, 2, protocol::to_rivet_web_socket_close{4005, text{"srv"}, false});
  const auto end = client.receive();
  CHECK(end.code == 4005);
  CHECK(end.data == "srv");
}

TEST_CASE_FIXTURE(
    hosted_actor,
    "a client that floods is read no faster than its actor's host reads, which is not cut") {
  ws_client client{port, "/gateway/" + id + "/ws"};
  const auto opened = envoy.expect_tunnel<protocol::to_envoy_web_socket_open>().first;
  envoy.reply(opened, 0, protocol::to_rivet_web_socket_open{});
  // More than may wait for any peer.
  constexpr int messages = 300;
  auto flood = std::async(std::launch::async, [&] {
    const std::string mebibyte(1UL << 20U, 'f');
    for (int i = 0; i < messages; ++i) client.send(mebibyte);
  });
  CHECK(flood.wait_for(std::chrono::seconds{1}) == std::future_status::timeout);
  for (int i = 1; i <= messages; ++i)
    REQUIRE(envoy.expect_tunnel<protocol::to_envoy_web_socket_message>().first.message_index == i);
  flood.get();
  CHECK(engine.stats().connected == 1);
}

TEST_CASE_FIXTURE(
    hosted_actor,
    "a client's close is reported with its code and reason, and answered with the same") {
  const auto told = [&] {
    const auto close = envoy.expect_tunnel<protocol::to_envoy_web_socket_close>().second;
    return std::pair{close.code, close.reason ? close.reason->str() : "(none)"};
  };
  using words = std::pair<std::optional<std::uint16_t>, std::string>;
  const auto closes = [&](std::string_view payload, std::uint16_t code, std::string_view reason) {
    ws_client client{port, "/gateway/" + id + "/ws"};
    const auto message = envoy.expect_tunnel<protocol::to_envoy_web_socket_open>().first;
    envoy.reply(message, 0, protocol::to_rivet_web_socket_open{});
    client.send(payload, 8);
    const auto answer = client.receive();
    CHECK(answer.code == code);
    CHECK(answer.data == reason);
    CHECK(client.receive().code == 1006);
  };
  closes(
      "\x0f\xa1"
      "bye",
      4001,
      "bye");
  CHECK(told() == words{4001, "bye"});
  closes("\x03\xe8", 1000, "");
  CHECK(told() == words{1000, ""});
  closes("", 1005, "");
  CHECK(told() == words{1000, "(none)"});

  // Before the actor has accepted nothing is read, a close neither.
  ws_client early{port, "/gateway/" + id + "/ws"};
  early.send(
      "\x0f\xa2"
      "gone",
      8);
  const auto message = envoy.expect_tunnel<protocol::to_envoy_web_socket_open>().first;
  CHECK(early.quiet());
  envoy.reply(message, 0, protocol::to_rivet_web_socket_open{});
  CHECK(told() == words{4002, "gone"});
  CHECK(early.receive().code == 4002);
}

TEST_CASE_FIXTURE(
    connected_host,
    "a request for an actor that stops before it is ready wakes it eight times more") {
  const auto id = id_of(create(port));
  const auto fails = [&] {
    const auto commands = envoy.expect<protocol::to_envoy_commands>().commands;
    REQUIRE(commands.size() == 1);
    envoy.stopped(commands[0].checkpoint, protocol::stop_code::error);
    return commands[0].checkpoint.generation;
  };
  std::uint32_t generation = 0;
  for (int i = 0; i < 2; ++i) {
    CAPTURE(i);
    auto answer =
        std::async(std::launch::async, [&] { return http(port, "GET", "/gateway/" + id + "/"); });
    while (engine.stats().http_requests == static_cast<std::uint64_t>(i)) std::this_thread::yield();
    for (int n = 0; n < 9; ++n) CHECK(fails() == ++generation);
    const auto refused = answer.get();
    CHECK(refused.status == 503);
    CHECK(
        refused.head.find("x-rivet-error: guard.actor_wake_retries_exceeded") != std::string::npos);
  }
  CHECK(engine.stats().commands_issued == 18);
}

TEST_CASE_FIXTURE(
    hosted_actor, "an envoy that does not read is sent no more than its limit, and loses nothing") {
  SUBCASE("requests") {
    const std::string body(16U << 20U, 'x');  // more than the kernel takes
    std::vector<std::future<http_result>> answers;
    for (int i = 0; i < 4; ++i)
      answers.push_back(std::async(
          std::launch::async, [&] { return http(port, "POST", "/gateway/" + id + "/", body); }));
    while (engine.stats().http_requests < 4) std::this_thread::yield();
    CHECK(engine.stats().http_attempts == 1);
    for (int i = 0; i < 4; ++i) {
      const auto [message, request] = envoy.expect_tunnel<protocol::to_envoy_request_start>();
      REQUIRE(request.body);
      CHECK(request.body->size() == body.size());
      envoy.reply(message, 0, ok("read"));
    }
    for (auto& each : answers) CHECK(each.get().body == "read");
  }
  SUBCASE("what a client says on a WebSocket") {
    ws_client client{port, "/gateway/" + id + "/ws"};
    const auto message = envoy.expect_tunnel<protocol::to_envoy_web_socket_open>().first;
    envoy.reply(message, 0, protocol::to_rivet_web_socket_open{});
    auto sent = std::async(std::launch::async, [&] {
      for (char c = 'a'; c < 'f'; ++c) client.send(std::string(16U << 20U, c));
    });
    for (char c = 'a'; c < 'f'; ++c) {
      const auto got = envoy.expect_tunnel<protocol::to_envoy_web_socket_message>().second;
      CHECK(got.data.size() == 16U << 20U);
      CHECK(got.data.view().front() == c);
    }
    sent.get();
  }
  SUBCASE("what it has asked of storage") {
    std::uint32_t request = store_much(*this);
    // 367 MB of answers, above what may ever wait for one peer.
    for (int n = 0; n < 14; ++n) ask(++request, protocol::kv_list_request{});
    for (std::uint32_t n = 31; n <= 44; ++n) {
      const auto got = envoy.expect<protocol::to_envoy_kv_response>();
      CHECK(got.request_id == n);
      CHECK(std::get<protocol::kv_list_response>(got.data).values.size() == 210);
    }
  }
  CHECK(engine.stats().connections == 1);
}

TEST_CASE("an envoy that reads nothing for long is not closed for Pings that it has not received") {
  auto o = with_pool();
  o.limits.ping_interval = 100;
  o.limits.pong_timeout = 1500;
  hosted_actor x{o};
  const auto lists = [&] {
    const auto got = x.envoy.expect<protocol::to_envoy_kv_response>();
    return std::get<protocol::kv_list_response>(got.data).values.size();
  };
  const auto stored = store_much(x);
  x.ask(stored + 1, protocol::kv_list_request{});
  hand_envoy other{x.port, "other"};
  for (int pings = 0; pings < 25; ++pings)
    other.send(protocol::to_rivet_pong{other.expect<protocol::to_envoy_ping>().ts});
  CHECK(lists() == 210);
  // What it says is still heard, and answered.
  x.ask(stored + 2, protocol::kv_list_request{});
  CHECK(lists() == 210);
}

TEST_CASE_FIXTURE(connected_host, "undecodable frames are ignored, a malformed id closes") {
  envoy.socket.send("\xff");
  envoy.socket.send("");
  envoy.socket.send("text", 1);
  envoy.send(protocol::to_rivet_ack_commands{{{actor_id{"bad"}, 1, 1}}});
  const auto end = [&] {
    while (true)
      if (const auto m = envoy.socket.receive(); m.closed) return m;
  }();
  CHECK(end.code == 1011);
  CHECK(end.data.starts_with("core.internal_error#"));
  CHECK(engine.stats().frames_ignored == 3);
}

TEST_CASE_FIXTURE(
    running_engine,
    "faults: lost acks are replayed, a cut comes after the command, garbage arrives") {
  {
    hand_envoy envoy{port};
    envoy.expect<protocol::to_envoy_init>();
    CHECK(http(port, "POST", "/dev/faults", R"({"fault":"lose-acks:count=1"})").status == 200);
    CHECK(http(port, "POST", "/dev/faults", R"({"fault":"nonsense"})").status == 400);
    create(port);
    const auto actor = envoy.start();
    envoy.send(protocol::to_rivet_ack_commands{{actor}});
    hand_envoy next{port};
    CHECK(next.expect<protocol::to_envoy_commands>().commands.size() == 1);
    next.send(protocol::to_rivet_ack_commands{{actor}});
    engine.inject(*parse_fault("drop:on=command"));
    create(port);
    next.expect<protocol::to_envoy_commands>();
    CHECK(next.wait_closed() == 1006);
  }
  hand_envoy envoy{port};
  CHECK(envoy.expect<protocol::to_envoy_commands>().commands.size() == 1);
  envoy.expect<protocol::to_envoy_ping>();
  engine.inject(*parse_fault("garbage"));
  while (true) {  // Pings may come before it
    const auto got = envoy.socket.receive();
    REQUIRE_FALSE(got.closed);
    if (!protocol::decode_to_envoy(bytes{got.data}, 8)) break;
  }
  const auto stats = json::parse(http(port, "GET", "/dev/stats").body);
  CHECK(stats.at("acks_lost") == 1);
  CHECK(stats.at("commands_issued") == 2);
  CHECK(stats.at("faults") == 3);
}

TEST_CASE("with a data folder a kill loses nothing") {
  const auto folder =
      std::filesystem::temp_directory_path() / ("nuncio-engine-" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  auto options = with_pool();
  options.data = folder.string();
  running_engine x{options};
  auto& engine = x.engine;
  const auto port = x.port;
  std::string id;
  protocol::actor_checkpoint actor;
  {
    hand_envoy envoy{port};
    envoy.expect<protocol::to_envoy_init>();
    id = id_of(create(port, "POST", "\"k\""));
    actor = envoy.start();
    envoy.expect<protocol::to_envoy_ack_events>();
    engine.kill();
  }
  REQUIRE(engine.start());
  CHECK(engine.port() == port);
  hand_envoy envoy{port};
  envoy.expect<protocol::to_envoy_init>();
  const auto replayed = envoy.expect<protocol::to_envoy_commands>().commands;
  REQUIRE(replayed.size() == 1);
  CHECK(replayed[0].checkpoint == actor);
  CHECK(std::get<protocol::command_start_actor>(replayed[0].inner).config.input->view() == "hi");
  CHECK(id_of(create(port, "PUT", "\"k\"")) == id);
  CHECK(engine.stats().actors_running == 1);
  // Its event index is known: one that is not above the last does nothing.
  envoy.next_event = 250;
  envoy.stopped(actor, protocol::stop_code::ok);
  auto stats = engine.stats();
  while (stats.destroyed == 0 && stats.events_ignored == 0) stats = engine.stats();
  CHECK(stats.destroyed == 0);
  CHECK(stats.events_ignored == 1);
  engine.stop();
  std::filesystem::remove_all(folder);
}

}  // namespace dev_engine_test

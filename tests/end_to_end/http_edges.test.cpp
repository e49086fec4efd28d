// HTTP edge cases, through both gateways: a handler's mistakes are corrected, or answered at once with a 500 that names them;
// and clients learn nothing internal from failures.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <nlohmann/json.hpp>
#include <nuncio/testing/socket_client.hpp>
#include <utility>

#include "edge_actors.hpp"
#include "fixture.hpp"
#include "process.hpp"
#include "raw_client.hpp"
#include "raw_server.hpp"
#include "tunnel_judges.hpp"

namespace nuncio::e2e {
namespace {

using nlohmann::json;

struct reply {
  int status = 0;
  std::vector<std::string> headers;  ///< lines, names in lower case, sorted
  std::string body;

  [[nodiscard]] std::vector<std::string> of(std::string_view name) const {
    std::vector<std::string> out;
    for (const auto& line : headers)
      if (line.starts_with(fmt::format("{}: ", name))) out.push_back(line.substr(name.size() + 2));
    return out;
  }
};

// An answer on a connection of its own, which ends with it.
reply read(const std::string& all) {
  reply out;
  const auto end = all.find("\r\n\r\n");
  REQUIRE(end != all.npos);
  out.body = all.substr(end + 4);
  for (std::size_t at = 0; at < end;) {
    const auto next = std::min(all.find("\r\n", at), end);
    auto line = all.substr(at, next - at);
    if (at == 0) {
      out.status = std::stoi(line.substr(9, 3));
    } else {
      for (char& c : line) {
        if (c == ':') break;
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      }
      out.headers.push_back(std::move(line));
    }
    at = next + 2;
  }
  std::sort(out.headers.begin(), out.headers.end());
  if (!out.of("transfer-encoding").empty()) {
    std::string joined;
    for (std::string_view rest = out.body; !rest.empty();) {
      const auto line = rest.find("\r\n");
      REQUIRE(line != rest.npos);
      const auto size = std::stoul(std::string{rest.substr(0, line)}, nullptr, 16);
      joined += rest.substr(line + 2, size);
      rest.remove_prefix(std::min(line + 2 + size + 2, rest.size()));
    }
    out.body = std::move(joined);
  }
  return out;
}

struct edges_case {
  explicit edges_case(bool streaming) : engine({.streaming = streaming}), pool(engine, {}) {}

  struct actor {
    explicit actor(const edges_case& x)
        : port(x.engine.port()), id(x.pool.client.create_running("edges")) {}

    [[nodiscard]] std::string exchange(
        std::string_view method, const json& answer, const std::string& headers = {}) const;

    std::uint16_t port;
    std::string id;
  };

  [[nodiscard]] reply ask(
      std::string_view method, const json& answer, const std::string& headers = {}) const {
    return read(at.exchange(method, answer, headers));
  }

  [[nodiscard]] reply get(const json& answer) const { return ask("GET", answer); }

  engine_under_test engine;
  hosted_pool pool;
  actor at{*this};
};

std::string edges_case::actor::exchange(
    std::string_view method, const json& answer, const std::string& headers) const {
  raw_client client{port};
  REQUIRE(client.send(request_head(
      method,
      fmt::format("/gateway/{}/request/x", id),
      fmt::format(
          "connection: close\r\n{}{}",
          headers,
          answer.is_null() ? std::string{} : fmt::format("x-answer: {}\r\n", answer.dump())))));
  REQUIRE(client.await_end());
  return client.received();
}

// As the actor wants headers: in braces, json would take two strings for the member of an object.
json lines(std::initializer_list<std::pair<std::string_view, std::string_view>> headers) {
  auto out = json::array();
  for (const auto& [name, value] : headers) out.push_back(json::array({name, value}));
  return out;
}

void check_plain(const reply& got, int status, std::string_view body) {
  CAPTURE(got.body);
  CHECK(got.status == status);
  CHECK(got.body == body);
  CHECK(got.of("content-length") == std::vector{std::to_string(body.size())});
}

void check_responses(const edges_case& x) {
  const auto says = [](std::string_view name, std::string_view value) {
    return json{{"headers", lines({{name, value}})}, {"body", "hello"}};
  };
  // A length that lies.
  for (const auto* length : {"0", "1", "5", "9", "abc"})
    check_plain(x.get(says("content-length", length)), 200, "hello");
  // What belongs to a connection.
  for (const auto& [name, value] :
       {std::pair{"transfer-encoding", "chunked"},
        {"transfer-encoding", "gzip"},
        {"connection", "upgrade"},
        {"upgrade", "websocket"},
        {"keep-alive", "timeout=5"}}) {
    CAPTURE(name);
    const auto got = x.get(says(name, value));
    check_plain(got, 200, "hello");
    CHECK(got.of("upgrade").empty());
    CHECK(got.of("keep-alive").empty());
  }
  // Statuses that are no answer.
  for (const int status : {100, 101, 103, 199, 99, 1000})
    check_plain(
        x.get({{"status", status}}),
        500,
        fmt::format(
            "the handler answered with status {}, which is not within 200 to 999\n", status));
  check_plain(x.get({{"status", 999}, {"body", "x"}}), 999, "x");
  // Statuses and a method without a body.
  for (const int status : {204, 304}) {
    const auto got = x.get(
        {{"status", status}, {"headers", lines({{"content-length", "5"}})}, {"body", "hello"}});
    CHECK(got.status == status);
    CHECK(got.body.empty());
    CHECK(got.of("content-length").empty());
  }
  check_plain(x.get({{"status", 205}, {"body", "hello"}}), 205, "");
  const auto length_of_head = [&](const json& answer) {
    const auto got = x.ask("HEAD", answer);
    CHECK(got.status == 200);
    CHECK(got.body.empty());
    return got.of("content-length");
  };
  CHECK(length_of_head({{"body", "hello"}}) == std::vector<std::string>{"5"});
  CHECK(length_of_head(says("content-length", "7")) == std::vector<std::string>{"5"});
  CHECK(
      length_of_head({{"headers", lines({{"content-length", "1234"}})}}) ==
      std::vector<std::string>{"1234"});
  CHECK(
      length_of_head({{"headers", lines({{"content-length", "9"}})}, {"chunks", {"abc"}}}) ==
      std::vector<std::string>{"9"});
  // Values of one name.
  const auto many = x.get(
      {{"headers",
        lines({{"Set-Cookie", "a=1; Path=/"}, {"set-cookie", "b=2"}, {"set-cookie", "c=3"}})},
       {"body", "hello"}});
  check_plain(many, 200, "hello");
  CHECK(many.of("set-cookie") == std::vector<std::string>{"a=1; Path=/", "b=2", "c=3"});
  const auto list =
      x.get({{"headers", lines({{"x-list", "a"}, {"X-List", "b"}})}, {"body", "hello"}});
  CHECK(list.of("x-list") == std::vector<std::string>{"a, b"});
  check_plain(
      x.get({{"headers", lines({{"location", "a"}, {"location", "b"}})}}),
      500,
      "the response header 'location' occurs twice; it may have one value only\n");
  check_plain(
      x.get(says("x-a", "b\r\nx-evil: 1")),
      500,
      "the response header 'x-a' is not valid HTTP: its value is not visible ASCII\n");
}

void check_streams(const edges_case& x) {
  const auto stream = [](const json& headers, int status = 200) {
    return json{{"status", status}, {"headers", headers}, {"chunks", {"abc", "de"}}};
  };
  const auto none = json::array();
  CHECK(x.get(stream(none)).body == "abcde");
  check_plain(x.get(stream(lines({{"content-length", "5"}}))), 200, "abcde");
  check_plain(
      x.get(stream(lines({{"content-length", "3"}}))),
      500,
      "the handler wrote more than the 3 bytes of its content-length\n");
  check_plain(
      x.get(stream(lines({{"content-length", "9"}}))),
      500,
      "the handler wrote 5 of the 9 bytes of its content-length\n");
  check_plain(
      x.get(stream(lines({{"content-length", "five"}}))),
      500,
      "the response header 'content-length' is not a number\n");
  CHECK(x.get(stream(lines({{"transfer-encoding", "gzip"}}))).body == "abcde");
  for (const int status : {204, 304}) {
    const auto got = x.get(stream(none, status));
    CHECK(got.status == status);
    CHECK(got.body.empty());
  }
  CHECK(x.get(stream(none, 101)).status == 500);
  CHECK(x.ask("HEAD", stream(none)).body.empty());
}

// The gateway keeps one value for each name, so no handler can see more.
void check_requests(const edges_case& x) {
  const auto got =
      x.ask("GET", nullptr, "x-a: 1\r\nX-A: 2\r\nx-a: 3\r\ncookie: a=1\r\ncookie: b=2\r\n");
  CHECK(got.body.find("\nx-a: 3\n") != std::string::npos);
  CHECK(got.body.find("x-a: 1") == std::string::npos);
  CHECK(got.body.find("\ncookie: b=2\n") != std::string::npos);
}

struct sent {
  std::string headers;
  std::string body;
  int status;
  std::vector<std::string> seen;  ///< of the headers about the length, by the actor
};

// Where a request ends decides what the next one is: both engines have to find the same place.
void check_framing(const edges_case& x, bool streaming) {
  const std::string chunks = "2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n";
  const auto encoded = [](std::string_view by) {
    return fmt::format("transfer-encoding: {}\r\n", by);
  };
  const auto chunked = encoded("chunked");
  const auto broken = streaming ? 500 : 413;
  std::string crowd;
  for (int i = 0; i < 100; ++i) crowd += fmt::format("x-{}: 1\r\n", i);
  const auto says_chunked = std::vector<std::string>{"transfer-encoding: chunked"};
  const auto says_both =
      std::vector<std::string>{"content-length: 5", "transfer-encoding: chunked"};
  for (const auto& [headers, body, status, seen] : std::vector<sent>{
           {chunked, chunks, 200, says_chunked},
           {"content-length: 5\r\ntransfer-encoding: chunked\r\n", chunks, 200, says_both},
           {"transfer-encoding: chunked\r\ncontent-length: 5\r\n", chunks, 200, says_chunked},
           {"transfer-encoding: chunked\r\ncontent-length: x\r\n", chunks, 200, says_chunked},
           {"content-length: x\r\ntransfer-encoding: chunked\r\n", chunks, 400, {}},
           {"content-length: 3\r\ncontent-length: 03\r\n", "abc", 200, {"content-length: 3"}},
           {"content-length: 3\r\ncontent-length: 4\r\n", "abc", 400, {}},
           {"content-length: 3, 3\r\n", "abc", 400, {}},
           {"content-length: 18446744073709551615\r\n", "abc", 431, {}},
           {encoded("gzip, chunked"), chunks, 200, {"transfer-encoding: gzip, chunked"}},
           {encoded("chunked, identity"), chunks, 400, {}},
           {encoded("identity"), chunks, 400, {}},
           {encoded("gzip"), "", 400, {}},
           {crowd, "", 431, {}},
           {chunked, "zz\r\nab\r\n0\r\n\r\n", broken, {}},
           {chunked, "fffffffffffffffff\r\nab", broken, {}},
           {chunked, "2\r\nabc\r\n0\r\n\r\n", broken, {}},
           {chunked, "2\r\nab\r\n-1\r\n", broken, {}}}) {
    CAPTURE(headers);
    CAPTURE(body);
    raw_client client{x.engine.port()};
    REQUIRE(client.send(
        request_head(
            "POST",
            fmt::format("/gateway/{}/request/x", x.at.id),
            fmt::format("connection: close\r\n{}", headers)) +
        body));
    REQUIRE(client.await_end());
    const auto got = read(client.received());
    CHECK(got.status == status);
    if (got.status != 200) continue;
    CHECK(got.body.ends_with("\n\nabc"));
    for (const auto* name : {"content-length", "transfer-encoding"}) {
      const auto at = got.body.find(fmt::format("\n{}: ", name));
      const auto told = std::find_if(
          seen.begin(), seen.end(), [name](const auto& h) { return h.starts_with(name); });
      CHECK((at != got.body.npos) == (told != seen.end()));
      if (told != seen.end()) CHECK(got.body.find(fmt::format("\n{}\n", *told)) == at);
    }
  }
  CHECK(await([&] { return x.pool.host->stats().ingress.requests_open == 0; }));
}

// What the streaming gateway tells of a body that breaks off: the host has begun with it.
void check_broken_upload(const edges_case& x) {
  std::atomic<bool> begun = false;
  request_id upload{};  // the judge's own, as is the next
  bool told_once = false;
  std::promise<protocol::http_stream_abort_reason> told;
  x.pool.proxy->judge_to_host([&](const protocol::to_envoy& m) {
    if (tunnel_kind<protocol::to_envoy_request_start>(m) != nullptr) {
      upload = std::get<protocol::to_envoy_tunnel_message>(m).message_id.request_id;
      begun = true;
    } else if (const auto* abort = tunnel_kind<protocol::to_envoy_request_abort>(m)) {
      const auto of = std::get<protocol::to_envoy_tunnel_message>(m).message_id.request_id;
      // The real engine may say it again as the client's connection ends.
      if (begun && of == upload && !std::exchange(told_once, true)) told.set_value(abort->reason);
    }
    return fate::pass;
  });
  raw_client client{x.engine.port()};
  REQUIRE(client.send(request_head(
      "POST", fmt::format("/gateway/{}/request/x", x.at.id), "transfer-encoding: chunked\r\n")));
  CHECK(await([&] { return begun.load(); }));
  REQUIRE(client.send("zz\r\n"));
  REQUIRE(client.await_end());
  CHECK(client.status() == 500);
  auto reason = told.get_future();
  REQUIRE(reason.wait_for(20s) == std::future_status::ready);
  const auto got = reason.get();
  CHECK(got.kind == protocol::http_stream_abort_reason_kind::cancelled);
  CHECK(got.detail.value_or(text{}).view() == "error reading a body from connection");
  x.pool.proxy->judge_to_host({});
  CHECK(await([&] { return x.pool.host->stats().ingress.requests_open == 0; }));
}

void check_failures(const edges_case& x) {
  const auto log = [&] { return x.pool.host->log(); };
  // Each fails in an actor of its own, which may end with it.
  for (const auto* how :
       {"throw", "throw a text", "return", "quit", "key-value store", "sql", "in a stream"}) {
    CAPTURE(how);
    const edges_case::actor fails{x};
    const auto all = fails.exchange("GET", {{"fails", how}});
    CAPTURE(all);
    CHECK(all.find(edge_secret) == all.npos);
    CHECK(x.pool.client.view(fails.id).error.find(edge_secret) == std::string::npos);
    if (std::string_view{how} == "in a stream") continue;  // its head may have gone: it is cut
    const auto got = read(all);
    CHECK(got.status == 500);
    const auto at = got.body.find("error_id ");
    REQUIRE(at != got.body.npos);
    CHECK(log().find("error_id=" + got.body.substr(at + 9, 16)) != std::string::npos);
  }
  CHECK(log().find(edge_secret) != std::string::npos);
  check_plain(x.get({{"fails", "throw http_error"}}), 409, "said aloud\n");
  check_plain(x.get({{"fails", "return http_error"}}), 410, "said aloud\n");
  for (const auto* message : {"throw", "quit"}) {
    CAPTURE(message);
    const edges_case::actor fails{x};
    socket_client client{x.engine.port(), fmt::format("/gateway/{}/websocket/x", fails.id)};
    REQUIRE(client.send(message));
    REQUIRE(client.await_close(60s));
    CHECK(client.close_reason().find(edge_secret) == std::string::npos);
    CHECK(await([&] { return !x.pool.client.view(fails.id).error.empty(); }));
    CHECK(x.pool.client.view(fails.id).error.find(edge_secret) == std::string::npos);
  }
}

}  // namespace

TEST_SUITE_BEGIN("http_edges");

TEST_CASE(
    "a response that no client understands is corrected, or becomes a 500 that names its mistake") {
  for (const bool streaming : {false, true}) {
    CAPTURE(streaming);
    const edges_case x{streaming};
    check_responses(x);
    check_streams(x);
    CHECK(x.pool.host->stats().ingress.requests_open == 0);
  }
}

TEST_CASE("if a client repeats a header, the actor sees the last value") {
  for (const bool streaming : {false, true}) {
    CAPTURE(streaming);
    check_requests(edges_case{streaming});
  }
}

TEST_CASE("the end of a request body is what its head says, and a contradictory head is refused") {
  for (const bool streaming : {false, true}) {
    CAPTURE(streaming);
    const edges_case x{streaming};
    check_framing(x, streaming);
    if (streaming) check_broken_upload(x);
  }
}

TEST_CASE("5.5: no client sees the text of an exception or error, except of http_error") {
  for (const bool streaming : {false, true}) {
    CAPTURE(streaming);
    check_failures(edges_case{streaming});
  }
}

TEST_CASE("5.3: `nuncio serve` prints no token, however its calls end") {
  if (kind_under_test() == engine_kind::rivet) E2E_SKIP("it is about servers that are no engine");
  const std::string token = "tok/en-4711";
  // What a proxy in front of an engine may do: say no, and repeat what it was sent.
  for (const auto* status : {"401 Unauthorized", "403 Forbidden", "404 Not Found", "503 Busy"}) {
    CAPTURE(status);
    test::raw_server echo{[&](test::raw_peer& p) {
      const auto head = p.read_head();
      const auto body =
          json{{"group", "auth"}, {"code", "no"}, {"message", "you sent " + head}}.dump();
      p.send(fmt::format("HTTP/1.1 {}\r\ncontent-length: {}\r\n\r\n{}", status, body.size(), body));
    }};
    process host{
        serve_command(fmt::format("http://127.0.0.1:{}", echo.port()), "p", {"--token", token})};
    CHECK(await([&] { return host.log().find("engine") != std::string::npos; }));
    host.signal(15);
    REQUIRE(host.await_exit());
    CAPTURE(host.log());
    CHECK(host.log().find("4711") == std::string::npos);
  }
  for (const auto* bad : {"tok en-4711", "tok\r\nx-admin: 4711", "tok,4711"}) {
    process host{serve_command("http://127.0.0.1:1", "p", {"--token", bad})};
    CHECK(host.await_exit() == 2);
    CHECK(host.log().find("token") != std::string::npos);
    CHECK(host.log().find("4711") == std::string::npos);
  }
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

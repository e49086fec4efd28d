// The HTTP client against a scripted server: each callback comes exactly once, whatever happens.
#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <nuncio/engine/http_client.hpp>

#include "raw_server.hpp"

namespace http_client_test {

using namespace std::chrono_literals;
using nuncio::errc;
using nuncio::http_call;
using nuncio::http_client;
using nuncio::http_reply;
using nuncio::outcome;
using nuncio::test::raw_peer;
using nuncio::test::raw_server;

namespace {

http_call get(std::uint16_t port, std::string path = "/") {
  http_call c;
  c.url = "http://127.0.0.1:" + std::to_string(port) + path;
  return c;
}

outcome<http_reply> answer(http_client& client, http_call call) {
  auto result = std::make_shared<std::promise<outcome<http_reply>>>();
  auto future = result->get_future();
  client.send(
      std::move(call), [result](outcome<http_reply> r) { result->set_value(std::move(r)); });
  REQUIRE(future.wait_for(20s) == std::future_status::ready);
  return future.get();
}

}  // namespace

TEST_CASE("a client may be destroyed in one of its own callbacks; calls under way are cancelled") {
  raw_server s{[](raw_peer& p) { p.wait_for_end(); }};
  auto client = std::make_shared<std::optional<http_client>>(std::in_place);
  std::promise<void> gone;
  std::promise<errc> other;
  (*client)->send(get(s.port(), "/never"), [&](outcome<http_reply> r) {
    other.set_value(r.ok() ? errc::internal : r.error().code);
  });
  raw_server second{[](raw_peer& p) {
    p.read_head();
    p.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    p.wait_for_end();
  }};
  (*client)->send(get(second.port(), "/first"), [&](outcome<http_reply>) {
    client->reset();
    gone.set_value();
  });
  CHECK(gone.get_future().wait_for(20s) == std::future_status::ready);
  auto rest = other.get_future();
  REQUIRE(rest.wait_for(20s) == std::future_status::ready);
  CHECK(rest.get() == errc::cancelled);
}

TEST_CASE("method, headers and body are sent, status, headers and body come back") {
  std::promise<std::string> seen;
  raw_server s{[&](raw_peer& p) {
    auto head = p.read_head();
    head += p.read(4);
    seen.set_value(head);
    p.send("HTTP/1.1 404 Not Found\r\nX-Rivet-Error: api.not_found\r\nContent-Length: 2\r\n\r\nno");
  }};
  http_client client;
  auto call = get(s.port(), "/a%20b?c=d");
  call.method = "PUT";
  call.body = "body";
  call.headers = {{"authorization", "Bearer t"}};
  const auto reply = answer(client, std::move(call));
  REQUIRE(reply.ok());
  CHECK(reply->status == 404);
  CHECK(reply->header("x-rivet-error") == "api.not_found");
  CHECK(reply->body == "no");
  const auto head = seen.get_future().get();
  CHECK(head.starts_with("PUT /a%20b?c=d HTTP/1.1\r\n"));
  CHECK(raw_peer::header(head, "authorization") == "Bearer t");
  CHECK(head.ends_with("\r\n\r\nbody"));
}

TEST_CASE("failures have a code and name the URL") {
  http_client client{{.body_bytes_max = 10}};
  {
    std::uint16_t port = 0;
    {
      raw_server s{[](raw_peer&) {}};
      port = s.port();
    }
    const auto r = answer(client, get(port));
    REQUIRE(!r.ok());
    CHECK(r.error().code == errc::unreachable);
    CHECK(r.error().message.find("127.0.0.1:" + std::to_string(port)) != std::string::npos);
  }
  {
    raw_server s{[](raw_peer& p) { p.wait_for_end(); }};
    auto call = get(s.port());
    call.timeout = 100ms;
    const auto r = answer(client, call);
    REQUIRE(!r.ok());
    CHECK(r.error().code == errc::timed_out);
  }
  {
    raw_server s{[](raw_peer& p) {
      p.read_head();
      p.send("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890");
      p.wait_for_end();
    }};
    const auto r = answer(client, get(s.port()));
    REQUIRE(!r.ok());
    CHECK(r.error().code == errc::too_large);
  }
  http_call file;
  file.url = "file:///etc/hostname";
  const auto r = answer(client, file);
  REQUIRE(!r.ok());
  CHECK(r.error().code == errc::invalid_argument);
}

TEST_CASE("5.1: a path is sent unchanged, and so is a header without a value") {
  std::promise<std::string> seen;
  raw_server s{[&](raw_peer& p) {
    seen.set_value(p.read_head());
    p.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  }};
  http_client client;
  auto call = get(s.port(), "/a/../b/%2e%2e/./c?d=/../e");
  call.headers = {{"accept", ""}, {"x-own", ""}};
  REQUIRE(answer(client, std::move(call)).ok());
  const auto head = seen.get_future().get();
  CHECK(head.starts_with("GET /a/../b/%2e%2e/./c?d=/../e HTTP/1.1\r\n"));
  CHECK(head.find("\r\naccept:\r\n") != std::string::npos);
  CHECK(head.find("\r\nx-own:\r\n") != std::string::npos);
}

TEST_CASE("no text of a call begins another header, and a call that could is not sent") {
  raw_server s{[](raw_peer& p) { p.wait_for_end(); }};
  http_client client;
  const auto refused = [&](auto change) {
    auto call = get(s.port());
    change(call);
    const auto r = answer(client, std::move(call));
    REQUIRE(!r.ok());
    CHECK(r.error().code == errc::invalid_argument);
    CHECK(r.error().message.find("secret") == std::string::npos);
  };
  refused([](http_call& c) { c.headers = {{"authorization", "Bearer secret\r\nx: y"}}; });
  refused([](http_call& c) { c.headers = {{"authorization", "Bearer secret\n"}}; });
  refused([](http_call& c) { c.headers = {{"a: b\r\nc", "secret"}}; });
  refused([](http_call& c) { c.method = "GET / HTTP/1.1\r\nx: secret\r\n\r\n"; });
  refused([](http_call& c) { c.url += "secret\r\n"; });
}

TEST_CASE("5.6: no number of a call or of a client may be out of its range") {
  using std::chrono::milliseconds;
  const auto refused = [](nuncio::http_client_options options, milliseconds timeout) {
    http_client client{std::move(options)};
    auto call = get(1);
    call.timeout = timeout;
    const auto said = answer(client, std::move(call));
    REQUIRE(!said);
    CHECK(said.error().code == errc::invalid_argument);
    return said.error().message;
  };
  for (const auto wrong : {milliseconds::min(), -1ms, 0ms, 24h + 1ms, milliseconds::max()}) {
    CAPTURE(wrong.count());
    const auto message = refused({}, wrong);
    CHECK(message.starts_with("timeout "));
    CHECK(message.ends_with(": must be 1 to 86400000 ms"));
  }
  for (const auto wrong : {std::size_t{0}, SIZE_MAX}) {
    CHECK(refused({.calls_max = wrong}, 1s).starts_with("calls_max "));
    CHECK(refused({.connections_max = wrong}, 1s).starts_with("connections_max "));
    CHECK(refused({.body_bytes_max = wrong}, 1s).starts_with("body_bytes_max "));
  }
}

TEST_CASE("no failure shows what may be secret in a URL: its path and its query") {
  http_client client{{.body_bytes_max = 10}};
  const auto hides = [&](http_call call) {
    const auto r = answer(client, std::move(call));
    REQUIRE(!r.ok());
    CAPTURE(r.error().message);
    CHECK(r.error().message.find("hunter2") == std::string::npos);
    CHECK(r.error().message.find("127.0.0.1:") != std::string::npos);
  };
  std::uint16_t closed = 0;
  {
    raw_server s{[](raw_peer&) {}};
    closed = s.port();
  }
  hides(get(closed, "/gateway/id@hunter2/x?token=hunter2"));
  raw_server silent{[](raw_peer& p) { p.wait_for_end(); }};
  auto slow = get(silent.port(), "/gateway/id@hunter2/x");
  slow.timeout = 50ms;
  hides(std::move(slow));
  raw_server long_one{[](raw_peer& p) {
    p.read_head();
    p.send("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890");
    p.wait_for_end();
  }};
  hides(get(long_one.port(), "/gateway/id@hunter2/x"));
}

TEST_CASE("a full client refuses, and its end cancels calls under way, each once") {
  raw_server s{[](raw_peer& p) { p.wait_for_end(); }};
  std::atomic<int> cancelled{0};
  std::atomic<int> full{0};
  {
    http_client client{{.calls_max = 3}};
    for (int i = 0; i < 5; ++i)
      client.send(get(s.port()), [&](outcome<http_reply> r) {
        REQUIRE(!r.ok());
        ++(r.error().code == errc::queue_full ? full : cancelled);
      });
    CHECK(full == 2);
  }
  CHECK(cancelled == 3);
}

}  // namespace http_client_test

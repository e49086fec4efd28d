// The engine's HTTP API as a host uses it: the requests, and that each error names the setting to change.
#include <doctest/doctest.h>

#include <future>
#include <mutex>
#include <nuncio/engine/engine_api.hpp>
#include <vector>

#include "raw_server.hpp"

namespace engine_api_test {

using namespace std::chrono_literals;
using nuncio::engine_api;
using nuncio::errc;
using nuncio::http_client;
using nuncio::outcome;
using nuncio::parse_endpoint;
using nuncio::test::raw_peer;
using nuncio::test::raw_server;

namespace {

// Answers the n-th request with the n-th reply, and remembers the request lines.
struct engine {
  explicit engine(std::vector<std::pair<int, std::string>> r)
      : replies(std::move(r)), server([this](raw_peer& p) { serve(p); }) {}

  void serve(raw_peer& p) {
    for (;;) {
      auto head = p.read_head();
      if (head.empty()) return;
      const auto length = raw_peer::header(head, "Content-Length");
      if (!length.empty()) head += p.read(std::stoul(length));
      const std::lock_guard guard{mutex};
      const auto& [status, body] = replies.at(std::min(requests.size(), replies.size() - 1));
      requests.push_back(head);
      p.send(
          "HTTP/1.1 " + std::to_string(status) +
          " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
  }

  nuncio::engine_access access() {
    auto endpoint = parse_endpoint("ws://127.0.0.1:" + std::to_string(server.port()) + "/base/");
    REQUIRE(endpoint.ok());
    return {*endpoint, "my ns", "secret"};
  }

  std::mutex mutex;
  std::vector<std::pair<int, std::string>> replies;
  std::vector<std::string> requests;
  raw_server server;
};

template <class T, class F>
outcome<T> await(F start) {
  auto result = std::make_shared<std::promise<outcome<T>>>();
  auto future = result->get_future();
  start([result](outcome<T> r) { result->set_value(std::move(r)); });
  REQUIRE(future.wait_for(20s) == std::future_status::ready);
  return future.get();
}

outcome<bool> ensure(const engine_api& api) {
  return await<bool>([&](auto done) { api.ensure_pool("my/pool", done); });
}

bool names(const nuncio::failure& why, std::string_view word) {
  return why.message.find(word) != std::string::npos;
}

}  // namespace

TEST_CASE("endpoints are parsed, and errors name the setting") {
  const auto plain = parse_endpoint("http://127.0.0.1:6420");
  REQUIRE(plain.ok());
  CHECK(*plain == nuncio::engine_endpoint{false, "127.0.0.1", 6420, ""});
  CHECK(
      parse_endpoint("wss://engine.example.com/a/b//")->base_url() ==
      "https://engine.example.com:443/a/b");
  CHECK(parse_endpoint("ws://[::1]:7/")->base_url() == "http://[::1]:7");
  CHECK(parse_endpoint("http://x")->port == 80);
  CHECK(
      parse_endpoint("HTTPS://Engine.Example.COM/A")->base_url() ==
      "https://engine.example.com:443/A");
  CHECK(parse_endpoint("Ws://[FE80::A]:7")->base_url() == "http://[fe80::a]:7");
  for (const auto* bad :
       {"",
        "localhost:6420",
        "ftp://x",
        "http://",
        "http://:80",
        "http://x:",
        "http://x:0",
        "http://x:65536",
        "http://x:8a",
        "http://u:p@x",
        "http://x?y",
        "http://x/#z",
        "http://[::1",
        "http://[::1]x",
        "http://a b"}) {
    CAPTURE(bad);
    const auto r = parse_endpoint(bad);
    REQUIRE(!r.ok());
    CHECK(r.error().code == errc::invalid_argument);
    CHECK(names(r.error(), "`endpoint`"));
  }
  for (const auto* secret :
       {"http://u:hunter2@x",
        "http://u:hunter2@x y",
        "ftp://u:hunter2@x",
        "u:hunter2@x",
        "http://x?token=hunter2",
        "http://u:hunter2@x/#",
        "http://u:hunter2@x:99999"}) {
    CAPTURE(secret);
    CHECK(!names(parse_endpoint(secret).error(), "hunter2"));
  }
}

TEST_CASE("metadata gives version and protocol version") {
  engine e{{{200, R"({"runtime":"engine","version":"2.3.19","envoy_protocol_version":8})"}}};
  http_client client;
  const engine_api api{client, e.access()};
  const auto r = await<nuncio::engine_metadata>([&](auto done) { api.get_metadata(done); });
  REQUIRE(r.ok());
  CHECK(r->version == "2.3.19");
  CHECK(r->envoy_protocol_version == 8);
  CHECK(e.requests.at(0).starts_with("GET /base/metadata HTTP/1.1\r\n"));
  CHECK(raw_peer::header(e.requests[0], "authorization") == "Bearer secret");
}

TEST_CASE("an existing pool is left unchanged, a missing one is created") {
  http_client client;
  {
    engine e{{{200, R"({"runner_configs":{"my/pool":{"datacenters":{}}}})"}}};
    const auto r = ensure({client, e.access()});
    REQUIRE(r.ok());
    CHECK(!*r);
    CHECK(e.requests.size() == 1);
    CHECK(e.requests[0].starts_with(
        "GET /base/runner-configs?namespace=my%20ns&runner_names=my%2Fpool HTTP/1.1\r\n"));
  }
  engine e{{{200, R"({"runner_configs":{}})"}, {200, R"({"endpoint_config_changed":true})"}}};
  const auto r = ensure({client, e.access()});
  REQUIRE(r.ok());
  CHECK(*r);
  REQUIRE(e.requests.size() == 2);
  CHECK(e.requests[1].starts_with(
      "PUT /base/runner-configs/my%2Fpool?namespace=my%20ns HTTP/1.1\r\n"));
  CHECK(e.requests[1].ends_with(R"({"datacenters":{"default":{"normal":{}}}})"));
}

TEST_CASE("errors name what to change") {
  http_client client;

  struct row {
    std::vector<std::pair<int, std::string>> replies;
    errc code;
    std::string word;
  };

  const std::vector<row> rows{
      {{{400, R"({"group":"namespace","code":"not_found","message":"no"})"}},
       errc::not_found,
       "`namespace_name`"},
      {{{401, R"({"group":"auth","code":"invalid_token","message":"no"})"}},
       errc::refused,
       "`token`"},
      {{{403, ""}}, errc::refused, "`token`"},
      {{{404, "<html>"}}, errc::malformed, "`endpoint`"},
      {{{302, ""}}, errc::malformed, "`endpoint`"},
      {{{200, "<html>"}}, errc::malformed, "`endpoint`"},
      {{{200, "[]"}}, errc::malformed, "`endpoint`"},
      {{{503, ""}}, errc::unreachable, "503"},
      {{{408, ""}}, errc::unreachable, "408"},
      {{{425, ""}}, errc::unreachable, "425"},
      {{{429, R"({"group":"guard","code":"rate_limit","message":"no"})"}},
       errc::unreachable,
       "429"},
      {{{200, R"({"runner_configs":{}})"},
        {400, R"({"group":"datacenter","code":"not_found","message":"no"})"}},
       errc::refused,
       "`pool`"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.word);
    engine e{row.replies};
    const auto r = ensure({client, e.access()});
    REQUIRE(!r.ok());
    CHECK(r.error().code == row.code);
    CHECK(names(r.error(), row.word));
    CHECK(!names(r.error(), "secret"));
  }
  nuncio::engine_access nobody;
  {
    engine e{{{200, ""}}};
    nobody = e.access();
  }
  const auto r = ensure({client, nobody});
  REQUIRE(!r.ok());
  CHECK(r.error().code == errc::unreachable);
  CHECK(names(r.error(), "`endpoint`"));
}

}  // namespace engine_api_test

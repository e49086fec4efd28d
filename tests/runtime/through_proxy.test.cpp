// Both clients through a scripted proxy: what they request of it, with which credentials, and what they do if it refuses.
#include <doctest/doctest.h>

#include <algorithm>
#include <future>
#include <nuncio/connection/websocket.hpp>
#include <nuncio/engine/http_client.hpp>

#include "certificates.hpp"
#include "environment.hpp"
#include "raw_server.hpp"
#include "websocket_owner.hpp"

namespace through_proxy_test {

using namespace nuncio;
using namespace nuncio::test;
using kind = websocket_gone::kind;

namespace {

constexpr auto engine =
    "engine.example";  // no name server knows it: who reaches it went through the proxy

std::string lower(std::string x) {
  std::transform(x.begin(), x.end(), x.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return x;
}

struct fixture {
  environment variables;
  certificate authority = make_certificate("nuncio test authority", "");
  certificate own = make_certificate("engine", std::string{"DNS:"} + engine, &authority);
  tls_context context = make_tls_context(own);
  pem_folder folder;
  tls_options trust{.ca_file = folder.write("ca.pem", *authority.x509)};
  std::vector<std::string> heads;  // what the proxy was asked
  std::string refusal;             // instead of 200
  raw_server proxy{[this](raw_peer& p) { serve(p); }};

  // Takes a CONNECT and is the engine from then on, or answers a request for a whole URL.
  void serve(raw_peer& p) {
    heads.push_back(p.read_head());
    const auto& head = heads.back();
    if (!refusal.empty()) {
      p.send(refusal);
      return;
    }
    if (!head.starts_with("CONNECT ")) {
      answer(p);
      return;
    }
    p.send("HTTP/1.1 200 Connection established\r\n\r\n");
    if (head.find(":443 ") != std::string::npos && !p.start_tls(context.get())) return;
    if (websocket) {
      p.accept();
      for (auto f = p.read_frame(); f.opcode >= 0; f = p.read_frame())
        p.send(raw_peer::frame(f.opcode, f.payload));
    } else {
      p.read_head();
      answer(p);
    }
  }

  static void answer(raw_peer& p) {
    p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    p.wait_for_end();
  }

  bool websocket = true;

  [[nodiscard]] std::string url() const {
    return "http://us%65r:p%40ss@127.0.0.1:" + std::to_string(proxy.port());
  }

  [[nodiscard]] websocket_options options() const {
    auto out = owner::quick();
    out.trust = trust;
    return out;
  }

  static websocket_target target(bool tls) {
    websocket_target t;
    t.host = engine;
    t.port = tls ? 443 : 6420;
    t.tls = tls;
    return t;
  }

  [[nodiscard]] outcome<http_reply> fetch(const std::string& at) const {
    http_client client{{.tls = trust}};
    std::promise<outcome<http_reply>> done;
    http_call call;
    call.url = at;
    client.send(std::move(call), [&](outcome<http_reply> x) { done.set_value(std::move(x)); });
    return done.get_future().get();
  }
};

constexpr auto credentials =
    "proxy-authorization: basic dxnlcjpwqhnz\r\n";  // user:p@ss, in lower case

}  // namespace

TEST_CASE_FIXTURE(
    fixture,
    "wss goes through the proxy by CONNECT, with its credentials, and verifies the engine behind "
    "it") {
  variables.set("https_proxy", url());
  owner o{options()};
  o.connect(target(true));
  REQUIRE(o.until([&] { return !o.opened.empty() || !o.gone.empty(); }));
  REQUIRE(!o.opened.empty());
  o.send("hello");
  CHECK(o.until([&] { return !o.messages.empty(); }));
  CHECK(heads.at(0).starts_with("CONNECT engine.example:443 HTTP/1."));
  CHECK(lower(heads.at(0)).find(credentials) != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "a proxy that is not an engine is not taken for one") {
  variables.set("https_proxy", url());
  auto strict = owner::quick();  // knows the system's authorities only
  owner o{strict};
  o.connect(target(true));
  CHECK(o.await_gone().what == kind::tls_failed);
  CHECK(o.opened.empty());
}

TEST_CASE_FIXTURE(fixture, "ws goes through http_proxy") {
  variables.set("HTTP_PROXY", url());
  owner o{options()};
  o.connect(target(false));
  REQUIRE(o.until([&] { return !o.opened.empty() || !o.gone.empty(); }));
  CHECK(!o.opened.empty());
  CHECK(heads.at(0).starts_with("CONNECT engine.example:6420 HTTP/1."));
}

TEST_CASE_FIXTURE(
    fixture, "a proxy that refuses, and one that is not there, end the attempt with a reason") {
  variables.set("https_proxy", url());
  refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
  {
    owner o{options()};
    o.connect(target(true));
    const auto gone = o.await_gone();
    CHECK(o.opened.empty());
    CHECK(gone.reason.find("check https_proxy") != std::string::npos);
    CHECK(gone.reason.find("p@ss") == std::string::npos);
    CHECK_MESSAGE(gone.what != kind::bad_target, to_string(gone.what), ": ", gone.reason);
  }
  variables.set("https_proxy", "http://127.0.0.1:1");
  owner o{options()};
  o.connect(target(true));
  CHECK(o.await_gone().what == kind::connect_failed);
}

TEST_CASE_FIXTURE(
    fixture,
    "HTTP refused by the proxy because of credentials is an error that names the variable") {
  refusal =
      "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n"
      "Content-Length: 0\r\n\r\n";
  for (const std::string scheme : {"http", "https"}) {
    variables.set((scheme + "_proxy").c_str(), url());
    const auto reply = fetch(scheme + "://engine.example/");
    REQUIRE(!reply.ok());
    CHECK(reply.error().code == errc::refused);
    CHECK(reply.error().message.find("check " + scheme + "_proxy") != std::string::npos);
    CHECK(reply.error().message.find("p@ss") == std::string::npos);
  }
}

TEST_CASE_FIXTURE(fixture, "hosts in no_proxy, and loopback, do not use the proxy") {
  variables.set("https_proxy", url());
  variables.set("http_proxy", url());
  variables.set("no_proxy", ".example");
  owner o{options()};
  o.connect(target(true));
  CHECK(o.await_gone().what == kind::name_not_found);
  raw_server here{[](raw_peer& p) { p.accept(); }};
  auto plain = options();
  plain.tls = false;  // libwebsockets frees the authorities of one object that lives alone only
  owner direct{plain};
  direct.connect(here.port());
  CHECK(direct.until([&] { return !direct.opened.empty(); }));
  CHECK(fetch("https://engine.example/").error().code == errc::unreachable);
  CHECK(heads.empty());
}

TEST_CASE_FIXTURE(fixture, "an unusable proxy URL is reported, not ignored") {
  variables.set("https_proxy", "socks5://127.0.0.1:1080");
  owner o{options()};
  o.connect(target(true));
  const auto gone = o.await_gone();
  CHECK(gone.what == kind::bad_target);
  CHECK(gone.reason.find("https_proxy") != std::string::npos);
  const auto reply = fetch("https://engine.example/");
  REQUIRE(!reply.ok());
  CHECK(reply.error().code == errc::invalid_argument);
  CHECK(reply.error().message.find("https_proxy") != std::string::npos);
}

TEST_CASE_FIXTURE(
    fixture,
    "https goes through the proxy by CONNECT, http as a whole URL, both with its credentials") {
  websocket = false;
  variables.set("https_proxy", url());
  variables.set("http_proxy", url());
  const auto secure = fetch("https://engine.example/a");
  REQUIRE_MESSAGE(secure.ok(), to_string(secure.ok() ? failure{} : secure.error()));
  CHECK(secure->body == "ok");
  const auto plain = fetch("http://engine.example:6420/b");
  REQUIRE_MESSAGE(plain.ok(), to_string(plain.ok() ? failure{} : plain.error()));
  REQUIRE(heads.size() == 2);
  CHECK(heads[0].starts_with("CONNECT engine.example:443 HTTP/1.1"));
  CHECK(heads[1].starts_with("GET http://engine.example:6420/b HTTP/1.1"));
  for (const auto& head : heads) CHECK(lower(head).find(credentials) != std::string::npos);
}

}  // namespace through_proxy_test

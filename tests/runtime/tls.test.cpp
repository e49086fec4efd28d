// TLS of both clients, against certificates made for the case: which peers are trusted, which are not, and that a refusal says
// so.
#include <doctest/doctest.h>
#include <netdb.h>

#include <atomic>
#include <future>
#include <nuncio/connection/websocket.hpp>
#include <nuncio/engine/http_client.hpp>

#include "certificates.hpp"
#include "raw_server.hpp"
#include "websocket_owner.hpp"

namespace tls_test {

using namespace nuncio;
using namespace nuncio::test;
using kind = websocket_gone::kind;

namespace {

constexpr auto here = "IP:127.0.0.1";

struct fixture {
  certificate authority = make_certificate("nuncio test authority", "");
  pem_folder folder;
  std::string ca_file = folder.write("ca.pem", *authority.x509);

  [[nodiscard]] certificate signed_here() const {
    return make_certificate("server", here, &authority);
  }

  [[nodiscard]] websocket_options options() const {
    auto out = owner::quick();
    out.trust.ca_file = ca_file;
    return out;
  }
};

/// Takes WebSockets and sends each frame back.
struct echo_server {
  explicit echo_server(
      const certificate& own, const certificate* clients = nullptr, int family = AF_INET)
      : context(make_tls_context(own, clients)),
        server([this](raw_peer& p) { serve(p); }, family) {}

  void serve(raw_peer& p) {
    if (!p.start_tls(context.get())) return;
    const auto* name = SSL_get_servername(p.tls(), TLSEXT_NAMETYPE_host_name);
    if (agreed++ == 0) asked_for.set_value(name == nullptr ? "" : name);
    p.accept();
    for (;;) {
      const auto frame = p.read_frame();
      if (frame.opcode < 0) return;
      p.send(raw_peer::frame(frame.opcode, frame.payload, frame.final));
    }
  }

  tls_context context;
  std::atomic<int> agreed{0};
  std::promise<std::string> asked_for;  ///< the name that the first client sent
  raw_server server;
};

void connect_to(owner& o, const char* host, const echo_server& s) {
  websocket_target t;
  t.host = host;
  t.port = s.server.port();
  t.tls = true;
  o.connect(t);
}

websocket_gone refused(owner& o, std::uint16_t port) {
  o.connect(port, {}, true);
  const auto gone = o.await_gone();
  CHECK(o.opened.empty());
  CHECK(!gone.reason.empty());
  CHECK_MESSAGE(gone.what == kind::tls_failed, to_string(gone.what), ": ", gone.reason);
  return gone;
}

outcome<http_reply> fetch(
    http_client_options options, std::uint16_t port, const std::string& host = "127.0.0.1") {
  http_client client{std::move(options)};
  std::promise<outcome<http_reply>> done;
  http_call call;
  call.url = "https://" + host + ":" + std::to_string(port) + "/";
  client.send(std::move(call), [&](outcome<http_reply> x) { done.set_value(std::move(x)); });
  return done.get_future().get();
}

}  // namespace

TEST_CASE_FIXTURE(fixture, "TLS: an authority of one's own; messages of all sizes go both ways") {
  const auto own = signed_here();
  echo_server s{own};
  owner o{options()};
  o.connect(s.server.port(), {}, true);
  REQUIRE(o.until([&] { return !o.opened.empty(); }));
  for (const std::size_t size : {1UL, 70'000UL, 3'000'000UL}) {
    CAPTURE(size);
    const std::string payload(size, 'x');
    const auto before = o.messages.size();
    o.send(payload);
    REQUIRE(o.until([&] { return o.messages.size() > before; }));
    CHECK((o.messages.back().view() == payload));
  }
  o.run([&] { o.ws.close(1000, "bye"); });
  CHECK(o.await_gone().what == kind::closed_by_us);
}

TEST_CASE_FIXTURE(
    fixture, "TLS: an unknown authority is refused, and the next try is not affected") {
  const auto stranger = make_certificate("a stranger", "");
  const auto own = make_certificate("server", here, &stranger);
  echo_server s{own};
  owner o{options()};
  refused(o, s.server.port());
  const auto good = signed_here();
  echo_server right{good};
  o.connect(right.server.port(), {}, true);
  CHECK(o.until([&] { return !o.opened.empty(); }));
}

TEST_CASE_FIXTURE(fixture, "TLS: the wanted name is sent to the server, and verified") {
  addrinfo* known = nullptr;
  if (::getaddrinfo("localhost", nullptr, nullptr, &known) != 0) {
    MESSAGE("skipped: this system has no /etc/hosts, and no name server that knows localhost");
    return;
  }
  ::freeaddrinfo(known);
  const auto own = make_certificate("server", "DNS:localhost", &authority);
  echo_server s{own};
  owner o{options()};
  connect_to(o, "localhost", s);
  REQUIRE(o.until([&] { return !o.opened.empty(); }));
  CHECK(s.asked_for.get_future().get() == "localhost");
}

TEST_CASE_FIXTURE(fixture, "TLS: an IPv6 address is dialled and verified by the link's socket") {
  const auto own = make_certificate("server", "IP:::1", &authority);
  {
    echo_server s{own, nullptr, AF_INET6};
    owner o{options()};
    connect_to(o, "::1", s);
    REQUIRE(o.until([&] { return !o.opened.empty(); }));
    o.send("six");
    CHECK(o.until([&] { return o.messages.size() == 1; }));
    CHECK(s.asked_for.get_future().get().empty());  // an address is no name
  }
  const auto other = make_certificate("server", "IP:::2", &authority);
  echo_server s{other, nullptr, AF_INET6};
  owner o{options()};
  connect_to(o, "::1", s);
  CHECK(o.await_gone().what == kind::tls_failed);
}

TEST_CASE_FIXTURE(fixture, "TLS: an IPv6 address is dialled and verified by the HTTP client") {
  const auto own = make_certificate("server", "IP:::1", &authority);
  const auto context = make_tls_context(own);
  raw_server s{
      [&](raw_peer& p) {
        if (!p.start_tls(context.get())) return;
        p.read_head();
        p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        p.wait_for_end();
      },
      AF_INET6};
  http_client_options known;
  known.tls.ca_file = ca_file;
  const auto reply = fetch(known, s.port(), "[::1]");
  REQUIRE_MESSAGE(reply.ok(), to_string(reply.ok() ? failure{} : reply.error()));
  CHECK(reply->body == "ok");
}

TEST_CASE_FIXTURE(fixture, "TLS: a certificate for another name is refused") {
  const auto own = make_certificate("server", "DNS:example.org", &authority);
  echo_server s{own};
  owner o{options()};
  refused(o, s.server.port());
}

TEST_CASE_FIXTURE(
    fixture, "5.2: TLS: a name that only looks like an address is verified as a name") {
  const auto other = make_certificate("server", "DNS:example.org", &authority);
  const auto context = make_tls_context(other);
  for (const auto* host : {"127.1", "2130706433", "0x7f.1", "127.0.0.01"}) {
    CAPTURE(host);
    echo_server s{other};
    owner o{options()};
    connect_to(o, host, s);
    const auto gone = o.await_gone();
    CHECK(o.opened.empty());
    CHECK_MESSAGE(gone.what == kind::tls_failed, to_string(gone.what), ": ", gone.reason);
    raw_server http{[&](raw_peer& p) {
      if (!p.start_tls(context.get())) return;
      p.read_head();
      p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      p.wait_for_end();
    }};
    http_client_options known;
    known.tls.ca_file = ca_file;
    CHECK(!fetch(known, http.port(), host).ok());
  }
  // Whom the certificate names by that name is believed.
  const auto own = make_certificate("server", "DNS:127.1", &authority);
  echo_server s{own};
  owner o{options()};
  connect_to(o, "127.1", s);
  CHECK(o.until([&] { return !o.opened.empty(); }));
}

TEST_CASE_FIXTURE(fixture, "TLS: an IPv6 address with a scope is verified as a name") {
  const auto other = make_certificate("server", "DNS:example.org", &authority);
  echo_server s{other, nullptr, AF_INET6};
  auto here_by_name = options();
  here_by_name.resolver = [](const std::string&) {
    return outcome<std::vector<std::string>>{std::vector<std::string>{"::1"}};
  };
  owner o{here_by_name};
  connect_to(o, "fe80::1%lo", s);
  const auto gone = o.await_gone();
  CHECK(o.opened.empty());
  CHECK_MESSAGE(gone.what == kind::tls_failed, to_string(gone.what), ": ", gone.reason);
}

TEST_CASE_FIXTURE(fixture, "TLS: a certificate that has expired, or is not valid yet, is refused") {
  for (const auto& [from, to] : {std::pair{-7200L, -3600L}, {3600L, 7200L}}) {
    const auto own = make_certificate("server", here, &authority, from, to);
    echo_server s{own};
    owner o{options()};
    refused(o, s.server.port());
  }
}

TEST_CASE_FIXTURE(
    fixture, "TLS: a certificate signed by itself is refused, unless that is allowed") {
  const auto own = make_certificate("server", here);
  echo_server s{own};
  {
    owner o;
    refused(o, s.server.port());
  }
  auto lenient = owner::quick();
  lenient.trust.insecure = true;
  owner o{lenient};
  o.connect(s.server.port(), {}, true);
  CHECK(o.until([&] { return !o.opened.empty(); }));
}

TEST_CASE_FIXTURE(fixture, "TLS: a server that wants a certificate gets it") {
  const auto own = signed_here();
  const auto client = make_certificate("host", "DNS:host", &authority);
  echo_server s{own, &authority};
  auto with = options();
  with.trust.cert_file = folder.write("client.pem", *client.x509);
  with.trust.key_file = folder.write("client.key", *client.key);
  {
    owner o{with};
    o.connect(s.server.port(), {}, true);
    CHECK(o.until([&] { return !o.opened.empty(); }));
    CHECK(s.agreed == 1);
  }
  // Without one the connection ends before it opens.
  owner o{options()};
  o.connect(s.server.port(), {}, true);
  o.await_gone();
  CHECK(o.opened.empty());
  CHECK(s.agreed == 1);
}

TEST_CASE_FIXTURE(fixture, "TLS: a handshake that never ends is given up") {
  raw_server s{[](raw_peer& p) { p.wait_for_end(); }};
  auto brief = options();
  brief.connect_limit = 300ms;
  owner o{brief};
  o.connect(s.port(), {}, true);
  const auto gone = o.await_gone();
  CHECK_MESSAGE(gone.what == kind::handshake_timeout, to_string(gone.what), ": ", gone.reason);
}

TEST_CASE_FIXTURE(fixture, "TLS: the HTTP client trusts the same authorities, and no others") {
  const auto own = signed_here();
  const auto context = make_tls_context(own);
  raw_server s{[&](raw_peer& p) {
    if (!p.start_tls(context.get())) return;
    p.read_head();
    p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    p.wait_for_end();
  }};
  http_client_options known;
  known.tls.ca_file = ca_file;
  const auto good = fetch(known, s.port());
  REQUIRE_MESSAGE(good.ok(), to_string(good.ok() ? failure{} : good.error()));
  CHECK(good->body == "ok");
  const auto unknown = fetch({}, s.port());
  REQUIRE(!unknown.ok());
  CHECK(unknown.error().code == errc::refused);
  CHECK(unknown.error().message.find("tls.ca_file") != std::string::npos);
  http_client_options lenient;
  lenient.tls.insecure = true;
  CHECK(fetch(lenient, s.port()).ok());
}

TEST_CASE_FIXTURE(
    fixture, "TLS: the HTTP client shows its certificate to a server that wants one") {
  const auto own = signed_here();
  const auto client = make_certificate("host", "DNS:host", &authority);
  const auto context = make_tls_context(own, &authority);
  raw_server s{[&](raw_peer& p) {
    if (!p.start_tls(context.get())) {
      // A request that came too early must not turn the alert into a reset.
      char early[4096];
      ::fcntl(p.fd(), F_SETFL, 0);
      ::shutdown(p.fd(), SHUT_WR);
      while (::recv(p.fd(), early, sizeof early, 0) > 0) {
      }
      return;
    }
    p.read_head();
    p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    p.wait_for_end();
  }};
  http_client_options with;
  with.tls.ca_file = ca_file;
  const auto without = fetch(with, s.port());
  REQUIRE(!without.ok());
  CHECK(without.error().code == errc::refused);
  CHECK(without.error().message.find("tls.cert_file") != std::string::npos);
  with.tls.cert_file = folder.write("client.pem", *client.x509);
  with.tls.key_file = folder.write("client.key", *client.key);
  CHECK(fetch(with, s.port()).ok());
}

TEST_CASE_FIXTURE(fixture, "TLS: another name than the endpoint's is verified if configured") {
  const auto own = make_certificate("server", "DNS:engine.example", &authority);
  {
    echo_server s{own};
    auto named = options();
    named.trust.server_name = "engine.example";
    {
      owner o{named};
      o.connect(s.server.port(), {}, true);
      CHECK(o.until([&] { return !o.opened.empty(); }));
    }
    named.trust.server_name = "other.example";
    owner wrong{named};
    refused(wrong, s.server.port());
  }
  std::promise<std::string> head;
  const auto context = make_tls_context(own);
  raw_server s{[&](raw_peer& p) {
    if (!p.start_tls(context.get())) return;
    auto read = p.read_head();
    if (read.empty()) return;  // the client did not believe us
    head.set_value(std::move(read));
    p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    p.wait_for_end();
  }};
  http_client_options named;
  named.tls.ca_file = ca_file;
  CHECK(!fetch(named, s.port()).ok());
  named.tls.server_name = "engine.example";
  CHECK(fetch(named, s.port()).ok());
  CHECK(raw_peer::header(head.get_future().get(), "Host").starts_with("engine.example"));
}

TEST_CASE_FIXTURE(
    fixture, "TLS: insecure means that nothing is verified, neither name nor time nor authority") {
  const auto own = make_certificate("server", "DNS:other.example", nullptr, -7200, -3600);
  echo_server s{own};
  auto any = owner::quick();
  any.trust.insecure = true;
  owner o{any};
  o.connect(s.server.port(), {}, true);
  CHECK(o.until([&] { return !o.opened.empty(); }));
}

TEST_CASE_FIXTURE(
    fixture, "TLS: files that can't be read, and half of a pair, are errors that name the option") {
  const auto said = [](const tls_options& x) {
    const auto good = check(x);
    return good ? std::string{} : good.error().message;
  };
  CHECK(said({}).empty());
  CHECK(said({.ca_file = ca_file}).empty());
  CHECK(said({.ca_file = "/nonexistent"}).find("ca_file") != std::string::npos);
  CHECK(said({.cert_file = ca_file}).find("key_file") != std::string::npos);
  CHECK(
      said({.cert_file = ca_file, .key_file = "/nonexistent"}).find("key_file") !=
      std::string::npos);
}

}  // namespace tls_test

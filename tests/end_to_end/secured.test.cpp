// Hosts that reach their engine as in production: over TLS, through a proxy, with a token. Neither engine does any of this
// itself, so a front does it for them.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "certificates.hpp"
#include "environment.hpp"
#include "fixture.hpp"
#include "front.hpp"

namespace nuncio::e2e {
namespace {

constexpr auto foreign_name = "engine.test";  // no name server knows it

// What a case with a front begins with. The front passes on to `wire`, which passes on to the engine.
struct guarded_pool {
  [[nodiscard]] host_setup setup(std::string endpoint) const {
    return {.endpoint = std::move(endpoint), .pool = pool};
  }

  engine_under_test& engine = shared_engine();
  std::string pool = new_pool();
  pool_client client{engine, pool};
  wire_proxy wire{engine.port()};
};

// Ends with the case, and leaves its log.
class guarded_host : public test_host {
public:
  guarded_host(const guarded_pool& in, host_setup setup) : test_host(std::move(setup)), in_(in) {}

  ~guarded_host() {
    if (factory_calls_repeated() != 0)
      ADD_FAIL_AT(__FILE__, __LINE__, "a factory was called twice for one actor and generation");
    keep_log(in_.pool, *this, in_.engine);
    abort();
  }

  guarded_host(const guarded_host&) = delete;
  guarded_host& operator=(const guarded_host&) = delete;

private:
  const guarded_pool& in_;
};

bool says(const test_host& host, std::string_view what) {
  return await([&] { return host.log().find(what) != std::string::npos; });
}

// Why the host ended by itself; it was never ready.
std::string end_of(const test_host& host) {
  const auto why = host.await_end();
  REQUIRE(why.has_value());
  CHECK(why->code == errc::refused);
  CHECK_FALSE(host.await_ready(0ms));
  return why->message;
}

// Start, a request, a cut that leaves the engine without acks, another request, sleep, wake, destroy.
template <class Cut>
void live_whole_life(guarded_pool& in, const test_host& host, Cut cut) {
  in.wire.lose_acks(true);
  const auto id = in.client.create_running("counter");
  CHECK(in.client.post(id, "/request/increment").body == "1");
  const auto before = in.wire.records().size();
  cut();
  REQUIRE(in.wire.await_barrier(before + 1));
  CHECK(in.wire.last().replayed == 1);
  in.wire.lose_acks(false);
  CHECK(in.client.post(id, "/request/increment").body == "2");
  CHECK(host.factory_calls() == 1);
  must(in.client.sleep(id));
  CHECK(in.client.await_sleeping(id).sleeping);
  CHECK(in.client.get(id, "/request/count").status == 200);
  CHECK(host.factory_calls() == 2);
  must(in.client.destroy(id));
  CHECK(in.client.get(id, "/request/count").status == 404);
}

struct authority {
  explicit authority(const std::string& name = "nuncio test authority")
      : own(test::make_certificate(name, "")) {}

  [[nodiscard]] test::certificate sign(const std::string& names) const {
    return test::make_certificate("engine", names, &own);
  }

  test::certificate own;
  test::pem_folder folder;
  tls_options trusted{.ca_file = folder.write("ca.pem", *own.x509)};
};

std::string https(const std::string& host, const front& at) {
  return "https://" + host + ":" + std::to_string(at.port());
}

// Both kinds of connection have come, and asked for this name.
void check_names(const front& at, const std::string& name) {
  std::size_t sockets = 0, others = 0;
  for (const auto& x : at.requests()) {
    ++(x.is_websocket() ? sockets : others);
    CHECK(x.server_name == name);
    CHECK(x.header("Host") == name + ":" + std::to_string(at.port()));
  }
  CHECK(sockets != 0);
  CHECK(others != 0);
}

std::string proxy_url(const front& at, const std::string& credentials) {
  return "http://" + credentials + "@127.0.0.1:" + std::to_string(at.port());
}

std::size_t tunnels(const front& at) {
  const auto all = at.requests();
  return static_cast<std::size_t>(
      std::count_if(all.begin(), all.end(), [](const auto& x) { return x.is_connect(); }));
}

// Tokens that a gate takes, and how often it has refused another.
class valid_tokens {
public:
  explicit valid_tokens(std::string only) : token_(std::move(only)) {}

  bool operator()(const std::string& given) {
    const std::lock_guard guard{mutex_};
    if (given == token_) return true;
    ++refused_;
    return false;
  }

  void replace(std::string by) {
    const std::lock_guard guard{mutex_};
    token_ = std::move(by);
  }

  [[nodiscard]] int refused() const {
    const std::lock_guard guard{mutex_};
    return refused_;
  }

private:
  mutable std::mutex mutex_;
  std::string token_;
  int refused_ = 0;
};

// Replaced as a whole, as who rotates tokens does it: a reader sees the old one or the new.
struct token_file {
  explicit token_file(const std::string& first) { write(first); }

  ~token_file() { ::unlink(path.c_str()); }

  token_file(const token_file&) = delete;
  token_file& operator=(const token_file&) = delete;

  void write(const std::string& token) const {
    std::ofstream{path + ".new"} << token << '\n';
    std::filesystem::rename(path + ".new", path);
  }

  std::string path =
      (std::filesystem::temp_directory_path() / ("nuncio-token-" + new_pool())).string();
};

constexpr auto old_token = "old-secret-4711", new_token = "new-secret-0815";

// No log and no error may show a secret.
bool shows_secret(const std::string& text) { return text.find("secret") != std::string::npos; }

}  // namespace

TEST_SUITE_BEGIN("secured");

TEST_CASE("TLS: the whole life of an actor, over a cut; both clients ask for the engine's name") {
  guarded_pool in;
  const authority ca;
  const auto shown = ca.sign("DNS:localhost");
  const auto tls = test::make_tls_context(shown);
  front before{in.wire.port(), tls.get()};
  auto setup = in.setup(https("localhost", before));
  setup.tls = ca.trusted;
  setup.protocol_version = 0;
  guarded_host host{in, std::move(setup)};
  REQUIRE(host.await_ready());
  live_whole_life(in, host, [&] { before.cut(); });
  check_names(before, "localhost");
  static_cast<void>(in.client.create_running("counter"));
  host.stop();
  CHECK(host.log().find("drained slept=") != std::string::npos);
  CHECK(host.log().find("cut=0") != std::string::npos);
}

TEST_CASE(
    "TLS: an engine with an untrusted certificate is refused, and the error names the setting") {
  guarded_pool in;
  const authority ca, namesake, stranger{"another authority"};
  const auto shown = ca.sign("DNS:localhost");
  const auto tls = test::make_tls_context(shown);
  front before{in.wire.port(), tls.get()};
  for (const auto& trusted : {tls_options{}, namesake.trusted, stranger.trusted}) {
    for (const auto version : {std::uint16_t{0}, std::uint16_t{8}}) {
      auto setup = in.setup(https("localhost", before));
      setup.tls = trusted;
      setup.protocol_version = version;
      const guarded_host host{in, std::move(setup)};
      const auto why = end_of(host);
      CHECK_MESSAGE(why.find("tls.ca_file") != std::string::npos, why);
    }
  }
  CHECK(before.requests().empty());
  // Counted by a thread of its own, after the host has given up.
  CHECK(await([&] { return before.without_tls() == 6; }));
}

TEST_CASE("TLS: a certificate for another name is refused, unless that is the name to ask for") {
  guarded_pool in;
  const authority ca;
  const auto shown = ca.sign(std::string{"DNS:"} + foreign_name);
  const auto tls = test::make_tls_context(shown);
  front before{in.wire.port(), tls.get()};
  auto setup = in.setup(https("localhost", before));
  setup.tls = ca.trusted;
  {
    const guarded_host host{in, setup};
    const auto why = end_of(host);
    CHECK_MESSAGE(why.find("tls.server_name") != std::string::npos, why);
    CHECK(before.requests().empty());
  }
  setup.tls.server_name = foreign_name;
  guarded_host host{in, std::move(setup)};
  REQUIRE(host.await_ready());
  live_whole_life(in, host, [&] { before.cut(); });
  check_names(before, foreign_name);
}

TEST_CASE("TLS: an engine that requests a certificate serves no client without one") {
  guarded_pool in;
  const authority ca;
  const auto shown = ca.sign("DNS:localhost"), own = ca.sign("DNS:host");
  const auto tls = test::make_tls_context(shown, &ca.own);
  front before{in.wire.port(), tls.get()};
  auto setup = in.setup(https("localhost", before));
  setup.tls = ca.trusted;
  {
    const guarded_host host{in, setup};
    const auto why = end_of(host);
    CHECK_MESSAGE(why.find("tls.cert_file") != std::string::npos, why);
    CHECK(before.requests().empty());
  }
  test::pem_folder folder;
  setup.tls.cert_file = folder.write("host.pem", *own.x509);
  setup.tls.key_file = folder.write("host.key", *own.key);
  guarded_host host{in, std::move(setup)};
  REQUIRE(host.await_ready());
  live_whole_life(in, host, [&] { before.cut(); });
}

TEST_CASE(
    "TLS: a certificate that becomes invalid under a host is reported, and a good one repairs it") {
  guarded_pool in;
  const authority ca, stranger;
  const auto shown = ca.sign("DNS:localhost"), bad = stranger.sign("DNS:localhost");
  const auto tls = test::make_tls_context(shown), bad_tls = test::make_tls_context(bad);
  front before{in.wire.port(), tls.get()};
  auto setup = in.setup(https("localhost", before));
  setup.tls = ca.trusted;
  guarded_host host{in, std::move(setup)};
  REQUIRE(host.await_ready());
  const auto id = in.client.create_running("counter");
  CHECK(in.client.post(id, "/request/increment").body == "1");
  before.show(bad_tls.get());
  before.cut();
  CHECK(says(host, "no TLS with the engine"));
  CHECK(says(host, "certificate"));
  CHECK(await([&] { return before.without_tls() >= 2; }));
  before.show(tls.get());
  REQUIRE(in.wire.await_barrier(2));
  CHECK(in.client.post(id, "/request/increment").body == "2");
  CHECK(host.factory_calls() == 1);
}

TEST_CASE("proxy: the whole life of an actor, over a cut tunnel, with the proxy's credentials") {
  guarded_pool in;
  const auto name = foreign_name + std::string{":6420"};
  front proxy{in.wire.port(), nullptr, proxy_for(name, "user:p@ss")};
  const test::environment environment;
  environment.set("http_proxy", proxy_url(proxy, "us%65r:p%40ss"));
  auto setup = in.setup("http://" + name);
  setup.protocol_version = 0;
  guarded_host host{in, std::move(setup)};
  REQUIRE(host.await_ready());
  CHECK(tunnels(proxy) == 1);
  live_whole_life(in, host, [&] { proxy.cut(); });
  CHECK(tunnels(proxy) == 2);
  CHECK(proxy.requests().size() > 2);  // HTTP goes without a tunnel
}

TEST_CASE("proxy: TLS with the engine behind it, in tunnels only") {
  guarded_pool in;
  const authority ca;
  const auto shown = ca.sign(std::string{"DNS:"} + foreign_name);
  const auto tls = test::make_tls_context(shown);
  const auto name = foreign_name + std::string{":443"};
  front before{in.wire.port(), tls.get()};
  front proxy{before.port(), nullptr, proxy_for(name, "user:p@ss")};
  const test::environment environment;
  environment.set("https_proxy", proxy_url(proxy, "us%65r:p%40ss"));
  auto setup = in.setup(std::string{"https://"} + foreign_name);
  setup.tls = ca.trusted;
  guarded_host host{in, std::move(setup)};
  REQUIRE(host.await_ready());
  live_whole_life(in, host, [&] { proxy.cut(); });
  CHECK(tunnels(proxy) == proxy.requests().size());
  CHECK(tunnels(proxy) >= 3);
  for (const auto& x : before.requests()) CHECK(x.server_name == foreign_name);
}

TEST_CASE("proxy: wrong credentials end the host, and the error names the variable, not them") {
  guarded_pool in;
  for (const std::string scheme : {"http", "https"}) {
    CAPTURE(scheme);
    const auto name = foreign_name + std::string{":6420"};
    front proxy{in.wire.port(), nullptr, proxy_for(name, "user:right")};
    const test::environment environment;
    environment.set((scheme + "_proxy").c_str(), proxy_url(proxy, "user:secret"));
    const guarded_host host{in, in.setup(fmt::format("{}://{}", scheme, name))};
    const auto why = end_of(host);
    CHECK_MESSAGE(why.find(scheme + "_proxy") != std::string::npos, why);
    CHECK_FALSE(shows_secret(why + host.log()));
  }
}

TEST_CASE(
    "proxy: credentials that become invalid under a host are reported, and good ones repair it") {
  guarded_pool in;
  const auto name = foreign_name + std::string{":6420"};
  std::atomic<bool> known = true;
  const auto right = proxy_for(name, "user:secret"), other = proxy_for(name, "user:other");
  front proxy{
      in.wire.port(), nullptr, [&](const front_request& x) { return known ? right(x) : other(x); }};
  const test::environment environment;
  environment.set("http_proxy", proxy_url(proxy, "user:secret"));
  guarded_host host{in, in.setup("http://" + name)};
  REQUIRE(host.await_ready());
  const auto id = in.client.create_running("counter");
  CHECK(in.client.post(id, "/request/increment").body == "1");
  known = false;
  proxy.cut();
  CHECK(await([&] { return tunnels(proxy) >= 3; }));
  CHECK(says(host, "check http_proxy"));
  known = true;
  REQUIRE(in.wire.await_barrier(2));
  CHECK(in.client.post(id, "/request/increment").body == "2");
  CHECK(host.factory_calls() == 1);
  CHECK_FALSE(shows_secret(host.log()));
}

TEST_CASE("proxy: neither loopback nor what no_proxy names goes through it") {
  guarded_pool in;
  front proxy{in.wire.port()};
  const test::environment environment;
  environment.set("http_proxy", proxy_url(proxy, "user:pass"));
  // To connect to, 0.0.0.0 means this machine; as a name it is not loopback.
  const auto port = ":" + std::to_string(in.wire.port());
  for (const std::string name : {"127.0.0.1", "localhost", "0.0.0.0"}) {
    CAPTURE(name);
    environment.set("no_proxy", "example.com,0.0.0.0" + port);
    guarded_host host{in, in.setup(fmt::format("http://{}{}", name, port))};
    REQUIRE(host.await_ready());
    CHECK(in.client.get(in.client.create_running("counter"), "/request/count").body == "0");
    CHECK(proxy.requests().empty());
    host.stop();
  }
  environment.set("no_proxy", "example.com");
  const guarded_host host{in, in.setup("http://0.0.0.0" + port)};
  REQUIRE(host.await_ready());
  CHECK(tunnels(proxy) == 1);
}

TEST_CASE("tokens: a running host whose token has expired waits for the new one in its file") {
  guarded_pool in;
  valid_tokens valid{old_token};
  front gate{in.wire.port(), nullptr, token_gate(std::ref(valid))};
  const token_file file{old_token};
  auto setup = in.setup("http://127.0.0.1:" + std::to_string(gate.port()));
  setup.token_from = token_from_file(file.path);
  setup.policy.slow_delay = 200ms;
  guarded_host host{in, std::move(setup)};
  REQUIRE(host.await_ready());
  const auto id = in.client.create_running("counter");
  CHECK(in.client.post(id, "/request/increment").body == "1");
  CHECK(valid.refused() == 0);
  valid.replace(new_token);
  gate.cut();
  CHECK(await([&] { return valid.refused() >= 2; }));
  CHECK(says(host, "does not accept the token"));
  file.write(new_token);
  REQUIRE(in.wire.await_barrier(2));
  CHECK(in.client.post(id, "/request/increment").body == "2");
  CHECK(host.factory_calls() == 1);
  CHECK_FALSE(shows_secret(host.log()));
}

TEST_CASE("tokens: one that is renewed while a host begins is read again when the old one fails") {
  // Refused by what HTTP asks for, which comes first, or not before the WebSocket.
  for (const bool http : {true, false}) {
    CAPTURE(http);
    guarded_pool in;
    const token_file file{old_token};
    std::atomic<int> refused = 0;
    const auto gate = token_gate([&](const std::string& given) {
      if (given == new_token) return true;
      ++refused;
      file.write(new_token);
      return false;
    });
    front before{in.wire.port(), nullptr, [&](const front_request& x) {
                   return x.is_websocket() || http ? gate(x) : std::string{};
                 }};
    auto setup = in.setup("http://127.0.0.1:" + std::to_string(before.port()));
    setup.token_from = token_from_file(file.path);
    const guarded_host host{in, std::move(setup)};
    REQUIRE(host.await_ready());
    CHECK(refused == 1);
    CHECK(in.client.get(in.client.create_running("counter"), "/request/count").body == "0");
    CHECK_FALSE(shows_secret(host.log()));
  }
}

TEST_CASE("tokens: from the environment, by value or by file") {
  guarded_pool in;
  front gate{in.wire.port(), nullptr, token_gate([](const auto& x) {
               return x == std::string{new_token};
             })};
  const token_file file{new_token};
  for (const bool by_file : {false, true}) {
    CAPTURE(by_file);
    const test::environment environment;
    environment.set(
        by_file ? "RIVET_TOKEN_FILE" : "RIVET_TOKEN", by_file ? file.path : std::string{new_token});
    auto setup = in.setup("http://127.0.0.1:" + std::to_string(gate.port()));
    setup.token_from = token_from_environment();
    const guarded_host host{in, std::move(setup)};
    REQUIRE(host.await_ready());
    CHECK(in.client.get(in.client.create_running("counter"), "/request/count").body == "0");
    CHECK_FALSE(shows_secret(host.log()));
  }
}

TEST_CASE("tokens: without the right one a host ends, and the error names the setting") {
  guarded_pool in;
  for (const bool http : {true, false}) {
    CAPTURE(http);
    const auto gate = token_gate([](const std::string& given) { return given == new_token; });
    front before{in.wire.port(), nullptr, [&](const front_request& x) {
                   return x.is_websocket() || http ? gate(x) : std::string{};
                 }};
    for (const std::string token : {"", old_token}) {
      CAPTURE(token);
      auto setup = in.setup("http://127.0.0.1:" + std::to_string(before.port()));
      setup.token = token;
      const guarded_host host{in, std::move(setup)};
      const auto why = end_of(host);
      CHECK_MESSAGE(why.find("token") != std::string::npos, why);
      CHECK_FALSE(shows_secret(why + host.log()));
    }
  }
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

// Which proxy a connection uses: rules, not sockets.
#include <doctest/doctest.h>

#include <nuncio/engine/proxy.hpp>

#include "support/environment.hpp"

namespace proxy_test {

using namespace nuncio;

namespace {

const proxy_environment both{
    .http_proxy = "http://plain:3128", .https_proxy = "http://secure:3129"};

std::string towards(
    std::string_view host, bool tls, const proxy_environment& from, std::uint16_t port = 443) {
  const auto chosen = choose_proxy(host, port, tls, from);
  REQUIRE_MESSAGE(chosen.ok(), (chosen.ok() ? std::string{} : chosen.error().message));
  return *chosen ? (*chosen)->host + ":" + std::to_string((*chosen)->port) : "direct";
}

http_proxy parsed(std::string url) {
  const auto chosen = choose_proxy("engine.example", 443, true, {.https_proxy = std::move(url)});
  REQUIRE_MESSAGE(chosen.ok(), (chosen.ok() ? std::string{} : chosen.error().message));
  REQUIRE(chosen->has_value());
  return **chosen;
}

}  // namespace

TEST_CASE("https and wss take https_proxy, http and ws http_proxy, and none without a variable") {
  CHECK(towards("engine.example", true, both) == "secure:3129");
  CHECK(towards("engine.example", false, both) == "plain:3128");
  CHECK(towards("engine.example", true, {.http_proxy = "http://plain:3128"}) == "direct");
  CHECK(towards("engine.example", false, {.https_proxy = "http://secure:3129"}) == "direct");
  CHECK(towards("engine.example", true, {.https_proxy = ""}) == "direct");
}

TEST_CASE("loopback is never reached through a proxy") {
  for (const auto* host :
       {"localhost",
        "LOCALHOST",
        "localhost.",
        "engine.localhost",
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "[::1]",
        "0:0:0:0:0:0:0:1",
        "::ffff:127.0.0.1"}) {
    CAPTURE(host);
    CHECK(is_loopback(host));
    CHECK(towards(host, true, both) == "direct");
  }
  for (const auto* host :
       {"127.0.0.1.example.com",
        "localhost.example.com",
        "128.0.0.1",
        "::2",
        "127.0.0.",
        "127.1e",
        "notlocalhost",
        ""}) {
    CAPTURE(host);
    CHECK(!is_loopback(host));
  }
}

TEST_CASE("no_proxy: names stand for the domains below them") {
  const auto exempt = [](std::string_view host, std::string_view list) {
    return is_exempt_from_proxy(host, 443, list);
  };
  CHECK(exempt("example.com", "example.com"));
  CHECK(exempt("a.example.com", "example.com"));
  CHECK(exempt("a.example.com", ".example.com"));
  CHECK(exempt("a.example.com", "*.example.com"));
  CHECK(exempt("A.Example.Com.", "x, eXample.com"));
  CHECK(exempt("a.example.com", "x  example.com"));
  CHECK(exempt("anything", "*"));
  CHECK(!exempt("badexample.com", "example.com"));
  CHECK(!exempt("example.com", "a.example.com"));
  CHECK(!exempt("example.com", ""));
  CHECK(!exempt("example.com", ",, ,"));
  CHECK(!exempt("example.com", "."));
  CHECK(!exempt("example.com", "com.example"));
}

TEST_CASE("no_proxy: an entry with a port counts for that port only") {
  CHECK(is_exempt_from_proxy("example.com", 6420, "example.com:6420"));
  CHECK(is_exempt_from_proxy("a.example.com", 6420, ".example.com:6420"));
  CHECK(!is_exempt_from_proxy("example.com", 443, "example.com:6420"));
  CHECK(!is_exempt_from_proxy("example.com", 443, "example.com:x"));
  CHECK(is_exempt_from_proxy("fd00::5", 443, "[fd00::5]:443"));
  CHECK(!is_exempt_from_proxy("fd00::5", 80, "[fd00::5]:443"));
  CHECK(is_exempt_from_proxy("fd00::5", 80, "[fd00::5]"));
  CHECK(is_exempt_from_proxy("fd00::5", 80, "fd00::5"));
}

TEST_CASE("no_proxy: addresses and blocks of them") {
  const auto exempt = [](std::string_view host, std::string_view list) {
    return is_exempt_from_proxy(host, 443, list);
  };
  CHECK(exempt("10.1.2.3", "10.1.2.3"));
  CHECK(exempt("10.1.2.3", "10.0.0.0/8"));
  CHECK(!exempt("11.1.2.3", "10.0.0.0/8"));
  CHECK(exempt("10.1.2.3", "10.1.2.2/31"));
  CHECK(!exempt("10.1.2.4", "10.1.2.2/31"));
  CHECK(exempt("1.2.3.4", "0.0.0.0/0"));
  CHECK(exempt("10.1.2.3", "10.1.2.3/32"));
  CHECK(!exempt("10.1.2.3", "10.1.2.3/33"));
  CHECK(!exempt("10.1.2.3", "10.1.2.3/x"));
  CHECK(exempt("[fd00::1]", "fd00::/8"));
  CHECK(!exempt("fe80::1", "fd00::/8"));
  CHECK(exempt("fd00:0:0::1", "fd00::1"));
  CHECK(!exempt("10.1.2.3", "fd00::/8"));
  CHECK(!exempt("210.1.2.3", "10.1.2.3"));
  CHECK(!exempt("a10.1.2.3", "10.0.0.0/8"));
}

TEST_CASE("a proxy's URL: scheme, credentials, port") {
  CHECK(parsed("http://proxy:3128") == http_proxy{.host = "proxy", .port = 3128});
  CHECK(parsed("HTTP://proxy:3128/") == http_proxy{.host = "proxy", .port = 3128});
  CHECK(parsed("proxy:3128") == http_proxy{.host = "proxy", .port = 3128});
  CHECK(parsed("http://proxy") == http_proxy{.host = "proxy", .port = 80});
  CHECK(parsed("http://[fd00::1]:3128") == http_proxy{.host = "fd00::1", .port = 3128});
  CHECK(
      parsed("http://us%65r:p%40ss:w%2Ford@proxy:3128") ==
      http_proxy{.host = "proxy", .port = 3128, .user = "user", .password = "p@ss:w/ord"});
  CHECK(
      parsed("http://user@proxy:3128") ==
      http_proxy{.host = "proxy", .port = 3128, .user = "user"});
}

TEST_CASE(
    "a proxy's URL that can't be used is an error that names the variable and shows no password") {
  for (const auto* url :
       {"https://proxy:3128",
        "socks5://proxy",
        "http://",
        "http://proxy:0",
        "http://proxy:x",
        "http://proxy:65536",
        "http://u%zz:secret@proxy",
        "http://u%0a:secret@proxy",
        "http://u%3ax:secret@proxy",
        "http://u:secret@",
        "http://[fd00::1",
        "http://[fd00::1]x",
        "http://pro xy",
        "http://u:sec%"}) {
    CAPTURE(url);
    const auto chosen = choose_proxy("engine.example", 443, true, {.https_proxy = url});
    REQUIRE(!chosen);
    CHECK(chosen.error().code == errc::invalid_argument);
    CHECK(chosen.error().message.starts_with("https_proxy: "));
    CHECK(chosen.error().message.find("secret") == std::string::npos);
  }
}

TEST_CASE(
    "the environment: lower case before capitals, empty means none, CGI's HTTP_PROXY is not "
    "believed") {
  const test::environment variables;
  CHECK(!proxy_environment::read().http_proxy);
  ::setenv("HTTP_PROXY", "http://a", 1);
  ::setenv("HTTPS_PROXY", "http://b", 1);
  ::setenv("NO_PROXY", "c", 1);
  CHECK(proxy_environment::read().http_proxy == "http://a");
  CHECK(proxy_environment::read().https_proxy == "http://b");
  CHECK(proxy_environment::read().no_proxy == "c");
  ::setenv("http_proxy", "http://d", 1);
  ::setenv("https_proxy", "", 1);
  CHECK(proxy_environment::read().http_proxy == "http://d");
  CHECK(proxy_environment::read().https_proxy == "");
  ::unsetenv("http_proxy");
  ::setenv("REQUEST_METHOD", "GET", 1);
  CHECK(!proxy_environment::read().http_proxy);
}

}  // namespace proxy_test

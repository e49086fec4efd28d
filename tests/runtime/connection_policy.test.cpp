// When to dial again, what each end means, and the phases of a connection.
#include <doctest/doctest.h>

#include <nuncio/connection_policy.hpp>

namespace connection_policy_test {

using namespace nuncio;
using namespace std::chrono_literals;
using end = connection_end::kind;
using decision = reconnect_decision::kind;

namespace {

connection_end closed(std::string reason, std::uint16_t code = 1011) {
  return {.what = end::closed, .code = code, .reason = std::move(reason)};
}

void go_live(connection_policy& x) {
  x.handle_dial();
  x.handle_open();
  REQUIRE(x.handle_init());
  REQUIRE(x.handle_ping());
}

}  // namespace

TEST_CASE(
    "At least five tries fit into the lost threshold, though each takes two seconds to fail") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    connection_policy x{{.seed = seed}};
    go_live(x);
    auto now = duration{};
    int tries = 0;
    auto d = x.handle_end({.what = end::lost});
    while ((now += d.after) < 15s) {
      ++tries;
      x.handle_dial();
      now += 2s;
      d = x.handle_end({.what = end::unreachable});
      REQUIRE(d.what == decision::retry);
      REQUIRE(d.after <= 2080ms);
      REQUIRE(d.after >= 70ms);
    }
    CHECK(tries >= 5);
  }
}

TEST_CASE("The backoff starts anew at the replay barrier, not when the socket opens") {
  connection_policy x;
  for (int i = 0; i < 5; ++i) {
    x.handle_dial();
    x.handle_open();
    x.handle_init();
    x.handle_end({.what = end::lost});
  }
  CHECK(x.failures() == 5);
  go_live(x);
  CHECK(x.failures() == 0);
  CHECK(!x.handle_ping());
  CHECK(x.handle_end({.what = end::lost}).after <= 130ms);
}

TEST_CASE("Init comes once, and nothing comes before it") {
  connection_policy x;
  CHECK(x.handle_dial() == 1);
  CHECK(!x.handle_init());
  x.handle_open();
  CHECK(!x.expects_messages());
  CHECK(!x.handle_ping());
  CHECK(x.handle_init());
  CHECK(x.expects_messages());
  CHECK(!x.handle_init());
  CHECK(x.handle_ping());
  CHECK(x.handle_dial() == 2);
  CHECK(!x.expects_messages());
}

TEST_CASE("A permanent error is refused and names the setting to change") {
  const auto message = [](const connection_end& why) {
    connection_policy x;
    x.handle_dial();
    const auto d = x.handle_end(why);
    if (d.what != decision::ask) {
      CHECK(d.what == decision::refused);
      return d.message;
    }
    // What is known now is what was refused.
    const auto after = x.handle_terms(false, true);
    CHECK(after.what == decision::refused);
    CHECK(after.message == d.message);
    return d.message;
  };
  const auto has = [](const std::string& s, const char* part) {
    return s.find(part) != std::string::npos;
  };
  for (const auto* part : {"--envoy-key", "--protocol-version", "--actors-version", "--pool"})
    CHECK(has(message(closed("ws.invalid_request#ray")), part));
  CHECK(has(message(closed("namespace.not_found#ray")), "--namespace"));
  CHECK(has(message(closed("guard.websocket_not_supported#ray")), "--endpoint"));
  CHECK(has(message({.what = end::bad_target}), "--endpoint"));
  CHECK(has(message({.what = end::http_refused, .http_status = 401}), "--token"));
  CHECK(has(message({.what = end::http_refused, .http_status = 403}), "--token"));
  CHECK(has(message({.what = end::http_refused, .http_status = 404}), "--endpoint"));
}

TEST_CASE("A refused token or version is asked for again, and another one is tried") {
  for (const auto& why :
       {closed("ws.invalid_request#ray"),
        closed("auth.forbidden#ray"),
        closed("guard.unauthorized#ray"),
        connection_end{.what = end::http_refused, .http_status = 401},
        connection_end{.what = end::http_refused, .http_status = 403}}) {
    connection_policy x;
    x.handle_dial();
    REQUIRE(x.handle_end(why).what == decision::ask);
    const auto changed = x.handle_terms(true, false);
    CHECK(changed.what == decision::retry);
    CHECK(changed.after >= 70ms);  // should each be refused in turn: no tight loop
    x.handle_dial();
    REQUIRE(x.handle_end(why).what == decision::ask);
    CHECK(x.handle_no_terms("engine away").what == decision::retry);
  }
}

TEST_CASE(
    "A token that has worked is waited for where it can be renewed, other refusals are final") {
  const connection_end token{.what = end::http_refused, .http_status = 401};
  const auto after = [](const connection_end& why, bool was_live, bool renewable) {
    connection_policy x;
    if (was_live) go_live(x);
    REQUIRE(x.handle_end(why).what == decision::ask);
    return x.handle_terms(false, renewable);
  };
  const auto waits = after(token, true, true);
  CHECK(waits.what == decision::retry);
  CHECK(waits.after >= 3500ms);
  CHECK(waits.message.find("--token") != std::string::npos);
  CHECK(after(token, true, false).what == decision::refused);
  CHECK(after(token, false, true).what == decision::refused);
  CHECK(after(closed("ws.invalid_request#ray"), true, true).what == decision::refused);
}

TEST_CASE("I14 single writer: an eviction is final") {
  connection_policy x;
  go_live(x);
  CHECK(x.handle_end(closed("ws.eviction#ray", 1000)).what == decision::evicted);
}

TEST_CASE("What can pass is retried") {
  for (const auto& why :
       {closed("ws.timed_out#r"),
        closed("core.internal_error#r"),
        closed("new.reason#r"),
        closed(""),
        connection_end{.what = end::http_refused, .http_status = 503},
        connection_end{.what = end::protocol},
        connection_end{.what = end::tls_failed},
        connection_end{.what = end::lease}}) {
    connection_policy x;
    x.handle_dial();
    CHECK(x.handle_end(why).what == decision::retry);
  }
  connection_policy x;
  const auto pool = x.handle_end(closed("ws.no_runner_config#r"));
  CHECK(pool.what == decision::retry);
  CHECK(pool.after >= 3500ms);
  CHECK(pool.message.find("--pool") != std::string::npos);
}

TEST_CASE("A restarting engine is met at once, but not in a tight loop") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    connection_policy x{{.seed = seed}};
    go_live(x);
    CHECK(x.handle_end(closed("ws.going_away#r")).after <= 50ms);
    CHECK(x.handle_end(closed("ws.going_away#r")).after >= 70ms);
  }
}

}  // namespace connection_policy_test

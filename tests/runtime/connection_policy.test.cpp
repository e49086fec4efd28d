// When to dial again, the meaning of each kind of end, and the phases of a connection.
#include <doctest/doctest.h>

#include <nuncio/connection/connection_policy.hpp>

namespace connection_policy_test {

using namespace nuncio;
using namespace std::chrono_literals;
using end = connection_end::kind;
using decision = reconnect_decision::kind;

namespace {

connection_end closed(std::string reason, std::uint16_t code = 1011) {
  return {.what = end::closed, .code = code, .reason = std::move(reason)};
}

constexpr time_point start{1h};

void go_live(connection_policy& x, time_point now = start) {
  x.handle_dial();
  x.handle_open(now);
  REQUIRE(x.handle_init(now));
  REQUIRE(x.handle_ping(now));
}

// Opens, goes live and is cut at once, so often; returns the last delay.
duration fail_live(connection_policy& x, int times) {
  duration after{};
  for (int i = 0; i < times; ++i) {
    go_live(x);
    after = x.handle_end({.what = end::protocol}, start).after;
  }
  return after;
}

}  // namespace

TEST_CASE(
    "At least five tries fit into the lost threshold, though each takes two seconds to fail") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    connection_policy x{{.seed = seed}};
    go_live(x);
    auto now = duration{};
    int tries = 0;
    auto d = x.handle_end({.what = end::lost}, start);
    while ((now += d.after) < 15s) {
      ++tries;
      x.handle_dial();
      now += 2s;
      d = x.handle_end({.what = end::unreachable}, start);
      REQUIRE(d.what == decision::retry);
      REQUIRE(d.after <= 2080ms);
      REQUIRE(d.after >= 70ms);
    }
    CHECK(tries >= 5);
  }
}

TEST_CASE(
    "1.4: The backoff restarts after a connection that was live for a while, not at its first "
    "Ping") {
  connection_policy x;
  CHECK(fail_live(x, 6) >= 1120ms);
  CHECK(x.failures() == 6);
  go_live(x);
  x.handle_end({.what = end::lost}, start + 10s - 1ns);
  CHECK(x.failures() == 7);
  go_live(x);
  CHECK(!x.handle_ping(start + 3s));
  CHECK(x.handle_end({.what = end::lost}, start + 10s).after <= 130ms);
  CHECK(x.failures() == 1);
}

TEST_CASE("The delay never outlives the engine's patience, however often it fails") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    connection_policy x{{.seed = seed}};
    CHECK(fail_live(x, 200) <= 2080ms);
  }
}

TEST_CASE("Init comes once, and nothing comes before it") {
  connection_policy x;
  CHECK(x.handle_dial() == 1);
  CHECK(!x.handle_init(start));
  x.handle_open(start);
  CHECK(!x.handle_message(1, start).ok());
  CHECK(!x.handle_ping(start));
  CHECK(x.handle_init(start));
  CHECK(x.handle_message(1, start).ok());
  CHECK(!x.handle_init(start));
  CHECK(x.handle_ping(start));
  CHECK(x.handle_dial() == 2);
  CHECK(!x.handle_message(1, start).ok());
}

TEST_CASE(
    "Init and the first Ping have a time limit, which doubles with each failure up to a maximum") {
  connection_policy x;
  CHECK(!x.poll_timeout());
  x.handle_dial();
  CHECK(!x.poll_timeout());  // the socket's own limit
  x.handle_open(start);
  CHECK(x.poll_timeout() == start + 5s);
  CHECK(x.awaited() == "no Init came within 5000 ms");
  x.handle_progress(start + 1s);
  CHECK(x.poll_timeout() == start + 6s);
  x.handle_init(start + 4s);
  CHECK(x.poll_timeout() == start + 9s);
  CHECK(x.awaited() == "no first Ping came within 5000 ms");
  REQUIRE(x.handle_message(1, start + 5s).ok());
  CHECK(x.poll_timeout() == start + 10s);
  x.handle_ping(start + 6s);
  CHECK(!x.poll_timeout());  // the lease
  for (const auto limit : {10s, 20s, 20s}) {
    CHECK(x.handle_end({.what = end::silent}, start + 6s).what == decision::retry);
    CHECK(!x.poll_timeout());
    x.handle_dial();
    x.handle_open(start);
    CHECK(x.poll_timeout() == start + limit);
  }
}

TEST_CASE("Messages between Init and the first Ping are limited, later ones are not") {
  connection_policy x{{.replay_bytes_max = 100}};
  for (int connection = 0; connection < 2; ++connection) {
    x.handle_dial();
    x.handle_open(start);
    x.handle_init(start);
    CHECK(x.handle_message(99, start).ok());
    CHECK(x.handle_message(1, start).ok());
    const auto more = x.handle_message(1, start);
    REQUIRE(!more.ok());
    CHECK(more.error().code == errc::too_large);
    CHECK(more.error().message.find("100 bytes of replay_bytes_max") != std::string::npos);
    x.handle_end({.what = end::protocol}, start);
  }
  go_live(x);
  CHECK(x.handle_message(1000, start).ok());
}

TEST_CASE("A permanent error is refused and names the setting to change") {
  const auto message = [](const connection_end& why) {
    connection_policy x;
    x.handle_dial();
    const auto d = x.handle_end(why, start);
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
  for (const auto* part :
       {"host_options::envoy_key",
        "host_options::protocol_version (3, 4, 5, 6 or 8)",
        "host_options::actors_version",
        "host_options::pool"})
    CHECK(has(message(closed("ws.invalid_request#ray")), part));
  CHECK(has(message(closed("guard.websocket_not_supported#ray")), "host_options::endpoint"));
  CHECK(has(message({.what = end::bad_target}), "host_options::endpoint"));
  CHECK(has(message({.what = end::http_refused, .http_status = 401}), "host_options::token"));
  CHECK(has(message({.what = end::http_refused, .http_status = 403}), "host_options::token"));
  CHECK(has(message({.what = end::http_refused, .http_status = 404}), "host_options::endpoint"));
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
    REQUIRE(x.handle_end(why, start).what == decision::ask);
    const auto changed = x.handle_terms(true, false);
    CHECK(changed.what == decision::retry);
    CHECK(changed.after >= 70ms);  // should each be refused in turn: no tight loop
    x.handle_dial();
    REQUIRE(x.handle_end(why, start).what == decision::ask);
    CHECK(x.handle_no_terms("engine away").what == decision::retry);
  }
}

TEST_CASE(
    "A refused token that has worked and can be renewed is waited for, other refusals are final") {
  const connection_end token{.what = end::http_refused, .http_status = 401};
  const auto after = [](const connection_end& why, bool was_live, bool renewable) {
    connection_policy x;
    if (was_live) go_live(x);
    REQUIRE(x.handle_end(why, start).what == decision::ask);
    return x.handle_terms(false, renewable);
  };
  const auto waits = after(token, true, true);
  CHECK(waits.what == decision::retry);
  CHECK(waits.after >= 3500ms);
  CHECK(waits.message.find("host_options::token") != std::string::npos);
  CHECK(after(token, true, false).what == decision::refused);
  CHECK(after(token, false, true).what == decision::refused);
  CHECK(after(closed("ws.invalid_request#ray"), true, true).what == decision::refused);
}

TEST_CASE("I14 single writer: an eviction is final") {
  connection_policy x;
  go_live(x);
  CHECK(x.handle_end(closed("ws.eviction#ray", 1000), start).what == decision::evicted);
}

TEST_CASE("Temporary failures are retried") {
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
    CHECK(x.handle_end(why, start).what == decision::retry);
  }
}

TEST_CASE(
    "1.3: A namespace that may still be created is waited for, slowly, and the setting is named") {
  connection_policy x;
  for (int i = 0; i < 100; ++i) {
    x.handle_dial();
    const auto d = x.handle_end(closed("namespace.not_found#r"), start);
    REQUIRE(d.what == decision::retry);
    CHECK(d.after >= 3500ms);
    CHECK(d.message.find("host_options::namespace_name") != std::string::npos);
  }
}

TEST_CASE("A pool that the engine does not have is created, at once and then slowly, for ever") {
  connection_policy x;
  for (int i = 0; i < 100; ++i) {
    x.handle_dial();
    REQUIRE(x.handle_end(closed("ws.no_runner_config#r"), start).what == decision::ask);
    const auto d = x.handle_terms(false, false);
    REQUIRE(d.what == decision::retry);
    if (i < 2)
      CHECK(d.after <= 1600ms);
    else
      CHECK(d.after >= 3500ms);
    CHECK(d.message.find("host_options::pool") != std::string::npos);
  }
  // A token that is refused afterwards is another matter.
  x.handle_dial();
  REQUIRE(
      x.handle_end({.what = end::http_refused, .http_status = 401}, start).what == decision::ask);
  CHECK(x.handle_terms(false, false).what == decision::refused);
}

TEST_CASE("The log has the first failures, every twentieth, and each for another reason") {
  connection_policy x;
  std::vector<int> logged;
  const auto fail = [&](int n, const connection_end& why) {
    x.handle_dial();
    auto d = x.handle_end(why, start);
    if (d.what == decision::ask) d = x.handle_terms(false, false);
    if (d.news) logged.push_back(n);
  };
  for (int n = 1; n <= 10; ++n) fail(n, {.what = end::unreachable});
  for (int n = 11; n <= 15; ++n) fail(n, closed("ws.no_runner_config#one"));
  for (int n = 16; n <= 20; ++n) fail(n, closed("ws.no_runner_config#two"));
  CHECK(logged == std::vector<int>{1, 2, 3, 11, 20});
}

TEST_CASE(
    "The log shows how far a connection gets, as often as its failures, or when it gets further") {
  connection_policy x;
  std::vector<std::string> logged;
  const auto connect = [&](int n, bool live) {
    x.handle_dial();
    x.handle_open(start);
    CHECK(x.handle_init(start));
    if (x.reached_is_news()) logged.push_back(std::to_string(n) + " connected");
    if (live) CHECK(x.handle_ping(start));
    if (live && x.reached_is_news()) logged.push_back(std::to_string(n) + " ready");
    x.handle_end({.what = end::lost}, start);
    CHECK(x.was_connected());
  };
  for (int n = 1; n <= 5; ++n) connect(n, false);
  for (int n = 6; n <= 10; ++n) connect(n, true);  // further
  x.handle_dial();
  x.handle_open(start);
  x.handle_end(closed("namespace.not_found#r"), start);
  CHECK(!x.was_connected());
  connect(12, true);
  CHECK(
      logged == std::vector<std::string>{
                    "1 connected",
                    "2 connected",
                    "3 connected",
                    "4 connected",
                    "6 ready",
                    "12 connected",
                    "12 ready"});
}

TEST_CASE("A restarting engine is dialled at once, but not in a tight loop") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    connection_policy x{{.seed = seed}};
    go_live(x);
    CHECK(x.handle_end(closed("ws.going_away#r"), start).after <= 50ms);
    CHECK(x.handle_end(closed("ws.going_away#r"), start).after >= 70ms);
  }
}

}  // namespace connection_policy_test

// Every number and time that a program may set: at the ends of its type it is refused, with its name and range. The walk finds
// the members itself, so that a new one without a range fails here.
#include <doctest/doctest.h>

#include <boost/pfr.hpp>
#include <caf/all.hpp>
#include <functional>
#include <limits>
#include <nuncio/engine/http_client.hpp>
#include <nuncio/engine_client.hpp>
#include <nuncio/host.hpp>
#include <nuncio/sqlite.hpp>
#include <nuncio/storage/sqlite_over.hpp>
#include <nuncio/storage/storage_requests.hpp>
#include <set>

#include "support/serving_host.hpp"

namespace option_ranges_host_test {

using namespace nuncio;
using namespace std::chrono_literals;

namespace {

template <class T>
constexpr bool is_time = false;
template <class Rep, class Period>
constexpr bool is_time<std::chrono::duration<Rep, Period>> = true;

template <class T>
constexpr bool holds_options = std::is_class_v<T>&& std::is_aggregate_v<T>;

/// Calls `f` once for each end of the type of each number below `x`, which has that value then.
template <class T, class F>
void at_each_end(T& x, F& f) {
  boost::pfr::for_each_field(x, [&]<class Field>(Field& field) {
    using limits = std::numeric_limits<Field>;
    const auto with = [&](Field end) {
      const auto usual = std::exchange(field, end);
      f();
      field = usual;
    };
    if constexpr (std::is_same_v<Field, bool>) {
      // Both are legal.
    } else if constexpr (std::is_floating_point_v<Field>) {
      for (const auto end : {limits::quiet_NaN(), limits::infinity(), -limits::infinity()})
        with(end);
    } else if constexpr (std::is_integral_v<Field>) {
      with(limits::max());
      if constexpr (std::is_signed_v<Field>) with(limits::min());
    } else if constexpr (is_time<Field>) {
      for (const auto end : {Field::max(), Field::min(), Field{-1}}) with(end);
    } else if constexpr (holds_options<Field>) {
      at_each_end(field, f);
    }
  });
}

/// What was said of the numbers of an options struct.
struct walk {
  std::set<std::string> refused;  // by which names
  int taken = 0;
};

/// The option that a refusal names: "[of: ]NAME VALUE: must be LOW to HIGH".
std::string named_in(const failure& why) {
  CAPTURE(why.message);
  CHECK(why.code == errc::invalid_argument);
  const auto end = why.message.find(": must be ");
  REQUIRE(end != std::string::npos);
  const auto value = why.message.rfind(' ', end - 1);
  const auto name = why.message.rfind(' ', value - 1) + 1;  // 0 if it comes first
  return why.message.substr(name, value - name);
}

/// @param ask  what is said where the options come in
template <class Options, class Ask>
walk walk_over(Options options, Ask ask) {
  walk out;
  auto look = [&] {
    const outcome<void> said = ask(options);
    if (said)
      ++out.taken;
    else
      out.refused.insert(named_in(said.error()));
  };
  at_each_end(options, look);
  return out;
}

/// Where nobody listens.
constexpr auto nowhere = "http://127.0.0.1:1";

struct fixture {
  outcome<void> serve(serve_options how) {
    host h{sys, {.endpoint = nowhere}};
    how.name = "room";
    h.serve(how, [](engine_actor*) -> caf::behavior { return {[](const std::string&) {}}; });
    return h.start();
  }

  outcome<void> spawn(client_options o) {
    o.endpoint = nowhere;
    const auto made = spawn_client(sys, std::move(o));
    return made ? outcome<void>{} : made.error();
  }

  struct config : caf::actor_system_config {
    config() { recommended(*this); }
  };

  config cfg;
  caf::actor_system sys{cfg};
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "5.6: no number of a host's options may be at the end of its type") {
  const auto all = walk_over(host_options{.endpoint = nowhere}, [&](const host_options& o) {
    return test::serving_host{sys, o}.start();
  });
  CHECK(all.taken == 2);  // actors_version and policy.seed may be any number
  CHECK(
      all.refused == std::set<std::string>{
                         "drain_timeout",
                         "lease.end_limit",
                         "lease.margin",
                         "ledger.bytes_max",
                         "ledger.forget_after",
                         "ledger.keep_min",
                         "ledger.start_limit",
                         "links",
                         "policy.delay_max",
                         "policy.first_delay",
                         "policy.first_words_limit",
                         "policy.first_words_limit_max",
                         "policy.proven_after",
                         "policy.replay_bytes_max",
                         "policy.slow_delay",
                         "protocol_version",
                         "requests_max",
                         "socket.close_limit",
                         "socket.connect_limit",
                         "socket.fragment_bytes",
                         "socket.hangup_after",
                         "socket.message_bytes_max",
                         "socket.ping_after",
                         "stall_limit",
                         "stop_grace",
                         "storage.actor_answer_bytes_max",
                         "storage.actor_bytes_max",
                         "storage.actor_requests_max",
                         "storage.answer_bytes_reserved",
                         "storage.end_grace",
                         "storage.host_answer_bytes_max",
                         "storage.host_bytes_max",
                         "storage.host_requests_max",
                         "storage.timeout",
                         "upload_patience",
                         "waiting.actor_bytes_max",
                         "waiting.host_bytes_max",
                         "waiting.socket_bytes_max",
                         "waiting.socket_bytes_reserved"});
}

TEST_CASE_FIXTURE(fixture, "5.6: no number of what is served may be at the end of its type") {
  const auto all = walk_over(serve_options{}, [&](const serve_options& o) { return serve(o); });
  CHECK(all.taken == 0);
  CHECK(
      all.refused == std::set<std::string>{
                         "idle_timeout",
                         "request_timeout",
                         "requests_max",
                         "socket_unsent_bytes_max",
                         "socket_waiting_bytes_max"});
}

TEST_CASE_FIXTURE(fixture, "5.6: no number of a client's options may be at the end of its type") {
  const auto all = walk_over(client_options{}, [&](const client_options& o) { return spawn(o); });
  CHECK(all.taken == 0);
  CHECK(all.refused == std::set<std::string>{"calls_max", "connections_max", "response_bytes_max"});
}

TEST_CASE("5.6: no number of a local SQLite's options may be at the end of its type") {
  const auto all = walk_over(sqlite_options{}, [&](const sqlite_options& o) -> outcome<void> {
    int asked = 0;
    const auto opened = internal::sqlite_over::open(
        [&](const storage_call&) {
          ++asked;
          return storage_failure{errc::cancelled, "nothing is stored here", false, {}};
        },
        o);
    REQUIRE(!opened);
    if (asked != 0) return {};
    const auto why = storage_failure_of(opened.error());
    REQUIRE(why);
    return failure{why->code, why->message};
  });
  CHECK(all.taken == 0);
  CHECK(
      all.refused == std::set<std::string>{
                         "cache_bytes",
                         "pages.attempts_max",
                         "pages.clean_bytes_max",
                         "pages.dirty_bytes_max",
                         "pages.jump_pages",
                         "pages.open_pages",
                         "pages.sequence_pages_max"});
}

TEST_CASE_FIXTURE(fixture, "every number of the options is checked at the start, and named") {
  const std::pair<const char*, std::function<void(host_options&)>> wrong[] = {
      {"drain_timeout", [](auto& o) { o.drain_timeout = -1ms; }},
      {"drain_timeout", [](auto& o) { o.drain_timeout = std::chrono::milliseconds::max(); }},
      {"stop_grace", [](auto& o) { o.stop_grace = -1ms; }},
      {"stall_limit", [](auto& o) { o.stall_limit = 0ms; }},
      {"upload_patience", [](auto& o) { o.upload_patience = 0ms; }},
      {"requests_max", [](auto& o) { o.requests_max = 0; }},
      {"waiting.socket_bytes_max", [](auto& o) { o.waiting.socket_bytes_max = 0; }},
      {"waiting.socket_bytes_reserved",
       [](auto& o) { o.waiting.socket_bytes_reserved = std::size_t{1} << 32U; }},
      {"storage.timeout", [](auto& o) { o.storage.timeout = 0s; }},
      {"storage.end_grace", [](auto& o) { o.storage.end_grace = -1s; }},
      {"storage.end_grace", [](auto& o) { o.storage.end_grace = 11s; }},
      {"storage.actor_requests_max", [](auto& o) { o.storage.actor_requests_max = 0; }},
      {"storage.actor_bytes_max", [](auto& o) { o.storage.actor_bytes_max = 0; }},
      {"storage.host_requests_max", [](auto& o) { o.storage.host_requests_max = 0; }},
      {"storage.host_bytes_max", [](auto& o) { o.storage.host_bytes_max = 0; }},
      {"storage.actor_answer_bytes_max", [](auto& o) { o.storage.actor_answer_bytes_max = 0; }},
      // No room for the longest answer beside what an actor has not told.
      {"storage.actor_answer_bytes_max",
       [](auto& o) {
         o.storage.actor_answer_bytes_max =
             answer_bytes_longest + answer_overhead + answer_bytes_untold_max - 1;
       }},
      {"storage.host_answer_bytes_max",
       [](auto& o) { o.storage.host_answer_bytes_max = 64UL << 20U; }},
      // Its actor's 72 MiB and what it awaits, twice.
      {"storage.host_answer_bytes_max",
       [](auto& o) { o.storage.host_answer_bytes_max = 208UL << 20U; }},
      {"storage.answer_bytes_reserved",
       [](auto& o) { o.storage.answer_bytes_reserved = answer_bytes_untold_max - 1; }},
      {"storage.answer_bytes_reserved",
       [](auto& o) { o.storage.answer_bytes_reserved = std::size_t{1} << 32U; }},
      {"ledger.bytes_max", [](auto& o) { o.ledger.bytes_max = 0; }},
      {"ledger.forget_after", [](auto& o) { o.ledger.forget_after = -1ns; }},
      {"ledger.start_limit", [](auto& o) { o.ledger.start_limit = 0s; }},
      {"ledger.start_limit", [](auto& o) { o.ledger.start_limit = 31s; }},
      {"ledger.keep_min", [](auto& o) { o.ledger.keep_min = -1ns; }},
      {"socket.connect_limit", [](auto& o) { o.socket.connect_limit = 0ms; }},
      {"socket.close_limit", [](auto& o) { o.socket.close_limit = -1ms; }},
      {"socket.ping_after", [](auto& o) { o.socket.ping_after = -1ms; }},
      {"socket.hangup_after", [](auto& o) { o.socket.hangup_after = -1ms; }},
      {"socket.message_bytes_max", [](auto& o) { o.socket.message_bytes_max = 1; }},
      {"lease.margin", [](auto& o) { o.lease.margin = -1s; }},
      {"lease.end_limit", [](auto& o) { o.lease.end_limit = -1s; }},
      {"policy.first_delay", [](auto& o) { o.policy.first_delay = 0s; }},
      {"policy.delay_max", [](auto& o) { o.policy.delay_max = 1ms; }},
      {"policy.slow_delay", [](auto& o) { o.policy.slow_delay = -1s; }},
      {"policy.proven_after", [](auto& o) { o.policy.proven_after = -1ns; }},
      {"policy.first_words_limit", [](auto& o) { o.policy.first_words_limit = 0s; }},
      {"policy.first_words_limit_max", [](auto& o) { o.policy.first_words_limit_max = 4s; }},
      {"policy.replay_bytes_max", [](auto& o) { o.policy.replay_bytes_max = 0; }},
      {"links", [](auto& o) { o.links = 0; }},
      {"protocol_version", [](auto& o) { o.protocol_version = 7; }},
  };
  for (const auto& [name, change] : wrong) {
    CAPTURE(std::string{name});
    host_options o;
    change(o);
    const auto started = host{sys, o}.start();
    REQUIRE(!started);
    CHECK(named_in(started.error()) == name);
  }
  const auto of = [](const outcome<void>& said) {
    REQUIRE(!said);
    return said.error().message;
  };
  CHECK(
      of(serve({.idle_timeout = -1ms})) ==
      "serve 'room': idle_timeout -1: must be 0 to 86400000 ms");
  CHECK(of(serve({.request_timeout = -1ms})).starts_with("serve 'room': request_timeout -1:"));
  CHECK(of(serve({.socket_unsent_bytes_max = 0}))
            .starts_with("serve 'room': socket_unsent_bytes_max 0:"));
  CHECK(of(spawn({.calls_max = 0})).starts_with("calls_max 0:"));
  CHECK(of(spawn({.connections_max = 0})) == "connections_max 0: must be 1 to 65535");
  CHECK(of(spawn({.response_bytes_max = 0})).starts_with("response_bytes_max 0:"));
}

}  // namespace option_ranges_host_test

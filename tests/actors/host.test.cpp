// The start and the end of nuncio::host, in a real actor system and without an engine: nothing hangs, everything is reported.
#include <doctest/doctest.h>

#include <atomic>
#include <caf/all.hpp>
#include <csignal>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <nuncio/host.hpp>
#include <nuncio/host/scheduler_settings.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "actors/watched_actors.hpp"
#include "support/serving_host.hpp"

namespace host_test {

using namespace nuncio;
using namespace std::chrono_literals;

namespace {

constexpr auto nowhere = "http://127.0.0.1:1";

struct fixture {
  struct config : caf::actor_system_config {
    config() { recommended(*this); }
  };

  config cfg;
  std::optional<caf::actor_system> sys{std::in_place, cfg};
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();

  static host_options options() {
    host_options x;
    x.endpoint = nowhere;
    x.drain_timeout = 1s;
    return x;
  }

  [[nodiscard]] bool within(std::chrono::seconds limit) const {
    return std::chrono::steady_clock::now() - began < limit;
  }
};

outcome<void> start_with(caf::actor_system& sys, const std::function<void(host_options&)>& change) {
  auto options = fixture::options();
  change(options);
  host h{sys, options};
  return h.start();
}

}  // namespace

TEST_CASE_FIXTURE(fixture, "wrong options give errors that name the option") {
  const auto named = [&](std::string_view name, const std::function<void(host_options&)>& change) {
    const auto started = start_with(*sys, change);
    REQUIRE(!started);
    CHECK(started.error().code == errc::invalid_argument);
    CHECK_MESSAGE(started.error().message.find(name) != std::string::npos, started.error().message);
  };
  named("endpoint", [](auto& x) { x.endpoint = "ftp://here"; });
  named("endpoint", [](auto& x) { x.endpoint = ""; });
  named("pool", [](auto& x) { x.pool = ""; });
  named("pool", [](auto& x) { x.pool = std::string(129, 'p'); });
  named("namespace", [](auto& x) { x.namespace_name = ""; });
  named("envoy_key", [](auto& x) { x.envoy_key = "a b"; });
  named("envoy_key", [](auto& x) { x.envoy_key = "ab"; });
  named("links", [](auto& x) { x.links = 0; });
  named("links", [](auto& x) { x.links = 65; });
  named("protocol_version", [](auto& x) { x.protocol_version = 2; });
  named("protocol_version", [](auto& x) { x.protocol_version = 7; });
  named("protocol_version", [](auto& x) { x.protocol_version = 9; });
}

TEST_CASE_FIXTURE(fixture, "an actor that can't be served is refused at once, and by start()") {
  host h{*sys, options()};
  std::string named;
  SUBCASE("nothing") { named = "nothing is served: call serve() before start()"; }
  SUBCASE("no name") {
    named = "serve: the name of an actor must not be empty";
    h.serve("echo", test::deaf);
    const auto served = h.serve("", test::deaf);
    REQUIRE(!served);
    CHECK(served.error() == failure{errc::invalid_argument, named});
  }
  SUBCASE("a name twice, though nothing else is wrong") {
    named = "serve 'echo': this name is already served";
    CHECK(h.serve("echo", test::deaf));
    CHECK(h.serve("other", test::deaf));
    const auto served = h.serve({.name = "echo", .detached = true}, test::deaf);
    REQUIRE(!served);
    CHECK(served.error() == failure{errc::invalid_argument, named});
  }
  SUBCASE("the first of two mistakes is the one that is told") {
    named = "serve 'slow': idle_timeout -1: must be 0 to 86400000 ms";
    h.serve({.name = "slow", .idle_timeout = -1ms}, test::deaf);
    h.serve("", test::deaf);
  }
  for (int i = 0; i < 2; ++i) {
    const auto started = h.start();
    REQUIRE(!started);
    CHECK(started.error() == failure{errc::invalid_argument, named});
  }
  CHECK(h.stats().link.dials == 0);
}

TEST_CASE_FIXTURE(fixture, "serve() after start or stop is refused, and logged") {
  std::mutex mutex;
  std::vector<std::pair<log_level, std::string>> said;
  auto logged = options();
  logged.log = [&](log_level level, std::string_view message, std::span<const log_field>) {
    const std::lock_guard guard{mutex};
    if (message.starts_with("serve ")) said.emplace_back(level, message);
  };
  const std::string why = "serve 'late': this host was started or stopped before";
  test::serving_host h{*sys, logged};
  SUBCASE("started") { REQUIRE(h.start()); }
  SUBCASE("stopped") { h.stop(); }
  const auto served = h.serve("late", test::deaf);
  REQUIRE(!served);
  CHECK(served.error() == failure{errc::refused, why});
  const std::lock_guard guard{mutex};
  CHECK(said == std::vector{std::pair{log_level::error, why}});
}

TEST_CASE_FIXTURE(fixture, "actors are served from several threads at once") {
  host h{*sys, options()};
  constexpr int threads = 4, names = 50;
  std::atomic<int> taken = 0;
  std::vector<std::future<void>> all;
  for (int t = 0; t < threads; ++t)
    all.push_back(std::async(std::launch::async, [&] {
      // Each name is offered by each thread, and served once.
      for (int i = 0; i < names; ++i)
        if (h.serve(std::to_string(i), test::deaf)) ++taken;
    }));
  for (auto& each : all) each.get();
  CHECK(taken == names);
}

TEST_CASE_FIXTURE(fixture, "a host that is never started ends, and keys are random") {
  host a{*sys, options()};
  host b{*sys, options()};
  CHECK(a.envoy_key() != b.envoy_key());
  CHECK(a.envoy_key().size() >= 16);
}

TEST_CASE_FIXTURE(fixture, "a host of several links begins and ends") {
  auto several = options();
  several.links = 3;
  test::serving_host h{*sys, several};
  REQUIRE(h.start());
  h.stop();
  CHECK(h.stats().link.dials == 0);
  CHECK(within(10s));
}

TEST_CASE_FIXTURE(fixture, "stop before start; start after stop is refused") {
  test::serving_host h{*sys, options()};
  h.stop();
  const auto started = h.start();
  REQUIRE(!started);
  CHECK(started.error().code == errc::refused);
}

TEST_CASE_FIXTURE(fixture, "start twice is refused, stop twice is not") {
  test::serving_host h{*sys, options()};
  REQUIRE(h.start());
  CHECK(!h.start());
  h.stop();
  h.stop();
  CHECK(!h.ended());
  CHECK(within(10s));
}

TEST_CASE_FIXTURE(fixture, "stop from another thread, from two at once, and right after start") {
  for (auto i = 0; i < 5; ++i) {
    test::serving_host h{*sys, options()};
    REQUIRE(h.start());
    auto one = std::async(std::launch::async, [&] { h.stop(); });
    auto two = std::async(std::launch::async, [&] { h.stop(); });
    one.get();
    two.get();
  }
  CHECK(within(20s));
}

TEST_CASE_FIXTURE(fixture, "stop from an actor of the same system, on its only worker") {
  sys.reset();
  internal::set_scheduler(cfg, "max-threads", 1);
  sys.emplace(cfg);
  test::serving_host h{*sys, options()};
  REQUIRE(h.start());
  std::promise<void> stopped;
  sys->spawn(
      [](caf::event_based_actor*, host* to_stop, std::promise<void>* done) {
        to_stop->stop();
        done->set_value();
      },
      &h,
      &stopped);
  CHECK(stopped.get_future().wait_for(10s) == std::future_status::ready);
  CHECK(within(10s));
}

TEST_CASE_FIXTURE(
    fixture, "run_until_signal ends with a signal, and when another thread stops the host") {
  const auto run = [&](const std::function<void()>& once_starting) {
    auto with = options();
    with.token_from = [once_starting, done = false]() mutable -> outcome<std::string> {
      if (!std::exchange(done, true)) once_starting();
      return std::string{};
    };
    return std::make_unique<test::serving_host>(*sys, with);
  };
  const auto signalled = run([] { std::raise(SIGTERM); });
  CHECK(signalled->run_until_signal() == 0);
  std::promise<void> starting;
  const auto stopped = run([&] { starting.set_value(); });
  auto status = std::async(std::launch::async, [&] { return stopped->run_until_signal(); });
  starting.get_future().wait();
  stopped->stop();
  const bool ended = status.wait_for(5s) == std::future_status::ready;
  CHECK(ended);
  if (!ended) std::raise(SIGTERM);
  CHECK(status.get() == 0);
  CHECK(within(10s));
}

TEST_CASE_FIXTURE(fixture, "start and stop at the same moment") {
  for (auto i = 0; i < 20; ++i) {
    test::serving_host h{*sys, options()};
    auto one = std::async(std::launch::async, [&] { static_cast<void>(h.start()); });
    h.stop();
    one.get();
  }
  CHECK(within(20s));
}

TEST_CASE_FIXTURE(fixture, "abort, and a destructor that stops") {
  {
    test::serving_host h{*sys, options()};
    REQUIRE(h.start());
    h.abort();
  }
  {
    test::serving_host h{*sys, options()};
    REQUIRE(h.start());
  }
  CHECK(within(10s));
}

TEST_CASE_FIXTURE(fixture, "several hosts in one system, and their numbers") {
  host a{*sys, options()};
  host b{*sys, options()};
  a.serve("echo", test::deaf);
  b.serve("echo", test::deaf);
  REQUIRE(a.start());
  REQUIRE(b.start());
  CHECK(a.stats().ingress.commands == 0);
  CHECK(b.stats().link.connections == 0);
}

TEST_CASE_FIXTURE(fixture, "the actor system ends before the host") {
  host never{*sys, options()};
  test::serving_host running{*sys, options()};
  REQUIRE(running.start());
  test::serving_host stopped{*sys, options()};
  REQUIRE(stopped.start());
  stopped.stop();
  sys.reset();
  CHECK(within(10s));
  const auto why = running.ended();
  REQUIRE(why);
  CHECK(why->message.find("actor system") != std::string::npos);
  running.stop();
  CHECK(running.stats().ingress.commands == 0);
}

}  // namespace host_test

// The facade's beginning and end, in a real actor system and with no engine there: nothing hangs, everything is said.
#include <doctest/doctest.h>

#include <caf/all.hpp>
#include <csignal>
#include <functional>
#include <future>
#include <memory>
#include <nuncio/host.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "actors/sample_actors.hpp"

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

TEST_CASE_FIXTURE(fixture, "a host is never started, and its keys are random") {
  host a{*sys, options()};
  host b{*sys, options()};
  CHECK(a.envoy_key() != b.envoy_key());
  CHECK(a.envoy_key().size() >= 16);
}

TEST_CASE_FIXTURE(fixture, "a host of several links begins and ends") {
  auto several = options();
  several.links = 3;
  host h{*sys, several};
  REQUIRE(h.start());
  h.stop();
  CHECK(h.stats().link.dials == 0);
  CHECK(within(10s));
}

TEST_CASE_FIXTURE(fixture, "stop before start; start after stop is refused") {
  host h{*sys, options()};
  h.stop();
  const auto started = h.start();
  REQUIRE(!started);
  CHECK(started.error().code == errc::refused);
}

TEST_CASE_FIXTURE(fixture, "start twice is refused, stop twice is not") {
  host h{*sys, options()};
  REQUIRE(h.start());
  CHECK(!h.start());
  h.stop();
  h.stop();
  CHECK(!h.ended());
  CHECK(within(10s));
}

TEST_CASE_FIXTURE(fixture, "stop from another thread, from two at once, and right after start") {
  for (auto i = 0; i < 5; ++i) {
    host h{*sys, options()};
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
  cfg.set("scheduler.max-threads", std::size_t{1});
  sys.emplace(cfg);
  host h{*sys, options()};
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
    return std::make_unique<host>(*sys, with);
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
    host h{*sys, options()};
    auto one = std::async(std::launch::async, [&] { static_cast<void>(h.start()); });
    h.stop();
    one.get();
  }
  CHECK(within(20s));
}

TEST_CASE_FIXTURE(fixture, "abort, and a destructor that stops") {
  {
    host h{*sys, options()};
    REQUIRE(h.start());
    h.abort();
  }
  {
    host h{*sys, options()};
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
  host running{*sys, options()};
  REQUIRE(running.start());
  host stopped{*sys, options()};
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

// Twenty actors under steady traffic of every kind, on a host with an additional load: `during` runs an act beside them, and
// checks that it costs them nothing. The act's name begins with the number of its subject.
//
//   TEST_CASE_TEMPLATE("…", Gateway, buffered, streaming) {
//     auto& b = Gateway::of_run();
//     const auto id = b.client.create_running("crook");
//     b.during("3.6: an actor throws in every handler", [&] { static_cast<void>(b.client.get(id, "/throw")); });
//   }
//
// Any actor of test_host can be part of an act. None of the bystanders' requests may fail, no WebSocket may close, nothing may
// be lost or repeated, and the host must keep its connection. Their longest silence, including a late alarm, must exceed
// neither the act's `silence` nor four times the silence without the act, whichever is larger. If it does, the act is repeated,
// up to three times and each time right after traffic without it, so that a slow or busy machine does not fail.
#pragma once

#include <atomic>
#include <deque>
#include <filesystem>
#include <functional>
#include <thread>
#include <vector>

#include "bystander_traffic.hpp"
#include "fixture.hpp"

namespace nuncio::e2e {

struct act_limits {
  std::chrono::milliseconds lasts{1000};   ///< the act is run again until then; 0: once
  std::chrono::milliseconds silence{250};  ///< its bound, as the table states it
  bool reconnects = false;                 ///< the act itself ends the host's connection
};

class bystanders {
public:
  bystanders(engine_under_test& on, std::string_view gateway, host_setup setup = {});
  ~bystanders();
  bystanders(const bystanders&) = delete;
  bystanders& operator=(const bystanders&) = delete;

  /// Before and after it nothing is on its way to a bystander: what cuts the connection right then costs them nothing.
  void during(
      const std::string& act, const std::function<void()>& once, const act_limits& limits = {});

  /// An act has cost something: what follows would not be told apart from it.
  [[nodiscard]] bool spoiled() const { return spoiled_; }

  engine_under_test& engine;
  std::string pool;
  pool_client client;
  test_host host;

private:
  traffic_tally watch(const std::function<void()>& once, std::chrono::milliseconds lasts);
  void measure_alone();
  /// `bound`: of the act; empty if it has none.
  void keep(const std::string& act, const traffic_tally& seen, const std::string& bound) const;

  std::string gateway_;
  std::deque<bystander_client> clients_;
  std::chrono::milliseconds alone_{0};  ///< the longest silence without an act
  bool spoiled_ = false;
};

/// The bystanders of a run, on an engine of their own, and anew once an act has cost them something.
struct buffered {
  static constexpr std::string_view name = "buffered";
  static engine_under_test& engine();
  static bystanders& of_run();
};

struct streaming {
  static constexpr std::string_view name = "streaming";
  static engine_under_test& engine();
  static bystanders& of_run();
};

/// Calls `f` with 0 to n-1, `at_once` of them at the same time.
template <class F>
void side_by_side(std::size_t n, std::size_t at_once, F f) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < at_once; ++t)
    threads.emplace_back([&] {
      for (auto i = next++; i < n; i = next++) f(i);
    });
  for (auto& x : threads) x.join();
}

/// Of an actor `outside`.
void put_to_sleep(const bystanders& b, const std::string& id);
/// Waits until none of the WebSockets counts as open that it left when it went to sleep. A Start may leave out one that is
/// younger than ten seconds, so that the actor believes in it until the next.
bool await_none_open(const bystanders& b, const std::string& id);

/// Before main ends: ends them, and prints the table of this run.
void end_bystanders();

/// Prints the acts of all runs that left their results in `folder`, if there were any.
void print_acts(const std::filesystem::path& folder);

}  // namespace nuncio::e2e

TYPE_TO_STRING_AS("buffered", nuncio::e2e::buffered);
TYPE_TO_STRING_AS("streaming", nuncio::e2e::streaming);

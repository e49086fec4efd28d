// Your actors in a simulated world: the host's real actors and yours on CAF's deterministic scheduler, together with the dev
// engine and virtual time. A 30 s idle timeout or an alarm tomorrow takes no time, and each run is the same.
//
//   nuncio::testing::simulated_host host;
//   host.serve("counter", counter);
//   auto client = host.client();
//   const auto id = expect(client.create({.name = "counter"})).id;
//   CHECK(expect(client.request(id, "POST", "/request")).body == "1");
//   host.pass(24h);                                                     // it sleeps meanwhile
//   CHECK(expect(client.request(id, "POST", "/request")).body == "2");
//
// And under faults: connections are cut, acks are lost, commands arrive twice or out of order.
//
//   for_each_seed(100, [](simulated_host& host) { host.serve("counter", counter); … });
//
// Hosted actors that send messages without end, and without any time passing, can't hold up a run: every function that runs
// them throws std::runtime_error after a million messages.
//
// An actor that reads a clock directly reads the real one; `self->clock().now()` and delayed messages use virtual time. Actors
// that block, and `serve_options::detached`, are not supported here.
//
// One thread.
#pragma once

#include <caf/actor_system.hpp>
#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <nuncio/bytes.hpp>
#include <nuncio/detail/factory.hpp>
#include <nuncio/host_stats.hpp>
#include <nuncio/log.hpp>
#include <nuncio/serve_options.hpp>
#include <nuncio/testing/client.hpp>
#include <nuncio/testing/dev_engine.hpp>
#include <nuncio/testing/fault.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace nuncio::testing {

struct simulation_options {
  std::uint64_t seed = 1;  ///< of all random choices: the same seed gives the same run
  /// Randomly cuts connections, loses acks, and delivers commands twice and out of order. None of it costs a request its
  /// response or an actor its state.
  bool faults = false;
  engine_limits limits{};
  bool streaming = false;  ///< the streaming gateway instead of the buffered one
  log_sink log{};          ///< of the host; empty: silent
};

class simulated_host {
public:
  explicit simulated_host(simulation_options options = {});
  ~simulated_host();
  simulated_host(const simulated_host&) = delete;
  simulated_host& operator=(const simulated_host&) = delete;

  /// As host::serve(). The host starts with the first call that needs it; actors served later are served by the next host.
  template <std::convertible_to<std::string> Name, class F, class... Args>
  void serve(Name name, F f, Args... args) {
    serve(serve_options{.name = std::move(name)}, std::move(f), std::move(args)...);
  }

  template <class F, class... Args>
  void serve(serve_options how, F f, Args... args) {
    add(std::move(how), internal::function_factory(std::move(f), std::move(args)...));
  }

  template <class T, std::convertible_to<std::string> Name, class... Args>
  void serve(Name name, Args... args) {
    serve<T>(serve_options{.name = std::move(name)}, std::move(args)...);
  }

  template <class T, class... Args>
  void serve(serve_options how, Args... args) {
    add(std::move(how), internal::class_factory<T>(std::move(args)...));
  }

  /// Creates, calls and ends actors. It waits in virtual time. Valid as long as this object.
  [[nodiscard]] testing::client client();

  /// Advances time and runs everything that becomes due.
  void pass(std::chrono::milliseconds time);

  /// Cuts the connection to the engine now; the next one comes after `gone_for`. After 15 s the engine gives the host's actors
  /// to another host, and this host has ended them before.
  void cut(std::chrono::milliseconds gone_for = std::chrono::milliseconds{100});

  /// Kills the host without notice, as by kill -9, and starts another one. The engine starts its actors there once it has
  /// noticed.
  void kill();

  /// Ends the actor at once, as if one of its handlers had thrown. False if it does not run here, or was told to stop.
  bool crash(const std::string& id);

  /// Injects a fault into the engine: docs/dev_engine.md.
  void inject(const fault& f);
  void clear_faults();

  /// The value that the actor has put into `self->kv()`, as stored by the engine once all work under way is done; none if there
  /// is no such key.
  [[nodiscard]] std::optional<bytes> stored(const std::string& id, std::string_view key);

  /// The counters of the host and the engine.
  [[nodiscard]] host_stats stats() const;
  [[nodiscard]] dev_engine_stats engine_stats() const;

  /// The seed of the options. Under `for_each_seed`, doctest's `CAPTURE(host.seed())` prints it beside each failed check.
  [[nodiscard]] std::uint64_t seed() const;

  /// Virtual time since this object was made.
  [[nodiscard]] std::chrono::milliseconds time() const;

  /// For actors of the application. They run with the others, on this thread.
  [[nodiscard]] caf::actor_system& system();

private:
  void add(serve_options how, internal::factory make);

  struct implementation;
  std::shared_ptr<implementation> implementation_;
};

/// Runs `scenario` under faults, once for each of `n` seeds. If one throws (a failed REQUIRE does, and `expect`), writes its
/// seed to standard error and rethrows. With NUNCIO_SEED in the environment, runs that seed only.
void for_each_seed(unsigned n, const std::function<void(simulated_host&)>& scenario);

}  // namespace nuncio::testing

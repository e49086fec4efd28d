// Your actors in a world of their own: the host's real actors and yours on CAF's deterministic scheduler, with the dev engine
// beside them and virtual time. A 30 s idle timeout or an alarm tomorrow takes no time, and a run is the same each time.
//
//   nuncio::testing::simulated_host host;
//   host.serve("counter", counter);
//   auto client = host.client();
//   const auto id = expect(client.create({.name = "counter"})).id;
//   CHECK(expect(client.request(id, "POST", "/request")).body == "1");
//   host.pass(24h);                                                     // it sleeps meanwhile
//   CHECK(expect(client.request(id, "POST", "/request")).body == "2");
//
// And under faults: connections that are cut, acks that are lost, commands that come twice or out of order.
//
//   for_each_seed(100, [](simulated_host& host) { host.serve("counter", counter); … });
//
// Actors that go on sending messages without any time passing would hold a run up for ever: every function that lets things
// happen throws std::runtime_error after a million messages.
//
// An actor that reads a clock by itself reads the real one; `self->clock().now()` and delayed messages are in virtual
// time. Actors that block, and `serve_options::detached`, don't fit in here.
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
  std::uint64_t seed = 1;  ///< of everything that is left to chance: the same seed, the same run
  /// Cuts connections, loses acks, and has commands come twice and out of order, by chance. Nothing of it costs a
  /// request its answer, or an actor its state.
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

  /// As host::serve(). The host starts when it is first asked something; what is served later, the next one serves.
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

  /// Creates, calls and ends actors. What it waits for, it waits for in virtual time. Valid as long as this object.
  [[nodiscard]] testing::client client();

  /// Lets time pass, and all happen that it brings.
  void pass(std::chrono::milliseconds time);

  /// The connection to the engine is lost now; the next one is there after `gone_for`. After 15 s the engine gives the
  /// host's actors to somebody else, and the host has ended them before.
  void cut(std::chrono::milliseconds gone_for = std::chrono::milliseconds{100});

  /// The host ends without a word, as by kill -9, and another one starts. The engine brings its actors up there, once it
  /// has noticed.
  void kill();

  /// The actor ends as if one of its handlers had thrown. False if it does not run here.
  bool crash(const std::string& id);

  /// The engine misbehaves: docs/dev_engine.md.
  void inject(const fault& f);
  void clear_faults();

  /// What the actor has put into `self->kv()`, as the engine has it once all that is under way has been done; none if there
  /// is no such key.
  [[nodiscard]] std::optional<bytes> stored(const std::string& id, std::string_view key);

  /// What the host and the engine count.
  [[nodiscard]] host_stats stats() const;
  [[nodiscard]] dev_engine_stats engine_stats() const;

  /// As in the options. Under `for_each_seed`, `CAPTURE(host.seed())` has doctest name it beside each failed check.
  [[nodiscard]] std::uint64_t seed() const;

  /// Since this object was made.
  [[nodiscard]] std::chrono::milliseconds time() const;

  /// For actors of the application. They run with the others, on this thread.
  [[nodiscard]] caf::actor_system& system();

private:
  void add(serve_options how, internal::factory make);

  struct implementation;
  std::shared_ptr<implementation> implementation_;
};

/// Runs `scenario` under faults, once for each of `n` seeds. When one of them throws (a failed REQUIRE does, and `expect`),
/// says on standard error which it was, and throws on. NUNCIO_SEED in the environment: that seed alone.
void for_each_seed(unsigned n, const std::function<void(simulated_host&)>& scenario);

}  // namespace nuncio::testing

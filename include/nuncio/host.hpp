// The main class: hosts engine actors inside your own CAF application.
//
//   nuncio::host host{sys, {.endpoint = "http://127.0.0.1:6420", .pool = "game"}};
//   host.serve("counter", counter);
//   if (auto started = host.start(); !started) …
//   if (auto ready = host.wait_ready(10s); !ready) …
//   host.stop();
//
// A host owns one or more links to the engine (`links`), each under its own envoy key; a process may have several hosts. Its
// methods may be called from any thread, also at the same time; serve() must be called before start(). The host should end
// before the actor system (declare it after the system). If the system ends first, the host ends itself without telling the
// engine.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <chrono>
#include <concepts>
#include <memory>
#include <nuncio/detail/factory.hpp>
#include <nuncio/directory.hpp>
#include <nuncio/engine_actor.hpp>
#include <nuncio/engine_client.hpp>
#include <nuncio/host_options.hpp>
#include <nuncio/host_stats.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/outcome.hpp>
#include <nuncio/serve_options.hpp>
#include <nuncio/sql.hpp>
#include <string>

namespace nuncio {

/// Configures CAF's scheduler for engine actors: shared queue, at least two threads, at most 50 messages in a row, so that a
/// busy actor delays others by a millisecond instead of seconds (docs/caf_and_libwebsockets.md). With CAF's defaults everything
/// works, but latency under load can't be promised. Also lets the actor system print this library's errors by name and message.
void recommended(caf::actor_system_config& config);

/// Why serve() rejected its arguments, if it did. May be ignored before the start: start() returns the same failure.
class serve_result : public outcome<void> {
public:
  using outcome<void>::outcome;
};

class host {
public:
  host(caf::actor_system& system, host_options options);
  /// Calls stop(), unless that was done.
  ~host();
  host(const host&) = delete;
  host& operator=(const host&) = delete;

  /// Serves a function actor, `behavior f(engine_actor*, args...)` or with `stateful_actor<S, engine_actor>*`, under `name`.
  /// `args` are copied for each instance. What can't work (another self pointer, other arguments, a typed behavior) does not
  /// compile.
  /// @returns errc::invalid_argument for a name that is empty or already served, and for an option out of range; start()
  /// returns that as well. errc::refused, which is also logged, after start() or stop()
  template <std::convertible_to<std::string> Name, class F, class... Args>
  serve_result serve(Name name, F f, Args... args) {
    return serve(serve_options{.name = std::move(name)}, std::move(f), std::move(args)...);
  }

  /// The same with options: `host.serve({.name = "report", .detached = true}, report)`.
  template <class F, class... Args>
  serve_result serve(serve_options how, F f, Args... args) {
    return add(std::move(how), internal::function_factory(std::move(f), std::move(args)...));
  }

  /// Serves a class derived from engine_actor, constructed as `T(caf::actor_config&, args...)`.
  template <class T, std::convertible_to<std::string> Name, class... Args>
  serve_result serve(Name name, Args... args) {
    return serve<T>(serve_options{.name = std::move(name)}, std::move(args)...);
  }

  template <class T, class... Args>
  serve_result serve(serve_options how, Args... args) {
    return add(std::move(how), internal::class_factory<T>(std::move(args)...));
  }

  /// Checks the options and the served actors, and begins to connect; does not wait for the engine.
  /// @returns errc::invalid_argument naming the option, the first failure of serve(), or that nothing is served; refused if
  /// called twice or after stop()
  outcome<void> start();

  /// Waits up to `limit` until each link has been ready once (see `on_ready`). Not from a hosted actor.
  /// @returns timed_out; why the host ended, if it did; cancelled after stop()
  outcome<void> wait_ready(std::chrono::milliseconds limit) const;

  /// Drains and ends: lets actors sleep or move within drain_timeout, then closes the link. Blocks until that is done; called
  /// from one of its own engine actors, it only begins. Idempotent; may be called at any time.
  void stop();

  /// Ends at once: actors end without telling the engine, which starts them elsewhere when it notices.
  void abort();

  /// Calls start(), waits for SIGINT or SIGTERM, then calls stop(); a second signal ends at once.
  /// @returns an exit status: 0 done, 1 failed, 2 invalid option, 3 refused by the engine or evicted
  int run_until_signal();

  /// Why the host ended by itself (evicted, refused), if it did.
  [[nodiscard]] std::optional<failure> ended() const;

  /// Waits up to `limit` until the host has ended by itself.
  std::optional<failure> wait_ended(std::chrono::milliseconds limit) const;

  [[nodiscard]] host_stats stats() const;
  /// Answers find and find_id for the engine actors on this host: directory.hpp. Valid as long as the host exists.
  [[nodiscard]] caf::actor directory() const;

  /// Spawns a client with this host's endpoint, namespace, pool, token and TLS: engine_client.hpp. Null if those are invalid,
  /// which start() reports.
  [[nodiscard]] caf::actor client() const;

  /// The version used for the last dial; 0 before the first.
  [[nodiscard]] std::uint16_t protocol_version() const;

  /// Of the first link.
  [[nodiscard]] const std::string& envoy_key() const;

private:
  serve_result add(serve_options how, internal::factory make);

  struct impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace nuncio

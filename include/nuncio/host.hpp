// The front door: hosts engine actors inside your own CAF application.
//
//   nuncio::host host{sys, {.endpoint = "http://127.0.0.1:6420", .pool = "game"}};
//   host.serve("counter", counter);
//   if (auto started = host.start(); !started) …
//   if (auto ready = host.wait_ready(10s); !ready) …
//   host.stop();
//
// A host owns one link to the engine under one envoy key, or several of them (`links`); a process
// may have several hosts. Its methods may be called from any thread, several at once; actors are
// served before it starts. It should end before the actor
// system does (declare it after the system); if the system goes first, the host ends itself,
// without a word to the engine.
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

/// Sets CAF's scheduler as engine actors need it: shared queue, at least two threads, at most 50
/// messages in a row, so that a busy actor holds others up for a millisecond instead of seconds
/// (docs/caf_and_libwebsockets.md). With CAF's defaults everything works, but latency under load
/// can't be promised. Also has the actor system print this library's errors by name and message.
void recommended(caf::actor_system_config& config);

/// What serve() could not take, if anything. Before the start it may go unread: start() says it again.
class serve_result : public outcome<void> {
public:
  using outcome<void>::outcome;
};

class host {
public:
  host(caf::actor_system& system, host_options options);
  /// Stops if that has not been done.
  ~host();
  host(const host&) = delete;
  host& operator=(const host&) = delete;

  /// Serves a function actor, `behavior f(engine_actor*, args...)` or with `stateful_actor<S,
  /// engine_actor>*`, under `name`. `args` are copied for each instance. What can't work (another self
  /// pointer, other arguments, a typed behavior) does not compile.
  /// @returns errc::invalid_argument for a name that is empty or served already, and for an option out of
  /// its range: start() says that too; errc::refused, which is also logged, once start() or stop() was called
  template <std::convertible_to<std::string> Name, class F, class... Args>
  serve_result serve(Name name, F f, Args... args) {
    return serve(serve_options{.name = std::move(name)}, std::move(f), std::move(args)...);
  }

  /// The same with more to say: `host.serve({.name = "report", .detached = true}, report)`.
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

  /// Checks the options and what is served, and begins to connect; does not wait for the engine.
  /// @returns errc::invalid_argument naming the option, what serve() could not take first, or that nothing
  /// is served; refused when called twice or after stop()
  outcome<void> start();

  /// Waits until each link has once been ready, as `on_ready` says it, for `limit` at most. Not from a hosted actor.
  /// @returns timed_out; why the host ended, if it did; cancelled once it was stopped
  outcome<void> wait_ready(std::chrono::milliseconds limit) const;

  /// Drains and ends: actors sleep or move, within drain_timeout; then closes the link. Waits until
  /// that is done; from one of its own engine actors it only begins. Idempotent, at any time.
  void stop();

  /// Ends at once: actors are ended without a word to the engine, which brings them up elsewhere
  /// when it notices.
  void abort();

  /// start(), then waits for SIGINT or SIGTERM and stop()s; a second signal ends at once.
  /// @returns an exit status: 0 done, 1 failed, 2 a wrong option, 3 refused by the engine or
  /// evicted
  int run_until_signal();

  /// Why the host ended by itself (evicted, refused), if it did.
  [[nodiscard]] std::optional<failure> ended() const;

  /// Waits until the host has ended by itself, at most `limit`.
  std::optional<failure> wait_ended(std::chrono::milliseconds limit) const;

  [[nodiscard]] host_stats stats() const;
  /// Answers find and find_id for the engine actors that run on this host: directory.hpp. Valid as
  /// long as the host.
  [[nodiscard]] caf::actor directory() const;

  /// Spawns a client with this host's endpoint, namespace, pool, token and TLS: engine_client.hpp.
  /// Null if those are wrong, of which start() tells.
  [[nodiscard]] caf::actor client() const;

  /// That the engine was last dialled with; 0 before that.
  [[nodiscard]] std::uint16_t protocol_version() const;

  /// Of the first link.
  [[nodiscard]] const std::string& envoy_key() const;

private:
  serve_result add(serve_options how, internal::factory make);

  struct impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace nuncio

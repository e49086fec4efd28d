// A CAF actor system whose scheduler and clocks are driven by the test: one thread, FIFO, repeatable. Never spawn
// detached actors in it.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <nuncio/detail/clock.hpp>
#include <utility>

namespace nuncio::test {

class sim_system {
public:
  struct config : caf::actor_system_config {
    config() {
#if CAF_VERSION < 1800
      set("scheduler.policy", caf::atom("testing"));
#endif
    }
  };

  sim_system() { reset_clock(); }

  ~sim_system() { run(); }

  sim_system(const sim_system&) = delete;
  sim_system& operator=(const sim_system&) = delete;

  caf::actor_system& operator*() { return system_; }

  /// The clock of ingress and outbox, in step with CAF's timers.
  [[nodiscard]] time_point now() {
    return time_point{scheduler().clock().current_time.time_since_epoch()};
  }

  /// Unix milliseconds on the engine's side.
  [[nodiscard]] engine_ms engine_now() {
    return 1'700'000'000'000 +
           std::chrono::duration_cast<std::chrono::milliseconds>(now().time_since_epoch()).count();
  }

  /// As in a new system. Only while nothing waits for a time.
  void reset_clock() {
    scheduler().clock().current_time = caf::actor_clock::time_point{std::chrono::hours{1}};
  }

  std::size_t run() { return scheduler().run(); }

  /// Lets time pass and fires the timers that are due; several of one actor fire once.
  void pass(duration d) { scheduler().clock().advance_time(d); }

  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
  }

private:
  config config_;
  caf::actor_system system_{config_};
};

/// Spawns a function actor without arguments of its own: for those CAF binds a reference to null, of which UBSan tells.
template <class F>
caf::actor spawn_plain(caf::actor_system& sys, F f) {
  return sys.spawn([](caf::event_based_actor* self, F body) { return body(self); }, std::move(f));
}

}  // namespace nuncio::test

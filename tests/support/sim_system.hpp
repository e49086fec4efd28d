// A driven actor system whose clock is also the clock of ingress and outbox. Never spawn detached actors in it.
#pragma once

#include <nuncio/detail/clock.hpp>
#include <nuncio/host/driven_system.hpp>
#include <utility>

namespace nuncio::test {

class sim_system : public internal::driven_system {
public:
  sim_system() { reset_clock(); }

  ~sim_system() { run(); }

  /// Unix milliseconds on the engine's side.
  [[nodiscard]] engine_ms engine_now() {
    return 1'700'000'000'000 +
           std::chrono::duration_cast<std::chrono::milliseconds>(now().time_since_epoch()).count();
  }

  /// As in a new system. Only while nothing waits for a time.
  void reset_clock() { set_now(time_point{std::chrono::hours{1}}); }

  /// @returns how many turns there were
  std::size_t run() {
    std::size_t turns = 0;
    while (run_once()) ++turns;
    return turns;
  }

  /// Lets time pass and fires the timers that are due.
  void pass(duration d) { advance(d); }
};

/// Spawns a function actor without arguments of its own: for those CAF binds a reference to null, of which UBSan tells.
template <class F>
caf::actor spawn_plain(caf::actor_system& sys, F f) {
  return sys.spawn([](caf::event_based_actor* self, F body) { return body(self); }, std::move(f));
}

}  // namespace nuncio::test

// Tells an actor that its actor system is ending. ~actor_system does not wait for hidden actors, or waits for ever for one with
// its own thread; but it ends CAF's own actors before it waits.
#pragma once

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <nuncio/detail/caf.hpp>
#include <utility>

namespace nuncio::internal {

/// A member of the actor that it serves, which must not monitor any other actor.
class system_watch {
public:
  explicit system_watch(caf::actor_system& system)
      : spawn_serv_(caf::actor_cast<caf::actor>(system.spawn_serv())) {}

  /// Calls `then` in `self` when the system ends.
  template <class F>
  void begin(caf::event_based_actor* self, F then) {
    watch_ = watch(self, spawn_serv_, std::move(then));
  }

  /// For on_exit.
  void end(caf::event_based_actor* self) {
    if (spawn_serv_) end_watch(self, spawn_serv_, watch_);
    spawn_serv_ = nullptr;
  }

private:
  caf::actor
      spawn_serv_;  ///< ends with the system, perhaps before the actor's thread has even begun
  watching watch_{};
};

}  // namespace nuncio::internal

// A client's way into a simulated world: requests and WebSockets without a network, and waiting without waiting.
#pragma once

#include <memory>
#include <nuncio/detail/clock.hpp>
#include <nuncio/testing/client.hpp>

#include "engine/engine_run.hpp"

namespace nuncio::testing {

/// What a client needs of a simulation. One thread.
class simulated_world {
public:
  virtual ~simulated_world() = default;
  virtual engine::engine_run& engine() = 0;
  /// Lets time pass to what happens next, `longest` at most, and all happen then.
  virtual void advance(duration longest) = 0;
  /// Has all happen that needs no time.
  virtual void settle() = 0;
  /// A fault, by chance: once in so many calls. Only while no client waits.
  virtual void misbehave(unsigned one_in) = 0;
};

/// Fails with errc::cancelled when the world is gone.
std::shared_ptr<client_transport> make_simulated_transport(std::weak_ptr<simulated_world> in);

}  // namespace nuncio::testing

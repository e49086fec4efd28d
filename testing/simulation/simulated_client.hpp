// A client's access to a simulated world: requests and WebSockets without a network, and waiting in virtual time.
#pragma once

#include <cstddef>
#include <memory>
#include <nuncio/detail/clock.hpp>
#include <nuncio/testing/client.hpp>

#include "engine/engine_run.hpp"

namespace nuncio::testing {

/// The simulation as a client needs it. One thread.
class simulated_world {
public:
  virtual ~simulated_world() = default;
  virtual engine::engine_run& engine() = 0;
  /// Advances time to the next event, by `longest` at most, and runs everything that is due then.
  virtual void advance(duration longest) = 0;
  /// Runs everything that needs no time. @returns false if there is no end to it
  virtual bool settled() = 0;
  /// Injects a random fault: one in this many calls. Only while no client waits.
  virtual void misbehave(unsigned one_in) = 0;
};

/// After this many turns of actors without any time passing, there is no end to them.
inline constexpr std::size_t steps_max = 1'000'000;

/// As settled(). @throws std::runtime_error if there is no end to it
void settle(simulated_world& world);

/// Fails with errc::cancelled once the world is gone.
std::shared_ptr<client_transport> make_simulated_transport(std::weak_ptr<simulated_world> in);

}  // namespace nuncio::testing

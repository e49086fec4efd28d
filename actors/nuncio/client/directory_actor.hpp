// The actor behind host::directory(); see directory.hpp.
#pragma once

#include <caf/actor.hpp>
#include <caf/actor_addr.hpp>
#include <caf/actor_system.hpp>
#include <nuncio/directory.hpp>
#include <nuncio/host/private_message_types.hpp>
#include <vector>

namespace nuncio {

namespace internal {

/// Passes the ingresses of a host's links to its directory. Weak, since a held detached actor delays the end of the actor
/// system.
struct serve_directory {
  std::vector<caf::actor_addr> ingresses;
};

/// Answers find and find_id by asking every ingress that it was given; never blocks.
caf::actor spawn_directory(caf::actor_system& system);

}  // namespace internal
}  // namespace nuncio

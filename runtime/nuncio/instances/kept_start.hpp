// What an instance keeps of its Start for as long as it lives, in memory of its own: a slice would keep the frame, which may
// hold the Starts of a thousand other actors. Pure.
#pragma once

#include <cstddef>
#include <nuncio/ids.hpp>
#include <nuncio/instances/instance_base.hpp>
#include <nuncio/messages.hpp>

namespace nuncio {

/// Fills in `to` what its handlers are told of the Start.
/// @param to  with `serving`, in whose memory the name is kept if it is the same
void keep_start(
    instance_base& to, const actor_ref& who, const protocol::command_start_actor& start);

/// What is kept of it in bytes, and what the instance takes besides.
[[nodiscard]] std::size_t kept_bytes(
    const actor_ref& who, const protocol::command_start_actor& start);

}  // namespace nuncio

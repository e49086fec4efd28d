// What an instance keeps of its Start as long as it lives, in its own memory: a slice would keep the frame alive, which may
// hold the Starts of a thousand other actors. Pure.
#pragma once

#include <cstddef>
#include <nuncio/ids.hpp>
#include <nuncio/instances/instance_base.hpp>
#include <nuncio/messages.hpp>

namespace nuncio {

/// Fills in the part of the Start that its handlers can see.
/// @param to  with `serving`, whose memory holds the name if it is the same
void keep_start(
    instance_base& to, const actor_ref& who, const protocol::command_start_actor& start);

/// The bytes that are kept of it, and that the instance takes in addition.
[[nodiscard]] std::size_t kept_bytes(
    const actor_ref& who, const protocol::command_start_actor& start);

}  // namespace nuncio

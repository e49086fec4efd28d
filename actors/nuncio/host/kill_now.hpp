// How ingress kills an actor.
#pragma once

#include <caf/actor.hpp>
#include <caf/exit_reason.hpp>
#include <caf/message.hpp>
#include <caf/system_messages.hpp>
#include <nuncio/detail/caf.hpp>

namespace nuncio::internal {

/// Ends an actor before it handles the messages that wait for it, which may take minutes: caf::anon_send_exit queues behind
/// them. Any thread.
inline void kill_now(const caf::actor& x) {
  if (!x) return;
  enqueue(
      *caf::actor_cast<caf::abstract_actor*>(x),
      nullptr,
      caf::make_message_id(caf::message_priority::high),
      caf::make_message(caf::exit_msg{x->address(), caf::exit_reason::kill}));
}

}  // namespace nuncio::internal

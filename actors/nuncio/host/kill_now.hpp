// How ingress ends an actor.
#pragma once

#include <caf/actor.hpp>
#include <caf/exit_reason.hpp>
#include <caf/message.hpp>
#include <caf/system_messages.hpp>
#include <nuncio/detail/caf.hpp>

namespace nuncio::internal {

/// Ends an actor before it hears what waits for it, which may be minutes of work: caf::anon_send_exit queues behind that.
/// Any thread.
inline void kill_now(const caf::actor& x) {
  if (!x) return;
  enqueue(
      *caf::actor_cast<caf::abstract_actor*>(x),
      nullptr,
      caf::make_message_id(caf::message_priority::high),
      caf::make_message(caf::exit_msg{x->address(), caf::exit_reason::kill}));
}

}  // namespace nuncio::internal

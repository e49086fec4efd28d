// How ingress kills an actor.
#pragma once

#include <caf/actor.hpp>
#include <caf/exit_reason.hpp>
#include <caf/message.hpp>
#include <caf/system_messages.hpp>
#include <nuncio/detail/caf.hpp>
#include <nuncio/errors.hpp>
#include <utility>

namespace nuncio::internal {

/// Ends an actor before it handles the messages that wait for it, which may take minutes: caf::anon_send_exit queues behind
/// them. Any thread.
inline void kill_now(const caf::actor& x, caf::error why = caf::exit_reason::kill) {
  if (!x) return;
  enqueue(
      *caf::actor_cast<caf::abstract_actor*>(x),
      nullptr,
      caf::make_message_id(caf::message_priority::high),
      caf::make_message(caf::exit_msg{x->address(), std::move(why)}));
}

/// The same, and the engine is told of a crash. For tests of users.
inline void crash_now(const caf::actor& x) {
  kill_now(x, make_error(failure{errc::internal, "crashed by a test"}));
}

/// Whether that is from kill_now() or crash_now().
template <class Content>
bool ends_now(caf::message_id mid, const Content& content) {
  if (!content.template match_elements<caf::exit_msg>()) return false;
  const auto& why = content.template get_as<caf::exit_msg>(0).reason;
  return why == caf::exit_reason::kill ||
         (mid.category() == caf::message_id::urgent_message_category && why == errc::internal);
}

}  // namespace nuncio::internal

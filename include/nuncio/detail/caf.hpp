// What differs between CAF 0.17 and CAF 1.1, as far as templates and users need it. For the rest see
// docs/caf_and_libwebsockets.md. For the runtime only, except state_of and register_types.
#pragma once

#include <caf/config.hpp>

// CAF_VERSION can't be compared: in the headers of 1.1.0 it is 0100, an octal number below 0.17's 1706.
#ifdef CAF_VERSION_MAJOR
#define NUNCIO_CAF_1 1
#else
#define NUNCIO_CAF_1 0
#endif

#include <caf/actor_cast.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/mailbox_element.hpp>
#include <caf/message.hpp>
#include <caf/result.hpp>
#include <caf/scheduled_actor.hpp>
#if NUNCIO_CAF_1
#include <caf/anon_mail.hpp>
#include <caf/disposable.hpp>
#include <caf/init_global_meta_objects.hpp>
#include <caf/scheduler.hpp>
#else
#include <caf/execution_unit.hpp>
#include <caf/message_view.hpp>
#include <caf/send.hpp>
#endif
#include <chrono>
#include <utility>

namespace nuncio {

/// The state of a caf::stateful_actor: a member in CAF 0.17, a function in CAF 1.1. From the actor's own turn.
#if NUNCIO_CAF_1
template <class Self>
auto state_of(Self* self) -> decltype((self->state())) {
  return self->state();
}

// CAF's state() is not const.
template <class Self>
auto state_of(const Self* self) -> decltype(std::as_const(const_cast<Self*>(self)->state())) {
  return const_cast<Self*>(self)->state();
}
#else
template <class Self>
auto state_of(Self* self) -> decltype((self->state)) {
  return self->state;
}
#endif

/// Registers the types of one of your id blocks, `caf::id_block::x`, with CAF 1.1; CAF 0.17 does not need it. Call it before
/// you create the first actor system, for instance where you call recommended(). Repeated calls do no harm.
/// @returns true, so that it can initialize a constant at namespace scope
template <class Block>
bool register_types() {
#if NUNCIO_CAF_1
  caf::init_global_meta_objects<Block>();
#endif
  return true;
}

namespace internal {

#if NUNCIO_CAF_1
/// What runs actors, as passed to enqueue().
using caf_host = caf::scheduler;
/// What enqueue() returns.
using enqueue_result = bool;
/// The contents of a message, as mailbox_element::content() returns them.
using message_content = caf::message;
/// The parameter and result type of the default handler.
using unexpected_message = caf::message;
using unexpected_result = caf::skippable_result;
/// What watch() returns and end_watch() takes.
using watching = caf::disposable;
#else
using caf_host = caf::execution_unit;
using enqueue_result = void;
using message_content = caf::type_erased_tuple;
using unexpected_message = caf::message_view;
using unexpected_result = caf::result<caf::message>;

struct watching {};
#endif

/// The result of an enqueue() that has handled its message.
inline enqueue_result enqueued() { return enqueue_result(true); }

/// A message as a mailbox holds it, without a sender.
inline auto make_mail(caf::message_id id, caf::message what) {
#if NUNCIO_CAF_1
  return caf::make_mailbox_element(nullptr, id, std::move(what));
#else
  return caf::make_mailbox_element(nullptr, id, {}, std::move(what));
#endif
}

/// Puts `what` into the mailbox of `to`. Any thread.
inline void enqueue(
    caf::abstract_actor& to, caf::strong_actor_ptr from, caf::message_id id, caf::message what) {
#if NUNCIO_CAF_1
  to.enqueue(caf::make_mailbox_element(std::move(from), id, std::move(what)), nullptr);
#else
  to.enqueue(std::move(from), id, std::move(what), nullptr);
#endif
}

/// Sends without a sender, to a handle or to an actor's own pointer. Any thread.
template <class To, class T>
void post(const To& to, T&& what) {
#if NUNCIO_CAF_1
  caf::anon_mail(std::forward<T>(what)).send(caf::actor_cast<caf::actor>(to));
#else
  caf::anon_send(to, std::forward<T>(what));
#endif
}

/// Sends to `self`, from itself, after `delay`; can't be cancelled. From the actor's own turn.
template <class Rep, class Period, class T>
void post_later(caf::event_based_actor* self, std::chrono::duration<Rep, Period> delay, T&& what) {
#if NUNCIO_CAF_1
  self->mail(std::forward<T>(what))
      .delay(std::chrono::duration_cast<caf::actor_clock::duration_type>(delay))
      .send(caf::actor_cast<caf::actor>(self));
#else
  self->delayed_send(self, delay, std::forward<T>(what));
#endif
}

/// Sends a request on behalf of `self`; returns a CAF response handle.
template <class Self, class Limit, class T>
auto ask(Self* self, const caf::actor& whom, Limit limit, T what) {
#if NUNCIO_CAF_1
  return self->mail(std::move(what)).request(whom, limit);
#else
  return self->request(whom, limit, std::move(what));
#endif
}

/// Has `to` answer the message that `self` is handling.
template <class Self, class T>
auto hand_on(Self* self, const caf::actor& to, T what) {
#if NUNCIO_CAF_1
  return self->mail(std::move(what)).delegate(to);
#else
  return self->delegate(to, std::move(what));
#endif
}

/// Calls `then` in `self` when `whom` has ended. `self` must not watch any other actor.
template <class F>
watching watch(caf::event_based_actor* self, const caf::actor& whom, F then) {
#if NUNCIO_CAF_1
  return self->monitor(whom, [then = std::move(then)](const caf::error&) mutable { then(); });
#else
  self->monitor(whom);
  self->set_down_handler([whom = whom.address(), then = std::move(then)](const caf::down_msg& x) {
    if (x.source == whom) then();
  });
  return {};
#endif
}

inline void end_watch(caf::event_based_actor* self, const caf::actor& whom, watching& begun) {
#if NUNCIO_CAF_1
  static_cast<void>(self);
  static_cast<void>(whom);
  begun.dispose();
#else
  static_cast<void>(begun);
  self->demonitor(whom);
#endif
}

/// Lets `f` answer messages that `self` has no handler for. `f` takes its scheduled_actor and an unexpected_message.
template <class Self, class F>
void handle_unexpected(Self* self, F f) {
#if NUNCIO_CAF_1
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif
  self->set_default_handler(std::move(f));
#if NUNCIO_CAF_1
#pragma GCC diagnostic pop
#endif
}

/// Drops messages that `self` has no handler for.
template <class Self>
void drop_unexpected(Self* self) {
  handle_unexpected(self, caf::drop);
}

}  // namespace internal
}  // namespace nuncio

// What differs between CAF 0.17 and CAF 1.1, as far as templates and users need it. docs/caf_and_libwebsockets.md says where
// the rest is. For the runtime, but for state_of and register_types.
#pragma once

#include <caf/config.hpp>

// CAF_VERSION can't be asked: in the headers of 1.1.0 it is 0100, an octal number below 0.17's 1706.
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

/// The state of a caf::stateful_actor, which is a member in CAF 0.17 and a function in CAF 1.1. In its own turn.
#if NUNCIO_CAF_1
template <class Self>
auto state_of(Self* self) -> decltype((self->state())) {
  return self->state();
}
#else
template <class Self>
auto state_of(Self* self) -> decltype((self->state)) {
  return self->state;
}
#endif

/// Tells CAF 1.1 of the types of one of your id blocks, `caf::id_block::x`; CAF 0.17 needs no telling. Before the first actor
/// system: where you call recommended(), for instance. More than once does no harm.
/// @returns true, so that a constant of a source file can be made of it
template <class Block>
bool register_types() {
#if NUNCIO_CAF_1
  caf::init_global_meta_objects<Block>();
#endif
  return true;
}

namespace internal {

#if NUNCIO_CAF_1
/// What runs actors, as enqueue() is told of it.
using caf_host = caf::scheduler;
/// What enqueue() returns.
using enqueue_result = bool;
/// What a message holds, as mailbox_element::content() returns it.
using message_content = caf::message;
/// What a handler of everything that has no other handler is given and returns.
using unexpected_message = caf::message;
using unexpected_result = caf::skippable_result;
/// What is kept of watch() until end_watch().
using watching = caf::disposable;
#else
using caf_host = caf::execution_unit;
using enqueue_result = void;
using message_content = caf::type_erased_tuple;
using unexpected_message = caf::message_view;
using unexpected_result = caf::result<caf::message>;

struct watching {};
#endif

/// From an enqueue() that has dealt with its message.
inline enqueue_result enqueued() { return enqueue_result(true); }

/// A message as a mailbox holds it, from nobody.
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

/// Sends from nobody, to a handle or an actor's own pointer. Any thread.
template <class To, class T>
void post(const To& to, T&& what) {
#if NUNCIO_CAF_1
  caf::anon_mail(std::forward<T>(what)).send(caf::actor_cast<caf::actor>(to));
#else
  caf::anon_send(to, std::forward<T>(what));
#endif
}

/// Sends to `self`, from itself, when `delay` has passed; can't be taken back. In its own turn.
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

/// Asks on behalf of `self`; its answer is a CAF response handle.
template <class Self, class Limit, class T>
auto ask(Self* self, const caf::actor& whom, Limit limit, T what) {
#if NUNCIO_CAF_1
  return self->mail(std::move(what)).request(whom, limit);
#else
  return self->request(whom, limit, std::move(what));
#endif
}

/// Has `to` answer what `self` is handling.
template <class Self, class T>
auto hand_on(Self* self, const caf::actor& to, T what) {
#if NUNCIO_CAF_1
  return self->mail(std::move(what)).delegate(to);
#else
  return self->delegate(to, std::move(what));
#endif
}

/// Calls `then` in `self`, which watches nobody else, when `whom` has ended.
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

/// Has what `self` has no handler for answered by `f`, which takes its scheduled_actor and an unexpected_message.
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

/// Has what `self` has no handler for dropped.
template <class Self>
void drop_unexpected(Self* self) {
  handle_unexpected(self, caf::drop);
}

}  // namespace internal
}  // namespace nuncio

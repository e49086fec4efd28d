// What the actors of one host say to each other. Values without behaviour; never leave the process.
#pragma once

#include <caf/actor.hpp>
#include <caf/actor_addr.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <nuncio/http.hpp>
#include <nuncio/http_exchange.hpp>
#include <nuncio/link.hpp>
#include <nuncio/start_info.hpp>
#include <string>
#include <variant>
#include <vector>

namespace nuncio {

/// The engine tells this actor to stop. Handle it to end in your own time (within the grace period)
/// by `quit()`; without a handler the actor quits at once.
struct stop_command {
  protocol::stop_actor_reason reason = protocol::stop_actor_reason::sleep_intent;
};

namespace internal {

// -- from the link --------------------------------------------------------------
struct link_up {
  epoch connection = 0;
};

struct link_down {
  epoch connection = 0;
  std::string why;
};

struct link_written {
  epoch connection = 0;
  frame_class what = frame_class::ack;
};

struct link_fence {
  epoch connection = 0;
  std::uint64_t id = 0;
};

struct lease_ended {};

struct link_final {
  failure why;
};

// -- from an instance to ingress ------------------------------------------------
struct instance_started {
  actor_ref who;
};

/// A factory whose constructor runs on a thread of its own has made its actor.
struct instance_spawned {
  actor_ref who;
  caf::actor handle;
};

struct sleep_called {
  actor_ref who;
};

struct destroy_called {
  actor_ref who;
};

/// An attempt was answered, or needs no answer any more: it takes no place in the instance any longer.
struct attempt_done {
  actor_ref who;
  exchange_id exchange;
  std::uint64_t ticket = 0;
};

/// An attempt was answered with more than the engine takes at once: ingress sends it as credit comes.
struct response_waits {
  actor_ref who;
  std::uint64_t ticket = 0;
  http_exchange exchange;
};

/// The CAF actor is down. All attempts that its handlers had begun are answered; `error` is empty
/// when it quit.
struct instance_down {
  actor_ref who;
  std::string error;
  std::vector<attempt_done> answered;
};

// -- from ingress to an instance --------------------------------------------------
/// The first message of what was spawned with lazy_init: says nothing, but gets it scheduled.
struct launch {};

/// The attempt was replaced or aborted: whatever the handler says is dropped.
struct attempt_cancelled {
  std::uint64_t ticket = 0;
};

// -- from ingress to ack and outbox -------------------------------------------------
struct processed {
  epoch connection = 0;
  std::vector<protocol::actor_checkpoint> checkpoints;
};

struct say_running {
  actor_ref who;
};

struct say_intent {
  actor_ref who;
  protocol::actor_intent intent;
};

struct say_stopped {
  actor_ref who;
  protocol::stop_code code = protocol::stop_code::ok;
  std::string message;
};

struct answer_orphan_stop {
  actor_ref who;
};

struct superseded {
  actor_id actor;
  std::uint32_t newest = 0;
};

using outbox_input = std::variant<
    say_running,
    say_intent,
    say_stopped,
    answer_orphan_stop,
    superseded,
    protocol::to_envoy_ack_events>;

struct outbox_batch {
  std::vector<outbox_input> inputs;
};

/// Answered by `drained` to ingress as soon as all that is kept has been handed to the kernel.
struct drain_outbox {
  caf::actor_addr reply_to;  // weak: nothing but its owners may keep a detached actor
};

struct drained {};

// -- to ingress from the host -------------------------------------------------------
struct drain {
  time_point deadline;
};

// -- to itself ------------------------------------------------------------------------
struct tick {
  std::uint64_t serial = 0;
};

/// All that was in the mailbox when it was sent has been dealt with.
struct flush {};

}  // namespace internal
}  // namespace nuncio

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::http_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::http_response)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::stop_command)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::inbound_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::link_up)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::link_down)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::link_written)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::link_fence)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::lease_ended)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::link_final)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::instance_started)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::instance_spawned)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::sleep_called)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::destroy_called)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::attempt_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::response_waits)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::instance_down)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::launch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::attempt_cancelled)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::processed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::outbox_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::drain_outbox)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::drained)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::drain)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::flush)

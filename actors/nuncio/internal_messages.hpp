// What the actors of one host say to each other. Values without behaviour; never leave the process.
#pragma once

#include <caf/actor.hpp>
#include <caf/actor_addr.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <chrono>
#include <nuncio/actor_messages.hpp>
#include <nuncio/host_messages.hpp>
#include <nuncio/link.hpp>
#include <nuncio/socket.hpp>
#include <nuncio/start_info.hpp>
#include <string>
#include <variant>
#include <vector>

namespace nuncio {

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
/// A factory whose constructor runs on a thread of its own has made its actor.
struct instance_spawned {
  actor_ref who;
  caf::actor handle;
};

// -- from ingress to an instance --------------------------------------------------
/// The first message of what was spawned with lazy_init: says nothing, but gets it scheduled.
struct launch {};

// -- from anybody to an instance --------------------------------------------------
/// What was said through a `connection` outside of the handlers of the actor that serves it.
struct socket_order {
  connection socket;
  bytes data;
  bool binary = false;
  std::uint16_t close_code = 0;  ///< 0: send `data`
  text reason;
};

// -- from ingress to ack and outbox -------------------------------------------------
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

/// To an instance: its alarm may be due.
struct alarm_tick {
  std::uint64_t serial = 0;
};

/// To a persistent_actor: it may save its state.
struct state_tick {};

/// To an instance: handlers of a stream have something to do.
struct stream_turn {
  std::uint64_t ticket = 0;
};

/// To an instance: its streams that found no room in the link may ask again.
struct room_tick {};

struct stream;

/// To an instance: this stream is over, and its handlers have not heard of it.
struct stream_over {
  std::shared_ptr<stream> which;
};

/// To an instance: its handlers are to hear which sockets are restored.
struct tell_restored {};

/// To an instance: acks of its sockets are due.
struct socket_tick {};

/// To an instance: what it says to clients may find room in the link again.
struct socket_room_tick {};

/// All that was in the mailbox when it was sent has been dealt with.
struct flush {};

}  // namespace internal
}  // namespace nuncio

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
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_accepted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::alarm_called)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::instance_active)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::idle_probe)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::alarm_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::state_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::sockets_restored)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::sockets_listed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::response_begun)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::response_credited)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::instance_down)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::exchange_input)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::room_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::stream_turn)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::stream_quiet)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::upload_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::upload_untouched)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::stream_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::storage_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::launch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::attempt_cancelled)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_repeated)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_failed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_order)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_room_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::tell_restored)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::processed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::outbox_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::drain_outbox)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::drained)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::drain)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::flush)

// The messages between the actors of one host. Values without behaviour; never leave the process.
#pragma once

#include <caf/actor.hpp>
#include <caf/actor_addr.hpp>
#include <chrono>
#include <nuncio/actor_messages.hpp>
#include <nuncio/connection/link.hpp>
#include <nuncio/host/host_messages.hpp>
#include <nuncio/host/private_message_types.hpp>
#include <nuncio/socket.hpp>
#include <nuncio/start_info.hpp>
#include <string>
#include <variant>
#include <vector>

namespace nuncio {

struct http_reply;

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
/// A factory whose constructor runs on its own thread has made its actor.
struct instance_spawned {
  actor_ref who;
  caf::actor handle;
};

// -- from ingress to an instance --------------------------------------------------
/// The first message to an actor spawned with lazy_init; it only gets the actor scheduled.
struct launch {};

// -- from any actor to an instance ----------------------------------------------
/// A call on a `connection` outside the handlers of the actor that serves it.
struct socket_order {
  connection socket;
  bytes data;
  bool binary = false;
  std::uint16_t close_code = 0;  ///< 0: send `data`
  text reason;
};

// -- from ingress to ack and outbox -------------------------------------------------
/// Answered with `drained` to ingress once everything kept has been handed to the kernel.
struct drain_outbox {
  caf::actor_addr reply_to;  // weak: only its owners may keep a detached actor alive
};

struct drained {};

// -- to ingress from the host -------------------------------------------------------
struct drain {
  time_point deadline;
};

// -- to the sender itself -------------------------------------------------------
struct tick {
  std::uint64_t serial = 0;
};

/// To an instance: its alarm may be due.
struct alarm_tick {
  std::uint64_t serial = 0;
};

/// To a persistent_actor: it may save its state.
struct state_tick {};

/// To an instance: handlers of a stream have work.
struct stream_turn {
  std::uint64_t ticket = 0;
};

/// The link may have room for what found none.
struct room_freed {};

struct stream;

/// To an instance: this stream is over, and its handlers were not notified.
struct stream_over {
  std::shared_ptr<stream> which;
};

/// To an instance: its handlers have to be told which sockets are restored.
struct tell_restored {};

/// To an instance: acks for its sockets are due.
struct socket_tick {};

/// Everything that was in the mailbox when this was sent has been handled.
struct flush {};

/// To a client: its call with that number is over.
struct call_ended {
  std::uint64_t number = 0;
  std::shared_ptr<outcome<http_reply>> reply;
};

}  // namespace internal
}  // namespace nuncio

// What the actors of one host say to each other. Values without behaviour; never leave the process.
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

/// What found no room in the link may find some now.
struct room_freed {};

struct stream;

/// To an instance: this stream is over, and its handlers have not heard of it.
struct stream_over {
  std::shared_ptr<stream> which;
};

/// To an instance: its handlers are to hear which sockets are restored.
struct tell_restored {};

/// To an instance: acks of its sockets are due.
struct socket_tick {};

/// All that was in the mailbox when it was sent has been dealt with.
struct flush {};

/// To a client: its call with that number is over.
struct call_ended {
  std::uint64_t number = 0;
  std::shared_ptr<outcome<http_reply>> reply;
};

}  // namespace internal
}  // namespace nuncio

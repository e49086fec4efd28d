// Outputs of a link_machine: for the socket, carried out by its driver, and for the listener.
#pragma once

#include <cstdint>
#include <nuncio/connection/dial_terms.hpp>
#include <nuncio/connection/link_listener.hpp>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/detail/clock.hpp>
#include <nuncio/outcome.hpp>
#include <string>
#include <utility>
#include <variant>

namespace nuncio {

/// Outputs of a link_machine, in order.
namespace link_output {

// -- for the socket

/// handle_open() or handle_gone() follows.
struct dial {
  dial_terms terms;
};

/// Sends nothing more; handle_gone() follows.
struct reset {
  std::string why;
};

/// Sends what poll_frame() still returns, then a close frame; handle_gone() follows.
struct close_socket {};

struct set_reading {
  bool on = true;  ///< false: read nothing, so that the engine stops sending
};

/// poll_frame() may have something.
struct request_write {};

// -- for the listener

struct up {
  epoch connection = 0;
};

struct inbound {
  inbound_batch batch;
};

struct written {
  epoch connection = 0;
  frame_class what = frame_class::ack;
};

struct fence {
  epoch connection = 0;
  std::uint64_t id = 0;
};

struct down {
  epoch connection = 0;
  std::string why;
  duration retry_after{};
};

struct lease_ended {};

/// handle_renewed() is awaited.
struct ask {};

struct over {
  failure why;
};

struct room {
  room_waiter who;
};

using any = std::variant<
    dial,
    reset,
    close_socket,
    set_reading,
    request_write,
    up,
    inbound,
    written,
    fence,
    down,
    lease_ended,
    ask,
    over,
    room>;

// Each output of the second kind is one call.

inline void deliver(up& x, link_listener& to) { to.on_up(x.connection); }

inline void deliver(inbound& x, link_listener& to) { to.on_inbound(std::move(x.batch)); }

inline void deliver(written& x, link_listener& to) { to.on_written(x.connection, x.what); }

inline void deliver(fence& x, link_listener& to) { to.on_fence(x.connection, x.id); }

inline void deliver(down& x, link_listener& to) { to.on_down(x.connection, x.why, x.retry_after); }

inline void deliver(lease_ended&, link_listener& to) { to.on_lease_ended(); }

inline void deliver(ask&, link_listener& to) { to.on_ask(); }

inline void deliver(over& x, link_listener& to) { to.on_final(x.why); }

inline void deliver(room& x, link_listener& to) { to.on_room(x.who); }

}  // namespace link_output

}  // namespace nuncio

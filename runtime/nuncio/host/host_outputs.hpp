// What host_machine wants done, in this order. Values; whoever drives the machine carries them out.
#pragma once

#include <cstdint>
#include <memory>
#include <nuncio/host/host_messages.hpp>
#include <nuncio/instances/instance_base.hpp>
#include <nuncio/outcome.hpp>
#include <variant>

namespace nuncio {

/// A small number that an instance has from its Start to its end, for whoever keeps its handle; used again afterwards.
using instance_number = std::uint32_t;

namespace host_output {

/// Run the factory of this instance's name. host_machine::handle_spawned or handle_down follows.
struct spawn {
  instance_number number = 0;
  std::shared_ptr<instance_base> instance;
};

/// It is over, or has ended by itself: its handle is not needed any more, and the number may come again.
struct forget {
  instance_number number = 0;
};

/// End it, before it hears of anything that waits for it.
struct kill {
  instance_number number = 0;
};

/// The engine tells it to stop.
struct stop {
  protocol::stop_actor_reason reason{};
};

/// A client asks for a WebSocket.
struct socket_opening {
  internal::socket_ptr socket;
};

/// A client has said something.
struct socket_said {
  internal::socket_ptr socket;
  bytes data;
  bool binary = false;
  std::uint16_t index = 0;
  waiting_place waits;
};

/// A client's WebSocket is closed.
struct socket_left {
  internal::socket_ptr socket;
  std::uint16_t code = 0;
  text reason;
};

/// A message for an instance that was spawned. Those for one instance keep their order.
struct message {
  instance_number to = 0;
  bool first = false;  ///< before what waits for it
  std::variant<
      http_request,
      internal::exchange_input,
      socket_said,
      internal::response_credited,
      internal::attempt_cancelled,
      internal::upload_over,
      internal::stream_quiet,
      internal::idle_probe,
      stop,
      socket_opening,
      socket_left,
      internal::sockets_listed,
      internal::socket_repeated,
      internal::socket_failed>
      what;
};

/// To storage: nothing of this instance is written any more.
struct outputs_closed {
  actor_ref who;
};

/// To storage: what was replayed on this connection has been dealt with, so that requests may go there.
struct storage_up {
  epoch connection = 0;
};

/// To outbox: tell host_machine::handle_outbox_drained once all that is kept is with the kernel.
struct drain_outbox {};

/// The first replay barrier has passed.
struct ready {};

/// The link is over.
struct link_over {
  failure why;
};

/// The host is done.
struct done {};

/// Much has been freed: give back what the allocator keeps of it.
struct release_memory {};

using any = std::variant<
    message,
    spawn,
    forget,
    kill,
    outputs_closed,
    storage_up,
    internal::processed,
    internal::outbox_batch,
    drain_outbox,
    ready,
    link_over,
    done,
    release_memory>;

}  // namespace host_output

}  // namespace nuncio

// Outputs of host_machine, in order. Values; the machine's driver carries them out.
#pragma once

#include <cstdint>
#include <memory>
#include <nuncio/host/host_messages.hpp>
#include <nuncio/instances/instance_base.hpp>
#include <nuncio/outcome.hpp>
#include <variant>

namespace nuncio {

/// A small number that an instance has from its Start to its end, for the holder of its handle; reused afterwards.
using instance_number = std::uint32_t;

namespace host_output {

/// Run the factory of this instance's name. host_machine::handle_spawned or handle_down follows.
struct spawn {
  instance_number number = 0;
  std::shared_ptr<instance_base> instance;
};

/// The instance is over, or has ended by itself: its handle is not needed any more, and the number may be reused.
struct forget {
  instance_number number = 0;
};

/// End it, ahead of everything that waits in its mailbox.
struct kill {
  instance_number number = 0;
};

/// The engine tells it to stop.
struct stop {
  protocol::stop_actor_reason reason{};
};

/// A client wants to open a WebSocket.
struct socket_opening {
  internal::socket_ptr socket;
};

/// A client has sent a message.
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

/// A message for a spawned instance. Messages for one instance keep their order.
struct message {
  instance_number to = 0;
  bool first = false;  ///< ahead of other messages in its mailbox
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

/// To storage: everything replayed on this connection was handled, so requests may be sent there.
struct storage_up {
  epoch connection = 0;
};

/// To outbox: call host_machine::handle_outbox_drained once everything kept is with the kernel.
struct drain_outbox {};

/// The first replay barrier has passed.
struct ready {};

/// The link is over.
struct link_over {
  failure why;
};

/// The host is done.
struct done {};

/// Much memory was freed: return the allocator's unused memory.
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

// The limits and times of a host; what host_options has too begins with its default. Value.
#pragma once

#include <cstddef>
#include <nuncio/commands/command_ledger.hpp>
#include <nuncio/detail/clock.hpp>
#include <nuncio/host_options.hpp>
#include <nuncio/tunnel/http_exchange.hpp>
#include <nuncio/tunnel/waiting_room.hpp>

namespace nuncio {

struct host_limits {
  ledger_options ledger;
  /// From the engine's allocation of a generation to Running: 30 s minus 2 s (docs/protocol.md F.3).
  duration start_limit = std::chrono::seconds{28};
  /// A streaming gateway does not repeat requests: those it had sent when the engine told an actor to stop are still answered.
  /// So the actor is told of its Stop only after no request has come for stop_linger, or after stop_linger_max.
  duration stop_linger = std::chrono::milliseconds{100};
  duration stop_linger_max = std::chrono::seconds{1};
  /// From stop_command to exit.
  duration stop_grace = host_options{}.stop_grace;
  /// From exit to being abandoned.
  duration end_limit = std::chrono::seconds{2};
  /// How long an intent may wait for the engine's Stop.
  duration intent_limit = std::chrono::seconds{60};
  /// After Stopping: how long an actor waits for its Stop before it asks for sleep itself.
  duration drain_patience = std::chrono::seconds{1};
  /// Attempts that one instance may have open or in its mailbox, and their bodies; above it 503.
  std::size_t requests_max = host_options{}.requests_max;
  std::size_t request_bytes_max = 64UL << 20U;
  /// The same for all instances of the host together.
  std::size_t host_requests_max = 16384;
  std::size_t host_request_bytes_max = 512UL << 20U;
  /// How long the client of an incomplete request must have been silent for the request to be ended with 408 when another one
  /// finds no room; and how long a client that was open through a reconnect must have been silent to be ended likewise.
  duration upload_patience = host_options{}.upload_patience;
  http_exchange_options http;
  /// What instances keep of their Starts as long as they live: input, key, preloaded values; at least 4 KiB each. A Start above
  /// the limit is answered with Stopped(Error).
  std::size_t host_start_bytes_max = 4UL << 30U;
  /// WebSockets of one instance and of the host; further ones are closed with 1013.
  std::size_t sockets_max = 32768;
  std::size_t host_sockets_max = 65536;
  /// Paths and headers of WebSockets, plus 512 bytes each, kept as long as they are open or wait in the mailbox of an instance
  /// that has not handled them.
  std::size_t socket_head_bytes_max = 64UL << 20U;
  std::size_t host_socket_head_bytes_max = 256UL << 20U;
  /// Messages of clients that wait for their instances: a client above its own limit is closed with 1008, one that uses more
  /// than what is left for others with 1013.
  waiting_limits waiting;
  /// From WebSocketOpen to the actor's accept: less than the gateway's 15 s (docs/protocol.md G.6).
  duration accept_limit = std::chrono::seconds{10};
  /// How long a hibernating WebSocket that is gone may still be listed: the engine's 90 s since it last saw it, and the age of
  /// the oldest Start that is run (docs/protocol.md G.7).
  duration listed_limit = std::chrono::minutes{2};
  /// Memory for such WebSockets, for one actor no more than it leaves free; and for the actors that had them.
  std::size_t left_bytes_max = 16UL << 20U;
  /// How long a client may neither send its request nor read its response: as long as the gateway waits for the beginning of a
  /// response (docs/protocol.md G.3).
  duration stall_limit = host_options{}.stall_limit;
  /// How long an actor that is down counts as alive because its responses still wait for credit: within stop_grace.
  duration response_grace = std::chrono::seconds{10};
};

}  // namespace nuncio

// How the instances of one name run. Value; one for each name, shared by all its instances and
// their threads, never changed once the host has started.
//
//   host.serve({.name = "report", .detached = true, .idle_timeout = 5min}, report);
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace nuncio {

struct serve_options {
  std::string name{};  ///< which the engine's actors carry; at most 64 characters count for clients
  /// Each instance runs on a thread of its own, so that its handlers may block. A thread costs its
  /// stack and a few hundred microseconds of starting: for dozens or hundreds of actors, not for
  /// ten thousands.
  bool detached = false;
  /// HTTP requests that one instance may have waiting or open; 0: as the host has it.
  std::size_t requests_max = 0;
  /// Bodies of requests that the gateway sends in parts come to the handler bit by bit
  /// (engine_actor::on_body) instead of whole.
  bool stream_requests = false;
  /// An instance that has been idle for so long is put to sleep: no request open, no WebSocket that does not hibernate,
  /// no keep_awake() and no message of another actor. 0: never. The default is that of the stock hosts
  /// (docs/client_protocol.md f.3).
  std::chrono::milliseconds idle_timeout{std::chrono::seconds{30}};
  /// From a request's arrival at the actor to the beginning of its response; then it is answered 504. 0: never. The
  /// gateway waits as long (docs/protocol.md G.3).
  std::chrono::milliseconds request_timeout{std::chrono::minutes{5}};
  /// What may wait of one WebSocket's messages until the actor hears them, in bytes, at least 512 for each; above it the
  /// client floods and is closed with 1008. 0: as the host has it (host_options::waiting).
  std::size_t socket_waiting_bytes_max = 0;
  /// What may wait to be sent to one WebSocket; a client that lets more pile up is closed with 1013.
  std::size_t socket_unsent_bytes_max = 8UL << 20U;
};

}  // namespace nuncio

// How the instances of one name run. Value; one for each name, shared by all its instances and their threads, and never changed
// after the host has started.
//
//   host.serve({.name = "report", .detached = true, .idle_timeout = 5min}, report);
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace nuncio {

struct serve_options {
  std::string name{};  ///< the name of the engine's actors; clients can use at most 64 characters
  /// Each instance runs on its own thread, so its handlers may block. A thread costs its stack and a few hundred microseconds
  /// to start: fit for dozens or hundreds of actors, not for tens of thousands.
  bool detached = false;
  /// HTTP requests that one instance may have waiting or open; 0: the host's setting.
  std::size_t requests_max = 0;
  /// Request bodies that the gateway sends in parts are handed to the handler as chunks (engine_actor::on_body) instead of
  /// whole.
  bool stream_requests = false;
  /// An instance that has been idle this long is put to sleep. Idle means no open request, no WebSocket that does not
  /// hibernate, no keep_awake() and no message of another actor. 0: never. The default is that of the stock hosts
  /// (docs/client_protocol.md f.3).
  std::chrono::milliseconds idle_timeout{std::chrono::seconds{30}};
  /// From a request's arrival at the actor to the beginning of its response; after that it is answered with 504. 0: never. The
  /// gateway waits equally long (docs/protocol.md G.3).
  std::chrono::milliseconds request_timeout{std::chrono::minutes{5}};
  /// Bytes of one WebSocket's messages that may wait for the actor, at least 512 for each message; a client that sends more is
  /// closed with 1008. 0: the host's setting (host_options::waiting).
  std::size_t socket_waiting_bytes_max = 0;
  /// Bytes that may wait to be sent to one WebSocket; a client that lets more accumulate is closed with 1013.
  std::size_t socket_unsent_bytes_max = 8UL << 20U;
};

}  // namespace nuncio

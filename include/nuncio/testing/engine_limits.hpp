// The dev engine's thresholds. The defaults are those measured on the real engine (docs/protocol.md, C to G); tests use smaller
// ones. Times are in milliseconds, as everywhere on the wire.
#pragma once

#include <cstdint>

namespace nuncio::testing {

/// Milliseconds since the Unix epoch, or a span of them.
using millis = std::int64_t;

struct engine_limits {
  millis ping_interval = 3000;
  millis pong_timeout = 15000;         ///< no Pong for longer closes with ws.timed_out
  millis lost_threshold = 15000;       ///< an envoy unseen for this long may be judged lost
  millis lost_check_interval = 15000;  ///< how often each actor is judged, counted from Running
  millis start_timeout = 30000;        ///< Start sent, no Running: given up without a Stop
  millis stop_timeout = 1800000;       ///< Stop sent, no Stopped: lost
  millis allocation_retry = 2000;      ///< first retry without an envoy; doubles
  millis allocation_give_up = 300000;  ///< then the actor sleeps
  millis event_batch_window =
      20;  ///< events that arrive this close together are handled as one batch
  std::int64_t event_ack_gap =
      250;                       ///< events are acked once an index is this far beyond the last ack
  millis ready_timeout = 30000;  ///< gateway: how long a request waits for its actor
  millis retry_first = 150;      ///< gateway: wait before the second attempt; doubles
  int attempts_max = 7;          ///< gateway: attempts before 502
  /// gateway: how often a request that waits for an actor wakes it again if it stops before it is ready; then 503
  int wake_retries_max = 8;
  millis response_timeout = 300000;    ///< gateway: request sent, no response
  millis socket_open_timeout = 15000;  ///< gateway: WebSocketOpen unanswered
  millis socket_ack_timeout =
      30000;  ///< gateway: a hibernating socket's message unacked for longer
  millis socket_gc_interval = 15000;  ///< gateway: how often that is checked
  std::uint64_t socket_pending_bytes_max =
      134217728;  ///< gateway: unacked or held, for each socket
  std::size_t socket_pending_messages_max = 65535;
  std::uint64_t response_bytes_max = 20971520;
  std::uint64_t request_bytes_max = 20971520;
  std::uint64_t window_bytes = 1048576;  ///< streaming: body bytes not yet credited
  std::uint64_t chunk_bytes = 65536;
  /// While more than this waits for an envoy's connection, the connection is not read. Gateway: nor are its actors' WebSockets;
  /// requests longer than a chunk are not sent.
  std::uint64_t envoy_unsent_max = 1048576;
  std::uint64_t frame_bytes_max =
      33554432;  ///< a larger message from an envoy closes its connection
};

}  // namespace nuncio::testing

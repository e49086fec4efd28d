// The link to the engine: one thread that owns the WebSocket, decodes inbound frames, writes queued ones, answers Pings, keeps
// the lease and dials again, all as its link_machine decides. It knows nothing about actors. Everything is passed by value.
#pragma once

#include <cstdint>
#include <memory>
#include <nuncio/connection/connection_policy.hpp>
#include <nuncio/connection/dial_terms.hpp>
#include <nuncio/connection/lease.hpp>
#include <nuncio/connection/link_listener.hpp>
#include <nuncio/connection/outbound_intake.hpp>
#include <nuncio/connection/websocket.hpp>
#include <nuncio/detail/clock.hpp>
#include <nuncio/engine/engine_api.hpp>
#include <nuncio/host_stats.hpp>
#include <nuncio/log.hpp>
#include <nuncio/outcome.hpp>
#include <string>

namespace nuncio {

/// Where the engine is, and how we identify ourselves.
struct link_target {
  engine_endpoint endpoint;
  std::string namespace_name = "default";
  std::string pool = "default";
  std::string envoy_key;  ///< 3 to 128 of [A-Za-z0-9_-]
  std::uint32_t actors_version = 1;
  bool token_renewable = false;  ///< the token's source may return another one later
};

struct link_options {
  link_target target;
  websocket_options socket;
  connection_policy_options policy;
  lease_options lease;
  /// Messages for clients that are queued or not yet confirmed, in bytes: 512 more than the length of each. Parts of streaming
  /// bodies, and other long messages, may together take an eighth of it: they wait for room, so that other messages never wait
  /// behind more than that. Anything else is refused above the limit; a message longer than the whole limit is sent alone.
  std::size_t outbound_bytes_max = 64UL << 20U;
  /// The same for storage requests, which have their own room however much is sent to clients.
  std::size_t outbound_storage_bytes_max = 32UL << 20U;
  /// Inbound messages handed over and not granted back: above either limit the socket is not read.
  std::size_t inbound_messages_max = 16384;
  std::size_t inbound_bytes_max = 64UL << 20U;
  /// Memory for the elements of one inbound message, of which one byte on the wire may take fifty. A message above it fails
  /// alone, as one that is too long. Commands are exempt: none may be lost.
  std::size_t inbound_elements_bytes_max = 64UL << 20U;
  /// A longer encoded message is refused: the engine would answer it by dropping the connection (docs/protocol.md C.2).
  std::size_t outbound_message_bytes_max = 32UL << 20U;
  log_sink log;
};

class link final : public intake_port {
public:
  /// `listener` must outlive the link's thread.
  link(link_listener& listener, link_options options);
  ~link() override;

  /// Starts the thread and the first dial.
  outcome<void> start(dial_terms terms);
  /// The answer to on_ask, from any thread. errc::refused ends the link; after any other failure it dials and asks again.
  void renew(outcome<dial_terms> terms);
  /// Ends the thread; queued messages are lost. Idempotent. Not from the link's thread.
  void stop();
  [[nodiscard]] link_stats stats() const;

  void close() override;
  void grant(std::size_t messages, std::size_t bytes) override;

private:
  outbound_intake& intake() override;

  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace nuncio

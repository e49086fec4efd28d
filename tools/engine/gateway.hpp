// The client's way to an actor: holds requests until the actor is ready, wakes it, sends, retries
// (docs/protocol.md G). One exchange for each HTTP request or client WebSocket. Engine thread; no
// sockets of its own.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nuncio/messages.hpp>
#include <random>
#include <string>

#include "engine_core.hpp"
#include "url.hpp"
#include "web.hpp"

namespace nuncio::engine {

struct gateway_counters {
  std::uint64_t requests = 0, attempts = 0, retries = 0, responses = 0, failed = 0, sockets = 0;
};

class gateway {
public:
  /// @returns false if the connection has gone
  using send_function = std::function<bool(connection_id, protocol::to_envoy_tunnel_message)>;

  gateway(
      engine_core& core,
      engine_limits limits,
      bool streaming,
      std::uint64_t seed,
      send_function send);
  ~gateway();

  void request(http_request request, std::shared_ptr<http_responder> responder, millis now);
  void socket(http_request request, std::shared_ptr<web_socket> socket, millis now);

  /// A tunnel message from an envoy; unknown exchanges are dropped.
  void handle(const protocol::to_rivet_tunnel_message& message, millis now);
  void actor_changed(const actor_id& id, millis now);
  void tick(millis now);

  [[nodiscard]] const gateway_counters& counters() const { return counters_; }

private:
  enum class stage : std::uint8_t { waiting_ready, backing_off, waiting_response, streaming, done };

  struct exchange {
    exchange_id id;
    actor_id actor;
    http_request request;
    std::string path;  ///< as the actor sees it
    std::shared_ptr<http_responder> responder;
    std::shared_ptr<web_socket> socket;
    stage at = stage::waiting_ready;
    millis deadline = 0;
    int attempts = 0;  ///< sent to an envoy
    int failures = 0;  ///< those that failed, and times that the envoy was away
    std::uint32_t generation = 0;
    connection_id connection = 0;
    std::uint16_t out_index = 0;
    std::uint16_t in_index = 0;
    bool streams = false;  ///< this attempt speaks the streaming form
    bool body_done = true;
    std::uint64_t body_sent = 0;
    std::uint64_t body_credited = 0;
    std::uint64_t response_bytes = 0;
    std::uint64_t response_drained = 0;
    bool opened = false;
    std::deque<std::pair<bytes, bool>> waiting;  ///< client messages before the actor has accepted
    std::size_t waiting_bytes = 0;
  };

  using exchange_ptr = std::shared_ptr<exchange>;

  /// The actor that the target names; otherwise `refused` says why there is none.
  struct route {
    actor_id actor;
    std::string path;
    std::optional<http_reply> refused;
  };

  route resolve(const std::string& target, millis now);
  route resolve_query(
      const std::string& name, const url_target& target, const std::string& rest, millis now);
  exchange_ptr enter(http_request request, route where, millis now);
  void advance(exchange& x, millis now);
  void attempt(exchange& x, const actor_record& actor, connection_id connection, millis now);
  void attempt_failed(exchange& x, millis now);
  void give_up(exchange& x);
  void refuse(exchange& x, http_reply reply);
  void finish(exchange& x);
  bool tell(exchange& x, protocol::to_envoy_tunnel_message_kind kind);
  void send_body(exchange& x);
  void abort_request(
      exchange& x, protocol::http_stream_abort_reason_kind kind, std::string_view detail);
  void handle_http(exchange& x, const protocol::to_rivet_tunnel_message& message, millis now);
  void on_response_start(exchange& x, const protocol::to_rivet_response_start& start, millis now);
  void on_response_chunk(exchange& x, const protocol::to_rivet_response_chunk& chunk);
  void handle_socket(exchange& x, const protocol::to_rivet_tunnel_message& message, millis now);
  void client_message(exchange& x, bytes data, bool binary);
  void client_closed(exchange& x, std::optional<std::uint16_t> code, const std::string& reason);

  engine_core& core_;
  engine_limits limits_;
  bool streaming_;
  std::mt19937_64 random_;
  send_function send_;
  gateway_id id_;
  std::map<exchange_id, exchange_ptr> exchanges_;
  gateway_counters counters_;
};

}  // namespace nuncio::engine

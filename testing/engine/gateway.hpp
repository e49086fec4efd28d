// The client's path to an actor: holds requests until the actor is ready, wakes it, sends, retries (docs/protocol.md G). One
// exchange for each HTTP request or client WebSocket; a hibernating socket outlives the generations of its actor. Engine
// thread; no sockets of its own.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nuncio/messages.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "body_room.hpp"
#include "engine_core.hpp"
#include "request_target.hpp"
#include "web.hpp"

namespace nuncio::testing::engine {

struct gateway_counters {
  std::uint64_t requests = 0, attempts = 0, retries = 0, responses = 0, failed = 0, sockets = 0;
  std::uint64_t body_bytes_max = 0;  ///< peak of the bytes kept of bodies that come in parts
};

class gateway {
public:
  /// @returns false if the connection has gone
  using send_function = std::function<bool(connection_id, protocol::to_envoy_tunnel_message)>;

  /// @returns none if the connection has gone
  using flow_function = std::function<std::optional<socket_flow>(connection_id)>;

  using clock_function = std::function<millis()>;

  /// `clock` is for reports that sockets and responders make by themselves.
  gateway(
      engine_core& core,
      engine_limits limits,
      bool streaming,
      std::uint64_t seed,
      send_function send,
      flow_function flow,
      clock_function clock);
  ~gateway();

  void request(http_request request, std::shared_ptr<http_responder> responder, millis now);
  void socket(http_request request, std::shared_ptr<web_socket> socket, millis now);

  /// A tunnel message from an envoy; unknown exchanges are dropped.
  void handle(const protocol::to_rivet_tunnel_message& message, millis now);
  void actor_changed(const actor_id& id, millis now);
  /// An envoy has connected: messages held for it while it was away are sent.
  void envoy_connected();
  void tick(millis now);

  /// The sockets that wait for a Start of this actor.
  [[nodiscard]] std::vector<protocol::hibernating_request> hibernating(const actor_id& id) const;

  [[nodiscard]] bool streaming() const { return streaming_; }

  [[nodiscard]] const gateway_counters& counters() const { return counters_; }

  /// Whether an envoy accepts what it is sent, so that it may be sent more.
  [[nodiscard]] bool has_room(connection_id connection) const;

private:
  enum class stage : std::uint8_t {
    waiting_ready,
    backing_off,
    waiting_response,  ///< sent; for an accepted socket: open
    streaming,
    hibernating,  ///< the socket's actor sleeps, and no client message waits
    done
  };

  /// A client's message that its actor has not acked.
  struct unacked_message {
    std::uint16_t index = 0;
    bytes data;
    bool binary = false;
    millis sent = 0;
  };

  struct client_end {
    std::optional<std::uint16_t> code;  ///< none: it vanished
    std::string reason;
  };

  /// The additional state of an exchange that is a client WebSocket.
  struct socket_part {
    std::shared_ptr<web_socket> client;
    bool opened = false;  ///< the actor has accepted; before that nothing is read from the client
    bool hibernates = false;
    bool refused = false;                 ///< the last failed attempt was refused
    std::optional<client_end> ended;      ///< seen before the actor has accepted
    std::deque<unacked_message> unacked;  ///< if it hibernates
    std::uint64_t unacked_bytes = 0;
    std::deque<protocol::to_rivet_tunnel_message_kind> early;  ///< from an actor that starts again
  };

  /// The state of an actor that a client waits for.
  struct waking {
    std::uint32_t before = 0;  ///< the generation before the first that may become ready
    int stopped = 0;           ///< how many of them have stopped before they were ready
  };

  /// Why the streaming gateway aborts a request whose client it has answered instead of the actor.
  static constexpr std::string_view stopped_before_completion =
      "gateway stopped the HTTP request before completion";

  struct exchange {
    exchange_id id;
    actor_id actor;
    http_request request;  ///< with the unsent part of the body, if it comes in parts
    std::string path;      ///< as the actor sees it
    std::shared_ptr<http_responder> responder;
    std::optional<socket_part> socket;
    stage at = stage::waiting_ready;
    millis deadline = 0;          ///< its key in timers_: change it with set_deadline only
    int attempts = 0;             ///< sent to an envoy
    int failures = 0;             ///< failed attempts, and times that the envoy was away
    std::optional<waking> woken;  ///< while it waits for its actor
    std::uint32_t generation = 0;
    connection_id connection = 0;
    std::uint16_t out_index = 0;
    std::uint16_t in_index = 0;
    bool streams = false;  ///< this attempt uses the streaming form
    bool whole = true;     ///< the whole request body is there
    bool body_done = true;
    bool waits_for_room = false;  ///< for the whole body, which its actor's host needs complete
    bool collects = false;        ///< it has that room
    std::uint64_t body_kept = 0;  ///< as counted in body_bytes_
    std::uint64_t body_got = 0;
    std::uint64_t body_sent = 0;
    std::uint64_t body_credited = 0;
    std::uint64_t response_bytes = 0;
    std::uint64_t response_drained = 0;
    std::deque<protocol::to_envoy_tunnel_message> held;  ///< while the envoy is away
    std::uint64_t held_bytes = 0;
    std::uint64_t crowded_until = 0;  ///< bytes taken; from then on the client is read again
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
  static wire::map_of<text, text> headers_for_actor(
      const http_request& request, const std::string& ray);
  exchange_ptr enter(http_request request, route where, millis now);
  void advance(exchange& x, millis now);
  void advance_sent(exchange& x, bool same, millis now);
  void attempt(exchange& x, const actor_record& actor, connection_id connection, millis now);
  void attempt_failed(exchange& x, millis now);
  void give_up(exchange& x);
  void wake(exchange& x, const actor_record& actor, millis now);
  void refuse(exchange& x, http_reply reply);
  void finish(exchange& x);
  void set_deadline(exchange& x, millis deadline);
  void resume_crowded(millis now);
  bool send_now(exchange& x, const protocol::to_envoy_tunnel_message& message);
  /// Sends, or holds while the envoy is away.
  void tell(exchange& x, protocol::to_envoy_tunnel_message_kind kind);
  void hold_or_send(exchange& x, protocol::to_envoy_tunnel_message message, std::uint64_t size);
  protocol::to_envoy_tunnel_message message_of(
      exchange& x, protocol::to_envoy_tunnel_message_kind kind);

  // gateway_http.cpp
  [[nodiscard]] bool would_stream(const actor_record& actor) const;
  void start_request(exchange& x, const actor_record& actor, millis now);
  void send_body(exchange& x);
  void collect_body(exchange& x);
  void count_body(exchange& x);
  void client_body(exchange& x, std::string_view part, bool last, millis now);
  /// No more of the body will come, and it is not complete.
  void end_upload(exchange& x, http_reply reply);
  void abort_request(
      exchange& x, protocol::http_stream_abort_reason_kind kind, std::string_view detail);
  void handle_http(exchange& x, const protocol::to_rivet_tunnel_message& message, millis now);
  void on_response_start(exchange& x, const protocol::to_rivet_response_start& start, millis now);
  void on_response_chunk(exchange& x, const protocol::to_rivet_response_chunk& chunk);

  // gateway_sockets.cpp
  void advance_socket(exchange& x, bool same, millis now);
  void resume_socket(exchange& x, const actor_record& actor, millis now);
  void handle_socket(exchange& x, const protocol::to_rivet_tunnel_message_kind& kind, millis now);
  void on_socket_open(exchange& x, bool hibernates, millis now);
  void on_socket_close(exchange& x, const protocol::to_rivet_web_socket_close& close, millis now);
  void on_socket_ack(exchange& x, std::uint16_t index);
  void client_message(exchange& x, bytes data, bool binary, millis now);
  /// A client is read no faster than its actor's host reads: while the host has much to take, each client may have one message
  /// there.
  void wait_for_room(exchange& x);
  void client_closed(exchange& x, client_end end, millis now);
  void tell_client_end(exchange& x, const client_end& end);
  void close_client(exchange& x, std::uint16_t code, std::string_view reason);

  engine_core& core_;
  engine_limits limits_;
  bool streaming_;
  std::mt19937_64 random_;
  send_function send_;
  flow_function flow_;
  clock_function clock_;
  gateway_id id_;
  std::map<exchange_id, exchange_ptr> exchanges_;
  std::map<actor_id, std::set<exchange_id>> by_actor_;
  std::set<std::pair<millis, exchange_id>> timers_;
  std::set<exchange_id> holding_;  ///< those whose `held` is not empty
  std::set<exchange_id> crowded_;  ///< those that wait for room on their envoy's connection
  exchange_id crowded_last_;       ///< the one that had its turn last
  std::uint64_t body_bytes_ = 0;   ///< kept of bodies that come in parts
  body_room collected_{512UL << 20U};
  gateway_counters counters_;
};

}  // namespace nuncio::testing::engine

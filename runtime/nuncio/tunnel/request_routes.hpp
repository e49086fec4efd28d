// Which HTTP exchange belongs to which instance, and the limits for them. The exchange itself decides what is sent in it. Pure;
// part of host_machine.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nuncio/host/host_core.hpp>
#include <nuncio/instances/instance.hpp>
#include <nuncio/support/known_for.hpp>
#include <nuncio/tunnel/http_exchange.hpp>
#include <nuncio/tunnel/request_room.hpp>
#include <nuncio/tunnel/room_line.hpp>
#include <optional>
#include <string_view>
#include <unordered_map>

namespace nuncio {

class instance_table;

class request_routes {
public:
  /// Both outlive this.
  request_routes(host_core& core, instance_table& instances);

  // -- from the engine

  void handle_up();

  void handle_down() { room_.handle_down(); }

  void handle_start(const protocol::message_id& id, protocol::to_envoy_request_start& start);
  void handle_abort(const exchange_id& id, const protocol::http_stream_abort_reason& reason);
  /// Any other message. @returns false if no such exchange is open
  bool handle(const protocol::message_id& id, protocol::to_envoy_tunnel_message_kind& kind);
  /// Only the head of a message that is larger than this host accepts.
  void handle_long_start(const protocol::message_id& id);
  void handle_long_chunk(const exchange_id& id);

  // -- from the link

  /// Responses that found no room in it may find some now.
  void handle_room();

  // -- from instances

  void handle(const internal::response_begun& what);
  void handle(internal::response_waits& what);
  /// No handler has had it, so nothing was sent in it.
  void handle(const internal::upload_over& what);
  void handle(const internal::attempt_done& what);

  // -- from instance_table

  /// Requests that no handler has answered go back to the gateway, which asks the next generation; responses that are not
  /// complete are cut.
  void abort(instance& x, bool with_responses = true);
  /// Nobody waits for open requests any more.
  void cancel_all(instance& x, std::string_view why);
  /// Whether a client that may be there waits for a response.
  [[nodiscard]] bool keeps_awake(const instance& x) const;

  /// The room of all instances.
  [[nodiscard]] request_room& room() { return room_; }

  // -- time

  void expire();
  [[nodiscard]] std::optional<time_point> poll_timeout();

  [[nodiscard]] std::size_t size() const { return routes_.size(); }

  void clear();

private:
  using stall_map = std::multimap<time_point, exchange_id>;

  struct route : room_line_place {
    route(http_exchange start, instance& to, std::uint64_t attempt)
        : exchange(std::move(start)),
          of(&to),
          ticket(attempt),
          place(to.requests, exchange.position().exchange) {}

    http_exchange exchange;
    instance* of;  ///< outlives this: see abort()
    std::uint64_t ticket;
    request_place place;
    std::shared_ptr<answer_claim> claim = std::make_shared<answer_claim>();
    std::size_t head_bytes = 0;
    /// The head of a request whose body arrives in chunks and is not complete yet.
    std::unique_ptr<http_request> partial;
    time_point due = time_point::max();  ///< when its response must have begun
    /// The untaken parts of a request that is passed to the instance as it arrives; otherwise null.
    std::shared_ptr<upload_on_way> passes;
    bool uploading = false;  ///< more of these parts may come, and are passed on
    /// For a response that its instance writes; null until its client has read some of it.
    std::shared_ptr<response_credit> credit;
    bool begun = false;                        ///< the instance has begun a streaming response
    bool responding = false;                   ///< answered; the response waits for credit
    std::optional<stall_map::iterator> stall;  ///< while the engine has to send next: when to check
  };

  using route_map = std::unordered_map<exchange_id, route>;

  void handle_chunk(
      route_map::iterator at, std::uint16_t index, const protocol::to_envoy_request_chunk& chunk);
  void refuse_here(instance& x, http_exchange& begun, request_bound full);
  void upload(instance& to, route_map::iterator at, http_request request);
  bool pass_on(
      route_map::iterator at, std::uint16_t index, protocol::to_envoy_tunnel_message_kind& kind);
  static void handle_uploaded(route& r);
  bool take_part(route_map::iterator at, std::size_t size, bool last);
  route_map::iterator find_attempt(
      const actor_ref& who, const exchange_id& exchange, std::uint64_t ticket);
  void deliver(instance& to, route_map::iterator at, http_request request);
  void respond(instance& to, route_map::iterator at, internal::response_waits& what);
  void advance(route_map::iterator at);
  void say_last(http_exchange& exchange, const std::shared_ptr<const output_gate>& gate);
  request_bound make_room(instance& to, std::size_t requests, std::size_t bytes);
  void end_silent(route_map::iterator at);
  void end_doubted(route_map::iterator at);
  bool end_unanswered(route_map::iterator at, std::uint16_t status, std::string_view why);
  void tell_over(route_map::iterator at, std::uint16_t status, std::string_view why);
  void watch(route_map::iterator at);
  void unwatch(route& r);
  void end_stalled();
  void end_late();
  void replace(const exchange_id& id);
  void cancel(route_map::iterator at, text why);
  void erase(route_map::iterator at);

  host_core& core_;
  instance_table& instances_;
  request_room room_;
  route_map routes_;
  stall_map stalls_;
  room_line<route> crowded_;            ///< their responses found no room in the link
  std::optional<time_point> sweep_at_;  ///< when to look for late requests
  /// Aborts that overtook their start: the start is not executed when it comes.
  known_for<exchange_id, std::monostate> aborted_early_;
};

}  // namespace nuncio

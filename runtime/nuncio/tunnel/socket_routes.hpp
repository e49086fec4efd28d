// Which client WebSocket belongs to which instance, the order of its client's messages, and the limits; messages to the client
// never pass here. Pure; part of host_machine.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <nuncio/host/host_core.hpp>
#include <nuncio/instances/instance.hpp>
#include <nuncio/tunnel/absent_sockets.hpp>
#include <nuncio/tunnel/doubted_clients.hpp>
#include <nuncio/tunnel/socket_exchange.hpp>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace nuncio {

class instance_table;

class socket_routes {
public:
  /// Both outlive this.
  socket_routes(host_core& core, instance_table& instances);

  // -- from the engine

  /// A connection is up: clients that are open are doubted until something is heard from them.
  void handle_up();
  void handle_open(const protocol::message_id& id, protocol::to_envoy_web_socket_open& open);
  /// Any other message. @returns false if no such WebSocket is open
  bool handle(const protocol::message_id& id, protocol::to_envoy_tunnel_message_kind& kind);
  /// The same for one that is not open, and may come back with the next instance.
  void handle_absent(const protocol::message_id& id, protocol::to_envoy_tunnel_message_kind& kind);
  /// Only the head of a message that is larger than this host accepts.
  void handle_long_open(const exchange_id& id, const actor_id& of);
  void handle_long_message(const protocol::message_id& id);
  void handle_close(const exchange_id& id, const protocol::to_envoy_web_socket_close& close);

  // -- from instances

  void handle(const internal::socket_accepted& what);
  void handle(const internal::socket_over& what);
  void handle(const internal::sockets_restored& what);

  // -- from instance_table

  /// A Start has come with its hibernating WebSockets: `x` must continue with those that are still there.
  void await(
      instance& x, const instance* older, const std::vector<protocol::hibernating_request>& listed);
  /// It can be told about them now.
  void tell_listed(instance& x);
  /// The gateway closes the WebSockets of an instance that ends, or keeps those that hibernate.
  void forget(instance& x);
  /// Whether a client that may be there has one open that does not hibernate.
  [[nodiscard]] bool keeps_awake(const instance& x) const;

  // -- time

  /// Refuses those that were not accepted in time.
  void expire();

  [[nodiscard]] std::optional<time_point> poll_timeout() const {
    if (openings_.empty()) return std::nullopt;
    return openings_.front().until;
  }

  [[nodiscard]] std::size_t size() const { return sockets_.size(); }

  /// Bytes from clients that were not handled yet, beyond what each may always have.
  [[nodiscard]] std::size_t bytes_waiting() const { return waiting_->used(); }

  void clear() { sockets_.clear(); }

private:
  struct route {
    route(internal::socket_ptr made, instance& to, socket_intake from)
        : socket(std::move(made)), of(&to), intake(from) {}

    std::unique_ptr<client_doubt> doubt;  ///< while it is doubted
    internal::socket_ptr socket;
    instance* of;  ///< outlives this: see forget()
    socket_intake intake;
    bool accepted = false;
    bool hibernates = false;
    bool restoring = false;  ///< its instance has not said yet whether it continues with it
    std::unique_ptr<std::vector<host_output::socket_said>> held;  ///< until then
  };

  using socket_map = std::unordered_map<exchange_id, route>;

  /// Ordered by deadline.
  struct opening {
    time_point until;
    exchange_id exchange;
    std::uint64_t ticket;
  };

  void open_for(
      instance& to, const protocol::message_id& id, const protocol::to_envoy_web_socket_open& open);
  void handle_message(
      socket_map::iterator at, std::uint16_t index, protocol::to_envoy_web_socket_message& message);
  bool take(route& r, socket_map::iterator at, std::size_t cost);
  void handle_close(socket_map::iterator at, const protocol::to_envoy_web_socket_close& close);
  socket_map::iterator find(const exchange_id& exchange, std::uint64_t ticket);
  void list(instance& x, const exchange_id& exchange);
  void route_unlisted(instance& x, const internal::socket_ptr& socket);
  void give_room(instance& x, internal::socket& to);
  bool make_room(instance& x);
  void make_head_room(instance& x, std::size_t bytes);
  client_doubt* doubted(instance& x, bool own);
  void end_doubted(socket_map::iterator at);
  bool charge_head(instance& x, internal::socket& socket) const;
  void end_restoring(instance& x);
  void close_unaccepted(
      const exchange_id& id,
      std::uint16_t code,
      std::string_view why,
      const std::shared_ptr<const output_gate>& gate);
  void refuse(const actor_id& of, const exchange_id& id, std::uint16_t code, std::string_view why);
  [[nodiscard]] bool is_stale(const opening& x) const;
  void drop_stale_openings();
  void end(socket_map::iterator at, std::uint16_t code, std::string_view why);
  void drop(socket_map::iterator at, std::string_view why);
  void erase(socket_map::iterator at);

  host_core& core_;
  instance_table& instances_;
  socket_map sockets_;
  std::shared_ptr<waiting_pool> heads_;    ///< of the WebSockets of all instances
  std::shared_ptr<waiting_pool> waiting_;  ///< messages from clients of all instances
  doubted_clients<doubted_of_host> doubted_;
  std::deque<opening> openings_;
  absent_sockets absent_;
};

}  // namespace nuncio

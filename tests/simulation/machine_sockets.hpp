// The WebSockets of one instance of machine_host: drives socket_session as an engine actor does (actors/nuncio/actor), with the
// records of those that hibernate in a store that stands for the engine's KV. Checks what the handlers get.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/host/host_messages.hpp>
#include <nuncio/host/host_outputs.hpp>
#include <variant>
#include <vector>

#include "simulation/oracle.hpp"

namespace nuncio::simulation {

/// What one instance leaves to the next of one of its WebSockets.
struct kept_socket {
  std::uint32_t generation = 0;  ///< that wrote it
  std::uint16_t next_index = 0;
  std::optional<std::uint16_t> consumed;
  bool exact = false;
};

/// Of all actors of a host, as the engine stores them.
using kept_sockets = std::map<actor_id, std::map<exchange_id, kept_socket>>;

class machine_sockets : public std::enable_shared_from_this<machine_sockets> {
public:
  using word =
      std::variant<internal::socket_accepted, internal::socket_over, internal::sockets_restored>;

  /// All of it outlives the instance.
  struct surroundings {
    scheduler& time;
    chance& random;
    oracle& watch;
    link_port& link;
    kept_sockets& kept;
    unsigned hibernates;             ///< percent
    std::function<void(word)> tell;  ///< the host
  };

  machine_sockets(surroundings x, std::shared_ptr<const instance_base> of)
      : to_(std::move(x)), of_(std::move(of)) {}

  // -- from the host, on the side of actors
  void handle(host_output::socket_opening& what);
  void handle(host_output::socket_said& what);
  void handle(host_output::socket_left& what);
  void handle(internal::sockets_listed& what);
  void handle(internal::socket_repeated& what);
  void handle(internal::socket_failed& what);
  void handle_room();

  /// The instance is down: what its handlers had is acked and recorded, if its outputs still count.
  void handle_down(bool for_good);

private:
  void accept(const internal::socket_ptr& x);
  void restore(const std::vector<internal::socket_ptr>& listed);
  void fail(internal::socket& x, std::uint16_t code, std::string_view why);
  void save(internal::socket& x, bool exact);
  void forget(internal::socket& x);
  void ack_later();
  void ack(bool now);
  void speak(protocol::to_rivet_tunnel_message message);

  surroundings to_;
  std::shared_ptr<const instance_base> of_;
  std::map<std::uint64_t, internal::socket_ptr> all_;     ///< by ticket
  std::deque<protocol::to_rivet_tunnel_message> unsaid_;  ///< that found no room in the link
  std::vector<internal::socket_failed> failed_early_;     ///< while it restores
  bool restoring_ = false, acks_armed_ = false, down_ = false;
};

}  // namespace nuncio::simulation

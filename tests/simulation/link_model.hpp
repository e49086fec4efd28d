// The link without sockets: what runtime/nuncio/link.cpp decides about connections, the lease, gates and fences, on a side of
// its own. It is a model, with the machines connection_policy and lease in it; whoever owns the actors or machines of a host
// is its listener, and is called on the link's side.
#pragma once

#include <memory>
#include <nuncio/connection_policy.hpp>
#include <nuncio/lease.hpp>
#include <nuncio/link.hpp>
#include <nuncio/outbound_room.hpp>
#include <optional>

#include "simulation/oracle.hpp"

namespace nuncio::simulation {

/// What the wire carries towards the engine.
struct up_frame {
  protocol::to_rivet message;
  bool is_fence = false;
  std::uint64_t fence = 0;
};

class link_model final : public link_port {
public:
  struct ports {
    std::function<void()> dial;           ///< handle_open or handle_gone follows
    std::function<void(up_frame)> write;  ///< on the present connection
    std::function<void()> reset;          ///< handle_gone follows
  };

  link_model(scheduler& time, chance& random, oracle& watch, link_listener& listener, ports to);

  // -- from the wire

  void start() { dial(); }

  void handle_open();
  void handle_message(const protocol::to_envoy& message);
  void handle_pong(std::uint64_t fence);
  void handle_gone(connection_end why);

  [[nodiscard]] bool up() const { return up_; }

  [[nodiscard]] bool over() const { return over_; }

  // -- for the host

  outcome<void> send_frame(
      frame_class what, epoch connection, const protocol::to_rivet& message) override;
  outcome<void> send_for_connection(
      std::shared_ptr<const output_gate> gate,
      epoch connection,
      const protocol::to_rivet& request) override;
  outcome<void> send_across_connections(
      tunnel_source from, protocol::to_rivet_tunnel_message&& message) override;
  void fence(epoch connection, std::uint64_t id) override;
  void close() override;

  [[nodiscard]] bool has_room_for_bodies(const room_waiter& who) override;

  /// From now on tunnel messages have room for so many, and keep it for up to `taken` after they were said.
  void narrow(std::size_t messages, duration taken);

  void greet(std::vector<protocol::to_rivet>, bool) override {}

  void grant(std::size_t, std::size_t) override {}

  /// How often somebody found no room.
  [[nodiscard]] std::uint64_t refusals() const { return refusals_; }

  duration hop = 2ms;  ///< longest delay between two sides

private:
  void dial();
  bool check_lease();
  void arm_lease();
  void write(up_frame frame, epoch connection, std::optional<frame_class> what);
  /// @param connection  with which it dies, if it does
  void speak(
      std::shared_ptr<const output_gate> gate,
      std::optional<epoch> connection,
      protocol::to_rivet message);
  void tell_of_room();
  void tell_of_room_later();
  [[nodiscard]] bool may_leave(const output_gate& gate) const;

  [[nodiscard]] bool alive() const { return up_ && !end_reason_; }

  duration hop_now() { return random_.between(0ms, hop); }

  scheduler& time_;
  chance& random_;
  oracle& watch_;
  link_listener& listener_;
  ports to_;
  connection_policy policy_;
  lease lease_;
  std::unique_ptr<outbound_room> room_;
  duration taken_{};  ///< longest time that a tunnel message keeps its room
  std::uint64_t refusals_ = 0;
  bool up_ = false, over_ = false;
  std::uint64_t term_ = 1;
  std::optional<connection_end> end_reason_;
  std::optional<time_point> lease_armed_;
};

}  // namespace nuncio::simulation

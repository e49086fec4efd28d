// The link without sockets: the real link_machine, on a side of its own, between a host and the wire. Compared to
// runtime/nuncio/connection/link.cpp only libwebsockets is missing. The owner of a host's actors or machines is its listener,
// and is called on the link's side.
#pragma once

#include <deque>
#include <functional>
#include <nuncio/connection/link_machine.hpp>
#include <optional>

#include "simulation/oracle.hpp"

namespace nuncio::simulation {

/// What the wire carries towards the engine.
struct up_frame {
  protocol::to_rivet message;         ///< as the engine decodes it
  std::optional<std::uint64_t> ping;  ///< nothing but a WebSocket ping of this number
};

/// How a run's link is drawn.
struct link_habits {
  duration hop = 2ms;          ///< longest delay between two sides
  duration writes_every{};     ///< longest time from one frame to the next: a slow socket
  outbound_bounds outbound{};  ///< of the queue
  inbound_bounds inbound{};
};

class link_side final : public intake_port {
public:
  struct ports {
    std::function<void()> dial;           ///< handle_open or handle_gone follows
    std::function<void(up_frame)> write;  ///< on the present connection
    std::function<void()> reset;          ///< handle_gone follows
  };

  link_side(scheduler& time, chance& random, oracle& watch, link_listener& listener, ports to);

  /// Before start().
  void draw(const link_habits& habits);

  void start();

  // -- from the wire

  void handle_open();
  /// @param said  when the engine sent it
  void handle_message(const protocol::to_envoy& message, time_point said);
  void handle_pong(std::uint64_t number);
  void handle_gone(connection_end why);

  [[nodiscard]] bool up() const { return machine_->up(); }

  [[nodiscard]] bool over() const { return machine_->over(); }

  // -- for the host

  outcome<void> send_frame(
      frame_class what, epoch connection, const protocol::to_rivet& message) override;
  void close() override;
  void grant(std::size_t messages, std::size_t bytes) override;

  [[nodiscard]] duration hop() const { return habits_.hop; }

private:
  outbound_intake& intake() override { return machine_->intake(); }

  void make_machine();
  void wake();
  void carry_out();
  void act(link_output::dial&);
  void act(link_output::reset&);
  void act(link_output::close_socket&);
  void act(link_output::set_reading& x);
  void act(link_output::request_write&);

  template <class Output>
  void act(Output& x) {
    check(x);
    deliver(x, listener_);
  }

  // What the oracle wants to know of it.
  template <class Output>
  void check(const Output&) {}

  void check(const link_output::up& x);
  void check(const link_output::down& x);
  void check(const link_output::lease_ended&);
  void check(const link_output::ask&);

  void write_on();
  void write(outbound_frame frame);
  void read(std::function<void()> what);
  void take(const protocol::to_envoy& message);
  void arm_timer();

  duration hop_now() { return random_.between(0ms, habits_.hop); }

  scheduler& time_;
  chance& random_;
  oracle& watch_;
  link_listener& listener_;
  ports to_;
  link_habits habits_;
  std::unique_ptr<link_machine> machine_;
  std::deque<std::function<void()>> unread_;  ///< while the machine reads nothing
  std::uint64_t received_ = 0;
  bool reads_ = true, wants_write_ = false, writes_ = false, closing_ = false;
  std::optional<time_point> armed_;
};

}  // namespace nuncio::simulation

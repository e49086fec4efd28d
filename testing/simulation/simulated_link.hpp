// The connection between a simulated host and its engine: it replaces libwebsockets, with a queue in each direction, so that a
// cut can lose messages under way. link_machine makes the decisions, as in a real host. One thread, in virtual time.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <nuncio/connection/link_machine.hpp>
#include <nuncio/connection/outbound_intake.hpp>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "engine/web.hpp"

namespace nuncio::testing {

struct simulated_link_options {
  std::string envoy_key;
  std::string pool;
  std::string namespace_name;
  std::uint16_t version = 0;
  std::function<time_point()> now;
  std::uint64_t seed =
      0;  ///< for the order in which the directions take turns, and the time between two dials
};

class simulated_link final : public intake_port {
public:
  /// Both must outlive this.
  simulated_link(link_listener& host, engine::web_handler& engine, simulated_link_options options);
  ~simulated_link() override;

  /// Moves one message, or dials if it is time. @returns false if there is nothing to do now
  bool step();

  /// Handles what time alone brings: the end of the lease, the next dial.
  void tick();

  /// When tick() or step() has work even if nothing else happens; none: not needed.
  [[nodiscard]] std::optional<time_point> next_timer() const;

  /// Ends the connection and drops messages under way. No new one before `dial_after`.
  void cut(duration dial_after);

  /// For good: the host is killed, and gets no more messages.
  void end();

  [[nodiscard]] bool connected() const { return socket_ != nullptr; }

  // -- link_port
  void close() override;
  void grant(std::size_t messages, std::size_t bytes) override;

private:
  class socket;

  outbound_intake& intake() override { return machine_.intake(); }

  void dial();
  void lost(connection_end why);
  bool send_one();
  bool receive_one();
  void handle_wake();
  void carry_out();
  void act(link_output::dial&);
  void act(link_output::reset& x);
  void act(link_output::close_socket&);
  void act(link_output::set_reading& x);
  void act(link_output::request_write&);
  void act(link_output::ask&);

  template <class Output>
  void act(Output& x) {
    deliver(x, host_);
  }

  link_listener& host_;
  engine::web_handler& engine_;
  const simulated_link_options options_;
  std::mt19937_64 random_;
  link_machine machine_;
  std::shared_ptr<socket> socket_;  ///< null while down
  std::optional<time_point> dial_at_, close_by_;
  time_point blocked_until_{};
  std::deque<std::variant<bytes, std::uint64_t>> in_;  ///< messages and pongs
  std::uint64_t received_ = 0;
  bool reads_ = true, wants_write_ = false, woken_ = false, close_asked_ = false, closing_ = false;
  bool over_ = false;
};

}  // namespace nuncio::testing

// The connection between a simulated host and the engine beside it: what libwebsockets is to a real one, with a queue each
// way, so that a cut can lose what is on its way. Everything on one thread, in virtual time.
#pragma once

#include <deque>
#include <nuncio/lease.hpp>
#include <nuncio/link.hpp>
#include <nuncio/link_port.hpp>
#include <random>

#include "engine/web.hpp"

namespace nuncio::testing {

struct simulated_link_options {
  std::string envoy_key;
  std::string pool;
  std::string namespace_name;
  std::uint16_t version = 0;
  std::function<time_point()> now;
  std::uint64_t seed = 0;  ///< of the order in which the two ways take turns
  /// From the end of a connection to the next dial.
  duration dial_after = std::chrono::milliseconds{100};
};

class simulated_link final : public link_port {
public:
  /// Both must outlive this.
  simulated_link(link_listener& host, engine::web_handler& engine, simulated_link_options options);
  ~simulated_link() override;

  /// Moves one message, or dials if it is time. @returns false if there is nothing to do now
  bool step();

  /// What time alone brings: the end of the lease.
  void tick();

  /// The connection ends, and with it what is on its way. No next one before `dial_after`.
  void cut(duration dial_after);

  /// For good: the host is killed. Nothing is said to it any more.
  void end();

  [[nodiscard]] bool connected() const { return socket_ != nullptr; }

  // -- link_port
  void close() override;
  outcome<void> send_frame(
      frame_class what, epoch connection, const protocol::to_rivet& message) override;
  outcome<void> send_for_connection(
      std::shared_ptr<const output_gate> gate,
      epoch connection,
      const protocol::to_rivet& request) override;
  outcome<void> send_across_connections(
      tunnel_source from, protocol::to_rivet_tunnel_message&& message) override;

  [[nodiscard]] bool has_room_for_bodies(const room_waiter&) override { return true; }

  void fence(epoch connection, std::uint64_t id) override;
  void greet(std::vector<protocol::to_rivet> first, bool now) override;

  void grant(std::size_t, std::size_t) override {}

private:
  class socket;

  struct outbound {
    bytes encoded{};
    std::optional<frame_class> reported{};  ///< on_written when it is sent
    std::optional<std::uint64_t> fence{};   ///< is a ping, and nothing else
    std::shared_ptr<const output_gate> gate{};
    bool moves = false;  ///< to the next connection
  };

  void dial();
  void lost(std::string_view why);
  void deliver(bytes frame);
  bool send_one();
  bool receive_one();
  outcome<void> queue(const protocol::to_rivet& message, outbound with);

  link_listener& host_;
  engine::web_handler& engine_;
  simulated_link_options options_;
  std::mt19937_64 random_;
  lease lease_;
  std::shared_ptr<socket> socket_;  ///< null while down
  epoch connection_ = 0;
  std::uint64_t term_ = 0;
  std::optional<time_point> dial_at_;
  bool closing_ = false;
  bool over_ = false;
  std::deque<outbound> out_;
  std::deque<bytes> in_;
  std::vector<protocol::to_rivet> greeting_;
};

}  // namespace nuncio::testing

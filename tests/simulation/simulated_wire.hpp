// The connection between the link and the engine's model: in order, with latency, until it is cut, when messages under way are
// lost. Can be half open, and can be cut at any single frame. Must not change a frame.
#pragma once

#include <memory>

#include "simulation/engine_model.hpp"
#include "simulation/link_side.hpp"

namespace nuncio::simulation {

struct wire_faults {
  unsigned cut_permille = 0, lost_ack_permille = 0;
};

class wire {
public:
  wire(scheduler& time, chance& random, oracle& watch)
      : time_(time), random_(random), watch_(watch) {}

  void connect_to(engine_model& engine, link_side& link) {
    engine_ = &engine;
    link_ = &link;
  }

  // -- for the host
  void dial();
  void write(up_frame frame);

  // -- for the engine
  void send(protocol::to_envoy message);

  // -- for whoever spoils it
  void cut(connection_end why = {connection_end::kind::lost, 0, 0, {}});
  void half_open(bool up, bool down, duration until_cut);

  /// Dials fail until then.
  void block(time_point until) { blocked_until_ = std::max(blocked_until_, until); }

  wire_faults faults;
  duration latency = 2ms;
  duration extra = 0ms;
  /// Each frame to the host takes up to this much longer than the one before it: data piles up on a slow line.
  duration drift = 0ms;

  [[nodiscard]] std::uint64_t connections() const { return number_; }

private:
  struct connection {
    std::uint64_t number = 0;
    bool alive = true, swallow_up = false, swallow_down = false;
    time_point last_up{}, last_down{};
  };

  using shared = std::shared_ptr<connection>;

  void up(const shared& on, std::function<void()> what);
  void down(const shared& on, std::function<void()> what);
  void end(const shared& on, const connection_end& why);
  bool cut_here(const shared& on);

  scheduler& time_;
  chance& random_;
  oracle& watch_;
  engine_model* engine_ = nullptr;
  link_side* link_ = nullptr;
  shared now_;
  std::uint64_t number_ = 0;
  time_point blocked_until_{};
};

}  // namespace nuncio::simulation

// What follows from the engine's Pings: its clock mapped to ours, and how long we may act for its actors without hearing from
// it. Pure. The link thread owns the lease (and checks it before each write), ingress owns its own clock. The engine's numbers
// are in range (wire_limits.hpp).
#pragma once

#include <nuncio/detail/clock.hpp>
#include <nuncio/host_options.hpp>
#include <optional>

namespace nuncio {

/// Maps the engine's wall clock to the local clock by the smallest delay seen in the last five to ten minutes. A clock that was
/// set forward is followed at once, one that was set back with the second Ping after that.
class engine_clock {
public:
  /// @returns false if `ts` lies before that of an earlier Ping, so that it means nothing (yet)
  bool handle_ping(engine_ms ts, time_point now);
  /// The local time of `ts`; none before the first Ping.
  [[nodiscard]] std::optional<time_point> to_local(engine_ms ts) const;
  /// The engine's clock at `now`; none before the first Ping.
  [[nodiscard]] std::optional<engine_ms> at(time_point now) const;
  /// The age of `ts` by the engine's clock; none before the first Ping. Never negative.
  [[nodiscard]] std::optional<duration> age(engine_ms ts, time_point now) const;

private:
  struct step {
    engine_ms ts;
    duration offset;
  };

  // Local minus engine, the smaller of the two below.
  [[nodiscard]] std::optional<duration> offset() const;

  // Local minus engine: the smallest of the current and of the last window of five minutes.
  std::optional<duration> current_, last_;
  time_point window_end_{};
  std::optional<engine_ms> newest_;
  std::optional<step> stepped_;  // the last Ping, if it came from the past
};

/// Runs from the ts of the last Ping for envoyLostThreshold less margin less end_limit (I14).
class lease {
public:
  explicit lease(lease_options options = {}) : options_(options) {}

  void handle_init(duration lost_threshold);
  void handle_ping(engine_ms ts, time_point now);

  /// None before the first Ping: nothing was promised yet.
  [[nodiscard]] std::optional<time_point> end() const { return end_; }

  [[nodiscard]] bool ended(time_point now) const { return end_ && now >= *end_; }

  /// The end of the lease was noticed and acted upon; a new one starts with the next Ping.
  void handle_ended();

  [[nodiscard]] const engine_clock& clock() const { return clock_; }

private:
  lease_options options_;
  engine_clock clock_;
  duration lost_threshold_ = std::chrono::seconds{15};
  std::optional<time_point> end_;
};

}  // namespace nuncio

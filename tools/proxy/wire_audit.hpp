// Counts what passes between host and engine, and decides where to cut. Pure: no socket, no clock. It trusts neither side:
// commands, deliveries, acks and Stopped events are counted from the decoded messages alone.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nuncio/messages.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

namespace nuncio::proxy {

/// The worst moments to lose a connection.
enum class cut_moment : std::uint8_t {
  after_delivery,  ///< a command has reached the host, its ack has not left for the engine
  ack_in_flight,   ///< the host has sent its ack, the engine never gets it
  during_stop,     ///< a Stop has reached the host, its Stopped has not left for the engine
};

inline constexpr std::size_t cut_moments = 3;

std::string_view to_string(cut_moment x);

struct audit_stats {
  std::uint64_t connections = 0;  ///< of the host, upgraded
  std::uint64_t barriers = 0;     ///< connections on which the first Ping arrived
  bool live = false;              ///< the newest connection has seen its first Ping and was not cut
  std::uint64_t cuts = 0;         ///< connections that the proxy ended
  std::uint64_t commands = 0;     ///< distinct checkpoints delivered
  std::uint64_t starts = 0;       ///< of these, Starts
  std::uint64_t stops = 0;        ///< of these, Stops
  std::uint64_t deliveries = 0;   ///< commands delivered, repeats included
  std::uint64_t duplicates = 0;   ///< deliveries beyond the first
  std::uint64_t replayed_last =
      0;                   ///< commands between Init and the first Ping of the newest connection
  std::uint64_t acks = 0;  ///< checkpoints in acks from the host
  std::uint64_t ack_frames = 0;      ///< acks from the host
  std::uint64_t acks_swallowed = 0;  ///< of these, never seen by the engine
  std::uint64_t re_acked = 0;        ///< commands acked by the host after a further delivery
  std::uint64_t acks_unfounded = 0;  ///< for checkpoints that were never delivered
  std::uint64_t unacked = 0;         ///< commands now whose last delivery the host has not acked
  std::uint64_t unacked_engine =
      0;                     ///< commands now whose ack was not passed on since their last delivery
  std::uint64_t events = 0;  ///< events passed on
  std::uint64_t stopped_twice = 0;  ///< second Stopped events of a generation on one connection
  std::uint64_t requests = 0;       ///< RequestStarts passed on, repeats included
  std::uint64_t lost = 0;         ///< distinct Stops with which the engine gave up an actor as lost
  std::uint64_t undecodable = 0;  ///< messages of either side
  std::array<std::uint64_t, cut_moments> cuts_at{};
  std::array<std::uint64_t, cut_moments>
      duplicates_of{};  ///< deliveries that a cut at that moment caused

  bool operator==(const audit_stats&) const = default;
};

/// What to do with a message.
enum class passage : std::uint8_t {
  forward,
  swallow,
  forward_then_cut,
  swallow_then_cut,  ///< soon, so that more acks are swallowed
};

class wire_audit {
public:
  /// Cuts at the next matching message. Replaces an earlier arm().
  void arm(cut_moment at) { armed_ = at; }

  void disarm() { armed_.reset(); }

  [[nodiscard]] bool armed() const { return armed_.has_value(); }

  void handle_connection();
  void handle_cut();
  passage handle_to_host(const protocol::to_envoy& x);
  passage handle_to_engine(const protocol::to_rivet& x);

  void handle_undecodable() { ++stats_.undecodable; }

  [[nodiscard]] const audit_stats& stats() const { return stats_; }

private:
  using instance = std::pair<std::string, std::uint32_t>;
  using checkpoint = std::tuple<std::string, std::uint32_t, std::int64_t>;

  struct record {
    bool unacked = true;         ///< by the host, since its last delivery
    bool unacked_engine = true;  ///< from the engine's view
    bool acked_before = false;
    std::optional<cut_moment> cut_at;
  };

  void deliver(const protocol::command_wrapper& x, std::optional<cut_moment> cut_at);
  void ack(const protocol::actor_checkpoint& at, bool passed_on, std::optional<cut_moment> cut_at);
  passage handle_commands(const protocol::to_envoy_commands& x);
  passage handle_acks(const protocol::to_rivet_ack_commands& x);
  void handle_events(const protocol::to_rivet_events& x);
  void fired(cut_moment at);

  std::optional<cut_moment> armed_;
  bool swallowing_ = false;  ///< swallows acks until the pending cut
  std::map<checkpoint, record> commands_;
  std::set<instance> stopped_here_;  ///< Stopped passed on, on this connection
  audit_stats stats_;
};

}  // namespace nuncio::proxy

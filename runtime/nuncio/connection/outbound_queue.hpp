// Decides what leaves on the connection, in which order, and what is sent again on the next one. Pure; driven by the owner of
// the connection, one thread.
//
// A message belongs to the connection for which it was queued and dies with it. Tunnel messages are kept until the engine is
// known to have read them, and move to the next connection; a WebSocket ping after them asks whether it has. Responses
// and closes are kept for a second more, in which the engine handles what it has read. Nothing leaves through a gate that is closed or
// belongs to an earlier lease.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <nuncio/connection/outbound_intake.hpp>
#include <nuncio/detail/clock.hpp>
#include <nuncio/log.hpp>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace nuncio {

/// The next frame to write.
struct outbound_frame {
  /// The intake's headroom, then the payload: a message or, for a ping, its number (outbound_queue::ping_number_of).
  std::vector<std::uint8_t> buffer;
  bool is_ping = false;
  std::optional<frame_class> reported{};      ///< its sender is notified once it is written
  std::shared_ptr<const output_gate> gate{};  ///< the gate through which it leaves, if any
};

class outbound_queue {
public:
  /// Written by the owner only, and read by any thread.
  struct tally {
    std::atomic<std::uint64_t> pongs = 0, discarded = 0, moved = 0;
  };

  /// @param from  the source of outbound messages; must outlive this
  outbound_queue(outbound_intake& from, std::size_t headroom, log_sink log);

  void handle_dial(epoch connection, std::uint16_t version);
  /// Messages that the last connection may not have delivered come first on the new one, in order.
  void handle_open();

  /// The engine's Ping, to be answered with the same `ts`, before everything else.
  void handle_ping(engine_ms ts) { pong_due_ = ts; }

  /// @returns the fence that was passed, if any
  std::optional<std::uint64_t> handle_pong(std::uint64_t number, time_point now);
  void handle_gone();
  /// Nothing is taken any more.
  void handle_end();
  /// Everything that leaves from now on belongs to the next term.
  void handle_lease_ended();

  /// Whether nothing is kept for the next connection.
  [[nodiscard]] bool all_handled() const {
    return queue_.empty() && unconfirmed_.empty() && settling_.empty();
  }

  /// The number of leases so far: the term of what leaves now.
  [[nodiscard]] std::uint64_t term() const { return term_; }

  std::optional<outbound_frame> poll_frame(time_point now);
  /// @returns whether poll_frame() has something now even without new messages
  bool expire(time_point now);
  /// When to call expire(); none: not needed.
  [[nodiscard]] std::optional<time_point> poll_timeout() const;

  [[nodiscard]] const tally& stats() const { return tally_; }

  /// The number in a ping's or pong's payload; none: it is not ours.
  static std::optional<std::uint64_t> ping_number_of(std::span<const std::uint8_t> payload);

private:
  std::deque<outbound_message> take_sent();
  void settle(outbound_message x, time_point now);
  void drop_settled(time_point now);
  void drop_all();

  /// Whether a ping would confirm something; one at a time.
  [[nodiscard]] bool may_ping() const { return !unconfirmed_.empty() && !ping_out_; }

  [[nodiscard]] bool wanted(const outbound_message& x) const;
  std::optional<outbound_frame> poll_message(outbound_message x, time_point now);
  outbound_frame ping(time_point now);
  std::vector<std::uint8_t> encoded(const protocol::to_rivet& message);

  outbound_intake& from_;
  const std::size_t headroom_;
  const log_sink log_;
  std::uint64_t term_ = 1;
  std::deque<outbound_message> queue_;
  std::deque<std::pair<std::uint64_t, outbound_message>>
      unconfirmed_;                 // number of the ping that confirms it
  std::size_t unpinged_bytes_ = 0;  // of unconfirmed_, since the last ping
  std::deque<std::pair<time_point, outbound_message>>
      settling_;                    // read by the engine, and until when they are kept nevertheless
  std::size_t settling_bytes_ = 0;  // beside the room
  std::optional<engine_ms> pong_due_;
  std::optional<std::uint64_t> fence_out_;
  std::uint64_t ping_number_ = 0;
  bool ping_out_ = false, confirm_due_ = false;
  time_point confirm_at_{};
  tally tally_;
};

}  // namespace nuncio

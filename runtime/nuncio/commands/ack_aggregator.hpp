// Merges processed checkpoints into the highest index for each (actor, generation) until they go into a frame. Pure; owned by
// the ack actor. Decides nothing, and drops everything with the connection: the replay shows what to ack again (I8).
#pragma once

#include <nuncio/detail/clock.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <optional>
#include <span>
#include <unordered_map>

namespace nuncio {

struct ack_options {
  /// The most checkpoints in one frame: about 45 bytes each, so that a frame stays below 64 KiB.
  std::size_t checkpoints_max = 1400;
  /// The most bytes in one frame, unless one checkpoint alone is longer: ids may have any length, and a frame longer than the
  /// engine takes would never leave.
  std::size_t frame_bytes_max = 1UL << 20U;
  /// The limit for what waits for the link. Above it, checkpoints of further generations are left out: their commands come
  /// again with the next connection, and are acked then.
  std::size_t pending_bytes_max = 64UL << 20U;
};

class ack_aggregator {
public:
  /// The size of one entry with a short id: a node of the table with the actor's id in it, and its share of the buckets.
  static constexpr std::size_t entry_bytes = 112;

  explicit ack_aggregator(ack_options options = {}) : options_(options) {}

  /// A connection opened: pending checkpoints belonged to the last one.
  void handle_link_up(epoch connection);
  void handle_link_down();

  /// Checkpoints that the ledger recorded while `connection` was open; ignored if it is no longer open.
  void handle_processed(epoch connection, std::span<const protocol::actor_checkpoint> checkpoints);

  /// The frame of the last poll_transmit has been handed to the kernel.
  void handle_written(epoch connection);

  /// The next frame, or none. Only one frame is in flight at a time, so acks are merged while the link is busy.
  [[nodiscard]] std::optional<protocol::to_rivet_ack_commands> poll_transmit();

  [[nodiscard]] std::size_t pending() const { return pending_.size(); }

  [[nodiscard]] epoch connection() const { return connection_; }

private:
  using pending_map = std::unordered_map<actor_ref, std::int64_t>;

  pending_map::iterator erase(pending_map::iterator at);
  void clear();

  ack_options options_;
  epoch connection_ = 0;
  bool up_ = false;
  bool in_flight_ = false;
  pending_map pending_;
  std::size_t pending_bytes_ = 0;
};

}  // namespace nuncio

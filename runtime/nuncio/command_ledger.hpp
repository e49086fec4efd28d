// The one record of the highest command index processed for each actor's newest generation: the
// replay filter, and what acks are made of. Pure; owned by ingress. What it has forgotten is never
// run again: it knows when the newest Start of that was created, and runs none as old as that.
//
// Inputs: handle_*, admit, expire. Outputs: poll_timeout, stats.
#pragma once

#include <cstdint>
#include <memory>
#include <nuncio/clock.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/messages_lifecycle.hpp>
#include <optional>

namespace nuncio {

enum class verdict : std::uint8_t {
  fresh,      ///< run it
  duplicate,  ///< index not above the last processed one, a Start of a generation that has had a
              ///< command before, or a Stop of one that is gone: ack (again), run nothing
  superseded,  ///< of an older generation than the newest seen: ack, run nothing
  expired,     ///< of a life that is over, or that the engine has given up by now: ack, end an
               ///< older instance, run nothing, say nothing
};

struct ledger_options {
  /// Heap that entries may take, in bytes.
  std::size_t bytes_max = 64UL << 20U;
  /// How long a gone actor's entry is kept after its last command and its end. No Start is run that
  /// was created before one that is forgotten: so far, less start_limit, may the engine's clocks lie
  /// apart, or be set back, without a new Start being refused. Not below start_limit, or Starts that
  /// take long to arrive are refused.
  duration forget_after = std::chrono::minutes{10};
  /// The engine gives a Start up after 30 s without Running (docs/protocol.md F.3); ours ends 2 s
  /// earlier, and may not end later than the engine's. One that comes from as far in the future is not run either: its age can't be told.
  duration start_limit = std::chrono::seconds{28};
  /// At bytes_max too, an entry is kept this long: the engine's whole start limit.
  duration keep_min = std::chrono::seconds{30};
  /// The envoy key may have been an earlier process's: the engine may stop what that process ran.
  /// Set by the host.
  bool key_had_a_past = false;
};

struct ledger_stats {
  std::uint64_t entries = 0;
  std::uint64_t gone = 0;   ///< of these, of actors that are gone
  std::uint64_t bytes = 0;  ///< estimated heap of the entries
  std::uint64_t fresh = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t superseded = 0;
  std::uint64_t expired = 0;
  std::uint64_t further_starts = 0;  ///< of the duplicates: Starts at an index that was new
  std::uint64_t gaps = 0;            ///< fresh indexes that skipped one or more
  std::uint64_t forgotten = 0;       ///< entries dropped after forget_after
  std::uint64_t dropped_at_cap = 0;  ///< entries dropped before it because of bytes_max
  std::uint64_t over_cap = 0;        ///< times that bytes_max was passed with nothing to drop
};

class command_ledger {
public:
  explicit command_ledger(ledger_options options = {});
  ~command_ledger();
  command_ledger(command_ledger&&) noexcept;
  command_ledger& operator=(command_ledger&&) noexcept;

  /// Judges a command and records it before it returns (I2). Whatever the verdict: ack its
  /// checkpoint.
  /// @param created  for a Start: its create_ts, any value; none for a Stop
  /// @param engine_now  what the engine's clock says, as its Pings tell
  verdict admit(
      const protocol::actor_checkpoint& at,
      std::optional<engine_ms> created,
      engine_ms engine_now,
      time_point now);

  /// The instance of `who` is gone: its entry may be forgotten. Ignored unless `who` is the newest
  /// generation.
  void handle_gone(const actor_ref& who, time_point now);

  /// An instance of `who` lives here (fresh Start dispatched): its entry is kept.
  void handle_live(const actor_ref& who);

  /// Forgets what may be forgotten. Call when poll_timeout says so.
  void expire(time_point now);

  /// When to call expire though nothing happened.
  [[nodiscard]] std::optional<time_point> poll_timeout() const;

  /// The newest generation seen of an actor; none when it is not remembered.
  [[nodiscard]] std::optional<std::uint32_t> newest_generation(const actor_id& actor) const;

  /// Highest index processed of (actor, generation); none when that generation is not the one
  /// remembered.
  [[nodiscard]] std::optional<std::int64_t> last_index(const actor_ref& who) const;

  [[nodiscard]] const ledger_stats& stats() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace nuncio

// The one record of the highest command index processed for each actor's newest generation: the
// replay filter, and what acks are made of. Pure; owned by ingress. Must never forget an entry that
// the engine might still replay.
//
// Inputs: handle_*, admit. Outputs: poll_planned_reconnect, poll_timeout, stats.
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
  duplicate,  ///< index not above the last processed one, or a Start of a generation that has had a
              ///< command before: ack (again), run nothing
  superseded,  ///< of an older generation than the newest seen: ack, run nothing
  expired,     ///< a Start that the engine has given up by now: ack, end an older instance, answer
               ///< Stopped(Error)
};

struct ledger_options {
  /// Heap that entries may take, in bytes.
  std::size_t bytes_max = 64UL << 20U;
  /// How long a proven entry of a gone actor is kept: the engine may retry an activity that stores
  /// a command again.
  duration forget_after = std::chrono::minutes{10};
  /// The engine gives a Start up after 30 s without Running (docs/protocol.md F.3); ours ends 2 s
  /// earlier.
  duration start_limit = std::chrono::seconds{28};
  /// At bytes_max too, a proven entry is kept this long after its last command: the engine's whole
  /// start limit.
  duration keep_min = std::chrono::seconds{30};
};

struct ledger_stats {
  std::uint64_t entries = 0;
  std::uint64_t unproven = 0;  ///< entries of gone actors that no replay barrier has proven yet
  std::uint64_t bytes = 0;     ///< estimated heap of the entries
  std::uint64_t fresh = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t superseded = 0;
  std::uint64_t expired = 0;
  std::uint64_t further_starts = 0;  ///< of the duplicates: Starts at an index that was new
  std::uint64_t gaps = 0;            ///< fresh indexes that skipped one or more
  std::uint64_t forgotten = 0;       ///< proven entries dropped after forget_after
  std::uint64_t dropped_at_cap = 0;  ///< proven entries dropped early because of bytes_max
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
  /// @param start_age  for a Start: how old it is by the engine's clock; none for a Stop
  verdict admit(
      const protocol::actor_checkpoint& at,
      std::optional<duration> start_age,
      epoch connection,
      time_point now);

  /// The instance of `who` is gone: its entry may be forgotten once proven. Ignored unless `who` is
  /// the newest generation.
  void handle_gone(const actor_ref& who, time_point now);

  /// An instance of `who` lives here (fresh Start dispatched): its entry is kept.
  void handle_live(const actor_ref& who);

  /// The replay of `connection` is complete: the engine's first Ping after Init. Entries of which
  /// nothing was re-sent on it are proven.
  void handle_barrier(epoch connection, time_point now);

  /// Ingress stood still for more than a second, so that live commands may have been judged late:
  /// proof is fetched, and nothing is forgotten before the next barrier.
  void handle_stall(time_point now);

  /// Forgets what may be forgotten. Call when poll_timeout says so, and after any input.
  void expire(time_point now);

  /// Whether the link should reconnect once by plan, so that a replay barrier proves what is
  /// unproven. True once for each need; asked again only after the next barrier. Near bytes_max the
  /// need is that entries could go that no barrier has proven yet.
  [[nodiscard]] bool poll_planned_reconnect(time_point now);

  /// When to call expire and poll_planned_reconnect though nothing happened.
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

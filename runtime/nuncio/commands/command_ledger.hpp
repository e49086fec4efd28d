// The one record of the highest command index processed for each actor's newest generation: the
// replay filter, and what acks are made of. Pure; owned by ingress. What it has forgotten is never
// run again: it knows when the newest Start of that was created, and runs none as old as that.
//
// Inputs: handle_*, admit, expire. Outputs: poll_timeout, stats.
#pragma once

#include <cstdint>
#include <memory>
#include <nuncio/detail/clock.hpp>
#include <nuncio/host_options.hpp>
#include <nuncio/host_stats.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/messages_lifecycle.hpp>
#include <optional>

namespace nuncio {

enum class verdict : std::uint8_t {
  fresh,       ///< run it
  duplicate,   ///< index not above the last processed one, a Start of a generation that has had a
               ///< command before, or a Stop of one that is gone: ack (again), run nothing
  superseded,  ///< of an older generation than the newest seen: ack, run nothing
  expired,     ///< of a life that is over, or that the engine has given up by now: ack, end an
               ///< older instance, run nothing, say nothing
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

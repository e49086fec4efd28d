// The only record of the highest command index processed for each actor's newest generation: the replay filter, and the source
// of acks. Pure; owned by ingress. Forgotten commands never run again: it knows when the newest forgotten Start was created,
// and runs none that is as old.
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
  expired,     ///< its life is over, or the engine has given it up: ack, end an
               ///< older instance, run nothing, send nothing
};

class command_ledger {
public:
  explicit command_ledger(ledger_options options = {});
  ~command_ledger();
  command_ledger(command_ledger&&) noexcept;
  command_ledger& operator=(command_ledger&&) noexcept;

  /// Judges a command and records it before it returns (I2). Ack its checkpoint whatever the verdict.
  /// @param created  for a Start: its create_ts, any value; none for a Stop
  /// @param engine_now  the engine's clock, according to its Pings
  verdict admit(
      const protocol::actor_checkpoint& at,
      std::optional<engine_ms> created,
      engine_ms engine_now,
      time_point now);

  /// The instance of `who` is gone: its entry may be forgotten. Ignored unless `who` is the newest generation.
  void handle_gone(const actor_ref& who, time_point now);

  /// An instance of `who` lives here (a fresh Start was dispatched): its entry is kept.
  void handle_live(const actor_ref& who);

  /// Forgets what may be forgotten. Call it at poll_timeout.
  void expire(time_point now);

  /// When to call expire even without other input.
  [[nodiscard]] std::optional<time_point> poll_timeout() const;

  /// The newest generation seen of an actor; none if it is not remembered.
  [[nodiscard]] std::optional<std::uint32_t> newest_generation(const actor_id& actor) const;

  /// The highest index processed of (actor, generation); none if that generation is not remembered.
  [[nodiscard]] std::optional<std::int64_t> last_index(const actor_ref& who) const;

  [[nodiscard]] const ledger_stats& stats() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace nuncio

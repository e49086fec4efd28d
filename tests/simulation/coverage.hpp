// What the seeds reached: how often each verdict met each state of the actor under each fault, and which of these cells can't
// happen, with the reason. Plain counters; never decides anything in a run.
#pragma once

#include <array>
#include <cstdint>
#include <nuncio/instances/lifecycle.hpp>
#include <string>
#include <string_view>

namespace nuncio::simulation {

enum class row : std::uint8_t { fresh_start, fresh_stop, duplicate, superseded, expired, rows };

/// What ingress knows of the actor when a command of it is judged.
enum class column : std::uint8_t {
  unknown,  ///< no ledger entry
  gone,     ///< entry, no instance
  queued,   ///< an instance waits for the older one's end
  starting,
  running,  ///< running, accepted
  wanting,  ///< alive, wants its end, Running not accepted yet
  intent,   ///< alive, intent sent
  down,     ///< quit, waits for the engine's word
  stopping,
  ending,  ///< ending, ending_silently
  columns,
};

/// What was done to the run in the last forty seconds; a command counts under each of them.
enum class fault : std::uint8_t {
  none,       ///< nothing since the run began
  cut,        ///< the connection was reset
  half_open,  ///< frames vanish, then the connection is reset
  lost_ack,   ///< an ack vanished
  duplicate,  ///< a command delivered twice on one connection
  delay,      ///< commands came late
  freeze,     ///< the whole host stood still
  stall,      ///< one actor of the host stood still
  restart,    ///< the engine was killed and came back
  retry,      ///< the engine stored a command again
  further,    ///< the engine stored a Start of a generation once more, at an index of its own
  faults,
};

column column_of(lifecycle::state x);

std::string_view to_string(row r);
std::string_view to_string(column c);

class coverage {
public:
  void count(row r, column c, fault f) { ++cell(r, c, f); }

  void add(const coverage& other);
  /// The table, the cells that can't happen with their reasons, and what is missing or contradicts.
  [[nodiscard]] std::string table() const;
  /// Impossible cells that are not empty and, if so many seeds were run that it must be `whole`, reachable ones that are; empty
  /// when all is well.
  [[nodiscard]] std::string faults_found(bool whole) const;

private:
  std::uint64_t& cell(row r, column c, fault f) {
    return cells_[static_cast<std::size_t>(r)][static_cast<std::size_t>(c)]
                 [static_cast<std::size_t>(f)];
  }

  std::array<
      std::array<
          std::array<std::uint64_t, static_cast<std::size_t>(fault::faults)>,
          static_cast<std::size_t>(column::columns)>,
      static_cast<std::size_t>(row::rows)>
      cells_{};
};

}  // namespace nuncio::simulation

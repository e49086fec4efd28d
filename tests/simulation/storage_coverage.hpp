// What the seeds reached of storage: three tables, of requests, of transactions on local databases, and of when in an
// instance's life something was written. Plain counters; never decide anything in a run.
#pragma once

#include <cstdint>
#include <string>

#include "simulation/tally.hpp"

namespace nuncio::simulation {

enum class storage_kind : std::uint8_t {
  kv_read,
  kv_write,
  sql_read,
  sql_write,
  script,
  pages_read,
  pages_write,
  kinds
};

enum class storage_row : std::uint8_t {
  answered,
  refused,
  another_kind,
  retried,
  lost_with_connection,
  taken_back_then_sent,
  waited_for_consumer,
  waited_for_link,
  gate_closed_waiting,
  gate_closed_in_flight,
  asked_behind_gate,
  timed_out,
  cancelled_at_end,
  answered_after_end,
  given_up_after_end,
  actor_full,
  host_full,
  held_itself_up,
  link_over_waiting,
  link_over_in_flight,
  answer_to_nothing,
  finished,
  rows
};

enum class pages_row : std::uint8_t {
  committed,
  committed_though_lost,
  commit_failed,
  rolled_back,
  broken_by_another,
  broken_by_doubt,
  probed,
  shrunk,
  read,
  opened_again,
  opened_by_another_generation,
  rows
};

/// How large the transaction is that it happens to.
enum class pages_size : std::uint8_t { one_commit, staged, sizes };

/// When in its life an instance asks for something.
enum class moment : std::uint8_t { start, request, alone, last_words, moments };

/// What it is told of it.
enum class told : std::uint8_t { done, not_done, in_doubt, told };

struct storage_coverage {
  tally requests{
      static_cast<std::size_t>(storage_row::rows), static_cast<std::size_t>(storage_kind::kinds)};
  tally transactions{
      static_cast<std::size_t>(pages_row::rows), static_cast<std::size_t>(pages_size::sizes)};
  tally moments{static_cast<std::size_t>(moment::moments), static_cast<std::size_t>(told::told)};

  void add(const storage_coverage& other);
  [[nodiscard]] std::string table() const;
  /// As tally::faults_found.
  [[nodiscard]] std::string faults_found() const;
};

}  // namespace nuncio::simulation

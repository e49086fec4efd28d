// What the clients of a run meet: how often, and in which kind of exchange. Plain counters for the table that the seeds must
// fill; never decides anything.
#pragma once

#include "simulation/client_request.hpp"
#include "simulation/tally.hpp"

namespace nuncio::simulation {

enum class http_row : std::uint8_t {
  read_whole,
  read_to_end,
  read_failed,
  upload_window_full,
  response_window_full,
  answered_whole,
  answered_above_window,
  moved_to_ingress,
  written_in_parts,
  begun_before_upload_end,
  upload_cancelled,
  refused_400,
  refused_413,
  failed_before_head,
  failed_midway,
  got_all,
  got_all_across_a_cut,
  got_500,
  cut_midway,
  sent_back,
  repeated_start,
  client_left,
  client_left_the_upload,
  repeated_to_gateway,
  gateway_cut_repeated,
  gap_ends_it,
  ended_by_the_host,
  indexes_wrapped,
  waits_for_room,
  rows
};

enum class socket_mode : std::uint8_t {
  plain,    ///< ends with its instance, needs no acks
  keeps,    ///< hibernates; what is not acked comes again to the next instance (docs/protocol.md M)
  resends,  ///< hibernates; what is not acked comes again on the next connection, too
  modes
};

enum class socket_row : std::uint8_t {
  accepted,
  handled,
  handled_again,
  said_asleep,
  said_to_the_next,
  said_on_the_next_connection,
  continued,
  no_record,
  passed_over,
  duplicate,
  gap_ends_it,
  gap_behind_record_ends_it,
  acked,
  much_acked_at_once,
  acked_again,
  never_acked,
  client_closed,
  host_closed,
  moved_away,
  client_indexes_wrapped,
  host_indexes_wrapped,
  recorded_at_the_end,
  rows
};

inline tally socket_tally() {
  return {static_cast<std::size_t>(socket_row::rows), static_cast<std::size_t>(socket_mode::modes)};
}

inline tally http_tally() {
  return {static_cast<std::size_t>(http_row::rows), static_cast<std::size_t>(http_mode::modes)};
}

/// The same table of many runs, and what it means.
struct client_table {
  tally::names rows, columns;
  tally::reasons impossible;
};

client_table describe_http();
client_table describe_sockets();

}  // namespace nuncio::simulation

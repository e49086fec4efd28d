// See client_rows.hpp: the cells that can't happen, each with its reason.
#include "simulation/client_rows.hpp"

#include <set>

namespace nuncio::simulation {

client_table describe_http() {
  using enum http_row;
  using enum http_mode;
  tally::reasons impossible;
  const auto only = [&](http_row r, std::set<http_mode> in, std::string_view why) {
    for (std::size_t m = 0; m < static_cast<std::size_t>(modes); ++m)
      if (!in.contains(static_cast<http_mode>(m)))
        impossible[{static_cast<std::size_t>(r), m}] = why;
  };
  constexpr std::string_view no_chunks = "no chunks of a request here";
  constexpr std::string_view no_window = "no window here";
  constexpr std::string_view in_parts = "whole for some handlers, in parts for others";
  constexpr std::string_view no_stream = "the response is one message";
  only(read_whole, {buffered, collected, bodyless, joined}, in_parts);
  for (const auto r : {read_to_end, read_failed, begun_before_upload_end, upload_cancelled})
    only(r, {parts}, in_parts);
  only(refused_400, {collected, joined}, in_parts);
  only(refused_413, {buffered, collected, joined, parts}, "no body");
  only(gap_ends_it, {parts}, "ingress joins it, and its actor does not see how it ends");
  only(client_left_the_upload, {collected, joined, parts}, no_chunks);
  only(ended_by_the_host, {collected, bodyless, joined, parts}, "the gateway says one thing only");
  only(upload_window_full, {joined, parts}, no_window);
  for (const auto r : {response_window_full, answered_above_window})
    only(r, {bodyless, joined, parts}, no_window);
  for (const auto r : {cut_midway, gateway_cut_repeated, got_all_across_a_cut})
    only(r, {bodyless, joined, parts}, no_stream);
  only(repeated_start, {buffered, collected}, "the streaming gateway does not try again");
  return {
      .rows =
          {"body read whole",
           "body read in parts to its end",
           "reader told of a failed upload",
           "upload waits for the window",
           "writer waits for the window",
           "answered whole",
           "answered above the window",
           "response handed to ingress",
           "written in parts",
           "begun before the upload's end",
           "upload cancelled",
           "refused 400",
           "refused 413",
           "failed before the head",
           "failed midway",
           "client got all",
           "client got all across a cut",
           "client got 500",
           "client cut midway",
           "sent back",
           "repeated start",
           "client left",
           "client left the upload",
           "repeated to the gateway",
           "ended by the gateway: repeated",
           "ended by a gap",
           "ended by the host",
           "indexes wrapped",
           "waits for room in the link"},
      .columns = {"buffered", "collected", "bodyless", "joined", "parts"},
      .impossible = std::move(impossible)};
}

client_table describe_sockets() {
  using enum socket_row;
  tally::reasons impossible;
  const auto never = [&](socket_row r, socket_mode m, std::string_view why) {
    impossible[{static_cast<std::size_t>(r), static_cast<std::size_t>(m)}] = why;
  };
  for (const auto r :
       {handled_again,
        said_asleep,
        said_to_the_next,
        said_on_the_next_connection,
        continued,
        no_record,
        passed_over,
        gap_behind_record_ends_it,
        acked,
        much_acked_at_once,
        acked_again,
        never_acked,
        moved_away,
        host_indexes_wrapped,
        recorded_at_the_end})
    never(r, socket_mode::plain, "neither acks nor a second instance");
  for (const auto m : {socket_mode::plain, socket_mode::keeps})
    never(duplicate, m, "nothing comes twice to one instance");
  never(gap_ends_it, socket_mode::resends, "what a cut has lost comes first again");
  never(said_on_the_next_connection, socket_mode::keeps, "only another instance gets it again");
  return {
      .rows =
          {"accepted",
           "handled",
           "handled again",
           "said while its actor slept",
           "said again to the next instance",
           "said again after a cut",
           "continued by the next instance",
           "no record",
           "passed over: handled before",
           "duplicate",
           "ended by a gap",
           "ended by a gap behind a record",
           "acked",
           "much acked at once",
           "acked again",
           "given up: never acked",
           "client closed",
           "host closed",
           "moved away",
           "client's indexes wrapped",
           "host's indexes wrapped",
           "recorded at the end"},
      .columns = {"plain", "keeps", "resends"},
      .impossible = std::move(impossible)};
}

}  // namespace nuncio::simulation

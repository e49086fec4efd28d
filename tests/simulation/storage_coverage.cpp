// See storage_coverage.hpp: what the rows and columns mean, and which cells can't happen.
#include "simulation/storage_coverage.hpp"

#include <array>
#include <set>
#include <utility>

namespace nuncio::simulation {
namespace {

struct table_names {
  tally::names rows, columns;
  tally::reasons impossible;
};

table_names names_of_requests() {
  using enum storage_row;
  using enum storage_kind;
  tally::reasons impossible;
  const auto only = [&](storage_row r, const std::set<storage_kind>& in, std::string_view why) {
    for (std::size_t k = 0; k < static_cast<std::size_t>(kinds); ++k)
      if (!in.contains(static_cast<storage_kind>(k)))
        impossible[{static_cast<std::size_t>(r), k}] = why;
  };
  const std::set<storage_kind> all_reads{kv_read, sql_read, pages_read};
  const std::set<storage_kind> all_writes{kv_write, sql_write, script, pages_write};
  only(finished, {kv_write}, "counted once for all kinds");
  only(answer_to_nothing, {kv_read}, "counted once for all kinds");
  only(
      held_itself_up,
      {kv_read, sql_read, sql_write, script},
      "their answers are words, or awaited, or short");
  only(retried, {kv_read, kv_write, sql_read, pages_read}, "such a write is never sent twice");
  only(lost_with_connection, all_writes, "a read is sent again");
  only(cancelled_at_end, all_reads, "a write may still be answered");
  only(
      waited_for_link,
      {kv_read, sql_read, sql_write, script, pages_read},
      "the others are answered with a word");
  for (const auto r : {answered_after_end, given_up_after_end})
    only(r, all_writes, "nobody wants to read after the end");
  return {
      .rows =
          {"answered",
           "refused",
           "answered in another kind",
           "sent again after a cut",
           "lost with its connection",
           "taken back by the link, sent",
           "waited for who holds answers",
           "waited for the link to carry",
           "gate closed while it waited",
           "gate closed while in flight",
           "asked behind a closed gate",
           "timed out",
           "read cancelled: down",
           "answered after the end",
           "given up after the end",
           "actor's bound",
           "host's bound",
           "no room before what is awaited",
           "link over while it waited",
           "link over while in flight",
           "answer to nothing",
           "finished instances"},
      .columns =
          {"KV read", "KV write", "SQL read", "SQL write", "script", "pages read", "pages write"},
      .impossible = std::move(impossible)};
}

table_names names_of_transactions() {
  return {
      .rows =
          {"committed",
           "committed, an answer lost",
           "commit failed",
           "rolled back",
           "broken by another's change",
           "broken by doubt",
           "head asked for",
           "shrunk",
           "pages read",
           "opened again",
           "opened by a later generation"},
      .columns = {"one commit", "staged"},
      .impossible = {
          {{static_cast<std::size_t>(pages_row::shrunk),
            static_cast<std::size_t>(pages_size::staged)},
           "large ones only grow here"},
          {{static_cast<std::size_t>(pages_row::opened_by_another_generation),
            static_cast<std::size_t>(pages_size::staged)},
           "counted before there is a transaction"}}};
}

table_names names_of_moments() {
  return {
      .rows = {"written at the start", "written for a client", "written unasked", "last words"},
      .columns = {"done", "not done", "in doubt"},
      .impossible = {}};
}

}  // namespace

void storage_coverage::add(const storage_coverage& other) {
  requests.add(other.requests);
  transactions.add(other.transactions);
  moments.add(other.moments);
}

std::string storage_coverage::table() const {
  const auto r = names_of_requests();
  const auto t = names_of_transactions();
  const auto m = names_of_moments();
  return requests.table(r.rows, r.columns, r.impossible) +
         transactions.table(t.rows, t.columns, t.impossible) +
         moments.table(m.rows, m.columns, m.impossible);
}

std::string storage_coverage::faults_found() const {
  const auto r = names_of_requests();
  const auto t = names_of_transactions();
  const auto m = names_of_moments();
  return requests.faults_found(r.rows, r.columns, r.impossible) +
         transactions.faults_found(t.rows, t.columns, t.impossible) +
         moments.faults_found(m.rows, m.columns, m.impossible);
}

}  // namespace nuncio::simulation

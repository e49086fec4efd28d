// See coverage.hpp: the cells that can't happen, each with its reason.
#include "simulation/coverage.hpp"

#include <fmt/format.h>

#include <map>
#include <string_view>

namespace nuncio::simulation {
namespace {

constexpr std::array<std::string_view, 5> row_names{
    "fresh Start", "fresh Stop", "duplicate", "superseded", "expired"};
constexpr std::array<std::string_view, 10> column_names{
    "unknown",
    "gone",
    "queued",
    "starting",
    "running",
    "wanting",
    "intent",
    "down",
    "stopping",
    "ending"};
constexpr std::array<std::string_view, 11> fault_names{
    "none",
    "cut",
    "half_open",
    "lost_ack",
    "duplicate",
    "delay",
    "freeze",
    "stall",
    "restart",
    "retry",
    "further"};

// Why a cell can't happen; empty when it can.
std::string_view impossible(row r, column c, fault f) {
  if (c == column::unknown && (r == row::duplicate || r == row::superseded))
    return "without an entry there is nothing to compare with";
  if (r == row::fresh_stop && (c == column::queued || c == column::starting))
    return "the engine stops only what has said Running";
  if (r == row::fresh_stop && c == column::gone) return "a Stop of what is gone is a duplicate";
  if (r == row::expired && f == fault::none) return "nothing is late without a fault";
  return {};
}

// Why a cell is left to chance; empty when the seeds must reach it.
std::string_view by_chance(row r, column c, fault f) {
  if (r == row::expired && c != column::unknown && c != column::gone)
    return "a Start that is too old seldom meets an older generation that still lives";
  if (f == fault::freeze && r == row::fresh_start &&
      (c == column::queued || c == column::wanting || c == column::down))
    return "while a host is frozen a Start seldom meets an older generation that waits";
  if (f == fault::restart && r == row::fresh_start && (c == column::queued || c == column::wanting))
    return "a Start seldom meets an older generation that waits, around an engine's restart";
  if (f == fault::none && (r == row::duplicate || r == row::superseded))
    return "without a fault only the cut at the end sends again";
  if (f == fault::none && c != column::unknown && c != column::gone && c != column::running)
    return "without a fault a command seldom crosses the actor's own end";
  return {};
}

}  // namespace

column column_of(lifecycle::state x) {
  using enum lifecycle::state;
  switch (x) {
    case queued:
      return column::queued;
    case starting:
      return column::starting;
    case running:
    case accepted:
      return column::running;
    case sleep_wanted:
    case destroy_wanted:
      return column::wanting;
    case sleep_intent:
    case stop_intent:
      return column::intent;
    case quit_wanted:
    case quit_intent:
    case destroyed_wanted:
    case destroyed_intent:
      return column::down;
    case stopping:
      return column::stopping;
    case ending:
    case ending_silently:
    case stopped:
      return column::ending;
  }
  return column::ending;
}

void coverage::add(const coverage& other) {
  for (std::size_t r = 0; r < cells_.size(); ++r)
    for (std::size_t c = 0; c < cells_[r].size(); ++c)
      for (std::size_t f = 0; f < cells_[r][c].size(); ++f)
        cells_[r][c][f] += other.cells_[r][c][f];
}

std::string_view to_string(row r) { return row_names[static_cast<std::size_t>(r)]; }

std::string_view to_string(column c) { return column_names[static_cast<std::size_t>(c)]; }

std::string coverage::table() const {
  std::string out = fmt::format("{:<12}{:<10}", "verdict", "state");
  for (const auto name : fault_names) out += fmt::format("{:>10}", name);
  out += '\n';
  std::map<std::string_view, std::string> reasons;
  std::map<std::string_view, std::size_t> chances;
  for (std::size_t r = 0; r < cells_.size(); ++r)
    for (std::size_t c = 0; c < cells_[r].size(); ++c) {
      out += fmt::format("{:<12}{:<10}", row_names[r], column_names[c]);
      for (std::size_t f = 0; f < cells_[r][c].size(); ++f) {
        const auto why =
            impossible(static_cast<row>(r), static_cast<column>(c), static_cast<fault>(f));
        const auto chance =
            by_chance(static_cast<row>(r), static_cast<column>(c), static_cast<fault>(f));
        if (why.empty() && chance.empty()) {
          out += fmt::format("{:>10}", cells_[r][c][f]);
        } else if (why.empty()) {
          out += fmt::format("{:>10}", fmt::format("~{}", cells_[r][c][f]));
          ++chances[chance];
        } else {
          if (cells_[r][c][f] != 0) out += '!';
          out += fmt::format("{:>10}", "-");
          reasons[why] += fmt::format(" {}/{}/{}", row_names[r], column_names[c], fault_names[f]);
        }
      }
      out += '\n';
    }
  out += "-: can't happen\n";
  for (const auto& [why, cells] : reasons) out += fmt::format("  {}:{}\n", why, cells);
  out += "~: left to chance, may be empty\n";
  for (const auto& [why, cells] : chances) out += fmt::format("  {}: {} cells\n", why, cells);
  return out;
}

std::string coverage::faults_found(bool whole) const {
  std::string out;
  for (std::size_t r = 0; r < cells_.size(); ++r)
    for (std::size_t c = 0; c < cells_[r].size(); ++c)
      for (std::size_t f = 0; f < cells_[r][c].size(); ++f) {
        const bool can =
            impossible(static_cast<row>(r), static_cast<column>(c), static_cast<fault>(f)).empty();
        const bool free =
            !by_chance(static_cast<row>(r), static_cast<column>(c), static_cast<fault>(f)).empty();
        const bool did = cells_[r][c][f] != 0;
        if (!free && can != did && (did || whole))
          out += fmt::format(
              "{} x {} x {} {}\n",
              row_names[r],
              column_names[c],
              fault_names[f],
              can ? "was never reached" : "happened though it can't");
      }
  return out;
}

}  // namespace nuncio::simulation

// See tally.hpp.
#include "simulation/tally.hpp"

#include <fmt/format.h>

namespace nuncio::simulation {

void tally::add(const tally& other) {
  if (cells_.empty()) {
    *this = other;
    return;
  }
  for (std::size_t i = 0; i < cells_.size(); ++i) cells_[i] += other.cells_[i];
}

std::string tally::table(const names& rows, const names& columns, const reasons& impossible) const {
  std::string out = fmt::format("{:<32}", "");
  for (const auto name : columns) out += fmt::format("{:>13}", name);
  out += '\n';
  std::map<std::string_view, std::string> why;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    out += fmt::format("{:<32}", rows[r]);
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const auto n = cells_.empty() ? 0 : cells_[r * columns_ + c];
      const auto at = impossible.find({r, c});
      if (at == impossible.end()) {
        out += fmt::format("{:>13}", n);
        continue;
      }
      out += fmt::format("{:>13}", n == 0 ? "-" : "!");
      why[at->second] += fmt::format(" {}/{}", rows[r], columns[c]);
    }
    out += '\n';
  }
  out += "-: can't happen\n";
  for (const auto& [reason, cells] : why) out += fmt::format("  {}:{}\n", reason, cells);
  return out;
}

std::string tally::faults_found(
    const names& rows, const names& columns, const reasons& impossible) const {
  std::string out;
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const bool can = !impossible.contains({r, c});
      const bool did = !cells_.empty() && cells_[r * columns_ + c] != 0;
      if (can != did)
        out += fmt::format(
            "{} x {} {}\n",
            rows[r],
            columns[c],
            can ? "was never reached" : "happened though it can't");
    }
  return out;
}

}  // namespace nuncio::simulation

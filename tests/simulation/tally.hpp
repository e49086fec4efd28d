// What happened how often, and in which kind of run: the table of one machine's simulation. Plain counters; never decides
// anything in a run.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nuncio::simulation {

class tally {
public:
  using names = std::vector<std::string_view>;
  /// Cells that need not be reached, each with the reason: "can't", or why it is left to chance.
  using reasons = std::map<std::pair<std::size_t, std::size_t>, std::string_view>;

  tally() = default;

  tally(std::size_t rows, std::size_t columns) : columns_(columns), cells_(rows * columns) {}

  template <class Row, class Column>
  void count(Row r, Column c, std::uint64_t times = 1) {
    cells_[static_cast<std::size_t>(r) * columns_ + static_cast<std::size_t>(c)] += times;
  }

  template <class Row, class Column>
  [[nodiscard]] std::uint64_t of(Row r, Column c) const {
    return cells_[static_cast<std::size_t>(r) * columns_ + static_cast<std::size_t>(c)];
  }

  void add(const tally& other);

  [[nodiscard]] std::string table(
      const names& rows, const names& columns, const reasons& impossible) const;
  /// Cells that are empty though they can be reached, and the other way round; empty when all is well.
  [[nodiscard]] std::string faults_found(
      const names& rows, const names& columns, const reasons& impossible) const;

  bool operator==(const tally&) const = default;

private:
  std::size_t columns_ = 0;
  std::vector<std::uint64_t> cells_;
};

}  // namespace nuncio::simulation

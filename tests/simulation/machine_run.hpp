// The parts of a run of any machine: its random choices, its steps and their trace, what was seen.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "simulation/scheduler.hpp"
#include "simulation/tally.hpp"
#include "simulation/violated.hpp"

namespace nuncio::simulation {

/// The base of one machine's world. Row is an enumeration that ends in `rows`.
template <class Row, class Column>
class machine_run {
protected:
  /// @param columns  how many there are, as an enumerator behind the last
  machine_run(std::uint64_t seed, bool tracing, Column columns)
      : random_(seed),
        tracing_(tracing),
        seen_(static_cast<std::size_t>(Row::rows), static_cast<std::size_t>(columns)) {}

  template <class Body>
  machine_result judge(Body&& body) {
    machine_result result;
    try {
      std::forward<Body>(body)();
    } catch (const violated& x) {
      result.violation = x.what();
    }
    result.seen = std::move(seen_);
    result.steps = steps_;
    return result;
  }

  void count(Row r, Column c) { seen_.count(r, c); }

  template <class... Args>
  void trace(fmt::format_string<Args...> text, Args&&... args) const {
    if (tracing_) fmt::print("{:5} {}\n", steps_, fmt::format(text, std::forward<Args>(args)...));
  }

  chance random_;
  bool tracing_;
  tally seen_;
  std::uint64_t steps_ = 0;
};

template <class World>
machine_result run_world(std::uint64_t seed, bool tracing) {
  return World{seed, tracing}.go();
}

}  // namespace nuncio::simulation

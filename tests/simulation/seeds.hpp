// Which seeds a run of the suite uses, and the name of the one that ends the program.
#pragma once

#include <fmt/format.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace nuncio::simulation {

inline std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const auto* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

inline volatile std::sig_atomic_t running_seed = 0;

// An assertion inside a machine ends the program: the seed must be known all the same.
extern "C" inline void name_the_seed(int) {
  fmt::print(stderr, "aborted in seed {}\n", static_cast<long>(running_seed));
  std::signal(SIGABRT, SIG_DFL);
}

template <class Run>
auto run_named(Run&& run, std::uint64_t seed, bool tracing = false) {
  running_seed = static_cast<std::sig_atomic_t>(seed);
  std::signal(SIGABRT, name_the_seed);
  return std::forward<Run>(run)(seed, tracing);
}

}  // namespace nuncio::simulation

// Runs many seeds and prints what they reached. One seed again, with a trace: NUNCIO_SIMULATION_SEED=n; another number of
// them: NUNCIO_SIMULATION_SEEDS=n (the coverage table is only required to be full from 10,000 on).
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "simulation/world.hpp"

namespace nuncio::simulation {
namespace {

constexpr std::uint64_t seeds_default = 30'000;

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const auto* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

volatile std::sig_atomic_t running_seed = 0;

// An assertion inside a machine ends the program: the seed must be known all the same.
extern "C" void name_the_seed(int) {
  fmt::print(stderr, "aborted in seed {}\n", static_cast<long>(running_seed));
  std::signal(SIGABRT, SIG_DFL);
}

run_result run_named(std::uint64_t seed, bool tracing = false) {
  running_seed = static_cast<std::sig_atomic_t>(seed);
  return run(seed, tracing);
}

TEST_CASE("I1-I12, I14: what the engine, the wire and the actors do in any order breaks nothing") {
  std::signal(SIGABRT, name_the_seed);
  if (const auto one = number_from("NUNCIO_SIMULATION_SEED", 0); one != 0) {
    const auto result = run_named(one, true);
    fmt::print("seed {}: {} steps\n{}\n", one, result.steps, result.violation);
    CHECK(result.violation.empty());
    return;
  }
  const auto seeds = number_from("NUNCIO_SIMULATION_SEEDS", seeds_default);
  coverage all;
  std::uint64_t steps = 0, connections = 0, generations = 0;
  int failed = 0;
  for (std::uint64_t seed = 1; seed <= seeds && failed < 10; ++seed) {
    const auto result = run_named(seed);
    all.add(result.seen);
    steps += result.steps;
    connections += result.connections;
    generations += result.generations;
    if (result.violation.empty()) continue;
    ++failed;
    fmt::print("seed {}: {}\n  again: NUNCIO_SIMULATION_SEED={}\n", seed, result.violation, seed);
  }
  fmt::print(
      "{}\n{} seeds, {} steps, {} connections, {} generations\n",
      all.table(),
      seeds,
      steps,
      connections,
      generations);
  CHECK(failed == 0);
  if (failed == 0 && seeds >= seeds_default) {
    const auto missing = all.faults_found();
    CHECK_MESSAGE(missing.empty(), missing);
  }
}

TEST_CASE(
    "I14 single writer: nothing acts here once the engine has given this host up, 2,000 seeds") {
  std::signal(SIGABRT, name_the_seed);
  std::uint64_t given_up = 0;
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    const auto result = run_named(seed);
    given_up += result.given_up;
    REQUIRE(result.violation == "");
  }
  fmt::print("{} instances were given up with their host\n", given_up);
  CHECK(given_up > 500);
}

TEST_CASE("the same seed gives the same run") {
  for (const std::uint64_t seed : {7U, 70U, 700U}) {
    const auto a = run_named(seed);
    const auto b = run_named(seed);
    CHECK(a.steps == b.steps);
    CHECK(a.connections == b.connections);
    CHECK(a.seen.table() == b.seen.table());
  }
}

}  // namespace
}  // namespace nuncio::simulation

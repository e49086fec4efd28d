// Runs each machine of storage against a model of the other side, for many seeds, and prints what they reached.
// One seed again, with a trace: NUNCIO_SIMULATION_SEED=n and -tc='*a word of the case*'; another number of seeds:
// NUNCIO_SIMULATION_SEEDS=n (the tables must be full only from the usual number on).
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "simulation/seeds.hpp"
#include "simulation/tally.hpp"

namespace nuncio::simulation {
namespace {

void run_one(const machine_simulation& what, std::uint64_t seed) {
  const auto result = run_named(what.run, seed, true);
  fmt::print("seed {}: {} steps\n{}\n", seed, result.steps, result.violation);
  CHECK(result.violation.empty());
}

void run_many(const machine_simulation& what, std::uint64_t usual) {
  if (const auto one = number_from("NUNCIO_SIMULATION_SEED", 0); one != 0)
    return run_one(what, one);
  const auto seeds = number_from("NUNCIO_SIMULATION_SEEDS", usual);
  tally all;
  std::uint64_t steps = 0;
  int failed = 0;
  for (std::uint64_t seed = 1; seed <= seeds && failed < 10; ++seed) {
    const auto result = run_named(what.run, seed);
    all.add(result.seen);
    steps += result.steps;
    if (result.violation.empty()) continue;
    ++failed;
    fmt::print("seed {}: {}\n  again: NUNCIO_SIMULATION_SEED={}\n", seed, result.violation, seed);
  }
  fmt::print("{}\n", all.table(what.rows, what.columns, what.impossible));
  fmt::print("{} seeds, {} steps\n", seeds, steps);
  CHECK(failed == 0);
  if (failed != 0 || seeds < usual) return;
  const auto missing = all.faults_found(what.rows, what.columns, what.impossible);
  CHECK_MESSAGE(missing.empty(), missing);
}

void run_twice(const machine_simulation& what) {
  for (const std::uint64_t seed : {7U, 70U, 700U}) {
    const auto a = run_named(what.run, seed);
    const auto b = run_named(what.run, seed);
    CHECK(a.steps == b.steps);
    CHECK(a.seen == b.seen);
  }
}

TEST_CASE("I13, I14: the sender of each storage request gets its true result, once") {
  run_many(simulate_storage(), 20'000);
}

TEST_CASE("a database's pages read back as committed, whichever answers of the store are lost") {
  run_many(simulate_pages(), 4'000);
}

TEST_CASE("the same seed gives the same run of a machine") { run_twice(simulate_storage()); }

}  // namespace
}  // namespace nuncio::simulation

// Runs many seeds and prints what they reached. One seed again, with a trace: NUNCIO_SIMULATION_SEED=n; another number of
// them: NUNCIO_SIMULATION_SEEDS=n (the coverage table is only required to be full from 10,000 on).
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

#include "simulation/seeds.hpp"
#include "simulation/world.hpp"

namespace nuncio::simulation {
namespace {

constexpr std::uint64_t seeds_default = 30'000;

TEST_CASE("I1-I12, I14: what the engine, the wire and the actors do in any order breaks nothing") {
  if (const auto one = number_from("NUNCIO_SIMULATION_SEED", 0); one != 0) {
    const auto result = run_named(run, one, true);
    fmt::print("seed {}: {} steps\n{}\n", one, result.steps, result.violation);
    CHECK(result.violation.empty());
    return;
  }
  const auto seeds = number_from("NUNCIO_SIMULATION_SEEDS", seeds_default);
  coverage all;
  std::uint64_t steps = 0, connections = 0, generations = 0;
  client_tally clients;
  int failed = 0;
  for (std::uint64_t seed = 1; seed <= seeds && failed < 10; ++seed) {
    const auto result = run_named(run, seed);
    all.add(result.seen);
    steps += result.steps;
    connections += result.connections;
    generations += result.generations;
    clients.add(result.clients);
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
  fmt::print(
      "requests: {} answered, {} sent back, {} given up, {} in pieces; WebSockets: {} accepted, {} "
      "closed here; {} numbers "
      "said\n",
      clients.answered,
      clients.sent_back,
      clients.given_up,
      clients.in_pieces,
      clients.accepted,
      clients.closed_here,
      clients.said);
  CHECK(failed == 0);
  for (const auto n :
       {clients.answered,
        clients.sent_back,
        clients.given_up,
        clients.in_pieces,
        clients.accepted,
        clients.closed_here,
        clients.said})
    CHECK(n > 0);
  if (failed == 0 && seeds >= seeds_default) {
    const auto missing = all.faults_found();
    CHECK_MESSAGE(missing.empty(), missing);
  }
}

TEST_CASE(
    "I14 single writer: nothing acts here once the engine has given this host up, 2,000 seeds") {
  std::uint64_t given_up = 0;
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    const auto result = run_named(run, seed);
    given_up += result.given_up;
    REQUIRE(result.violation == "");
  }
  fmt::print("{} instances were given up with their host\n", given_up);
  CHECK(given_up > 500);
}

TEST_CASE("the same seed gives the same run") {
  for (const std::uint64_t seed : {7U, 70U, 700U}) {
    const auto a = run_named(run, seed);
    const auto b = run_named(run, seed);
    CHECK(a.steps == b.steps);
    CHECK(a.connections == b.connections);
    CHECK(a.seen.table() == b.seen.table());
  }
}

}  // namespace
}  // namespace nuncio::simulation

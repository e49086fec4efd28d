// Layer two of the simulation: the actors that ship, under CAF's test scheduler, in the same world and before the same checks as
// the machines. One seed again, with a trace: NUNCIO_SIMULATION_SEED=n; another number of them: NUNCIO_SIMULATION_SEEDS=n.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "simulation/actor_host.hpp"
#include "simulation/seeds.hpp"
#include "simulation/world.hpp"

namespace nuncio::simulation {
namespace {

constexpr std::uint64_t seeds_default = 3000;

run_result run_actors(std::uint64_t seed, bool tracing) {
  return run_on(make_actor_host, seed, tracing);
}

TEST_CASE(
    "I1-I12, I14: what the engine, the wire and the actors do in any order breaks nothing, with "
    "the actors that ship") {
  if (const auto one = number_from("NUNCIO_SIMULATION_SEED", 0); one != 0) {
    const auto result = run_named(run_actors, one, true);
    fmt::print("seed {}: {} steps\n{}\n", one, result.steps, result.violation);
    CHECK(result.violation.empty());
    return;
  }
  const auto seeds = number_from("NUNCIO_SIMULATION_SEEDS", seeds_default);
  std::uint64_t steps = 0, connections = 0, generations = 0;
  client_tally clients;
  int failed = 0;
  for (std::uint64_t seed = 1; seed <= seeds && failed < 10; ++seed) {
    const auto result = run_named(run_actors, seed);
    steps += result.steps;
    connections += result.connections;
    generations += result.generations;
    clients.add(result.clients);
    if (result.violation.empty()) continue;
    ++failed;
    fmt::print("seed {}: {}\n  again: NUNCIO_SIMULATION_SEED={}\n", seed, result.violation, seed);
  }
  fmt::print(
      "{} seeds, {} steps, {} connections, {} generations; requests: {} answered, {} sent back; "
      "WebSockets: {} accepted\n",
      seeds,
      steps,
      connections,
      generations,
      clients.answered,
      clients.sent_back,
      clients.accepted);
  CHECK(failed == 0);
  CHECK(clients.answered > 0);
  CHECK(clients.accepted > 0);
}

TEST_CASE("the same seed gives the same run of the actors") {
  for (const std::uint64_t seed : {7U, 70U}) {
    const auto a = run_named(run_actors, seed, false);
    const auto b = run_named(run_actors, seed, false);
    CHECK(a.steps == b.steps);
    CHECK(a.connections == b.connections);
  }
}

}  // namespace
}  // namespace nuncio::simulation

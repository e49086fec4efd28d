// Runs a world for many seeds and sums what the runs show. One seed again, with a trace: NUNCIO_SIMULATION_SEED=n; another
// number of them: NUNCIO_SIMULATION_SEEDS=n.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdint>
#include <optional>

#include "simulation/seeds.hpp"
#include "simulation/simulated_world.hpp"

namespace nuncio::simulation {

struct seed_sums {
  std::uint64_t seeds = 0, steps = 0, connections = 0, generations = 0;
  int failed = 0;
  coverage seen;
  client_tally clients;
  tally http, sockets;
  storage_coverage storage;
};

/// Prints each seed that breaks an invariant, ten at most, and how to run it again; the caller checks `failed`.
/// @returns none when the environment asks for one seed, which is checked here
inline std::optional<seed_sums> run_seeds(
    run_result (*run)(std::uint64_t seed, bool tracing), std::uint64_t otherwise) {
  if (const auto one = number_from("NUNCIO_SIMULATION_SEED", 0); one != 0) {
    const auto result = run_named(run, one, true);
    fmt::print("seed {}: {} steps\n{}\n", one, result.steps, result.violation);
    CHECK(result.violation.empty());
    return std::nullopt;
  }
  seed_sums all;
  all.seeds = number_from("NUNCIO_SIMULATION_SEEDS", otherwise);
  for (std::uint64_t seed = 1; seed <= all.seeds && all.failed < 10; ++seed) {
    const auto result = run_named(run, seed);
    all.steps += result.steps;
    all.connections += result.connections;
    all.generations += result.generations;
    all.seen.add(result.seen);
    all.clients.add(result.clients);
    all.http.add(result.http);
    all.sockets.add(result.sockets);
    all.storage.add(result.storage);
    if (result.violation.empty()) continue;
    ++all.failed;
    fmt::print("seed {}: {}\n  again: NUNCIO_SIMULATION_SEED={}\n", seed, result.violation, seed);
  }
  fmt::print(
      "{} seeds, {} steps, {} connections, {} generations; requests: {} answered, {} sent back, {} "
      "given up; WebSockets: {} accepted, {} closed here, {} numbers said\n",
      all.seeds,
      all.steps,
      all.connections,
      all.generations,
      all.clients.answered,
      all.clients.sent_back,
      all.clients.given_up,
      all.clients.accepted,
      all.clients.closed_here,
      all.clients.said);
  return all;
}

}  // namespace nuncio::simulation

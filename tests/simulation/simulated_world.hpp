// One simulated run: engine, host and the wire between them, a workload and its faults, all drawn from one seed.
// Returns what went wrong, if anything. The same seed gives the same run on every machine.
#pragma once

#include <cstdint>
#include <string>

#include "simulation/coverage.hpp"
#include "simulation/gateway_model.hpp"
#include "simulation/host_side.hpp"

namespace nuncio::simulation {

struct run_result {
  std::string violation;  ///< empty when all held
  coverage seen;
  std::uint64_t steps = 0;
  std::uint64_t connections = 0;
  std::uint64_t generations = 0;
  std::uint64_t given_up = 0;  ///< instances that the engine gave up with their host
  client_tally clients;
  tally http, sockets;
  storage_coverage storage;
};

/// On the machines of a host.
run_result run(std::uint64_t seed, bool tracing = false);
/// On what `make` makes.
run_result run_on(const host_maker& make, std::uint64_t seed, bool tracing = false);

}  // namespace nuncio::simulation

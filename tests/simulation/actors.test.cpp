// Layer two of the simulation: the actors that ship, under CAF's test scheduler, in the same world and before the same checks as
// the machines. See run_seeds.hpp for other seeds.
#include <doctest/doctest.h>

#include "simulation/actor_host.hpp"
#include "simulation/run_seeds.hpp"

namespace nuncio::simulation {
namespace {

constexpr std::uint64_t seeds_default = 3000;

run_result run_actors(std::uint64_t seed, bool tracing) {
  return run_on(make_actor_host, seed, tracing);
}

TEST_CASE(
    "I1-I12, I14: what the engine, the wire and the actors do in any order breaks nothing, with "
    "the actors that ship") {
  const auto all = run_seeds(run_actors, seeds_default);
  if (!all) return;
  CHECK(all->failed == 0);
  CHECK(all->clients.answered > 0);
  CHECK(all->clients.accepted > 0);
  for (const auto mode :
       {http_mode::buffered,
        http_mode::collected,
        http_mode::bodyless,
        http_mode::joined,
        http_mode::parts})
    CHECK(all->http.of(http_row::got_all, mode) > 0);
  CHECK(all->http.of(http_row::written_in_parts, http_mode::parts) > 0);
  for (const auto row : {socket_row::acked, socket_row::continued})
    CHECK(all->sockets.of(row, socket_mode::keeps) > 0);
  if (all->failed != 0) return;
  const auto wrong = all->seen.faults_found(false);
  CHECK_MESSAGE(wrong.empty(), wrong);
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

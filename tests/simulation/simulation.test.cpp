// Layer one of the simulation: the machines that ship. See run_seeds.hpp for other seeds; only all of them must fill the
// table of what was reached.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "simulation/run_seeds.hpp"

namespace nuncio::simulation {
namespace {

constexpr std::uint64_t seeds_default = 30'000;

void check_table(const client_table& what, const tally& seen, bool whole) {
  fmt::print("{}\n", seen.table(what.rows, what.columns, what.impossible));
  if (!whole) return;
  const auto missing = seen.faults_found(what.rows, what.columns, what.impossible);
  CHECK_MESSAGE(missing.empty(), missing);
}

TEST_CASE("I1-I12, I14: what the engine, the wire and the actors do in any order breaks nothing") {
  const auto all = run_seeds(run, seeds_default);
  if (!all) return;
  fmt::print("{}\n{}\n", all->seen.table(), all->storage.table());
  CHECK(all->failed == 0);
  const auto& clients = all->clients;
  for (const auto n :
       {clients.answered,
        clients.sent_back,
        clients.given_up,
        clients.accepted,
        clients.closed_here,
        clients.said})
    CHECK(n > 0);
  if (all->failed != 0) return;
  const auto wrong = all->seen.faults_found(all->seeds >= seeds_default);
  CHECK_MESSAGE(wrong.empty(), wrong);
  const bool whole = all->seeds >= seeds_default;
  check_table(describe_http(), all->http, whole);
  check_table(describe_sockets(), all->sockets, whole);
  if (!whole) return;
  const auto unseen = all->storage.faults_found();
  CHECK_MESSAGE(unseen.empty(), unseen);
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
  CHECK(given_up > 400);  // so the case is no empty one
}

TEST_CASE("the same seed gives the same run") {
  for (const std::uint64_t seed : {7U, 70U, 700U}) {
    const auto a = run_named(run, seed);
    const auto b = run_named(run, seed);
    CHECK(a.steps == b.steps);
    CHECK(a.connections == b.connections);
    CHECK(a.seen.table() == b.seen.table());
    CHECK(a.storage.table() == b.storage.table());
  }
}

}  // namespace
}  // namespace nuncio::simulation

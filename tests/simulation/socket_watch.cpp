// See socket_watch.hpp.
#include "simulation/socket_watch.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "simulation/violated.hpp"

namespace nuncio::simulation {

socket_row socket_watch::handle_said(
    std::uint32_t client, const actor_ref& who, std::uint64_t number, epoch connection) {
  auto& x = all_[client];
  const auto again = number <= x.highest, next = x.here != who && x.highest != 0;
  const auto wrong = [&](const char* check, std::uint64_t due) {
    throw violated(
        check, fmt::format("client {}: {} was handled where {} was next", client, number, due));
  };
  if (x.here == who) {
    if (number != x.last + 1) wrong("order", x.last + 1);
  } else {
    // Where a restored count should begin the host does not know without an exact record: what was lost with a connection
    // may be passed over.
    const auto began = began_.find(who);
    const auto lost = began != began_.end() && began->second != connection;
    if (number > x.highest + 1 && !lost) wrong("order", x.highest + 1);
    x.here = who;
  }
  if (number <= x.recorded) wrong("exactly once", x.recorded + 1);
  x.last = number;
  x.highest = std::max(x.highest, number);
  return again ? socket_row::handled_again : next ? socket_row::continued : socket_row::handled;
}

void socket_watch::handle_recorded(std::uint32_t client, const actor_ref& who) {
  auto& x = all_[client];
  if (x.here == who) x.recorded = std::max(x.recorded, x.last);
}

std::uint64_t socket_watch::handled(std::uint32_t client) const {
  const auto at = all_.find(client);
  return at != all_.end() ? at->second.highest : 0;
}

}  // namespace nuncio::simulation

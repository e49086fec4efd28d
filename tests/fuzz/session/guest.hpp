// The engine actors of a fuzzed session: everything that an author may do, selected by the request's path, the WebSocket's path
// or a message.
#pragma once

#include <array>
#include <caf/actor_addr.hpp>
#include <map>
#include <nuncio/host/counters.hpp>
#include <nuncio/host/served.hpp>
#include <string_view>

#include "session/guest_names.hpp"
#include "session/judge.hpp"

namespace nuncio::fuzz {

/// Orders that another actor of the application may give.
inline constexpr std::array<const char*, 7> guest_orders{
    "quit", "fail", "sleep", "destroy", "throw", "finish", "broadcast"};

/// Who is there, and who is told of it. Outlives the actors.
struct guest_book {
  judge* of;
  const counters* counts;
  std::map<actor_ref, caf::actor_addr> present{};
  bool store_is_honest = true;  ///< storage has done what it said, and said what it has
};

/// All of the above.
internal::factories guest_factories(guest_book& book);

}  // namespace nuncio::fuzz

// Why the engine tells an actor to stop. Value.
//
//   [self](const nuncio::stop_command& x) {
//     if (x.reason == nuncio::stop_reason::destroy) …
//     self->finish();
//   }
#pragma once

#include <cstdint>

namespace nuncio {

/// In wire order.
enum class stop_reason : std::uint8_t {
  sleep_intent,  ///< it asked to sleep: a later instance continues
  stop_intent,   ///< it asked to be destroyed
  destroy,       ///< a client had it destroyed
  going_away,    ///< this host drains: the actor continues elsewhere
  lost,          ///< the engine has not heard from this host for too long
};

}  // namespace nuncio

// Why the engine tells an actor to stop. Value.
//
//   [self](const nuncio::stop_command& x) {
//     if (x.reason == nuncio::stop_reason::destroy) …
//     self->finish();
//   }
#pragma once

#include <cstdint>

namespace nuncio {

/// In the order of the wire.
enum class stop_reason : std::uint8_t {
  sleep_intent,  ///< it asked for sleep: a later instance goes on
  stop_intent,   ///< it asked to be destroyed
  destroy,       ///< somebody had it destroyed
  going_away,    ///< this host drains: the actor goes on elsewhere
  lost,          ///< the engine has not heard from this host for long
};

}  // namespace nuncio

// The messages that an engine actor may handle, besides those of other CAF actors: requests (http.hpp), WebSockets
// (socket.hpp), and what the engine says about the actor's lifecycle. Values; any thread may read their contents.
//
//   return {
//       [self](const nuncio::http_request& r) -> caf::result<nuncio::http_response> { … },
//       [self](const nuncio::alarm_due&) { … },
//       [self](const nuncio::stop_command&) { self->finish(); },
//   };
#pragma once

#include <chrono>
#include <nuncio/detail/message_types.hpp>
#include <nuncio/detail/stop_reason.hpp>
#include <nuncio/http.hpp>
#include <nuncio/socket.hpp>

namespace nuncio {

/// The engine tells this actor to stop. Without a handler, the actor ends when its open requests are answered. A handler does
/// its work and then calls engine_actor::finish() for the same; `quit()` ends at once and answers open requests with 500. All
/// of it must happen within host_options::stop_grace.
struct stop_command {
  stop_reason reason = stop_reason::sleep_intent;
};

/// The time set with engine_actor::set_alarm() has come. Delivered at least once: it may come again if the actor ended before
/// it was handled.
struct alarm_due {
  std::chrono::system_clock::time_point due;
};

}  // namespace nuncio

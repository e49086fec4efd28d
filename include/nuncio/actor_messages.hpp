// The messages that an engine actor may handle, beside those of other CAF actors: requests (http.hpp), WebSockets
// (socket.hpp), and what the engine tells of the actor's own life. Values; what they hold may be read by any thread.
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

/// The engine tells this actor to stop. Without a handler it ends when its open requests are answered. A handler does what
/// it has to, and then calls engine_actor::finish() for the same; `quit()` ends at once, and answers open requests with 500.
/// Within host_options::stop_grace.
struct stop_command {
  stop_reason reason = stop_reason::sleep_intent;
};

/// The time that engine_actor::set_alarm() named has come. At least once: it may come again when the actor ended before
/// it was dealt with.
struct alarm_due {
  std::chrono::system_clock::time_point due;
};

}  // namespace nuncio

// How an application's own CAF actors find the engine actors that run on this host: send a request to host.directory().
//
//   self->request(host.directory(), 5s, nuncio::find{"room", {"lobby"}}).then(
//       [=](const caf::actor& room) { self->monitor(room); self->send(room, …); },
//       [=](const caf::error& e) { if (nuncio::is_not_here(e)) … });
//
// It finds actors that run and were not told to stop. A handle may be monitored, and may end at any moment. Any thread may ask.
// To reach actors elsewhere, use engine_client.hpp.
#pragma once

#include <caf/actor.hpp>
#include <nuncio/actor_id.hpp>
#include <nuncio/actor_key.hpp>
#include <nuncio/detail/message_types.hpp>
#include <nuncio/errors.hpp>
#include <string>

namespace nuncio {

/// By the name under which it is served and its key, which must not be empty: actors without a key are found by id. Answered
/// with the caf::actor, or the error not_here.
struct find {
  std::string name;
  actor_key key;
};

/// By the engine's id.
struct find_id {
  actor_id id;
};

}  // namespace nuncio

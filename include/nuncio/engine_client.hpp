// A CAF actor through which any actor of the application reaches engine actors anywhere: it asks the engine, and calls actors
// through the engine's gateway. Answers are CAF responses, errors are those of errors.hpp. Any actor on any thread may ask.
//
//   auto client = host.client();  // without a host: *nuncio::spawn_client(system, {.endpoint = …})
//   self->request(client, 40s, nuncio::get_or_create_actor{"room", {"lobby"}})
//       .then([=](const nuncio::actor_info& room) {
//         self->request(client, 65s, nuncio::call_actor{.id = room.id, .path = "/request/members"})
//             .then([](const nuncio::http_response& r) { … });
//       });
//
// | question | answer |
// | create_actor, get_or_create_actor, get_actor, get_actor_by_id | actor_info |
// | list_actors | actor_page |
// | destroy_actor | an empty message, once the engine has seen its end |
// | call_actor | http_response, whatever its status; an error when the actor was not reached |
#pragma once

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <nuncio/actor_requests.hpp>
#include <nuncio/detail/message_types.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/http.hpp>
#include <nuncio/outcome.hpp>
#include <nuncio/tls_options.hpp>
#include <nuncio/token_source.hpp>
#include <string>

namespace nuncio {

struct client_options {
  std::string endpoint = "http://127.0.0.1:6420";  ///< of the engine: http, https, ws or wss
  std::string namespace_name = "default";
  std::string pool =
      "default";        ///< of the actors that it creates, unless the request names another
  std::string token{};  ///< empty: none
  token_source
      token_from{};  ///< instead of `token`; read again if the engine refuses the last token
  tls_options tls{};
  std::size_t calls_max =
      256;  ///< under way or waiting, at least 1; further ones fail with errc::queue_full at once
  std::size_t connections_max =
      32;  ///< to the engine, kept and reused, 1 to 65,535; calls wait for a free one
  std::size_t response_bytes_max = (std::size_t{20} << 20U) + (std::size_t{64} << 10U);
};

/// Spawns a client, which has one thread for its sockets. It ends on exit, with its actor system, or when nothing refers to it
/// any more and no call is under way. Calls under way at its end fail with errc::cancelled.
/// @returns errc::invalid_argument naming the option
outcome<caf::actor> spawn_client(caf::actor_system& system, client_options options);

}  // namespace nuncio

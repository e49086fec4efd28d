// Why an actor was not found or reached, as CAF's error values. Values; any thread.
//
//   self->request(client, 10s, nuncio::get_actor{"room", {"lobby"}}).then(
//       [](const nuncio::actor_info& x) { … },
//       [](const caf::error& e) {
//         if (const auto why = nuncio::engine_failure_of(e); why && why->engine_code ==
//         "actor.not_found") …
//       });
#pragma once

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/error.hpp>
#include <nuncio/actor_requests.hpp>
#include <optional>

namespace nuncio {

caf::error make_error(const engine_failure& why);

/// What the error says; none for an error of another kind, such as CAF's own timeout.
std::optional<engine_failure> engine_failure_of(const caf::error& e);

/// The error of a directory that does not have the actor: it may live elsewhere, sleep, or not
/// exist.
caf::error not_here();
bool is_not_here(const caf::error& e);

}  // namespace nuncio

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::engine_failure)

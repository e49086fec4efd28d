// Errors of storage as CAF's error values: what went wrong, a sentence for a person, and whether a
// write may have happened. Values; any thread.
//
//   self->kv().put("k", v).then([] { … }, [](const caf::error& e) {
//     if (const auto why = nuncio::storage_failure_of(e); why && why->may_have_happened) …
//   });
#pragma once

#include <caf/actor_system.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/error.hpp>
#include <nuncio/storage_call.hpp>
#include <optional>
#include <string>

namespace nuncio {

/// An error of this library's category; equal to what make_error(code) gives, whatever its text.
caf::error make_error(errc code);
caf::error make_error(const storage_failure& why);

/// What a storage error says; none for an error of another kind.
std::optional<storage_failure> storage_failure_of(const caf::error& e);

/// The sentence of any error: of storage, of the engine, an http_error, or CAF's. With the name of its code instead:
/// to_string(e), or system.render(e) after recommended(config).
std::string describe(const caf::actor_system& system, const caf::error& e);

namespace internal {

/// Has `actor_system::render` print errors of this library as their values' to_string does.
void print_errors(caf::actor_system_config& config);

}  // namespace internal
}  // namespace nuncio

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::storage_failure)

// Errors as CAF's error values. Those of handlers: what an exception or an error value says is for the log: it may hold a
// password, a query, a path. Clients, and the engine, which shows an actor's last error to whoever may ask for it, get `an
// internal error occurred` with an id that stands in the log beside the real text. An error that is meant for the client is
// an http_error. And those of what an actor asks for: storage, the directory, an engine. Values; any thread.
//
//   if (!self->state.rooms.contains(name)) throw nuncio::http_error{404, "no such room"};
//   promise.deliver(nuncio::make_error(nuncio::http_error{409, "the room is full"}));
//
//   self->kv().put("k", v).then([] { … }, [](const caf::error& e) {
//     if (const auto why = nuncio::storage_failure_of(e); why && why->may_have_happened) …
//   });
//   self->request(client, 10s, nuncio::get_actor{"room", {"lobby"}}).then(
//       [](const nuncio::actor_info& x) { … },
//       [](const caf::error& e) {
//         if (const auto why = nuncio::engine_failure_of(e); why && why->status == 404) …
//       });
#pragma once

#include <caf/actor_system.hpp>
#include <caf/error.hpp>
#include <cstdint>
#include <exception>
#include <nuncio/actor_requests.hpp>
#include <nuncio/detail/message_types.hpp>
#include <nuncio/detail/storage_failure.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string>
#include <utility>

namespace nuncio {

/// Thrown by a handler of HTTP requests, or delivered as its answer: the client gets `status` with `message` as text, and
/// the actor lives on. Thrown elsewhere it is an exception like any other, which ends the actor.
struct http_error : std::exception {
  http_error() = default;

  http_error(std::uint16_t with, std::string what_to_say)
      : status(with), message(std::move(what_to_say)) {}

  [[nodiscard]] const char* what() const noexcept override { return message.c_str(); }

  std::uint16_t status = 500;  ///< 200 to 999
  std::string message{};       ///< shown to the client as it is
};

/// "http_error STATUS: message".
std::string to_string(const http_error& x);

/// Equal to that of another http_error, and to nothing else.
caf::error make_error(const http_error& why);

/// What the error says to the client; none for an error of another kind.
std::optional<http_error> http_error_of(const caf::error& e);

/// An error of this library's category; equal to what make_error(code) gives, whatever its text.
caf::error make_error(errc code);
/// With its sentence.
caf::error make_error(const failure& why);
caf::error make_error(const storage_failure& why);

/// Whether `x` is the error of that code, whatever its text.
inline bool operator==(const caf::error& x, errc code) { return x == make_error(code); }

/// What a storage error says; none for an error of another kind.
std::optional<storage_failure> storage_failure_of(const caf::error& e);

/// Why an actor was not found or reached.
caf::error make_error(const engine_failure& why);

/// What the error says; none for an error of another kind, such as CAF's own timeout.
std::optional<engine_failure> engine_failure_of(const caf::error& e);

/// The error of a directory that does not have the actor: it may live elsewhere, sleep, or not
/// exist.
caf::error not_here();
bool is_not_here(const caf::error& e);

/// The sentence of any error: of storage, of the engine, an http_error, or CAF's. With the name of its code instead:
/// to_string(e), or system.render(e) after recommended(config).
std::string describe(const caf::actor_system& system, const caf::error& e);

}  // namespace nuncio

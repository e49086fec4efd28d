// Errors as CAF error values, in two groups. Errors of handlers: the text of an exception or error value goes to the log only,
// since it may hold a password, a query or a path. Clients, and the engine, which shows an actor's last error to anyone who
// asks, get `an internal error occurred` with an id that is logged next to the real text. An error meant for the client is an
// http_error. Errors of requests: from storage, the directory, or an engine. Values; any thread.
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

/// Thrown by a handler of HTTP requests, or delivered as its result: the client gets `status` with `message` as text, and the
/// actor lives on. Thrown elsewhere, it ends the actor like any other exception.
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

/// Equal to the error of any other http_error, and to nothing else.
caf::error make_error(const http_error& why);

/// The http_error in `e`; none for any other kind of error.
std::optional<http_error> http_error_of(const caf::error& e);

/// An error of this library's category; equal to make_error(code), whatever its text.
caf::error make_error(errc code);
/// The same with the failure's text.
caf::error make_error(const failure& why);
caf::error make_error(const storage_failure& why);

/// Whether `x` is the error for that code, whatever its text.
inline bool operator==(const caf::error& x, errc code) { return x == make_error(code); }

/// The storage failure in `e`; none for any other kind of error.
std::optional<storage_failure> storage_failure_of(const caf::error& e);

/// Why an actor was not found or reached.
caf::error make_error(const engine_failure& why);

/// The engine failure in `e`; none for any other kind of error, such as CAF's own timeout.
std::optional<engine_failure> engine_failure_of(const caf::error& e);

/// The directory's error if it does not have the actor: it may run elsewhere, sleep, or not exist.
caf::error not_here();
bool is_not_here(const caf::error& e);

/// The text of any error: from storage, the engine, an http_error, or CAF. For the code's name as well use to_string(e), or
/// system.render(e) after recommended(config).
std::string describe(const caf::actor_system& system, const caf::error& e);

}  // namespace nuncio

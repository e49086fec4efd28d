// Errors of a handler. What an exception or an error value says is for the log: it may hold a password, a query, a path.
// Clients, and the engine, which shows an actor's last error to whoever may ask for it, get `an internal error occurred`
// with an id that stands in the log beside the real text. An error that is meant for the client is an http_error.
//
//   [self](const nuncio::http_request& r) -> nuncio::http_response {
//     if (!self->state.rooms.contains(name)) throw nuncio::http_error{404, "no such room"};
//   }
//   promise.deliver(nuncio::make_error(nuncio::http_error{409, "the room is full"}));
#pragma once

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/error.hpp>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <memory>
#include <nuncio/log.hpp>
#include <nuncio/start_info.hpp>
#include <optional>
#include <string>
#include <vector>

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

struct instance_context;

namespace internal {

/// Where the texts go: one for each ingress, whose instances share its bound of ten lines of a kind a second.
class error_log;
std::shared_ptr<error_log> make_error_log(log_sink sink);

/// Logs within that bound, for what clients can bring about, which actor it is and `more`. `kind` is a literal; also the
/// message.
void log_limited(
    const instance_context& of,
    log_level level,
    std::string_view kind,
    std::initializer_list<log_field> more = {});

/// Logs `real` beside an id. @returns what may be said of it to others, which names the id
std::string hidden(const instance_context& of, std::string_view real);

}  // namespace internal
}  // namespace nuncio

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::http_error)

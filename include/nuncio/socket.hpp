// Client WebSockets for handlers: their messages arrive as actor messages, and `connection` is the handle to write to them.
//
//   [self](nuncio::socket_opened& s) { s.socket.accept({.hibernate = true}); },
//   [self](const nuncio::socket_message& m) { self->broadcast(m.text()); },
//   [self](const nuncio::socket_closed& s) { … },
//
// A WebSocket that hibernates stays open at the client while its actor sleeps, moves or crashes: the next instance gets
// `socket_restored` and continues with it. Data that the actor keeps for a connection is in state(). Any thread may send and
// close; the rest is for the handlers of the actor that serves it.
#pragma once

#include <caf/expected.hpp>
#include <concepts>
#include <cstdint>
#include <memory>
#include <nuncio/bytes.hpp>
#include <nuncio/detail/waiting_place.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/http.hpp>
#include <nuncio/ids.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace nuncio {

namespace internal {
struct access;
struct socket;
}  // namespace internal

struct accept_options {
  /// The client stays connected while the actor sleeps. Its messages are acked once their handler has returned, and are
  /// repeated if the actor ended before.
  bool hibernate = false;
  bytes state{};  ///< see connection::state
};

/// One client's WebSocket, as a handle: copies are cheap and refer to the same WebSocket. send() and close() may be called from
/// anywhere; from another actor or thread they are posted to the actor that serves the WebSocket. Everything else is for that
/// actor's handlers.
class connection {
public:
  connection() = default;

  /// Completes the client's handshake; nothing can be sent before that. Within 10 s of `socket_opened`.
  /// @returns errc::invalid_argument if it was accepted before, cancelled if it is closed
  caf::expected<void> accept(accept_options options = {}) const;

  /// Refuses the client, which sees its WebSocket open and then close with `code` and `reason`.
  caf::expected<void> refuse(std::uint16_t code, std::string_view reason) const;

  /// Sends a text message (UTF-8) or a binary message of at most 20 MiB.
  /// @returns errc::invalid_argument, too_large, cancelled if it is closed. A client that lets too much accumulate is closed
  /// with
  ///           1013 (serve_options::socket_unsent_bytes_max)
  caf::expected<void> send(text message) const;
  caf::expected<void> send(bytes message) const;

  /// A string is sent as a text message.
  template <string_like T>
  caf::expected<void> send(const T& message) const {
    return send(text{std::string{std::string_view{message}}});
  }

  /// As above, with the kind as an argument.
  caf::expected<void> send(bytes message, bool binary) const;

  /// Closes with `code` (1000, 1003, 1007 to 1009, 1011 to 1014, 3000 to 4999) and a reason of at most 123 bytes.
  caf::expected<void> close(std::uint16_t code = 1000, std::string_view reason = {}) const;

  [[nodiscard]] bool is_open() const;  ///< accepted and not closed
  [[nodiscard]] bool hibernates() const;

  /// Data that the actor keeps for this connection. With `hibernate` it is stored and survives sleep, move and crash; it is
  /// stored after set_state() has returned.
  [[nodiscard]] bytes state() const;
  void set_state(bytes x) const;

  // -- any thread; constant
  [[nodiscard]] exchange_id id() const;
  [[nodiscard]] std::string_view path() const;  ///< as http_request::path
  [[nodiscard]] std::optional<std::string_view> header(
      std::string_view name) const;  ///< `name` in lower case
  /// The value of `name` in the path's query, percent-decoded.
  [[nodiscard]] std::optional<std::string> query(std::string_view name) const;

  [[nodiscard]] explicit operator bool() const { return socket_ != nullptr; }

  bool operator==(const connection&) const = default;

private:
  friend struct internal::access;

  explicit connection(std::shared_ptr<internal::socket> x) : socket_(std::move(x)) {}

  std::shared_ptr<internal::socket> socket_;
};

/// A client wants to open a WebSocket: accept or refuse it, now or later. Without a handler it is refused with 1011.
struct socket_opened {
  connection socket;
};

/// A hibernating WebSocket that an earlier instance of this actor served continues here. Comes before its messages.
struct socket_restored {
  connection socket;
};

/// A message from a client.
struct socket_message {
  connection socket;
  bytes data;  ///< shares the memory of its frame, which holds little else
  bool binary = false;
  std::uint16_t index =
      0;  ///< counts the client's messages, modulo 2^16; a repeated message has the same index
  mutable waiting_place waits{};  ///< the room that it takes until it has been handled

  [[nodiscard]] std::string_view text() const { return data.view(); }
};

/// The client or the host has closed the WebSocket. Not sent if the actor closed it itself.
struct socket_closed {
  connection socket;
  std::uint16_t code = 0;  ///< 1006: without a close frame, or while this actor slept
  text reason;
};

}  // namespace nuncio

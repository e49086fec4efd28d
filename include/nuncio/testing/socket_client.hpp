// A client's WebSocket through an engine's gateway, for tests. It blocks: every call waits for its result, up to a limit.
//
//   auto socket = client.open_socket(id, "/websocket/room");  // outcome: client.hpp
//   if (auto sent = socket->send("hello"); !sent) …
//   CHECK(socket->text() == "welcome");
//   CHECK(socket->await_close() == 1000);
//
// One thread at a time. It shares no code with the host.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace nuncio::testing {

/// A message from the actor.
struct client_message {
  std::string data;
  bool binary = false;
};

/// The implementation behind a socket_client: a network, or a simulation.
class socket_connection;

class socket_client {
public:
  /// Connects, offering the subprotocol `protocol`. A failure shows in http_status().
  /// @param path  in the gateway, such as "/gateway/ACTOR/websocket"
  /// @param host  the engine's name or IPv4 address
  explicit socket_client(
      std::uint16_t port,
      const std::string& path,
      const std::string& protocol = "rivet",
      const std::string& host = "127.0.0.1");
  explicit socket_client(std::unique_ptr<socket_connection> through);
  /// Ends the TCP connection, if it is open, without a close frame.
  ~socket_client();
  socket_client(socket_client&&) noexcept;
  socket_client& operator=(socket_client&&) noexcept;

  /// 101 if it was accepted; 0 if there was no HTTP response.
  [[nodiscard]] int http_status() const;

  /// Sends a message. @returns errc::link_lost, or timed_out if the engine takes nothing for 20 s
  outcome<void> send(std::string_view data, bool binary = false);

  /// The next message. @returns errc::timed_out after `limit`, and it may be called again; or link_lost, with the code of the
  /// close frame if there was one
  outcome<client_message> receive(std::chrono::milliseconds limit = std::chrono::seconds{20});

  /// The data of the next message or, in parentheses, why there is none: for comparisons that show it when they fail.
  std::string text(std::chrono::milliseconds limit = std::chrono::seconds{20});

  /// Sends a close frame and waits for the peer's. @returns errc::link_lost or timed_out
  outcome<void> close(std::uint16_t code = 1000, std::string_view reason = {});

  /// Ends the TCP connection without a close frame.
  void drop();

  /// The code of the close frame that arrived, once receive() or close() has seen it.
  [[nodiscard]] std::optional<std::uint16_t> close_code() const;
  [[nodiscard]] std::string close_reason() const;

  /// Waits for the close frame and skips messages; none if it does not come.
  std::optional<std::uint16_t> await_close(
      std::chrono::milliseconds limit = std::chrono::seconds{20});

private:
  std::unique_ptr<socket_connection> connection_;
};

}  // namespace nuncio::testing

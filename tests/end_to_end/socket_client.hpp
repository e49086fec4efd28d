// A client WebSocket through the gateway, on Boost.Beast: it shares no code with the host. Every call waits for its end,
// or for a limit. One thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace nuncio::e2e {

struct socket_frame {
  std::string data;
  bool binary = false;
};

class socket_client {
public:
  /// Connects, offering `protocol`.
  socket_client(std::uint16_t port, std::string path, std::string protocol = "rivet");
  /// Ends the TCP connection, if it is open, without a word.
  ~socket_client();
  socket_client(socket_client&&) noexcept;
  socket_client(const socket_client&) = delete;
  socket_client& operator=(const socket_client&) = delete;

  /// 101 if it was accepted; 0 if there was no HTTP answer.
  [[nodiscard]] int http_status() const;
  bool send(std::string_view data, bool binary = false);
  /// The next message; none when it is closed or `limit` has passed.
  std::optional<socket_frame> receive(std::chrono::milliseconds limit = std::chrono::seconds{20});
  /// The text of the next message, or "(none)".
  std::string text(std::chrono::milliseconds limit = std::chrono::seconds{20});
  /// Sends a close frame and waits for the answer.
  bool close(std::uint16_t code, std::string_view reason = {});
  void drop();

  /// Of the close frame that came, once receive() or close() has seen it.
  [[nodiscard]] std::optional<std::uint16_t> close_code() const;
  [[nodiscard]] std::string close_reason() const;
  /// Waits for the close frame, passing over messages; none if it does not come.
  std::optional<std::uint16_t> await_close(
      std::chrono::milliseconds limit = std::chrono::seconds{20});

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace nuncio::e2e

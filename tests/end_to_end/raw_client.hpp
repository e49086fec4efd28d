// A client of the gateway that is only a TCP connection: for input that well-behaved clients don't send, and for leaving in the
// middle. One thread at a time; every wait has a limit.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace nuncio::e2e {

class raw_client {
public:
  /// `receive_buffer`: of the kernel, in bytes; 0 is its default. For one that reads nothing, so that little fits into it.
  explicit raw_client(std::uint16_t port, int receive_buffer = 0);
  /// Ends the connection as drop() does.
  ~raw_client();
  raw_client(raw_client&&) noexcept;
  raw_client(const raw_client&) = delete;
  raw_client& operator=(const raw_client&) = delete;

  /// Sends what the other end takes. @returns whether that was all of it
  bool send(std::string_view data, std::chrono::milliseconds limit = std::chrono::seconds{20});
  /// Reads until `text` has come, and no further than needed. @returns false at the end or the limit
  bool await(std::string_view text, std::chrono::milliseconds limit = std::chrono::seconds{20});
  /// Reads to the end of the connection. @returns false when it does not come
  bool await_end(std::chrono::milliseconds limit = std::chrono::seconds{20});

  /// All that has come.
  [[nodiscard]] const std::string& received() const { return received_; }

  /// Of the first answer; 0 when there is none.
  [[nodiscard]] int status() const;
  /// Resets the connection.
  void drop();

private:
  bool read_some(std::chrono::steady_clock::time_point end);

  int fd_ = -1;
  std::string received_;
};

/// The head of a request; `headers` are lines that end with \r\n.
std::string request_head(
    std::string_view method, std::string_view target, std::string_view headers = {});

/// The head of a request that becomes a WebSocket.
std::string upgrade_head(std::string_view target);

/// A client's WebSocket frame: `first` is its first byte, 0x81 a whole text, 0x88 a close. Masked with zeros.
std::string client_frame(unsigned first, std::string_view payload);
/// A close frame.
std::string close_frame(std::uint16_t code, std::string_view reason = {});

}  // namespace nuncio::e2e

// Minimal clients on POSIX sockets: one HTTP exchange, and a WebSocket with blocking reads that have a limit. They test the dev
// engine without sharing a library with it. One thread each.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nuncio::test {

class raw_socket {
public:
  explicit raw_socket(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{60, 0};  // a busy machine under a sanitizer takes its time
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    good_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }

  raw_socket(const raw_socket&) = delete;
  raw_socket& operator=(const raw_socket&) = delete;

  ~raw_socket() { end(); }

  void end() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  /// It reads on.
  void end_writing() { ::shutdown(fd_, SHUT_WR); }

  void reset() {
    const linger at_once{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    end();
  }

  [[nodiscard]] bool good() const { return good_; }

  /// How reading ended: ECONNRESET for a reset, 0 for an end in good order.
  [[nodiscard]] int error() const { return error_; }

  /// Nothing has come that is not read.
  [[nodiscard]] bool quiet() const {
    char one = 0;
    return held_.empty() && ::recv(fd_, &one, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }

  void write(std::string_view x) {
    while (good_ && !x.empty()) {
      const auto n = ::send(fd_, x.data(), x.size(), MSG_NOSIGNAL);
      if (n <= 0) {
        good_ = false;
      } else {
        x.remove_prefix(static_cast<std::size_t>(n));
      }
    }
  }

  /// Exactly `n` bytes, fewer when the connection ends or nothing comes for long.
  std::string read(std::size_t n) {
    while (held_.size() < n && more()) {
    }
    auto out = held_.substr(0, n);
    held_.erase(0, out.size());
    return out;
  }

  std::string read_until(std::string_view end) {
    std::size_t at = 0;
    while ((at = held_.find(end)) == std::string::npos)
      if (!more()) return std::exchange(held_, "");
    return read(at + end.size());
  }

  std::string read_all() {
    while (more()) {
    }
    return std::exchange(held_, "");
  }

private:
  bool more() {
    char some[65536];
    const auto n = ::recv(fd_, some, sizeof some, 0);
    if (n <= 0) {
      good_ = false;
      error_ = n < 0 ? errno : 0;
      return false;
    }
    held_.append(some, static_cast<std::size_t>(n));
    return true;
  }

  int fd_;
  bool good_ = false;
  int error_ = 0;
  std::string held_;
};

struct http_result {
  int status = 0;
  std::string head;
  std::string body;
};

/// Sends a request of its own connection. `raw_head` replaces the content-length, for chunked
/// bodies.
inline http_result http(
    std::uint16_t port,
    std::string_view method,
    std::string_view target,
    std::string_view body = "",
    std::string_view raw_head = "") {
  raw_socket s{port};
  std::string out;
  out.append(method).append(" ").append(target).append(
      " HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
  if (raw_head.empty()) {
    out.append("content-length: ").append(std::to_string(body.size())).append("\r\n");
  } else {
    out.append(raw_head);
  }
  s.write(out.append("\r\n").append(body));
  http_result result;
  result.head = s.read_until("\r\n\r\n");
  if (result.head.size() > 12) result.status = std::atoi(result.head.c_str() + 9);
  result.body = s.read_all();
  return result;
}

struct ws_message {
  bool closed = false;  ///< a close frame, or the end of the connection (code 1006)
  std::uint16_t code = 0;
  std::string data;  ///< payload or close reason
};

class ws_client {
public:
  /// @param early  sent right behind the request
  ws_client(
      std::uint16_t port,
      std::string_view target,
      std::string_view offer = "rivet",
      std::string_view early = "")
      : socket_(port) {
    socket_.write(
        std::string{"GET "}
            .append(target)
            .append(" HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                    "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
            .append(
                offer.empty()
                    ? ""
                    : std::string{"sec-websocket-protocol: "}.append(offer).append("\r\n"))
            .append("\r\n")
            .append(early));
    head_ = socket_.read_until("\r\n\r\n");
  }

  [[nodiscard]] const std::string& head() const { return head_; }

  void send(std::string_view data, std::uint8_t opcode = 2) {
    std::string out;
    out += static_cast<char>(0x80U | opcode);
    if (data.size() < 126) {
      out += static_cast<char>(0x80U | data.size());
    } else {
      const bool big = data.size() > 0xffff;
      out += static_cast<char>(0x80U | (big ? 127U : 126U));
      for (int i = big ? 7 : 1; i >= 0; --i)
        out += static_cast<char>(data.size() >> (8U * static_cast<unsigned>(i)));
    }
    out.append(4, '\0');  // a mask of zeros changes nothing
    socket_.write(out.append(data));
  }

  /// Bytes as they are.
  void write(std::string_view x) { socket_.write(x); }

  /// The next data or close frame; answers nothing.
  ws_message receive() {
    while (true) {
      const auto head = socket_.read(2);
      if (head.size() < 2) return {true, 1006, ""};
      const auto opcode = static_cast<unsigned char>(head[0]) & 0x0fU;
      std::uint64_t size = static_cast<unsigned char>(head[1]) & 0x7fU;
      if (size >= 126) {
        const auto more = socket_.read(size == 126 ? 2 : 8);
        size = 0;
        for (const char c : more) size = size << 8U | static_cast<unsigned char>(c);
      }
      auto data = socket_.read(size);
      if (opcode == 8) {
        if (data.size() < 2) return {true, 1005, ""};
        const auto code =
            static_cast<unsigned char>(data[0]) << 8U | static_cast<unsigned char>(data[1]);
        return {true, static_cast<std::uint16_t>(code), data.substr(2)};
      }
      if (opcode == 1 || opcode == 2) return {false, 0, std::move(data)};
    }
  }

  void end() { socket_.end(); }

  /// See raw_socket.
  [[nodiscard]] int error() const { return socket_.error(); }

  [[nodiscard]] bool quiet() const { return socket_.quiet(); }

private:
  raw_socket socket_;
  std::string head_;
};

}  // namespace nuncio::test

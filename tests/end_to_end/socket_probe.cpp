// See socket_probe.hpp.
#include "socket_probe.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>

namespace nuncio::e2e {
namespace {

class connection {
public:
  connection(std::uint16_t port, std::chrono::seconds limit)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval wait{limit.count(), 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    good_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }

  ~connection() { ::close(fd_); }

  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  void write(std::string_view x) {
    while (good_ && !x.empty()) {
      const auto n = ::send(fd_, x.data(), x.size(), MSG_NOSIGNAL);
      good_ = n > 0;
      if (good_) x.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  bool more() {
    char buffer[65536];
    const auto n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    held.append(buffer, static_cast<std::size_t>(n));
    return true;
  }

  bool have(std::size_t n) {
    while (held.size() < n)
      if (!more()) return false;
    return true;
  }

  std::string held;

private:
  int fd_;
  bool good_ = false;
};

int status_of(std::string_view head) {
  return head.size() > 12 ? std::atoi(std::string{head.substr(9, 3)}.c_str()) : 0;
}

}  // namespace

socket_end open_and_await_close(std::uint16_t port, std::string_view path) {
  connection c{port, std::chrono::seconds{30}};
  c.write(fmt::format(
      "GET {} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
      "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
      "sec-websocket-protocol: rivet\r\n\r\n",
      path));
  std::size_t head = 0;
  while ((head = c.held.find("\r\n\r\n")) == std::string::npos)
    if (!c.more()) return {status_of(c.held), std::nullopt};
  socket_end out{status_of(c.held), std::nullopt};
  if (out.http_status != 101) return out;
  c.held.erase(0, head + 4);
  while (c.have(2)) {  // server frames carry no mask, and none of ours is long
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(c.held[i]); };
    const std::size_t size = byte(1) & 0x7fU;
    if (size > 125 || !c.have(2 + size)) return out;
    if ((byte(0) & 0x0fU) == 8) {
      if (size >= 2) out.code = static_cast<std::uint16_t>(byte(2) << 8U | byte(3));
      return out;
    }
    c.held.erase(0, 2 + size);
  }
  return out;
}

}  // namespace nuncio::e2e

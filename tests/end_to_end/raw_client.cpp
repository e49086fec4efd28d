// See raw_client.hpp.
#include "raw_client.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <stdexcept>
#include <utility>

namespace nuncio::e2e {
namespace {

using clock = std::chrono::steady_clock;

// @returns false at the limit
bool await_ready(int fd, short what, clock::time_point end) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(end - clock::now()).count();
  pollfd p{fd, what, 0};
  return left > 0 && ::poll(&p, 1, static_cast<int>(left)) == 1;
}

}  // namespace

raw_client::raw_client(std::uint16_t port, int receive_buffer)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  if (receive_buffer != 0)
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
    throw std::runtime_error{"no connection to the gateway"};
}

raw_client::~raw_client() { drop(); }

raw_client::raw_client(raw_client&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), received_(std::move(other.received_)) {}

bool raw_client::send(std::string_view data, std::chrono::milliseconds limit) {
  const auto end = clock::now() + limit;
  while (!data.empty()) {
    if (!await_ready(fd_, POLLOUT, end)) return false;
    const auto n = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) continue;
    if (n <= 0) return false;
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool raw_client::read_some(clock::time_point end) {
  if (!await_ready(fd_, POLLIN, end)) return false;
  char buffer[65536];
  const auto n = ::recv(fd_, buffer, sizeof buffer, 0);
  if (n > 0) received_.append(buffer, static_cast<std::size_t>(n));
  return n > 0;
}

bool raw_client::await(std::string_view text, std::chrono::milliseconds limit) {
  const auto end = clock::now() + limit;
  while (received_.find(text) == std::string::npos)
    if (!read_some(end)) return false;
  return true;
}

bool raw_client::await_end(std::chrono::milliseconds limit) {
  const auto end = clock::now() + limit;
  while (read_some(end)) {
  }
  return clock::now() < end;
}

int raw_client::status() const {
  const auto at = received_.find(' ');
  int out = 0;
  if (received_.starts_with("HTTP/") && at != std::string::npos)
    std::from_chars(received_.data() + at + 1, received_.data() + received_.size(), out);
  return out;
}

void raw_client::drop() {
  if (fd_ < 0) return;
  const linger at_once{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(std::exchange(fd_, -1));
}

std::string request_head(
    std::string_view method, std::string_view target, std::string_view headers) {
  return fmt::format("{} {} HTTP/1.1\r\nhost: 127.0.0.1\r\n{}\r\n", method, target, headers);
}

std::string upgrade_head(std::string_view target) {
  return request_head(
      "GET",
      target,
      "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
      "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: rivet\r\n");
}

std::string client_frame(unsigned first, std::string_view payload) {
  std::string out(1, static_cast<char>(first));
  const auto size = payload.size();
  const auto put_size = [&](int bytes) {
    for (int i = bytes; i-- > 0;) out += static_cast<char>(size >> (8U * static_cast<unsigned>(i)));
  };
  if (size < 126) {
    out += static_cast<char>(0x80U | size);
  } else if (size < 65536) {
    out += '\xfe';
    put_size(2);
  } else {
    out += '\xff';
    put_size(8);
  }
  out.append(4, '\0');
  return out.append(payload);
}

std::string close_frame(std::uint16_t code, std::string_view reason) {
  std::string payload{static_cast<char>(code >> 8U), static_cast<char>(code & 0xffU)};
  return client_frame(0x88, payload.append(reason));
}

}  // namespace nuncio::e2e

// A TCP server on loopback that follows a script, byte for byte: for what a correct server would never do. One thread;
// connections are served one after the other, each by the script, which reads and writes blocking.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace nuncio::test {

class raw_peer {
public:
  raw_peer(int fd, int index, const std::atomic<bool>& stopping)
      : index_(index), fd_(fd), stopping_(stopping) {}

  ~raw_peer() { close(); }

  raw_peer(const raw_peer&) = delete;
  raw_peer& operator=(const raw_peer&) = delete;

  /// Which connection of the server this is, from 0.
  [[nodiscard]] int index() const { return index_; }

  /// For who reads and writes by itself from here on.
  [[nodiscard]] int fd() const { return fd_; }

  void close() {
    SSL_free(std::exchange(ssl_, nullptr));
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  /// Speaks TLS from now on. @returns whether both sides agreed
  bool start_tls(SSL_CTX* context) {
    ::fcntl(fd_, F_SETFL, O_NONBLOCK);
    ssl_ = SSL_new(context);
    SSL_set_fd(ssl_, fd_);
    return repeat([&] { return SSL_accept(ssl_); }) == 1;
  }

  [[nodiscard]] SSL* tls() const { return ssl_; }

  void reset() {
    const linger at_once{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
  }

  bool send(std::string_view data) {
    while (!data.empty()) {
      if (ssl_ != nullptr) {
        const auto n =
            repeat([&] { return SSL_write(ssl_, data.data(), static_cast<int>(data.size())); });
        if (n <= 0) return false;
        data.remove_prefix(static_cast<std::size_t>(n));
        continue;
      }
      if (!ready(POLLOUT)) return false;
      const auto n = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN) continue;
      if (n <= 0) return false;
      data.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  /// The next `size` bytes, or fewer at the end of the stream.
  std::string read(std::size_t size) {
    while (buffer_.size() < size && fill()) {
    }
    auto result = buffer_.substr(0, size);
    buffer_.erase(0, result.size());
    return result;
  }

  /// Up to and with the empty line.
  std::string read_head() {
    for (;;) {
      if (const auto end = buffer_.find("\r\n\r\n"); end != std::string::npos) return read(end + 4);
      if (!fill()) return {};
    }
  }

  /// Returns once the other side has ended, or the test has.
  void wait_for_end() {
    while (fill()) buffer_.clear();
  }

  /// Whether the stream ended by a reset rather than a FIN; after wait_for_end().
  [[nodiscard]] bool was_reset() const { return was_reset_; }

  // -- WebSocket -------------------------------------------------------------------------------------------------------

  static std::string header(const std::string& head, std::string_view name) {
    const auto at = head.find("\r\n" + std::string{name} + ": ");
    if (at == std::string::npos) return {};
    const auto from = at + name.size() + 4;
    return head.substr(from, head.find("\r\n", from) - from);
  }

  /// Answers the upgrade. @returns the request
  std::string accept(std::string_view subprotocol = {}) {
    auto head = read_head();
    accept_with(head, subprotocol);
    return head;
  }

  /// The same for a request that has been read.
  void accept_with(const std::string& head, std::string_view subprotocol = {}) {
    const auto key = header(head, "Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest);
    unsigned char text[64];
    EVP_EncodeBlock(text, digest, sizeof digest);
    std::string answer =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\nSec-WebSocket-Accept: ";
    answer += reinterpret_cast<const char*>(text);
    if (!subprotocol.empty()) answer += "\r\nSec-WebSocket-Protocol: " + std::string{subprotocol};
    send(answer + "\r\n\r\n");
  }

  /// For a host's connections: answers that `pool` is there, or takes the WebSocket. @returns whether it is one
  bool take_host(std::string_view pool) {
    const auto head = read_head();
    if (!header(head, "Upgrade").empty()) {
      accept_with(head, "rivet");
      return true;
    }
    const auto body = R"({"runner_configs":{")" + std::string{pool} + R"(":{}}})";
    send(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
        "\r\n\r\n" + body);
    return false;
  }

  static std::string frame(int opcode, std::string_view payload, bool final = true) {
    return frame_head(opcode, payload.size(), final).append(payload);
  }

  /// What comes before the payload.
  static std::string frame_head(int opcode, std::size_t size, bool final = true) {
    std::string f;
    f += static_cast<char>((final ? 0x80 : 0) | opcode);
    const int length_bytes = size < 126 ? 0 : size < 65536 ? 2 : 8;
    f += static_cast<char>(
        length_bytes == 0   ? static_cast<int>(size)
        : length_bytes == 2 ? 126
                            : 127);
    for (int i = length_bytes - 1; i >= 0; --i) f += static_cast<char>((size >> (8 * i)) & 255);
    return f;
  }

  static std::string close_frame(int code, std::string_view reason) {
    std::string payload{static_cast<char>(code >> 8), static_cast<char>(code & 255)};
    return frame(8, payload.append(reason));
  }

  struct received {
    int opcode = -1;  ///< -1: the stream ended
    bool final = true;
    std::string payload;
  };

  received read_frame() {
    received r;
    auto head = read(2);
    if (head.size() < 2) return r;
    std::uint64_t size = static_cast<unsigned char>(head[1]) & 127;
    if (size >= 126) {
      const auto length = read(size == 126 ? 2 : 8);
      size = 0;
      for (const char c : length) size = size << 8 | static_cast<unsigned char>(c);
    }
    const auto mask = read(4);
    r.payload = read(size);
    if (mask.size() < 4 || r.payload.size() < size) return {};
    for (std::size_t i = 0; i < r.payload.size(); ++i)
      r.payload[i] = static_cast<char>(r.payload[i] ^ mask[i % 4]);
    r.opcode = head[0] & 15;
    r.final = (head[0] & 0x80) != 0;
    return r;
  }

private:
  bool ready(short what) {
    while (fd_ >= 0 && !stopping_.load()) {
      pollfd p{fd_, what, 0};
      if (::poll(&p, 1, 20) > 0) return true;
    }
    return false;
  }

  // What a TLS call gives once it needs to wait for nothing.
  template <class F>
  int repeat(F call) {
    for (;;) {
      const int n = call();
      const int why = n > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl_, n);
      if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) return n;
      if (!ready(why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT)) return -1;
    }
  }

  bool fill() {
    std::string piece(std::size_t{1} << 18, '\0');
    if (ssl_ != nullptr) {
      const auto n =
          repeat([&] { return SSL_read(ssl_, piece.data(), static_cast<int>(piece.size())); });
      if (n > 0) buffer_.append(piece.data(), static_cast<std::size_t>(n));
      return n > 0;
    }
    if (!ready(POLLIN)) return false;
    const auto n = ::recv(fd_, piece.data(), piece.size(), 0);
    if (n < 0) was_reset_ = true;
    if (n <= 0) return false;
    buffer_.append(piece.data(), static_cast<std::size_t>(n));
    return true;
  }

  int index_;
  int fd_;
  SSL* ssl_ = nullptr;
  const std::atomic<bool>& stopping_;
  std::string buffer_;
  bool was_reset_ = false;
};

class raw_server {
public:
  /// @param family  AF_INET: 127.0.0.1; AF_INET6: ::1
  explicit raw_server(std::function<void(raw_peer&)> script, int family = AF_INET)
      : script_(std::move(script)) {
    listener_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in four{};
    sockaddr_in6 six{};
    four.sin_family = AF_INET;
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    six.sin6_family = AF_INET6;
    six.sin6_addr = in6addr_loopback;
    auto* at =
        family == AF_INET6 ? reinterpret_cast<sockaddr*>(&six) : reinterpret_cast<sockaddr*>(&four);
    socklen_t size = family == AF_INET6 ? sizeof six : sizeof four;
    if (::bind(listener_, at, size) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, at, &size) != 0)
      std::abort();  // no test of this kind can run
    port_ = ntohs(family == AF_INET6 ? six.sin6_port : four.sin_port);
    thread_ = std::thread([this] { run(); });
  }

  ~raw_server() {
    stopping_.store(true);
    thread_.join();
    ::close(listener_);
  }

  raw_server(const raw_server&) = delete;
  raw_server& operator=(const raw_server&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }

private:
  void run() {
    for (int index = 0; !stopping_.load();) {
      pollfd p{listener_, POLLIN, 0};
      if (::poll(&p, 1, 20) <= 0) continue;
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      raw_peer peer{fd, index++, stopping_};
      script_(peer);
    }
  }

  std::function<void(raw_peer&)> script_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace nuncio::test

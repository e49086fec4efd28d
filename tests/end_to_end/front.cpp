// See front.hpp.
#include "front.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <nuncio/engine/url.hpp>
#include <optional>
#include <stdexcept>
#include <utility>

namespace nuncio::e2e {
namespace {

constexpr auto front_poll_ms = 20;

// What a slow connection may make up for of the time in which the machine did something else.
constexpr auto front_catch_up = std::chrono::milliseconds{20};

sockaddr_in front_address(std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return out;
}

std::string lowered(std::string_view x) {
  std::string out{x};
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return out;
}

// One side of a connection: a socket that does not block, perhaps with TLS on it.
class channel {
public:
  channel(int fd, const std::atomic<bool>& over) : fd_(fd), over_(over) {
    if (fd_ < 0) return;
    ::fcntl(fd_, F_SETFL, O_NONBLOCK);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }

  ~channel() {
    if (ssl_ != nullptr) SSL_shutdown(ssl_);
    SSL_free(ssl_);
    if (fd_ >= 0) ::close(fd_);
  }

  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;

  [[nodiscard]] int fd() const { return fd_; }

  /// What its end looks like from now on: a reset, without a word of TLS.
  void break_off() {
    SSL_free(std::exchange(ssl_, nullptr));
    const linger at_once{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }

  /// The name that was asked for; none when TLS does not come about.
  std::optional<std::string> start_tls(SSL_CTX* context) {
    ssl_ = SSL_new(context);
    SSL_set_fd(ssl_, fd_);
    while (true) {
      const int n = SSL_accept(ssl_);
      if (n == 1) break;
      if (!may_go_on(n)) {
        await_end();
        return std::nullopt;
      }
    }
    const auto* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
    return std::string{name == nullptr ? "" : name};
  }

  /// What is there, appended, and no more than `most` and a little. @returns false at the end
  bool receive(std::string& to, std::size_t most = SIZE_MAX) {
    char buffer[16384];
    while (to.size() < most) {
      if (ssl_ != nullptr) {
        const int n = SSL_read(ssl_, buffer, sizeof buffer);
        if (n <= 0) return SSL_get_error(ssl_, n) == SSL_ERROR_WANT_READ;
        to.append(buffer, static_cast<std::size_t>(n));
      } else {
        const auto n = ::recv(fd_, buffer, sizeof buffer, 0);
        if (n <= 0) return n < 0 && errno == EAGAIN;
        to.append(buffer, static_cast<std::size_t>(n));
      }
    }
    return true;
  }

  bool send(std::string_view x) {
    while (!x.empty()) {
      if (ssl_ != nullptr) {
        const int n = SSL_write(ssl_, x.data(), static_cast<int>(x.size()));
        if (n <= 0 && !may_go_on(n)) return false;
        if (n > 0) x.remove_prefix(static_cast<std::size_t>(n));
      } else {
        const auto n = ::send(fd_, x.data(), x.size(), MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) return false;
        if (n < 0 && !wait(POLLOUT)) return false;
        if (n > 0) x.remove_prefix(static_cast<std::size_t>(n));
      }
    }
    return true;
  }

  /// Ends our side, and reads what else comes: with unread data the system would reset the connection, and the peer might
  /// not see what was said last.
  void await_end() {
    SSL_free(std::exchange(ssl_, nullptr));
    ::shutdown(fd_, SHUT_WR);
    for (std::string rest; receive(rest); rest.clear())
      if (!wait(POLLIN)) return;
  }

private:
  bool wait(short what) const {
    while (!over_) {
      pollfd p{fd_, what, 0};
      if (::poll(&p, 1, front_poll_ms) > 0) return true;
    }
    return false;
  }

  // After a call of TLS that has given `n`.
  [[nodiscard]] bool may_go_on(int n) const {
    const int why = SSL_get_error(ssl_, n);
    if (why == SSL_ERROR_WANT_READ) return wait(POLLIN);
    return why == SSL_ERROR_WANT_WRITE && wait(POLLOUT);
  }

  int fd_;
  const std::atomic<bool>& over_;
  SSL* ssl_ = nullptr;
};

std::optional<std::string> take_head(std::string& from) {
  const auto end = from.find("\r\n\r\n");
  if (end == std::string::npos) return std::nullopt;
  auto head = from.substr(0, end + 4);
  from.erase(0, end + 4);
  return head;
}

// What an engine gets to see of a request that asked a proxy for a whole URL.
std::string without_authority(std::string head) {
  const auto from = head.find(" http://");
  const auto line_end = head.find("\r\n");
  if (from == std::string::npos || from > line_end) return head;
  const auto path = head.find('/', from + 8);
  return head.erase(from + 1, path - from - 1);
}

// Cuts what a client sends into requests, for their heads to be judged.
class request_reader {
public:
  /// The next thing to pass on; nothing: there is not enough yet, or `on_head` did not let it pass.
  template <class OnHead>
  std::string next(std::string& held, OnHead&& on_head) {
    if (opaque_) return std::exchange(held, {});
    if (body_left_ > 0) {
      auto part = held.substr(0, body_left_);
      held.erase(0, part.size());
      body_left_ -= part.size();
      return part;
    }
    auto head = take_head(held);
    if (!head) return {};
    front_request request{std::move(*head)};
    const auto length = request.header("Content-Length");
    body_left_ = length.empty() ? 0 : std::stoul(length);
    opaque_ = request.is_websocket() || request.is_connect();
    if (!on_head(request)) return {};
    return request.is_connect() ? std::string{} : without_authority(std::move(request.head));
  }

private:
  bool opaque_ = false;
  std::size_t body_left_ = 0;
};

std::string refusal(std::string_view status, std::string_view more = {}) {
  return fmt::format(
      "HTTP/1.1 {}\r\n{}Content-Length: 0\r\nConnection: close\r\n\r\n", status, more);
}

}  // namespace

std::string front_request::header(std::string_view name) const {
  const auto at = lowered(head).find("\r\n" + lowered(name) + ":");
  if (at == std::string::npos) return {};
  auto from = at + name.size() + 3;
  while (head[from] == ' ') ++from;
  return head.substr(from, head.find("\r\n", from) - from);
}

front::front(std::uint16_t behind, SSL_CTX* tls, judge ask)
    : behind_(behind), tls_(tls), ask_(std::move(ask)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto at = front_address(0);
  socklen_t size = sizeof at;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&at), size) != 0 ||
      ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size) != 0)
    throw std::runtime_error{"the front can't listen"};
  port_ = ntohs(at.sin_port);
  acceptor_ = std::thread{[this] { accept_loop(); }};
}

front::~front() {
  over_ = true;
  acceptor_.join();
  for (auto& x : pipes_) x.join();
  ::close(listener_);
}

std::vector<front_request> front::requests() const {
  const std::lock_guard guard{mutex_};
  return requests_;
}

void front::accept_loop() {
  while (!over_) {
    pollfd p{listener_, POLLIN, 0};
    if (::poll(&p, 1, front_poll_ms) <= 0) continue;
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) pipes_.emplace_back([this, client] { serve(client); });
  }
}

std::string front::decide(const front_request& request) {
  {
    const std::lock_guard guard{mutex_};
    requests_.push_back(request);
  }
  const std::lock_guard guard{judge_mutex_};
  return ask_ ? ask_(request) : std::string{};
}

void front::serve(int client) {
  const auto cuts = cuts_.load();
  channel near{client, over_};
  std::string server_name;
  if (auto* tls = tls_.load(); tls != nullptr) {
    auto name = near.start_tls(tls);
    if (!name) {
      ++without_tls_;
      return;
    }
    server_name = std::move(*name);
  }
  const int engine = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto to = front_address(behind_);
  if (::connect(engine, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    ::close(engine);
    return;
  }
  channel far{engine, over_};
  request_reader reader;
  std::string held, answer;
  const auto on_head = [&](front_request& request) {
    request.server_name = server_name;
    answer = decide(request);
    if (answer.empty() && request.is_connect())
      return near.send("HTTP/1.1 200 Connection established\r\n\r\n");
    return answer.empty();
  };
  auto next_back = std::chrono::steady_clock::now();  // when more may pass, if it is slow
  while (!over_) {
    const std::size_t rate = rate_;
    const bool wait = rate != 0 && std::chrono::steady_clock::now() < next_back;
    pollfd p[2] = {{near.fd(), POLLIN, 0}, {far.fd(), POLLIN, 0}};
    ::poll(p, wait ? 1 : 2, wait ? 1 : front_poll_ms);
    if (cuts_ != cuts) {
      near.break_off();
      far.break_off();
      return;
    }
    const bool goes_on = near.receive(held);
    for (auto part = reader.next(held, on_head); !part.empty(); part = reader.next(held, on_head))
      if (!far.send(part)) return;
    if (!answer.empty()) {
      near.send(answer);
      return near.await_end();
    }
    std::string back;
    const bool comes_on = wait || far.receive(back, rate != 0 ? 65536 : SIZE_MAX);
    if (rate != 0 && !back.empty())
      next_back = std::max(next_back, std::chrono::steady_clock::now() - front_catch_up) +
                  std::chrono::microseconds{back.size() * 1'000'000 / rate};
    if (!near.send(back) || !goes_on || !comes_on) return;
  }
}

front::judge proxy_for(std::string authority, const std::string& credentials) {
  return [authority = std::move(authority),
          expected = credentials.empty() ? "" : "basic " + base64(credentials)](
             const front_request& request) {
    auto given = request.header("Proxy-Authorization");
    given = lowered(given.substr(0, 6)) + given.substr(std::min<std::size_t>(given.size(), 6));
    if (!expected.empty() && given != expected)
      return refusal(
          "407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=\"front\"\r\n");
    const auto from = request.head.find(' ') + 1;
    const auto target = std::string_view{request.head}.substr(from);
    const bool known = request.is_connect() ? target.starts_with(authority + ' ')
                                            : target.starts_with("http://" + authority + '/');
    return known ? std::string{} : refusal("502 Bad Gateway");
  };
}

front::judge token_gate(std::function<bool(const std::string& token)> is_right) {
  return [is_right = std::move(is_right)](const front_request& request) {
    constexpr std::string_view in_http = "Bearer ", in_websocket = "rivet_token.";
    const auto from =
        request.header(request.is_websocket() ? "Sec-WebSocket-Protocol" : "Authorization");
    const auto mark = request.is_websocket() ? in_websocket : in_http;
    const auto at = from.find(mark);
    const auto token = at == std::string::npos ? std::string{} : from.substr(at + mark.size());
    return is_right(token) ? std::string{} : refusal("401 Unauthorized");
  };
}

}  // namespace nuncio::e2e

// See address_finder.hpp. The thread owns its sockets and holds `shared`, whose mutex guards everything else.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <nuncio/connection/address_finder.hpp>
#include <nuncio/connection/address_race.hpp>
#include <nuncio/engine/proxy.hpp>
#include <system_error>
#include <thread>
#include <utility>

namespace nuncio {
namespace {

// How soon an abandoned race is noticed.
constexpr int race_look_ms = 100;

class attempt {
public:
  attempt(const std::string& address, std::uint16_t port) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* at = nullptr;
    if (::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &at) != 0) return;
    fd_ = ::socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ >= 0 && ::connect(fd_, at->ai_addr, at->ai_addrlen) != 0 && errno != EINPROGRESS)
      fail(errno);
    ::freeaddrinfo(at);
  }

  ~attempt() {
    if (fd_ >= 0) ::close(fd_);
  }

  attempt(const attempt&) = delete;
  attempt& operator=(const attempt&) = delete;

  attempt(attempt&& other) noexcept : fd_(std::exchange(other.fd_, -1)), error_(other.error_) {}

  attempt& operator=(attempt&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(error_, other.error_);
    return *this;
  }

  [[nodiscard]] int fd() const { return fd_; }

  [[nodiscard]] int error() const { return error_; }

  /// After poll() has reported it. @returns whether it is connected
  bool settle() {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) fail(error);
    return error == 0;
  }

private:
  void fail(int error) {
    error_ = error;
    ::close(std::exchange(fd_, -1));
  }

  int fd_ = -1;
  int error_ = EADDRNOTAVAIL;
};

}  // namespace

bool is_ip_address(const std::string& host) {
  unsigned char out[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, host.c_str(), out) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), out) == 1;
}

outcome<std::vector<std::string>> resolve_by_system(const std::string& name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(name.c_str(), nullptr, &hints, &found); error != 0) {
    if (is_loopback(name)) return std::vector<std::string>{"127.0.0.1", "::1"};
    return failure{
        errc::not_found, "the name " + name + " was not found (" + ::gai_strerror(error) + ")"};
  }
  std::vector<std::string> out;
  for (const auto* at = found; at != nullptr; at = at->ai_next) {
    char text[NI_MAXHOST];
    if (::getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
        0)
      out.emplace_back(text);
  }
  ::freeaddrinfo(found);
  if (out.empty()) return failure{errc::not_found, "the name " + name + " has no address"};
  return out;
}

struct address_finder::shared {
  struct request {
    std::string name;
    std::uint16_t port = 0;
    std::chrono::milliseconds limit{};

    bool operator==(const request&) const = default;
  };

  bool still_wanted(const request& what) {
    const std::lock_guard guard{mutex};
    return wanted == what;
  }

  outcome<std::string> find(const request& what) {
    auto addresses = resolver ? resolver(what.name) : resolve_by_system(what.name);
    if (!addresses) return addresses.error();
    if (addresses->empty())
      return failure{errc::not_found, "the name " + what.name + " has no address"};
    if (addresses->size() == 1) return addresses->front();
    return race(*addresses, what);
  }

  outcome<std::string> race(const std::vector<std::string>& addresses, const request& what) {
    std::vector<bool> is_v6;
    for (const auto& x : addresses) is_v6.push_back(x.find(':') != std::string::npos);
    address_race order{is_v6};
    std::vector<std::pair<std::size_t, attempt>> open;
    std::string last_error = "no answer";
    const auto lose = [&](std::size_t which, int error) {
      last_error = addresses[which] + ": " + std::generic_category().message(error);
      order.handle_failed();
    };
    const auto deadline = boot_clock::now() + what.limit;
    while (still_wanted(what)) {
      const auto now = boot_clock::now();
      while (const auto next = order.poll_begin(now)) {
        attempt begun{addresses[*next], what.port};
        if (begun.fd() < 0)
          lose(*next, begun.error());
        else
          open.emplace_back(*next, std::move(begun));
      }
      if (order.lost() || now >= deadline) break;
      std::vector<pollfd> fds;
      for (const auto& [which, x] : open) fds.push_back({x.fd(), POLLOUT, 0});
      auto wait = std::chrono::milliseconds{race_look_ms};
      if (const auto due = order.poll_timeout())
        wait = std::min(wait, std::chrono::ceil<std::chrono::milliseconds>(*due - now));
      ::poll(fds.data(), fds.size(), static_cast<int>(std::max<std::int64_t>(wait.count(), 0)));
      for (std::size_t i = open.size(); i-- > 0;) {
        if (fds[i].revents == 0) continue;
        auto& [which, x] = open[i];
        if (x.settle()) return addresses[which];
        lose(which, x.error());
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
    return failure{
        errc::unreachable,
        "none of the " + std::to_string(addresses.size()) + " addresses of " + what.name +
            " accepts a connection (" + last_error + ")"};
  }

  void run() {
    for (;;) {
      std::optional<request> mine;
      {
        const std::lock_guard guard{mutex};
        mine = wanted;
        running = mine.has_value();
      }
      if (!mine) return;
      auto found = find(*mine);
      const std::lock_guard guard{mutex};
      if (wanted != mine) continue;
      wanted.reset();
      answer = std::move(found);
      running = false;
      if (wake) wake();
      return;
    }
  }

  std::mutex mutex;
  name_resolver resolver;  // constant after construction
  std::function<void()> wake;
  std::optional<request> wanted;
  std::optional<outcome<std::string>> answer;
  bool running = false;
};

address_finder::address_finder(name_resolver resolver, std::function<void()> wake)
    : shared_(std::make_shared<shared>()) {
  shared_->resolver = std::move(resolver);
  shared_->wake = std::move(wake);
}

address_finder::~address_finder() { close(); }

void address_finder::begin(
    const std::string& name, std::uint16_t port, std::chrono::milliseconds limit) {
  auto& x = *shared_;
  const std::lock_guard guard{x.mutex};
  x.wanted = shared::request{name, port, limit};
  x.answer.reset();
  if (std::exchange(x.running, true)) return;  // it sees the new request when the resolver is done
  // Signals belong to the program's own threads; the new thread inherits the mask.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread{[self = shared_] {
      pthread_setname_np(pthread_self(), "nuncio-names");
      self->run();
    }}.detach();
  } catch (const std::system_error& e) {
    x.running = false;
    x.wanted.reset();
    x.answer = failure{errc::unreachable, std::string{"no thread to resolve a name: "} + e.what()};
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void address_finder::abandon() {
  const std::lock_guard guard{shared_->mutex};
  shared_->wanted.reset();
  shared_->answer.reset();
}

std::optional<outcome<std::string>> address_finder::poll() {
  const std::lock_guard guard{shared_->mutex};
  return std::exchange(shared_->answer, std::nullopt);
}

void address_finder::close() {
  const std::lock_guard guard{shared_->mutex};
  shared_->wanted.reset();
  shared_->answer.reset();
  shared_->wake = nullptr;
}

}  // namespace nuncio

// See wire_proxy.hpp.
#include "wire_proxy.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <nuncio/codec.hpp>
#include <nuncio/json.hpp>
#include <stdexcept>

namespace nuncio::e2e {
namespace {

constexpr auto poll_ms = 20;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return out;
}

void set_nodelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// With NUNCIO_E2E_TRACE every message goes to standard error: to read what became of a case that fails now and then.
template <class Describe>
void trace(std::size_t record, char direction, const Describe& describe) {
  static const bool wanted = std::getenv("NUNCIO_E2E_TRACE") != nullptr;
  if (!wanted) return;
  const auto now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch());
  fmt::print(stderr, "{:.3f} {} {} {:.600}\n", now.count(), record, direction, describe());
}

void reset(int fd) {
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(fd);
}

// One WebSocket message as it came: the raw bytes of its frames, and its payload without the mask.
struct message {
  std::string raw;
  std::vector<std::uint8_t> payload;
  bool binary = false;
};

// Cuts a stream into an HTTP head and then into messages. Control frames come out as messages that are not binary.
class splitter {
public:
  void feed(std::string_view x) { held_.append(x); }

  std::optional<std::string> head() {
    const auto end = held_.find("\r\n\r\n");
    if (end == std::string::npos) return std::nullopt;
    return take(end + 4);
  }

  std::string rest() { return take(held_.size()); }

  std::optional<message> next() {
    for (;;) {
      if (held_.size() < 2) return std::nullopt;
      const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(held_[i]); };
      const bool last = (byte(0) & 0x80U) != 0;
      const unsigned code = byte(0) & 0x0fU;
      const bool masked = (byte(1) & 0x80U) != 0;
      std::uint64_t size = byte(1) & 0x7fU;
      std::size_t at = 2;
      const std::size_t wide = size == 126 ? 2 : size == 127 ? 8 : 0;
      if (held_.size() < at + wide + (masked ? 4 : 0)) return std::nullopt;
      if (wide != 0) {
        size = 0;
        for (std::size_t i = 0; i < wide; ++i) size = size << 8U | byte(at + i);
        at += wide;
      }
      const std::size_t mask_at = at;
      if (masked) at += 4;
      if (held_.size() < at + size) return std::nullopt;
      message frame;
      for (std::size_t i = 0; i < size; ++i)
        frame.payload.push_back(
            static_cast<std::uint8_t>(byte(at + i) ^ (masked ? byte(mask_at + i % 4) : 0U)));
      frame.raw = take(at + size);
      if (code >= 8) return frame;
      if (code != 0) partial_ = {};
      partial_.binary = partial_.binary || code == 2;
      partial_.raw += frame.raw;
      partial_.payload.insert(partial_.payload.end(), frame.payload.begin(), frame.payload.end());
      if (last) return std::exchange(partial_, {});
    }
  }

private:
  std::string take(std::size_t n) {
    auto out = held_.substr(0, n);
    held_.erase(0, n);
    return out;
  }

  std::string held_;
  message partial_;
};

// A whole binary message as one side frames it: a client's with a mask, which may be all zeros and then changes nothing.
std::string frame_of(const std::vector<std::uint8_t>& payload, bool from_client) {
  std::string out{'\x82'};
  const std::uint64_t size = payload.size();
  const int wide = size < 126 ? 0 : size < 65536 ? 2 : 8;
  const std::uint64_t length = wide == 0 ? size : wide == 2 ? 126U : 127U;
  out += static_cast<char>(length | (from_client ? 0x80U : 0U));
  for (int i = wide - 1; i >= 0; --i) out += static_cast<char>(size >> (8 * i));
  if (from_client) out.append(4, '\0');
  return out.append(payload.begin(), payload.end());
}

std::string server_frame(const std::vector<std::uint8_t>& payload) {
  return frame_of(payload, false);
}

bool write_all(int fd, std::string_view x, const std::atomic<bool>& over) {
  while (!x.empty()) {
    const auto n = ::send(fd, x.data(), x.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
      pollfd p{fd, POLLOUT, 0};
      ::poll(&p, 1, poll_ms);
      if (over) return false;
      continue;
    }
    if (n <= 0) return false;
    x.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

// Until the other end has closed, or for 2 s: closing before would reset the connection if anything of it is unread, and so
// take from it what it has not read yet.
void read_away(int fd, const std::atomic<bool>& over) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{2};
  char buffer[65536];
  while (!over && std::chrono::steady_clock::now() < end) {
    pollfd p{fd, POLLIN, 0};
    if (::poll(&p, 1, poll_ms) > 0 && ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) <= 0) return;
  }
}

}  // namespace

wire_proxy::wire_proxy(std::uint16_t engine_port, std::uint16_t protocol_version)
    : engine_port_(engine_port), version_(protocol_version) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto at = loopback(0);
  socklen_t size = sizeof at;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&at), size) != 0 ||
      ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size) != 0)
    throw std::runtime_error{"the proxy can't listen"};
  port_ = ntohs(at.sin_port);
  acceptor_ = std::thread{[this] { accept_loop(); }};
}

wire_proxy::~wire_proxy() {
  over_ = true;
  acceptor_.join();
  for (auto& x : pipes_) x.join();
  ::close(listener_);
}

std::string wire_proxy::endpoint() const { return fmt::format("http://127.0.0.1:{}", port_); }

void wire_proxy::cut() { ++cuts_; }

void wire_proxy::cut_towards_engine() { ++half_cuts_; }

void wire_proxy::send_to_host(std::vector<std::uint8_t> payload) {
  const std::lock_guard guard{mutex_};
  injected_.push_back(std::move(payload));
  ++injections_;
}

void wire_proxy::greet_host(std::vector<std::uint8_t> payload) {
  const std::lock_guard guard{mutex_};
  greeting_ = std::move(payload);
}

void wire_proxy::judge_to_engine(std::function<fate(const protocol::to_rivet&)> judge) {
  const std::lock_guard guard{judge_mutex_};
  judge_to_engine_ = std::move(judge);
}

void wire_proxy::judge_to_host(std::function<fate(const protocol::to_envoy&)> judge) {
  const std::lock_guard guard{judge_mutex_};
  judge_to_host_ = std::move(judge);
}

void wire_proxy::rewrite_to_engine(std::function<bool(protocol::to_rivet&)> rewrite) {
  const std::lock_guard guard{judge_mutex_};
  rewrite_to_engine_ = std::move(rewrite);
}

void wire_proxy::rewrite_to_host(std::function<bool(protocol::to_envoy&)> rewrite) {
  const std::lock_guard guard{judge_mutex_};
  rewrite_to_host_ = std::move(rewrite);
}

std::vector<wire_record> wire_proxy::records() const {
  const std::lock_guard guard{mutex_};
  return records_;
}

wire_record wire_proxy::last() const {
  const std::lock_guard guard{mutex_};
  return records_.empty() ? wire_record{} : records_.back();
}

bool wire_proxy::await_barrier(std::size_t n, std::chrono::milliseconds limit) const {
  std::unique_lock guard{mutex_};
  return changed_.wait_for(guard, limit, [&] {
    for (std::size_t i = n - 1; i < records_.size(); ++i)
      if (records_[i].barrier) return true;
    return false;
  });
}

wire_record wire_proxy::cut_and_await() {
  const auto before = records().size();
  cut();
  await_barrier(before + 1);
  return last();
}

void wire_proxy::accept_loop() {
  while (!over_) {
    pollfd p{listener_, POLLIN, 0};
    if (::poll(&p, 1, poll_ms) <= 0) continue;
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    if (refuse_) {
      reset(client);
      continue;
    }
    set_nodelay(client);
    pipes_.emplace_back([this, client] { serve(client); });
  }
}

template <class Note>
void wire_proxy::note(std::size_t record, Note&& change) {
  {
    const std::lock_guard guard{mutex_};
    change(records_[record]);
  }
  changed_.notify_all();
}

fate wire_proxy::judge(std::size_t record, bool to_engine, std::vector<std::uint8_t> payload) {
  const bytes frame{std::move(payload)};
  if (to_engine) {
    const auto x = protocol::decode_to_rivet(frame, version_);
    if (!x) return fate::pass;
    trace(record, '>', [&] { return protocol::to_json(*x, version_); });
    if (std::holds_alternative<protocol::to_rivet_ack_commands>(*x) && lose_acks_) {
      note(record, [](auto& r) { ++r.acks_swallowed; });
      return fate::swallow;
    }
    if (const auto* events = std::get_if<protocol::to_rivet_events>(&*x)) {
      for (const auto& e : events->events)
        if (const auto* update = std::get_if<protocol::event_actor_state_update>(&e.inner);
            update && std::holds_alternative<protocol::actor_state_stopped>(update->state))
          note(record, [](auto& r) { ++r.stopped_events; });
    }
    const std::lock_guard guard{judge_mutex_};
    return judge_to_engine_ ? judge_to_engine_(*x) : fate::pass;
  }
  const auto x = protocol::decode_to_envoy(frame, version_);
  if (!x) return fate::pass;
  trace(record, '<', [&] { return protocol::to_json(*x, version_); });
  auto verdict = fate::pass;
  {
    const std::lock_guard guard{judge_mutex_};
    if (judge_to_host_) verdict = judge_to_host_(*x);
  }
  if (verdict != fate::pass && verdict != fate::cut_after && verdict != fate::release)
    return verdict;  // it does not arrive, or not yet
  note(record, [&](auto& r) {
    if (const auto* commands = std::get_if<protocol::to_envoy_commands>(&*x)) {
      for (const auto& c : commands->commands)
        ++(std::holds_alternative<protocol::command_start_actor>(c.inner) ? r.starts : r.stops);
      if (!r.barrier) r.replayed += commands->commands.size();
    }
    if (std::holds_alternative<protocol::to_envoy_ping>(*x)) r.barrier = true;
  });
  return verdict;
}

std::optional<std::vector<std::uint8_t>> wire_proxy::rewritten(
    bool to_engine, const std::vector<std::uint8_t>& payload) {
  const std::lock_guard guard{judge_mutex_};
  const auto with = [&](const auto& rewrite,
                        const auto& decode) -> std::optional<std::vector<std::uint8_t>> {
    if (!rewrite) return std::nullopt;
    auto x = decode(bytes{payload}, version_);
    if (!x || !rewrite(*x)) return std::nullopt;
    auto out = protocol::encode(*x, version_);
    if (!out) return std::nullopt;
    return std::move(*out);
  };
  return to_engine ? with(rewrite_to_engine_, protocol::decode_to_rivet)
                   : with(rewrite_to_host_, protocol::decode_to_envoy);
}

void wire_proxy::serve(int client) {
  const int engine = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto to = loopback(engine_port_);
  if (::connect(engine, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    reset(client);
    ::close(engine);
    return;
  }
  set_nodelay(engine);
  std::optional<std::size_t> record;
  const int fds[2] = {client, engine};  // 0: towards the engine
  splitter streams[2];
  std::string held[2];
  bool plain = false, heads[2] = {false, false};
  const auto cuts = cuts_.load();
  const auto half_cuts = half_cuts_.load();
  bool half = false;
  const auto freezes = freezes_.load();
  auto injections = injections_.load();
  const auto step = [&](int side) {  // false: end
    char buffer[65536];
    const auto n = ::recv(fds[side], buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    if (half && side == 0) return true;  // read and thrown away
    auto& in = streams[side];
    in.feed({buffer, static_cast<std::size_t>(n)});
    if (!heads[side] && !plain) {
      auto head = in.head();
      if (!head) return true;
      heads[side] = true;
      if (side == 0) {
        plain = head->find("/envoys/connect") == std::string::npos;
        if (!plain) {
          const std::lock_guard guard{mutex_};
          record = records_.size();
          records_.push_back({.opened = std::chrono::steady_clock::now()});
        }
      }
      if (!write_all(fds[1 - side], *head, over_)) return false;
      if (side == 1 && record) {
        std::optional<std::vector<std::uint8_t>> greeting;
        {
          const std::lock_guard guard{mutex_};
          greeting = std::exchange(greeting_, std::nullopt);
        }
        if (greeting && !write_all(client, server_frame(*greeting), over_)) return false;
      }
    }
    if (plain) return write_all(fds[1 - side], in.rest(), over_);
    while (auto m = in.next()) {
      if (m->binary)
        if (auto changed = rewritten(side == 0, m->payload)) {
          m->payload = std::move(*changed);
          m->raw = frame_of(m->payload, side == 0);
        }
      const auto verdict = m->binary ? judge(*record, side == 0, m->payload) : fate::pass;
      if (verdict == fate::cut_before) return false;
      if (verdict == fate::cut_inside) m->raw.resize(m->raw.size() / 2);
      if (verdict == fate::spoil) {
        m->payload.resize(m->payload.size() / 2);
        m->raw = server_frame(m->payload);
      }
      if (verdict == fate::swallow) continue;
      if (verdict == fate::hold) {
        held[side] += m->raw;
        continue;
      }
      if (verdict == fate::release) m->raw += std::exchange(held[side], {});
      if (!write_all(fds[1 - side], m->raw, over_)) return false;
      if (verdict == fate::cut_after || verdict == fate::cut_inside) {
        // In good order, so that what was just written is read before the end is seen.
        ::shutdown(fds[1 - side], SHUT_WR);
        read_away(fds[1 - side], over_);
        return false;
      }
    }
    return true;
  };
  bool clean_end = false;
  for (bool going = true; going && !over_;) {
    if (!plain && cuts_ != cuts) break;
    if (!plain && !half && half_cuts_ != half_cuts) {
      half = true;
      ::shutdown(engine, SHUT_WR);  // the engine ends its side, after what it has written
    }
    if (record && freezes_ != freezes) {
      std::this_thread::sleep_for(std::chrono::milliseconds{poll_ms});
      continue;
    }
    for (; record && injections != injections_; ++injections) {
      std::string frame;
      {
        const std::lock_guard guard{mutex_};
        frame = server_frame(injected_[injections]);
      }
      write_all(client, frame, over_);
    }
    const short from_host = stalled_ ? 0 : POLLIN;
    pollfd p[2] = {{client, from_host, 0}, {engine, POLLIN, 0}};
    ::poll(p, 2, poll_ms);
    for (int side = 0; side < 2 && going; ++side)
      if (p[side].revents != 0 && !step(side)) going = false, clean_end = true;
  }
  // An end in good order passes on what is still in flight; a cut does not.
  if (clean_end) {
    if (record) {
      ::shutdown(client, SHUT_WR);
      read_away(client, over_);
    }
    ::close(client);
    ::close(engine);
  } else {
    reset(client);
    reset(engine);
  }
  if (record) note(*record, [](auto& r) { r.ended = true; });
}

}  // namespace nuncio::e2e

// The engine's end of one connection for benchmarks, on a blocking socket and a thread of its own: writes and reads frames as
// fast as the kernel takes them, and takes the time.
#pragma once

#include <sys/socket.h>
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <nuncio/codec.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/raw_server.hpp"

namespace nuncio::bench {

using test::raw_peer;

constexpr std::uint16_t version = 8;

inline double seconds_of(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

class peer_wire {
public:
  explicit peer_wire(int fd) : fd_(fd), in_(1 << 20) {}

  void put(std::string_view payload, int opcode = 2) {
    out_.append(raw_peer::frame_head(opcode, payload.size())).append(payload);
  }

  void put(const protocol::to_envoy& x) {
    const auto raw = protocol::encode(x, version);
    put({reinterpret_cast<const char*>(raw->data()), raw->size()});
  }

  bool flush() {
    std::string_view left = out_;
    while (!left.empty()) {
      const auto n = ::send(fd_, left.data(), left.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      left.remove_prefix(static_cast<std::size_t>(n));
    }
    out_.clear();
    return true;
  }

  /// The next binary message; valid until the next call. Answers pings. Null at the end of the stream.
  const std::string_view* next() {
    for (;;) {
      if (const auto opcode = parse(); opcode == 2 || opcode == 0) {
        return &message_;
      } else if (opcode == 9) {
        put(message_, 10);
      } else if (opcode == 8) {
        return nullptr;
      } else if (opcode < 0) {
        if (!flush() || !fill()) return nullptr;
      }
    }
  }

private:
  // @returns the opcode, or -1 if no whole frame is here
  int parse() {
    auto* const from = reinterpret_cast<std::uint8_t*>(in_.data()) + at_;
    const auto here = end_ - at_;
    if (here < 2) return -1;
    std::size_t head = 2;
    std::uint64_t size = from[1] & 127U;
    if (size >= 126) {
      const auto n = size == 126 ? 2U : 8U;
      if (here < 2 + n) return -1;
      size = 0;
      for (unsigned i = 0; i < n; ++i) size = size << 8U | from[2 + i];
      head += n;
    }
    if (here < head + 4 + size) {
      if (in_.size() - at_ < head + 4 + size) {  // make room for the rest
        std::memmove(in_.data(), in_.data() + at_, here);
        at_ = 0;
        end_ = here;
        if (in_.size() < head + 4 + size) in_.resize(head + 4 + size);
      }
      return -1;
    }
    const auto* mask = from + head;
    auto* data = from + head + 4;
    std::uint64_t wide = 0;
    std::memcpy(&wide, mask, 4);
    wide |= wide << 32U;
    std::size_t i = 0;
    for (; i + 8 <= size; i += 8) {
      std::uint64_t x = 0;
      std::memcpy(&x, data + i, 8);
      x ^= wide;
      std::memcpy(data + i, &x, 8);
    }
    for (; i < size; ++i) data[i] ^= mask[i % 4];
    message_ = {reinterpret_cast<const char*>(data), size};
    at_ += head + 4 + size;
    return from[0] & 15;
  }

  bool fill() {
    if (at_ == end_) at_ = end_ = 0;
    if (end_ == in_.size()) {
      std::memmove(in_.data(), in_.data() + at_, end_ - at_);
      end_ -= at_;
      at_ = 0;
    }
    const auto n = ::recv(fd_, in_.data() + end_, in_.size() - end_, 0);
    if (n <= 0) return false;
    end_ += static_cast<std::size_t>(n);
    return true;
  }

  int fd_;
  std::vector<char> in_;
  std::size_t at_ = 0, end_ = 0;
  std::string out_;
  std::string_view message_;
};

/// What one measurement gave; the processor's time without the generator's own.
struct result {
  double seconds = 0;
  double cpu = 0;
};

/// Serves one connection after the other, each by a job.
class engine_end {
public:
  using job = std::function<result(peer_wire&)>;

  /// Takes the next WebSocket, and runs `what` on it.
  std::future<result> next(job what) {
    const std::lock_guard guard{mutex_};
    jobs_.emplace_back(std::move(what));
    return jobs_.back().get_future();
  }

  [[nodiscard]] std::uint16_t port() const { return server_.port(); }

private:
  void serve(raw_peer& peer) {
    if (!peer.take_host("bench")) return;
    std::packaged_task<result(peer_wire&)> what;
    {
      const std::lock_guard guard{mutex_};
      if (jobs_.empty()) return;
      what = std::move(jobs_.front());
      jobs_.pop_front();
    }
    peer_wire to{peer.fd()};
    what(to);
    to.flush();
    peer.wait_for_end();
  }

  std::mutex mutex_;
  std::deque<std::packaged_task<result(peer_wire&)>> jobs_;
  test::raw_server server_{[this](raw_peer& p) { serve(p); }};
};

/// Takes the time around `f`, which is run by the generator's thread.
template <class F>
result timed(F f) {
  const auto wall = seconds_of(CLOCK_MONOTONIC);
  const auto all = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const auto own = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  f();
  result out;
  out.cpu =
      seconds_of(CLOCK_PROCESS_CPUTIME_ID) - all - (seconds_of(CLOCK_THREAD_CPUTIME_ID) - own);
  out.seconds = seconds_of(CLOCK_MONOTONIC) - wall;
  return out;
}

}  // namespace nuncio::bench

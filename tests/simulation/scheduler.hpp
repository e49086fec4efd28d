// Time and chance of a simulated run: an event queue whose order depends on the seed only, with sides that can be frozen like a
// stopped process or a busy thread. One thread; never reads a clock.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <nuncio/detail/clock.hpp>
#include <utility>
#include <vector>

namespace nuncio::simulation {

using namespace std::chrono_literals;

class chance {
public:
  /// Seeds that follow each other give runs that have nothing in common.
  explicit chance(std::uint64_t seed) : state_(seed) { state_ = next(); }

  std::uint64_t next() {
    auto z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }

  /// 0 to n - 1.
  std::uint64_t below(std::uint64_t n) { return next() % n; }

  bool percent(unsigned x) { return below(100) < x; }

  bool permille(unsigned x) { return below(1000) < x; }

  duration between(duration least, duration most) {
    const auto span = static_cast<std::uint64_t>((most - least) / 1us);
    return least + std::chrono::microseconds{static_cast<std::int64_t>(below(span + 1))};
  }

  template <class T>
  void shuffle(std::vector<T>& all) {
    for (auto n = all.size(); n > 1; --n) std::swap(all[n - 1], all[below(n)]);
  }

private:
  std::uint64_t state_;
};

/// Where an event happens: each is a thread or process of its own.
enum class side : std::uint8_t { engine, link, ingress, ack, outbox, storage, actors, sides };

class scheduler {
public:
  [[nodiscard]] time_point now() const { return now_; }

  /// Prints what happens, for a reader of one seed's run.
  bool tracing = false;

  template <class... Args>
  void trace(fmt::format_string<Args...> text, Args&&... args) const {
    if (!tracing) return;
    const std::chrono::duration<double> seconds = now_.time_since_epoch();
    fmt::print("{:11.6f} {}\n", seconds.count(), fmt::format(text, std::forward<Args>(args)...));
  }

  void at(time_point when, side where, std::function<void()> what) {
    heap_.push_back({std::max(when, now_), ++serial_, where, std::move(what)});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  void after(duration delay, side where, std::function<void()> what) {
    at(now_ + delay, where, std::move(what));
  }

  /// A message into the mailbox of `where`: those of one mailbox keep their order.
  void post(side where, duration delay, std::function<void()> what) {
    auto& last = mailbox_[static_cast<std::size_t>(where)];
    last = std::max(last, now_ + delay);
    at(last, where, std::move(what));
  }

  /// Nothing happens at `where` before `until`.
  void freeze(side where, time_point until) {
    auto& x = frozen_[static_cast<std::size_t>(where)];
    x = std::max(x, until);
  }

  [[nodiscard]] bool frozen(side where) const {
    return frozen_[static_cast<std::size_t>(where)] > now_;
  }

  void run_until(time_point end) {
    while (!heap_.empty() && heap_.front().when <= end) {
      std::pop_heap(heap_.begin(), heap_.end(), later);
      auto next = std::move(heap_.back());
      heap_.pop_back();
      now_ = next.when;
      ++steps_;
      if (frozen(next.where)) {
        next.when = frozen_[static_cast<std::size_t>(next.where)];
        heap_.push_back(std::move(next));
        std::push_heap(heap_.begin(), heap_.end(), later);
        continue;
      }
      next.what();
    }
    now_ = end;
  }

  [[nodiscard]] std::uint64_t steps() const { return steps_; }

private:
  struct event {
    time_point when;
    std::uint64_t serial;
    side where;
    std::function<void()> what;
  };

  static bool later(const event& a, const event& b) {
    return a.when != b.when ? a.when > b.when : a.serial > b.serial;
  }

  std::vector<event> heap_;
  std::array<time_point, static_cast<std::size_t>(side::sides)> mailbox_{}, frozen_{};
  time_point now_{1000s};
  std::uint64_t serial_ = 0, steps_ = 0;
};

}  // namespace nuncio::simulation

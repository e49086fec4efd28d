// Sums and differences of times that end at the ends of their range instead of overflowing: for every time and duration
// that comes from a user or an engine, of which all of chrono's range is legal. Pure; any thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>
#include <nuncio/detail/clock.hpp>
#include <optional>
#include <ratio>
#include <type_traits>

namespace nuncio {

/// `x` as a `To`, or the nearest that there is. Both count in 64-bit integers; what `To` can't hold is cut off.
template <class To, class Rep, class Period>
constexpr To saturated(std::chrono::duration<Rep, Period> x) {
  static_assert(std::is_integral_v<Rep> && sizeof(Rep) == 8);
  if constexpr (std::ratio_less_v<typename To::period, Period>) {
    using from = std::chrono::duration<Rep, Period>;
    if (x > std::chrono::duration_cast<from>(To::max())) return To::max();
    if (x < std::chrono::duration_cast<from>(To::min())) return To::min();
  }
  return std::chrono::duration_cast<To>(x);
}

/// `at` and `wait` later; max() is never.
template <class Clock, class D, class Rep, class Period>
constexpr std::chrono::time_point<Clock, D> later(
    std::chrono::time_point<Clock, D> at, std::chrono::duration<Rep, Period> wait) {
  const auto more = saturated<D>(wait);
  typename D::rep sum{};
  if (__builtin_add_overflow(at.time_since_epoch().count(), more.count(), &sum))
    return more.count() > 0 ? at.max() : at.min();
  return std::chrono::time_point<Clock, D>{D{sum}};
}

/// How long it is from `now` until `then`; negative if that has passed.
template <class Clock, class D>
constexpr D until(std::chrono::time_point<Clock, D> now, std::chrono::time_point<Clock, D> then) {
  typename D::rep out{};
  if (__builtin_sub_overflow(then.time_since_epoch().count(), now.time_since_epoch().count(), &out))
    return then > now ? D::max() : D::min();
  return D{out};
}

/// For how long a timer for `then` is set: at least a millisecond, and at most an hour, after which whoever set it looks
/// again.
constexpr duration timer_until(time_point now, time_point then) {
  return std::clamp<duration>(
      until(now, then), std::chrono::milliseconds{1}, std::chrono::hours{1});
}

/// The earlier of two that may be none.
constexpr std::optional<time_point> earlier(
    std::optional<time_point> a, std::optional<time_point> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

/// What a thread may be told to wait, of what a user has asked for: a century, which no clock's range ends before.
template <class Rep, class Period>
constexpr std::chrono::milliseconds waitable(std::chrono::duration<Rep, Period> x) {
  return std::clamp<std::chrono::milliseconds>(
      saturated<std::chrono::milliseconds>(x),
      std::chrono::milliseconds{0},
      std::chrono::hours{24} * 36'525);
}

}  // namespace nuncio

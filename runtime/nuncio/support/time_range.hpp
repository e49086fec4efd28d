// Sums and differences of times that saturate instead of overflowing: for every time and duration that comes from a user or an
// engine, since all of chrono's range is legal. Pure; any thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>
#include <nuncio/detail/clock.hpp>
#include <optional>
#include <ratio>
#include <type_traits>

namespace nuncio {

/// `x` as a `To`, or the nearest possible value. Both count in 64-bit integers; what `To` can't hold is truncated.
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

/// `at` plus `wait`; max() means never.
template <class Clock, class D, class Rep, class Period>
constexpr std::chrono::time_point<Clock, D> later(
    std::chrono::time_point<Clock, D> at, std::chrono::duration<Rep, Period> wait) {
  const auto more = saturated<D>(wait);
  typename D::rep sum{};
  if (__builtin_add_overflow(at.time_since_epoch().count(), more.count(), &sum))
    return more.count() > 0 ? at.max() : at.min();
  return std::chrono::time_point<Clock, D>{D{sum}};
}

/// The time from `now` until `then`; negative if that has passed.
template <class Clock, class D>
constexpr D until(std::chrono::time_point<Clock, D> now, std::chrono::time_point<Clock, D> then) {
  typename D::rep out{};
  if (__builtin_sub_overflow(then.time_since_epoch().count(), now.time_since_epoch().count(), &out))
    return then > now ? D::max() : D::min();
  return D{out};
}

/// The duration of a timer for `then`: at least a millisecond, and at most an hour, after which its owner checks again.
constexpr duration timer_until(time_point now, time_point then) {
  return std::clamp<duration>(
      until(now, then), std::chrono::milliseconds{1}, std::chrono::hours{1});
}

/// The earlier of two times, either of which may be none.
constexpr std::optional<time_point> earlier(
    std::optional<time_point> a, std::optional<time_point> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

/// The longest wait for a thread at a user's request: a century, which fits into any clock's range.
template <class Rep, class Period>
constexpr std::chrono::milliseconds waitable(std::chrono::duration<Rep, Period> x) {
  return std::clamp<std::chrono::milliseconds>(
      saturated<std::chrono::milliseconds>(x),
      std::chrono::milliseconds{0},
      std::chrono::hours{24} * 36'525);
}

}  // namespace nuncio

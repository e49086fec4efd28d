// The ranges of numbers and times that come in as options: each is looked at once, where its options come in, and what
// works with it relies on that. Pure; any thread.
#pragma once

#include <chrono>
#include <initializer_list>
#include <nuncio/outcome.hpp>
#include <string_view>

namespace nuncio {

/// One option and what it may be, both ends included.
struct number_range {
  std::string_view name;
  double value, low, high;
  std::string_view unit{};
};

/// A day is longer than any limit can mean, and far from where the sum of a time and a duration overflows.
inline constexpr double day_ms = 24.0 * 3600 * 1000;
/// More of anything than there is memory for, and far from where sums of sizes overflow.
inline constexpr double many = 1e15;

template <class Duration>
constexpr double ms_of(Duration x) {
  return std::chrono::duration<double, std::milli>{x}.count();
}

/// A duration is told in milliseconds.
template <class Duration>
constexpr number_range time_range(std::string_view name, Duration x, double low, double high) {
  return {name, ms_of(x), low, high, " ms"};
}

template <class Number>
constexpr number_range count_range(std::string_view name, Number x, double low, double high) {
  return {name, static_cast<double>(x), low, high};
}

/// @param of  what stands before the option's name in the message, as "serve 'room': "
/// @returns errc::invalid_argument naming the first that lies outside its range, or is no number at all
outcome<void> check_ranges(std::initializer_list<number_range> all, std::string_view of = {});

}  // namespace nuncio

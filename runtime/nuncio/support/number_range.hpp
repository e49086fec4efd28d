// The ranges of numbers and times in options: each is checked once, where the options come in, and the code that uses it relies
// on that. Pure; any thread.
#pragma once

#include <chrono>
#include <initializer_list>
#include <nuncio/outcome.hpp>
#include <string_view>

namespace nuncio {

/// One option and its range, both ends included.
struct number_range {
  std::string_view name;
  double value, low, high;
  std::string_view unit{};
};

/// One day is longer than any sensible limit, and far from where the sum of a time and a duration overflows.
inline constexpr double day_ms = 24.0 * 3600 * 1000;
/// More than there is memory for, and far from where sums of sizes overflow.
inline constexpr double many = 1e15;

template <class Duration>
constexpr double ms_of(Duration x) {
  return std::chrono::duration<double, std::milli>{x}.count();
}

/// A duration is reported in milliseconds.
template <class Duration>
constexpr number_range time_range(std::string_view name, Duration x, double low, double high) {
  return {name, ms_of(x), low, high, " ms"};
}

template <class Number>
constexpr number_range count_range(std::string_view name, Number x, double low, double high) {
  return {name, static_cast<double>(x), low, high};
}

/// @param of  a prefix of the option's name in the message, such as "serve 'room': "
/// @returns errc::invalid_argument naming the first that is out of its range or not a number
outcome<void> check_ranges(std::initializer_list<number_range> all, std::string_view of = {});

}  // namespace nuncio

// Numbers on the command line and in its environment variables: decimal digits within a range, and nothing else.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <string>

namespace nuncio {

/// For `check()`, which sees the text before it is converted: no sign that the type lacks, no spaces, no `nan`, no overflow
/// that becomes another number.
template <class T>
CLI::Validator number_in(T low, T high) {
  const auto range = fmt::format("a number from {} to {}", low, high);
  return CLI::Validator{
      [=](std::string& text) {
        T x{};
        const auto end = text.data() + text.size();
        const auto [at, error] = std::from_chars(text.data(), end, x);
        // Also false if it is not a number.
        const bool within = error == std::errc{} && at == end && x >= low && x <= high;
        return within ? std::string{} : fmt::format("'{}' is not {}", text, range);
      },
      range};
}

}  // namespace nuncio

// Bytes as lower-case hexadecimal text. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace nuncio {

inline constexpr std::string_view hex_digits = "0123456789abcdef";

inline std::string to_hex(std::span<const std::uint8_t> xs) {
  std::string out;
  out.reserve(xs.size() * 2);
  for (const auto x : xs) {
    out += hex_digits[x >> 4U];
    out += hex_digits[x & 15U];
  }
  return out;
}

}  // namespace nuncio

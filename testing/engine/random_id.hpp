// Ids in the real engine's form: 30 lower-case base-36 characters.
#pragma once

#include <random>
#include <string>
#include <string_view>

namespace nuncio::testing::engine {

inline std::string random_id(std::mt19937_64& random) {
  static constexpr std::string_view digits = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::uniform_int_distribution<std::size_t> pick{0, digits.size() - 1};
  std::string out;
  for (int i = 0; i < 27; ++i) out += digits[pick(random)];
  return out + "l00";
}

inline bool is_id(std::string_view x) {
  if (x.size() != 30 || !x.ends_with("00") || x == std::string(30, '0')) return false;
  return x.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz") == std::string_view::npos;
}

}  // namespace nuncio::testing::engine

// UTF-8 validation: whether text may be used on the wire, or in JSON. Pure; any thread.
//
//   if (!nuncio::is_utf8(name)) throw nuncio::http_error{400, "the name is no UTF-8"};
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace nuncio {

/// Whether `x` is well-formed UTF-8: no surrogates, no overlong forms, nothing above U+10FFFF.
inline bool is_utf8(std::string_view x) {
  const auto* p = reinterpret_cast<const std::uint8_t*>(x.data());
  const auto* const end = p + x.size();
  const auto follows = [&](int n, std::uint8_t low, std::uint8_t high) {
    if (end - p <= n || p[1] < low || p[1] > high) return false;
    for (int i = 2; i <= n; ++i)
      if ((p[i] & 0xc0U) != 0x80U) return false;
    p += n + 1;
    return true;
  };
  while (p != end) {
    while (end - p >= 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, p, 8);
      if ((word & 0x8080808080808080ULL) != 0) break;
      p += 8;
    }
    if (p == end) break;
    const std::uint8_t lead = *p;
    bool good = false;
    if (lead < 0x80) {
      ++p;
      good = true;
    } else if (lead >= 0xc2 && lead <= 0xdf) {
      good = follows(1, 0x80, 0xbf);
    } else if (lead >= 0xe0 && lead <= 0xef) {
      good = follows(2, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf);
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      good = follows(3, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf);
    }
    if (!good) return false;
  }
  return true;
}

}  // namespace nuncio

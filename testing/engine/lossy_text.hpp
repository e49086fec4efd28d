// Bytes that are not UTF-8, as the real engine shows them where only text is allowed. Pure.
#pragma once

#include <algorithm>
#include <nuncio/utf8.hpp>
#include <string>
#include <string_view>

namespace nuncio::testing::engine {

/// `x` with U+FFFD for each byte that is not part of a character.
inline std::string lossy_text(std::string_view x) {
  if (is_utf8(x)) return std::string{x};
  std::string out;
  while (!x.empty()) {
    std::size_t n = std::min<std::size_t>(x.size(), 4);
    while (n > 1 && !is_utf8(x.substr(0, n))) --n;
    out += is_utf8(x.substr(0, n)) ? x.substr(0, n) : std::string_view{"\xef\xbf\xbd"};
    x.remove_prefix(n);
  }
  return out;
}

}  // namespace nuncio::testing::engine

// See url.hpp and, for query_value, http.hpp.
#include <algorithm>
#include <cstdint>
#include <nuncio/engine/url.hpp>
#include <nuncio/http.hpp>

namespace nuncio {
namespace {

constexpr std::string_view base64_digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// -1 if it is none
int base64_digit(char c) {
  if (c == '-') c = '+';
  if (c == '_') c = '/';
  const auto at = base64_digits.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

}  // namespace

std::string percent_encoded(std::string_view raw) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : raw) {
    if (is_letter_or_digit(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += digits[byte >> 4U];
      out += digits[byte & 15U];
    }
  }
  return out;
}

std::string percent_decoded(std::string_view x, bool plus_is_space) {
  std::string out;
  out.reserve(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] == '%' && i + 2 < x.size() && hex_digit(x[i + 1]) >= 0 && hex_digit(x[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(x[i + 1]) * 16 + hex_digit(x[i + 2]));
      i += 2;
    } else {
      out += plus_is_space && x[i] == '+' ? ' ' : x[i];
    }
  }
  return out;
}

std::string base64(std::string_view raw) {
  std::string out;
  out.reserve((raw.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < raw.size(); i += 3) {
    const auto left = std::min<std::size_t>(3, raw.size() - i);
    std::uint32_t word = 0;
    for (std::size_t j = 0; j < 3; ++j)
      word = word << 8U | (j < left ? static_cast<unsigned char>(raw[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j)
      out += j <= left ? base64_digits[word >> (18U - 6U * j) & 63U] : '=';
  }
  return out;
}

std::optional<std::string> base64_decoded(std::string_view x) {
  while (!x.empty() && x.back() == '=') x.remove_suffix(1);
  std::string out;
  std::uint32_t held = 0;
  unsigned bits = 0;
  for (const char c : x) {
    const auto digit = base64_digit(c);
    if (digit < 0) return std::nullopt;
    held = (held << 6U | static_cast<std::uint32_t>(digit)) & 0xffffU;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out += static_cast<char>(held >> bits & 0xffU);
  }
  return out;
}

std::optional<std::string> query_value(std::string_view path, std::string_view name) {
  const auto begin = path.find('?');
  if (begin == std::string_view::npos) return std::nullopt;
  auto rest = path.substr(begin + 1);
  while (!rest.empty()) {
    const auto part = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const auto equals = part.find('=');
    if (percent_decoded(part.substr(0, equals), true) != name) continue;
    if (equals == std::string_view::npos) return std::string{};
    return percent_decoded(part.substr(equals + 1), true);
  }
  return std::nullopt;
}

http_response http_response::of(
    std::string_view content_type, std::string body, std::uint16_t status) {
  return {
      .status = status,
      .headers = {{"content-type", nuncio::text{std::string{content_type}}}},
      .body = bytes{std::move(body)}};
}

}  // namespace nuncio

// Request targets and base64.
#include "url.hpp"

namespace nuncio::testing::engine {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

}  // namespace

std::string percent_decode(std::string_view x, bool plus_is_space) {
  std::string out;
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

url_target parse_target(std::string_view target) {
  url_target out;
  const auto question = target.find('?');
  out.path = target.substr(0, question);
  if (question == std::string_view::npos) return out;
  auto rest = target.substr(question + 1);
  out.raw_query = rest;
  while (!rest.empty()) {
    const auto end = rest.find('&');
    const auto part = rest.substr(0, end);
    const auto equals = part.find('=');
    const auto value =
        equals == std::string_view::npos ? std::string_view{} : part.substr(equals + 1);
    if (!part.empty()) {
      out.query.emplace_back(
          percent_decode(part.substr(0, equals), true), percent_decode(value, true));
    }
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  }
  return out;
}

std::vector<std::string> url_target::segments() const {
  std::vector<std::string> out;
  std::string_view rest = path;
  while (!rest.empty()) {
    rest.remove_prefix(1);  // the slash
    const auto end = rest.find('/');
    out.push_back(percent_decode(rest.substr(0, end)));
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end);
  }
  if (!out.empty() && out.back().empty()) out.pop_back();
  return out;
}

std::optional<std::string> base64_decode(std::string_view x) {
  while (!x.empty() && x.back() == '=') x.remove_suffix(1);
  std::string out;
  unsigned held = 0;
  int bits = 0;
  for (const char c : x) {
    const int digit = base64_digit(c);
    if (digit < 0) return std::nullopt;
    held = (held << 6U | static_cast<unsigned>(digit)) & 0xffffU;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(held >> static_cast<unsigned>(bits) & 0xffU);
    }
  }
  return out;
}

}  // namespace nuncio::testing::engine

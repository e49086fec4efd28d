// See log.hpp.
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <nuncio/log.hpp>
#include <nuncio/utf8.hpp>

namespace nuncio {
namespace {

constexpr std::size_t value_bytes_max = 4096;

// A well-formed code point at the beginning of `x`, or one byte that is not part of one.
struct decoded {
  std::size_t size = 1;
  std::uint32_t point = 0;
  bool good = false;
};

decoded first_of(std::string_view x) {
  const auto lead = static_cast<unsigned char>(x.front());
  const std::size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  const auto text = x.substr(0, size);
  if (text.size() != size || !is_utf8(text)) return {.point = lead};
  std::uint32_t point = size == 1 ? lead : lead & (0xffU >> (size + 1));
  for (const char c : text.substr(1)) point = point << 6U | (static_cast<unsigned char>(c) & 0x3fU);
  return {size, point, true};
}

// False for what ends a line, moves a terminal's cursor, or changes the order of displayed text.
bool is_safe(std::uint32_t x) {
  const auto within = [x](std::uint32_t low, std::uint32_t high) { return x >= low && x <= high; };
  return !(
      x < 0x20 || within(0x7f, 0x9f) || x == 0x061c || within(0x200e, 0x200f) ||
      within(0x2028, 0x202e) || within(0x2066, 0x2069));
}

void append(std::string& to, std::string_view text, bool quoted) {
  const auto kept = text.size() <= value_bytes_max ? text.size() : value_bytes_max;
  std::size_t i = 0;
  while (i < kept) {
    const auto x = first_of(text.substr(i));
    if (!x.good)
      fmt::format_to(std::back_inserter(to), "\\x{:02x}", x.point);
    else if (x.point == '\n')
      to += "\\n";
    else if (!is_safe(x.point))
      fmt::format_to(std::back_inserter(to), "\\u{{{:x}}}", x.point);
    else if (quoted && (x.point == '"' || x.point == '\\'))
      to.append(1, '\\').append(text.substr(i, 1));
    else
      to += text.substr(i, x.size);
    i += x.size;
  }
  if (i < text.size())
    fmt::format_to(std::back_inserter(to), "... ({} bytes more)", text.size() - i);
}

bool is_plain(std::string_view value) {
  if (value.empty() || value.size() > value_bytes_max) return false;
  for (const char c : value)
    if (c == ' ' || c == '"' || c == '=' || c == '\\') return false;
  for (std::size_t i = 0; i < value.size();) {
    const auto x = first_of(value.substr(i));
    if (!x.good || !is_safe(x.point)) return false;
    i += x.size;
  }
  return true;
}

}  // namespace

std::string log_line(std::string_view message, std::span<const log_field> fields) {
  std::string line;
  append(line, message, false);
  for (const auto& f : fields) {
    line.append(1, ' ').append(f.name).append(1, '=');
    if (is_plain(f.value)) {
      line += f.value;
      continue;
    }
    line += '"';
    append(line, f.value, true);
    line += '"';
  }
  return line;
}

log_sink stderr_log(log_level least) {
  return [least](log_level level, std::string_view message, std::span<const log_field> fields) {
    if (level < least) return;
    static constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
    const auto line = fmt::format(
        "nuncio {}: {}\n", names[static_cast<std::size_t>(level)], log_line(message, fields));
    std::fwrite(
        line.data(),
        1,
        line.size(),
        stderr);  // one call, so that lines of several threads stay whole
  };
}

}  // namespace nuncio

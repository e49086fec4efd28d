// A record is one correct line, whoever wrote its values.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <nuncio/log.hpp>
#include <nuncio/utf8.hpp>
#include <string>

namespace log_test {

using namespace nuncio;

namespace {

std::string line(const std::string& value) {
  const log_field field{"actor", value};
  return log_line("said", {&field, 1});
}

std::string utf8(std::uint32_t x) {
  std::string out;
  const auto tail = [&](unsigned shift) { out += static_cast<char>(0x80U | (x >> shift & 0x3fU)); };
  if (x < 0x80) {
    out += static_cast<char>(x);
  } else if (x < 0x800) {
    out += static_cast<char>(0xc0U | x >> 6U);
    tail(0);
  } else if (x < 0x10000) {
    out += static_cast<char>(0xe0U | x >> 12U);
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0U | x >> 18U);
    tail(12);
    tail(6);
    tail(0);
  }
  return out;
}

bool steers(std::uint32_t x) {
  return x < 0x20 || (x >= 0x7f && x <= 0x9f) || x == 0x61c || x == 0x200e || x == 0x200f ||
         (x >= 0x2028 && x <= 0x202e) || (x >= 0x2066 && x <= 0x2069);
}

}  // namespace

TEST_CASE("5.4: values are plain, or quoted where they could be mistaken") {
  CHECK(line("room") == "said actor=room");
  CHECK(line("caf\xC3\xA9") == "said actor=caf\xC3\xA9");
  CHECK(line("") == R"(said actor="")");
  CHECK(line("a b") == R"(said actor="a b")");
  CHECK(line("x level=error") == R"(said actor="x level=error")");
  CHECK(line(R"(a" b="c\)") == R"(said actor="a\" b=\"c\\")");
}

TEST_CASE("5.4: a value can neither end its line nor control the terminal that shows it") {
  CHECK(
      line("x\nnuncio error: the engine is gone") ==
      R"(said actor="x\nnuncio error: the engine is gone")");
  CHECK(line("\x1b[2K\r") == R"(said actor="\u{1b}[2K\u{d}")");
  CHECK(
      line("a\xE2\x80\xAE"
           "b") == R"(said actor="a\u{202e}b")");
  CHECK(line("\xC2\x9B") == R"(said actor="\u{9b}")");
  CHECK(line("\xff\x80") == R"(said actor="\xff\x80")");
  CHECK(line("\xE2\x80") == R"(said actor="\xe2\x80")");
  CHECK(log_line("a\nb\x1b", {}) == R"(a\nb\u{1b})");
}

TEST_CASE("5.4: every code point and every byte gives one line of harmless UTF-8") {
  const auto lead = std::string{"said actor="};
  for (std::uint32_t x = 0; x <= 0x10ffff; ++x) {
    if (x >= 0xd800 && x <= 0xdfff) continue;
    const auto raw = utf8(x);
    const auto got = line(raw);
    const bool shown = got.find(raw) != got.npos;
    if (shown == steers(x) || !is_utf8(got)) FAIL("U+" << x << " gave " << got);
  }
  for (int first = 0; first < 256; ++first)
    for (int second = 0; second < 256; ++second) {
      const std::string raw{static_cast<char>(first), static_cast<char>(second)};
      const auto got = line(raw);
      if (!is_utf8(got) || std::any_of(got.begin(), got.end(), [](unsigned char c) {
            return c < 0x20 || c == 0x7f;
          }))
        FAIL(first << ' ' << second << " gave " << got);
    }
}

TEST_CASE("5.4: a long text is cut between two characters, and the line says how much is missing") {
  const auto got = line(std::string(5000, 'x'));
  CHECK(got == "said actor=\"" + std::string(4096, 'x') + "... (904 bytes more)\"");
  std::string wide = "x";
  for (int i = 0; i < 2000; ++i) wide += "\xE2\x82\xAC";
  const auto cut = line(wide);
  CHECK(is_utf8(cut));
  CHECK(cut.ends_with("... (1905 bytes more)\""));
}

}  // namespace log_test

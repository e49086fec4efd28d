// What counts as UTF-8: every lead and second byte, compared with a simple decoder.
#include <doctest/doctest.h>

#include <array>
#include <nuncio/utf8.hpp>
#include <string>

#include "protocol/vectors.hpp"

namespace nuncio::test {
namespace {

// Decodes code points one by one and asks whether encoding them again gives the same bytes.
bool slow_is_utf8(std::string_view x) {
  for (std::size_t i = 0; i < x.size();) {
    const auto lead = static_cast<unsigned char>(x[i]);
    const std::size_t n = lead < 0x80        ? 1
                          : lead >> 5U == 6  ? 2
                          : lead >> 4U == 14 ? 3
                          : lead >> 3U == 30 ? 4
                                             : 0;
    if (n == 0 || i + n > x.size()) return false;
    std::uint32_t point = n == 1 ? lead : lead & (0xffU >> (n + 1));
    for (std::size_t k = 1; k < n; ++k) {
      const auto c = static_cast<unsigned char>(x[i + k]);
      if (c >> 6U != 2) return false;
      point = point << 6U | (c & 63U);
    }
    static constexpr std::array<std::uint32_t, 5> smallest = {0, 0, 0x80, 0x800, 0x10000};
    if (point < smallest[n] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
      return false;
    i += n;
  }
  return true;
}

TEST_CASE("all sequences of two bytes, alone and behind ASCII") {
  for (unsigned a = 0; a < 256; ++a)
    for (unsigned b = 0; b < 256; ++b) {
      const std::string x{static_cast<char>(a), static_cast<char>(b)};
      if (is_utf8(x) != slow_is_utf8(x)) FAIL_CHECK("two bytes ", a, " ", b);
      if (is_utf8("12345678" + x) != slow_is_utf8(x)) FAIL_CHECK("behind ASCII ", a, " ", b);
    }
}

TEST_CASE("all leads and second bytes, with good and bad further bytes") {
  static constexpr std::array<unsigned char, 6> further = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
  for (unsigned a = 0x80; a < 256; ++a)
    for (unsigned b = 0; b < 256; ++b)
      for (const auto c : further)
        for (const auto d : further) {
          const std::string x{char(a), char(b), char(c), char(d)};
          if (is_utf8(x) != slow_is_utf8(x)) FAIL_CHECK("four bytes ", a, " ", b, " ", c, " ", d);
          const auto three = x.substr(0, 3);
          if (is_utf8(three) != slow_is_utf8(three)) FAIL_CHECK("three bytes ", a, " ", b, " ", c);
        }
}

TEST_CASE("edges of the code space") {
  CHECK(is_utf8(""));
  CHECK(is_utf8(std::string_view{"\0", 1}));
  CHECK(is_utf8("\xf4\x8f\xbf\xbf"));
  CHECK_FALSE(is_utf8("\xf4\x90\x80\x80"));
  CHECK_FALSE(is_utf8("\xed\xa0\x80"));
  CHECK(is_utf8("\xed\x9f\xbf"));
  CHECK_FALSE(is_utf8("\xc0\x80"));
  CHECK_FALSE(is_utf8("12345678\xe2\x82"));
}

TEST_CASE("our own text that is not UTF-8 is not encoded, but still prints") {
  const protocol::to_envoy x =
      protocol::to_envoy_kv_response{1, protocol::kv_error_response{"\xff!"}};
  const auto out = protocol::encode(x, 8);
  REQUIRE_FALSE(out.ok());
  CHECK(out.error().code == errc::malformed);
  CHECK(protocol::to_json(x, 8).find("!") != std::string::npos);
  const protocol::to_rivet y = protocol::to_rivet_ack_commands{{{actor_id{"\xc3"}, 1, 1}}};
  CHECK(protocol::encode(y, 8).error().code == errc::malformed);
}

TEST_CASE("received text that is not UTF-8 is an error at the text") {
  const auto x = protocol::decode_to_envoy(frame("03000000000002c328"), 8);
  REQUIRE_FALSE(x.ok());
  CHECK(x.error().message == "offset 7: str is not valid UTF-8");
}

}  // namespace
}  // namespace nuncio::test

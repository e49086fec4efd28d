// The canonical form (docs/protocol.md, section A) rule by rule, with the offset that each error names. Bytes written by hand.
#include <doctest/doctest.h>

#include "protocol/vectors.hpp"

namespace nuncio::test {
namespace {

std::string rivet_error(std::string_view hex, std::uint16_t version = 8) {
  const auto x = protocol::decode_to_rivet(frame(hex), version);
  return x ? "accepted" : x.error().message;
}

std::string envoy_error(std::string_view hex, std::uint16_t version = 8) {
  const auto x = protocol::decode_to_envoy(frame(hex), version);
  return x ? "accepted" : x.error().message;
}

TEST_CASE("the worked example of the protocol's description") {
  const protocol::to_rivet x = protocol::to_rivet_ack_commands{{{actor_id{"a1"}, 1, 2}}};
  CHECK(encoded(x) == "0201026131010000000200000000000000");
  CHECK(*protocol::decode_to_rivet(frame("0201026131010000000200000000000000"), 8) == x);
}

TEST_CASE("numbers are little endian and two's complement") {
  CHECK(encoded(protocol::to_rivet{protocol::to_rivet_pong{-2}}) == "04feffffffffffffff");
  CHECK(encoded(protocol::to_rivet{protocol::to_rivet_pong{INT64_MIN}}) == "040000000000000080");
}

TEST_CASE("truncated input") {
  CHECK(rivet_error("") == "offset 0: truncated");
  CHECK(rivet_error("0400") == "offset 1: truncated");
  CHECK(rivet_error("0201") == "offset 1: count is larger than what is left can hold");
}

TEST_CASE("unknown union tags and enum numbers") {
  CHECK(rivet_error("0f") == "offset 0: unknown union tag");
  CHECK(rivet_error("ffffffffffffffffff01") == "offset 0: unknown union tag");
  CHECK(envoy_error("0e") == "offset 0: unknown union tag");
  // Commands, one: id "", generation 0, index 0, Stop with reason 5
  CHECK(envoy_error("0101000000000000000000000000000105") == "offset 16: unknown enum value");
}

TEST_CASE("a bool or a presence byte is 0 or 1") {
  // WebSocketOpen{canHibernate}
  CHECK(rivet_error("06000000000000000000000502") == "offset 12: bool is neither 0 nor 1");
  CHECK(rivet_error("0002") == "offset 1: bool is neither 0 nor 1");
}

TEST_CASE("a uint is minimal and fits in 64 bits") {
  CHECK(rivet_error("8000") == "offset 0: uint is not minimal");
  CHECK(rivet_error("028000") == "offset 1: uint is not minimal");
  CHECK(rivet_error("8080808080808080808001") == "offset 0: uint does not fit in 64 bits");
  CHECK(rivet_error("02ffffffffffffffffff02") == "offset 1: uint does not fit in 64 bits");
  CHECK(
      rivet_error("02ffffffffffffffffff01") ==
      "offset 1: count is larger than what is left can hold");
}

TEST_CASE("lengths and counts are limited by the remaining bytes") {
  // KvErrorResponse with a message of 3 bytes, 2 there
  CHECK(envoy_error("030000000000036161") == "offset 6: length is larger than what is left");
  CHECK(
      envoy_error("030000000000ffffffffffffffffff01") ==
      "offset 6: length is larger than what is left");
  // Two checkpoints need 26 bytes, one is there
  CHECK(
      rivet_error("0202026131010000000200000000000000") ==
      "offset 1: count is larger than what is left can hold");
}

std::string response_with_headers(std::size_t count, bool twice) {
  std::string hex = "060000000000000000000000c800";  // ResponseStart, status 200
  const auto n = count + (twice ? 1 : 0);
  hex += to_hex({static_cast<std::uint8_t>(n)});
  for (std::size_t i = 0; i < n; ++i)
    hex += "02" + to_hex({'k', static_cast<std::uint8_t>('0' + i % count)}) + "0131";
  return hex + "0000";
}

TEST_CASE("a map with a duplicate key, small and large") {
  for (const std::size_t count : std::vector<std::size_t>{1, 2, 15, 16, 17, 60}) {
    CAPTURE(count);
    CHECK(rivet_error(response_with_headers(count, false)) == "accepted");
    CHECK(rivet_error(response_with_headers(count, true)) == "offset 14: duplicate map key");
  }
}

TEST_CASE("a duplicate key far from its twin is found in a large map") {
  std::vector<std::uint8_t> raw = from_hex("060000000000000000000000c800b80a");  // 1336 entries
  for (unsigned i = 0; i < 1336; ++i) {
    const auto k = i == 1335 ? 0U : i;
    for (const auto x : {3U, 'k' + 0U, k / 128, k % 128, 0U}) raw.push_back(std::uint8_t(x));
  }
  raw.push_back(0);
  raw.push_back(0);
  const auto x = protocol::decode_to_rivet(bytes{raw}, 8);
  REQUIRE_FALSE(x.ok());
  CHECK(x.error().message == "offset 14: duplicate map key");
}

TEST_CASE("keys that differ only in length or case are not duplicates") {
  CHECK(
      rivet_error("060000000000000000000000c80003"
                  "0161"
                  "00"
                  "0141"
                  "00"
                  "026161"
                  "00"
                  "0000") == "accepted");
}

TEST_CASE("we never encode a map with a duplicate key") {
  protocol::to_rivet_response_start x{200, {{{"a", "1"}, {"a", "2"}}}, {}, false};
  const auto out = protocol::encode(tunnel_to_rivet(x), 8);
  REQUIRE_FALSE(out.ok());
  CHECK(out.error().code == errc::malformed);
  for (int i = 0; i < 40; ++i) x.headers.entries.emplace_back("k" + std::to_string(i), "v");
  CHECK(
      protocol::encode(tunnel_to_rivet(x), 8).error().message.find("duplicate map key") !=
      std::string::npos);
}

TEST_CASE("we never encode an enum value that does not exist") {
  const auto wrong = static_cast<protocol::stop_actor_reason>(9);
  const protocol::to_envoy x =
      protocol::to_envoy_commands{{{{}, protocol::command_stop_actor{wrong}}}};
  const auto out = protocol::encode(x, 8);
  REQUIRE_FALSE(out.ok());
  CHECK(out.error().code == errc::malformed);
  CHECK(protocol::to_json(x, 8).find("9") != std::string::npos);
}

TEST_CASE("bytes may be empty, and zeros are bytes like others") {
  const auto x = protocol::decode_to_envoy(
      frame("0300000000010001000000"
            "00"),
      8);
  CHECK_FALSE(x.ok());
  CHECK(
      envoy_error("03000000000101000100"
                  "00") == "accepted");
}

TEST_CASE("headroom stays in front of the message") {
  const auto out = protocol::encode(protocol::to_rivet{protocol::to_rivet_pong{1}}, 8, 16);
  REQUIRE(out.ok());
  CHECK(out->size() == 16 + 9);
  CHECK(to_hex({out->begin() + 16, out->end()}) == "040100000000000000");
}

TEST_CASE("unsupported versions are refused by number") {
  for (const std::uint16_t version : std::vector<std::uint16_t>{0, 2, 9, 65535}) {
    CHECK(
        protocol::decode_to_rivet(frame("03"), version).error().code == errc::unsupported_version);
    const auto out = protocol::encode(protocol::to_rivet{protocol::to_rivet_stopping{}}, version);
    CHECK(out.error().code == errc::unsupported_version);
    CHECK(protocol::to_rivet_from_json("{}", version).error().code == errc::unsupported_version);
  }
}

}  // namespace
}  // namespace nuncio::test

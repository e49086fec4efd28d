// Every vector of the reference codec, byte for byte in both directions, and every way to damage one.
#include "protocol/vectors.hpp"

#include <doctest/doctest.h>

#include <set>

namespace nuncio::test {
namespace {

using protocol::decode_to_envoy;
using protocol::decode_to_rivet;

template <class F>
void with_direction(const vector_case& c, F&& f) {
  if (c.to_envoy) {
    f(decode_to_envoy, protocol::to_envoy_from_json);
  } else {
    f(decode_to_rivet, protocol::to_rivet_from_json);
  }
}

bool rejected(const vector_case& c, const bytes& raw, std::uint16_t version = 8) {
  bool out = false;
  with_direction(c, [&](auto decode, auto) {
    const auto x = decode(raw, version);
    out = !x && x.error().code == errc::malformed && x.error().message.starts_with("offset ");
  });
  return out;
}

TEST_CASE("all vectors are there") {
  CHECK(load_vectors("torivet.json").size() == 72);
  CHECK(load_vectors("toenvoy.json").size() == 81);
  CHECK(load_vectors("negative.json").size() == 15);
}

TEST_CASE("every vector: hex to value to hex, byte for byte") {
  for (const auto& c : all_vectors()) {
    CAPTURE(c.name);
    with_direction(c, [&](auto decode, auto) {
      const auto x = decode(frame(c.hex), 8);
      REQUIRE_MESSAGE(x.ok(), to_string(x.ok() ? failure{} : x.error()));
      CHECK(encoded(*x) == c.hex);
    });
  }
}

TEST_CASE("every vector: JSON to value to JSON, and JSON to hex and back") {
  for (const auto& c : all_vectors()) {
    CAPTURE(c.name);
    with_direction(c, [&](auto decode, auto from_json) {
      const auto x = from_json(c.json, 8);
      REQUIRE_MESSAGE(x.ok(), to_string(x.ok() ? failure{} : x.error()));
      CHECK(protocol::to_json(*x, 8) == c.json);
      CHECK(encoded(*x) == c.hex);
      const auto y = decode(frame(c.hex), 8);
      REQUIRE(y.ok());
      CHECK(*y == *x);
      CHECK(protocol::to_json(*y, 8) == c.json);
    });
  }
}

TEST_CASE("the vectors cover every message of both directions") {
  std::set<std::size_t> rivet;
  std::set<std::size_t> envoy;
  for (const auto& c : all_vectors()) {
    if (c.to_envoy) {
      envoy.insert(decode_to_envoy(frame(c.hex), 8)->index());
    } else {
      rivet.insert(decode_to_rivet(frame(c.hex), 8)->index());
    }
  }
  CHECK(rivet.size() == std::variant_size_v<protocol::to_rivet>);
  CHECK(envoy.size() == std::variant_size_v<protocol::to_envoy>);
}

TEST_CASE("every negative vector is rejected with offset and reason") {
  for (const auto& c : load_vectors("negative.json")) {
    CAPTURE(c.name);
    CAPTURE(c.why);
    CHECK(rejected(c, frame(c.hex)));
  }
}

TEST_CASE("every truncation of every vector is an error") {
  for (const auto& c : all_vectors()) {
    CAPTURE(c.name);
    const auto whole = from_hex(c.hex);
    for (std::size_t n = 0; n < whole.size(); ++n) {
      const bytes cut{std::vector<std::uint8_t>(whole.begin(), whole.begin() + std::ptrdiff_t(n))};
      if (!rejected(c, cut)) FAIL_CHECK("accepted when cut to ", n, " bytes");
    }
  }
}

TEST_CASE("every trailing byte is an error, and its offset is where the message ended") {
  for (const auto& c : all_vectors()) {
    CAPTURE(c.name);
    for (const int extra : {0x00, 0x01, 0x7f, 0xff}) {
      auto longer = from_hex(c.hex);
      const auto end = longer.size();
      longer.push_back(static_cast<std::uint8_t>(extra));
      with_direction(c, [&](auto decode, auto) {
        const auto x = decode(bytes{longer}, 8);
        REQUIRE_FALSE(x.ok());
        CHECK(x.error().message == "offset " + std::to_string(end) + ": trailing bytes");
      });
    }
  }
}

TEST_CASE("every changed byte gives an error or the one value that has these bytes") {
  for (const auto& c : all_vectors()) {
    if (c.hex.size() > 1000) continue;
    CAPTURE(c.name);
    const auto whole = from_hex(c.hex);
    for (std::size_t i = 0; i < whole.size(); ++i)
      for (const int flip : {0x01, 0x02, 0x7f, 0x80, 0xff}) {
        auto changed = whole;
        changed[i] = static_cast<std::uint8_t>(changed[i] ^ flip);
        with_direction(c, [&](auto decode, auto) {
          for (std::uint16_t version = 3; version <= 8; ++version) {
            const auto x = decode(bytes{changed}, version);
            if (x && encoded(*x, version) != to_hex(changed))
              FAIL_CHECK("accepted a form that is not canonical at byte ", i);
          }
        });
      }
  }
}

}  // namespace
}  // namespace nuncio::test

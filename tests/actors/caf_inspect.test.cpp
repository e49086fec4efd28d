// CAF's form of protocol messages: every vector through CAF's own serializers, and what is not a message.
#include <doctest/doctest.h>

#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
#include <caf/deep_to_string.hpp>
#include <nuncio/caf_inspect.hpp>

#include "protocol/vectors.hpp"

namespace caf_inspect_test {

using namespace nuncio;
using namespace nuncio::test;

namespace {

template <class T>
T read(const vector_case& c) {
  auto x = [&] {
    if constexpr (std::is_same_v<T, protocol::to_envoy>)
      return protocol::decode_to_envoy(frame(c.hex), 8);
    else
      return protocol::decode_to_rivet(frame(c.hex), 8);
  }();
  REQUIRE(x.ok());
  return std::move(*x);
}

template <class T>
std::vector<char> saved(T x) {
  std::vector<char> out;
  caf::binary_serializer sink{nullptr, out};
  REQUIRE(!sink(x));
  return out;
}

template <class T>
void round_trip(const vector_case& c) {
  const auto x = read<T>(c);
  const auto raw = saved(x);
  CHECK(raw.size() >= c.hex.size() / 2);
  T y;
  caf::binary_deserializer source{nullptr, raw.data(), raw.size()};
  CHECK(!source(y));
  CHECK((x == y));
  CHECK(caf::deep_to_string(y) == c.json);
}

}  // namespace

TEST_CASE("every vector goes through CAF's serializers and prints as its JSON") {
  for (const auto& c : all_vectors()) {
    CAPTURE(c.name);
    if (c.to_envoy)
      round_trip<protocol::to_envoy>(c);
    else
      round_trip<protocol::to_rivet>(c);
  }
}

TEST_CASE("what is cut short or not canonical is an error, and leaves the value alone") {
  for (const auto& c : all_vectors()) {
    if (!c.to_envoy) continue;
    CAPTURE(c.name);
    const auto raw = saved(read<protocol::to_envoy>(c));
    const protocol::to_envoy before = protocol::to_envoy_ping{7};
    for (std::size_t n = 0; n < raw.size(); ++n) {
      auto y = before;
      caf::binary_deserializer source{nullptr, raw.data(), n};
      CHECK(source(y) != caf::none);
      CHECK((y == before));
    }
    const auto exact = from_hex(c.hex);
    std::string longer{exact.begin(), exact.end()};
    longer += '\0';
    std::vector<char> spoiled;
    caf::binary_serializer sink{nullptr, spoiled};
    REQUIRE(!sink(longer));
    auto y = before;
    caf::binary_deserializer source{nullptr, spoiled.data(), spoiled.size()};
    CHECK(source(y) == caf::sec::invalid_argument);
    CHECK((y == before));
  }
}

TEST_CASE("text that is not UTF-8 can't be saved") {
  protocol::to_envoy_web_socket_open open{actor_id{"a"}, std::nullopt, text{"/\xff"}, {}};
  protocol::to_envoy x = protocol::to_envoy_tunnel_message{{}, std::move(open)};
  std::vector<char> out;
  caf::binary_serializer sink{nullptr, out};
  CHECK(sink(x) == caf::sec::invalid_argument);
}

}  // namespace caf_inspect_test

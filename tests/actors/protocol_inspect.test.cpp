// CAF's form of protocol messages: every vector through CAF's own serializers, and invalid input.
#include <doctest/doctest.h>

#include <caf/binary_serializer.hpp>
#include <caf/deep_to_string.hpp>
#include <nuncio/host/driven_system.hpp>
#include <nuncio/host/protocol_inspect.hpp>
#include <span>

#include "protocol/vectors.hpp"

namespace protocol_inspect_test {

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
std::vector<std::uint8_t> saved(caf::actor_system& sys, T x) {
  std::vector<std::uint8_t> out;
  REQUIRE(!internal::save(sys, x, out));
  return out;
}

template <class T>
void round_trip(caf::actor_system& sys, const vector_case& c) {
  const auto x = read<T>(c);
  const auto raw = saved(sys, x);
  CHECK(raw.size() >= c.hex.size() / 2);
  T y;
  std::size_t unread = 0;
  CHECK(!internal::load(sys, raw, y, unread));
  CHECK(unread == 0);
  CHECK((x == y));
#if !NUNCIO_CAF_1  // which asks inspect alone
  CHECK(caf::deep_to_string(y) == c.json);
#endif
}

}  // namespace

TEST_CASE("every vector goes through CAF's serializers and prints as its JSON") {
  internal::driven_system sys;
  for (const auto& c : all_vectors()) {
    CAPTURE(c.name);
    if (c.to_envoy)
      round_trip<protocol::to_envoy>(*sys, c);
    else
      round_trip<protocol::to_rivet>(*sys, c);
  }
}

TEST_CASE("truncated or non-canonical bytes are an error, and leave the value unchanged") {
  internal::driven_system sys;
  for (const auto& c : all_vectors()) {
    if (!c.to_envoy) continue;
    CAPTURE(c.name);
    const auto raw = saved(*sys, read<protocol::to_envoy>(c));
    const protocol::to_envoy before = protocol::to_envoy_ping{7};
    for (std::size_t n = 0; n < raw.size(); ++n) {
      auto y = before;
      std::size_t unread = 0;
      CHECK(internal::load(*sys, std::span{raw}.first(n), y, unread));
      CHECK((y == before));
    }
    const auto exact = from_hex(c.hex);
    std::string longer{exact.begin(), exact.end()};
    longer += '\0';
    std::vector<internal::saved_byte> spoiled;
    caf::binary_serializer sink{*sys, spoiled};
    REQUIRE(!internal::is_failed(internal::inspect_field(sink, longer)));
    auto y = before;
    std::size_t unread = 0;
    const std::span kept{reinterpret_cast<const std::uint8_t*>(spoiled.data()), spoiled.size()};
    CHECK(internal::load(*sys, kept, y, unread) == caf::sec::invalid_argument);
    CHECK((y == before));
  }
}

TEST_CASE("text that is not UTF-8 can't be saved") {
  protocol::to_envoy_web_socket_open open{actor_id{"a"}, std::nullopt, text{"/\xff"}, {}};
  protocol::to_envoy x = protocol::to_envoy_tunnel_message{{}, std::move(open)};
  internal::driven_system sys;
  std::vector<std::uint8_t> out;
  CHECK(internal::save(*sys, x, out) == caf::sec::invalid_argument);
}

}  // namespace protocol_inspect_test

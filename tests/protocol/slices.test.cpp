// Slices: what keeps the memory alive, and that a slice outlives everything that made it.
#include <doctest/doctest.h>

#include <memory>
#include <nuncio/bytes.hpp>

#include "protocol/vectors.hpp"

namespace nuncio::test {
namespace {

bool within(const bytes& whole, const void* p, std::size_t n) {
  const auto* at = static_cast<const std::uint8_t*>(p);
  return at >= whole.begin() && at + n <= whole.end();
}

// RequestStart v8 for actor "a": GET /x, header k: v, body 0102.
constexpr std::string_view request =
    "040000000000000000000000"
    "0161"
    "00"
    "03474554"
    "022f78"
    "01016b0176"
    "01020102"
    "0000";

protocol::to_envoy_request_start start_of(const protocol::to_envoy& x) {
  return std::get<protocol::to_envoy_request_start>(
      std::get<protocol::to_envoy_tunnel_message>(x).message_kind);
}

TEST_CASE("decoded text and data share the frame") {
  const auto raw = frame(request);
  const auto x = protocol::decode_to_envoy(raw, 8);
  REQUIRE(x.ok());
  const auto start = start_of(*x);
  CHECK(start.method == "GET");
  CHECK(start.path == "/x");
  CHECK(*start.headers.find("k") == "v");
  CHECK(start.headers.find("K") == nullptr);
  CHECK(within(raw, start.method.data(), start.method.size()));
  CHECK(within(raw, start.headers.entries[0].second.data(), 1));
  CHECK(within(raw, start.body->data(), start.body->size()));
  CHECK(start.body->owner() == raw.owner());
}

TEST_CASE("a slice keeps the frame alive, and the last one lets it go") {
  auto storage = std::make_shared<const std::vector<std::uint8_t>>(from_hex(request));
  const std::weak_ptr<const void> alive = storage;
  bytes body;
  {
    const bytes raw{std::shared_ptr<const void>{storage}, {storage->data(), storage->size()}};
    storage.reset();
    body = *start_of(*protocol::decode_to_envoy(raw, 8)).body;
  }
  CHECK_FALSE(alive.expired());
  CHECK(body == bytes{std::vector<std::uint8_t>{1, 2}});
  body = {};
  CHECK(alive.expired());
}

TEST_CASE("an empty slice keeps no frame alive") {
  const auto x = protocol::decode_to_envoy(
      frame("040000000000000000000000"
            "00"
            "00"
            "00"
            "00"
            "00"
            "0100"
            "0000"),
      8);
  REQUIRE(x.ok());
  CHECK(start_of(*x).body->owner() == nullptr);
  CHECK(start_of(*x).path.owner() == nullptr);
}

TEST_CASE("slices that a program builds own their bytes") {
  text greeting;
  bytes blob;
  {
    std::string s = "a text that is too long to be kept in place";
    std::vector<std::uint8_t> v{1, 2, 3};
    greeting = text{std::string_view{s}};
    blob = bytes::copy_of(v);
    s.assign(s.size(), '#');
    v.assign(v.size(), 9);
  }
  CHECK(greeting == "a text that is too long to be kept in place");
  CHECK(blob == bytes{std::string_view{"\1\2\3"}});
  const auto copy = greeting;
  CHECK(copy.data() == greeting.data());
}

TEST_CASE("a slice that was moved from is empty") {
  text x{"some text that lives on the heap, somewhere"};
  const text y{std::move(x)};
  CHECK(x.empty());
  CHECK(x.view().empty());
  CHECK(y.size() == 43);
  bytes a{std::vector<std::uint8_t>{1}};
  bytes b{std::vector<std::uint8_t>{2, 3}};
  b = std::move(a);
  CHECK(a.size() == 0);
  CHECK(b.size() == 1);
  auto& same = b;
  b = std::move(same);
  CHECK(b.size() == 1);
}

TEST_CASE("parts share and stay inside") {
  const bytes x{std::vector<std::uint8_t>{0, 1, 2, 3}};
  const bytes middle = x.part(1, 2);
  CHECK(middle.data() == x.data() + 1);
  CHECK(middle.size() == 2);
  CHECK(x.part(3, 9).size() == 1);
  CHECK(x.part(9).empty());
  CHECK(x.part(0).size() == 4);
}

TEST_CASE("a message outlives the frame and its copies are equal") {
  std::optional<protocol::to_envoy> kept;
  {
    const auto raw = frame(request);
    kept = *protocol::decode_to_envoy(raw, 8);
  }
  const auto copy = *kept;
  CHECK(copy == *kept);
  CHECK(encoded(copy) == request);
}

}  // namespace
}  // namespace nuncio::test

// Actor ids: inline up to 31 bytes, on the heap beyond, with no visible difference.
#include <doctest/doctest.h>

#include <map>
#include <nuncio/actor_id.hpp>
#include <nuncio/ids.hpp>
#include <set>
#include <unordered_set>

#include "protocol/vectors.hpp"

namespace nuncio::test {
namespace {

std::string some(std::size_t n, char last = 'z') {
  std::string x(n, 'a');
  if (n != 0) x.back() = last;
  return x;
}

TEST_CASE("an id gives back its bytes, inline up to 31 and on the heap beyond") {
  for (std::size_t n = 0; n < 300; ++n) {
    CAPTURE(n);
    const actor_id x{some(n)};
    CHECK(x.view() == some(n));
    CHECK(x.str() == some(n));
    CHECK(x.empty() == (n == 0));
    CHECK(x.heap_bytes() == (n <= 31 ? 0 : n));
  }
}

TEST_CASE("bytes of any value are kept, zeros too") {
  const std::string odd{"\0\xff\0", 3};
  CHECK(actor_id{odd}.view() == odd);
  CHECK_FALSE(actor_id{odd} == actor_id{std::string_view{"\0\xff", 2}});
  CHECK_FALSE(actor_id{std::string_view{"\0", 1}} == actor_id{});
}

TEST_CASE("copies and moves between all pairs of lengths") {
  for (const std::size_t a : std::vector<std::size_t>{0, 1, 30, 31, 32, 33, 255, 256})
    for (const std::size_t b : std::vector<std::size_t>{0, 1, 30, 31, 32, 33, 255, 256}) {
      CAPTURE(a);
      CAPTURE(b);
      const actor_id from{some(a)};
      actor_id to{some(b)};
      to = from;
      CHECK(to == from);
      CHECK(from.view() == some(a));
      actor_id source{some(a)};
      actor_id target{some(b)};
      target = std::move(source);
      CHECK(target.view() == some(a));
      CHECK(source.empty());
      actor_id third{std::move(target)};
      CHECK(third.view() == some(a));
      CHECK(target.empty());
      const actor_id fourth{third};
      CHECK(fourth == third);
    }
}

TEST_CASE("assignment to itself changes nothing") {
  for (const std::size_t n : std::vector<std::size_t>{0, 31, 32, 100}) {
    actor_id x{some(n)};
    auto& same = x;
    x = same;
    CHECK(x.view() == some(n));
    x = std::move(same);
    CHECK(x.view() == some(n));
  }
}

TEST_CASE("equality, order and hash are those of the text, whatever its place") {
  for (const std::size_t a : std::vector<std::size_t>{0, 1, 7, 8, 9, 30, 31, 32, 33, 64})
    for (const std::size_t b : std::vector<std::size_t>{0, 1, 7, 8, 9, 30, 31, 32, 33, 64})
      for (const char last : {'y', 'z', '\xff'}) {
        const auto left = some(a);
        const auto right = some(b, last);
        const actor_id x{left};
        const actor_id y{right};
        CHECK((x == y) == (left == right));
        CHECK((x < y) == (left < right));
        CHECK((x > y) == (left > right));
        if (left == right) CHECK(std::hash<actor_id>{}(x) == std::hash<actor_id>{}(y));
      }
}

TEST_CASE("hashes of many ids of the engine's shape do not collide") {
  std::unordered_set<std::size_t> seen;
  for (int i = 0; i < 100000; ++i) {
    auto id = "1kr6kjey3m3f" + std::to_string(1000000 + i) + "oqhvl5pbl00";
    seen.insert(std::hash<actor_id>{}(actor_id{id}));
  }
  CHECK(seen.size() == 100000);
}

TEST_CASE("ids live in sets and maps across both places") {
  std::set<actor_id> ordered;
  std::unordered_set<actor_id> hashed;
  for (std::size_t n = 0; n < 64; ++n) {
    ordered.insert(actor_id{some(n)});
    hashed.insert(actor_id{some(n)});
  }
  CHECK(ordered.size() == 64);
  for (std::size_t n = 0; n < 64; ++n) CHECK(hashed.erase(actor_id{some(n)}) == 1);
  CHECK(hashed.empty());
}

TEST_CASE("references to instances differ by generation, exchanges by both parts") {
  const actor_ref a{actor_id{"x"}, 1};
  const actor_ref b{actor_id{"x"}, 2};
  CHECK(a < b);
  CHECK(std::hash<actor_ref>{}(a) != std::hash<actor_ref>{}(b));
  const exchange_id e{{{1, 2, 3, 4}}, {{5, 6, 7, 8}}};
  const exchange_id f{{{5, 6, 7, 8}}, {{1, 2, 3, 4}}};
  CHECK(e != f);
  CHECK(std::hash<exchange_id>{}(e) != std::hash<exchange_id>{}(f));
}

TEST_CASE("a received id is handed back byte for byte, long ones too") {
  for (const std::size_t n : std::vector<std::size_t>{0, 5, 31, 32, 200}) {
    const protocol::to_rivet x = protocol::to_rivet_ack_commands{{{actor_id{some(n)}, 1, 1}}};
    const auto raw = protocol::encode(x, 8);
    REQUIRE(raw.ok());
    CHECK(*protocol::decode_to_rivet(bytes{*raw}, 8) == x);
  }
}

}  // namespace
}  // namespace nuncio::test

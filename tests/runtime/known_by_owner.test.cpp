// Ids that are remembered for a time by owner: whose room they take.
#include <doctest/doctest.h>
#include <malloc.h>

#include <cstring>
#include <nuncio/actor_id.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/support/known_by_owner.hpp>
#include <string>

namespace known_by_owner_test {

using namespace nuncio;
using namespace std::chrono_literals;
using table = known_by_owner<char, int, bool>;

constexpr time_point t{};

// For what one owner may keep when it is alone.
constexpr std::size_t room_for(std::size_t n) {
  return 2 * (table::owner_bytes + n * table::entry_bytes);
}

TEST_CASE("known by owner: until it is taken, or its time is over, and then nothing is kept") {
  table x{10s, room_for(100)};
  CHECK(x.add('a', 1, false, t));
  CHECK(x.add('a', 2, true, t + 5s));
  CHECK(x.add('b', 3, true, t + 5s));
  REQUIRE(x.find(1) != nullptr);
  *x.find(1) = true;
  CHECK(x.take(1) == true);
  CHECK(x.take(1) == std::nullopt);
  CHECK(x.size() == 2);
  x.expire(t + 15s);
  CHECK(x.size() == 0);
  CHECK(x.bytes() == 0);
}

TEST_CASE("known by owner: an id that comes again is kept anew, and may have another owner") {
  table x{10s, room_for(100)};
  CHECK(x.add('a', 1, false, t));
  CHECK(x.add('b', 1, true, t + 8s));
  CHECK(x.bytes() == table::owner_bytes + table::entry_bytes);
  x.expire(t + 15s);
  REQUIRE(x.find(1) != nullptr);
  CHECK(*x.find(1));
}

TEST_CASE("known by owner: an owner with too many entries misses its own, for a time") {
  table x{10s, room_for(20)};
  int id = 0;
  while (x.add('a', id, true, t + 1s)) ++id;
  CHECK(id == 20);
  CHECK(x.incomplete('a', t + 1s));
  CHECK_FALSE(x.incomplete('b', t + 1s));
  for (int i = 100; i < 105; ++i) CHECK(x.add('b', i, true, t + 2s));
  CHECK_FALSE(x.incomplete('b', t + 2s));
  CHECK(x.size() == 25);
  CHECK_FALSE(x.add('a', 21, true, t + 4s));
  CHECK(x.incomplete('a', t + 13s));
  x.expire(t + 13s);
  CHECK(x.bytes() == table::owner_bytes);  // that something is missing
  CHECK_FALSE(x.incomplete('a', t + 14s));
  x.expire(t + 14s);
  CHECK(x.bytes() == 0);
}

TEST_CASE(
    "known by owner: many owners stay within the limit; without room for an owner, all miss") {
  table x{10s, room_for(20)};
  for (int owner = 0; owner < 100; ++owner)
    for (int i = 0; i < 20; ++i) {
      static_cast<void>(x.add(static_cast<char>(owner), 100 * owner + i, true, t));
      CHECK(x.bytes() <= room_for(20));
    }
  CHECK(x.incomplete('z', t));
  CHECK_FALSE(x.incomplete('z', t + 10s));
  x.expire(t + 10s);
  CHECK(x.bytes() == 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("known by owner: what is kept takes no more than is counted for it") {
  const auto allocated = [] {
    const auto all = mallinfo2();
    return all.uordblks + all.hblkhd;
  };
  const auto actor = [](std::size_t n) {
    auto text = std::to_string(n);
    text.resize(30, 'x');
    return actor_id{text};
  };
  const auto exchange = [](std::size_t n) {
    exchange_id out;
    std::memcpy(out.request.value.data(), &n, 4);
    return out;
  };
  known_by_owner<actor_id, exchange_id, bool> x{10s, 4UL << 20U};
  std::size_t owners = 0;
  SUBCASE("of one") { owners = 1; }
  SUBCASE("of one each") { owners = 1'000'000; }
  const auto before = allocated();
  for (std::size_t n = 0; n < 100'000; ++n)
    static_cast<void>(x.add(actor(n % owners), exchange(n), true, t));
  CHECK(x.size() > 10'000);
  CHECK(allocated() - before <= x.bytes());
}
#endif

}  // namespace known_by_owner_test

// Ids that are remembered for a time: how long, and what happens without room.
#include <doctest/doctest.h>
#include <malloc.h>

#include <nuncio/actor_id.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/support/known_for.hpp>

namespace known_for_test {

using namespace nuncio;
using namespace std::chrono_literals;
using table = known_for<int, bool>;

constexpr time_point t{};

TEST_CASE("known for a time: until it is taken, or its time is over") {
  table x{10s, 100 * table::entry_bytes};
  CHECK(x.add(1, false, t));
  CHECK(x.add(2, true, t + 5s));
  REQUIRE(x.find(1) != nullptr);
  *x.find(1) = true;
  CHECK(x.take(1) == true);
  CHECK(x.take(1) == std::nullopt);
  CHECK(x.add(3, false, t + 14s));
  CHECK(x.take(2) == true);
  CHECK(x.add(2, false, t + 14s));
  x.expire(t + 24s);
  CHECK(x.size() == 0);
}

TEST_CASE("known for a time: an id that comes again is kept anew") {
  table x{10s, 100 * table::entry_bytes};
  CHECK(x.add(1, false, t));
  CHECK(x.add(1, true, t + 8s));
  x.expire(t + 15s);
  REQUIRE(x.find(1) != nullptr);
  CHECK(*x.find(1));
  CHECK(x.size() == 1);
}

TEST_CASE(
    "known for a time: without room the other entries stay, and it is known that one is missing") {
  table x{10s, 2 * table::entry_bytes};
  CHECK(x.add(1, false, t));
  CHECK(x.add(2, false, t + 1s));
  CHECK_FALSE(x.incomplete(t + 2s));
  CHECK_FALSE(x.add(3, false, t + 2s));
  CHECK(x.find(1) != nullptr);
  CHECK(x.find(3) == nullptr);
  CHECK(x.incomplete(t + 11s));
  CHECK(x.add(4, false, t + 11s));  // 1 and 2 are over
  CHECK(x.incomplete(t + 11s));
  CHECK_FALSE(x.incomplete(t + 12s));
}

TEST_CASE("known for a time: for ever, by default") {
  table x{duration::max(), table::entry_bytes};
  CHECK(x.add(1, false, t));
  x.expire(t + 100'000h);
  CHECK(x.size() == 1);
  CHECK_FALSE(x.add(2, false, t));
  CHECK(x.incomplete(t + 100'000h));
  x.clear();
  CHECK_FALSE(x.incomplete(t));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("known for a time: an entry takes no more than is counted for it") {
  const auto measure = [](auto& x, auto id_of) {
    const auto now = [] {
      const auto all = mallinfo2();
      return all.uordblks + all.hblkhd;
    };
    const auto before = now();
    std::size_t n = 0;
    while (x.add(id_of(n), true, t)) ++n;
    CHECK(n == x.size_max());
    CHECK((now() - before) / n <= std::remove_reference_t<decltype(x)>::entry_bytes);
  };
  known_for<exchange_id, bool> exchanges{10s, 4UL << 20U};
  measure(exchanges, [](std::size_t n) {
    exchange_id out;
    std::memcpy(out.request.value.data(), &n, 4);
    return out;
  });
  known_for<actor_id, bool> actors{10s, 4UL << 20U};
  measure(actors, [](std::size_t n) {
    auto text = std::to_string(n);
    text.resize(30, 'x');
    return actor_id{text};
  });
}
#endif

}  // namespace known_for_test

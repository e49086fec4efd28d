// The ledger against its promises: what is fresh, what is proven, what is forgotten when, and what
// an entry takes.
#include <doctest/doctest.h>
#include <malloc.h>

#include <map>
#include <nuncio/command_ledger.hpp>
#include <random>
#include <string>

namespace command_ledger_test {

using namespace nuncio;
using namespace std::chrono_literals;

namespace {

protocol::actor_checkpoint at(const std::string& id, std::uint32_t generation, std::int64_t index) {
  return {actor_id{id}, generation, index};
}

std::string name(std::uint64_t n) {
  auto s = std::to_string(n);
  return std::string(30 - s.size(), 'a') + s;
}

const time_point start{1h};

// One life on connection 1: Start, Stop, gone.
void live_and_stop(command_ledger& x, const std::string& id, time_point now, epoch connection = 1) {
  REQUIRE(x.admit(at(id, 1, 1), 0s, connection, now) == verdict::fresh);
  x.handle_live({actor_id{id}, 1});
  REQUIRE(x.admit(at(id, 1, 2), std::nullopt, connection, now) == verdict::fresh);
  x.handle_gone({actor_id{id}, 1}, now);
}

}  // namespace

TEST_CASE("I1 fresh only: same index, lower index and older generation are not fresh") {
  command_ledger x;
  CHECK(x.admit(at("a", 2, 1), 0s, 1, start) == verdict::fresh);
  CHECK(x.admit(at("a", 2, 1), 0s, 1, start) == verdict::duplicate);
  CHECK(x.admit(at("a", 2, 5), std::nullopt, 1, start) == verdict::fresh);
  CHECK(x.admit(at("a", 2, 4), std::nullopt, 2, start) == verdict::duplicate);
  CHECK(x.admit(at("a", 1, 9), std::nullopt, 2, start) == verdict::superseded);
  CHECK(x.admit(at("b", 1, 1), 0s, 2, start) == verdict::fresh);
  CHECK(x.admit(at("a", 3, 1), 0s, 2, start) == verdict::fresh);
  CHECK(x.admit(at("a", 2, 6), std::nullopt, 2, start) == verdict::superseded);
  CHECK(x.stats().gaps == 1);
  CHECK(x.stats().duplicates == 2);
  CHECK(x.stats().superseded == 2);
  CHECK(x.newest_generation(actor_id{"a"}) == 3U);
  CHECK(x.last_index({actor_id{"a"}, 3}) == 1);
  CHECK(!x.last_index({actor_id{"a"}, 2}));
}

TEST_CASE("I2 record first: the index is there when admit returns") {
  command_ledger x;
  x.admit(at("a", 1, 1), 0s, 1, start);
  CHECK(x.last_index({actor_id{"a"}, 1}) == 1);
}

TEST_CASE("A Start too old to run is expired, recorded, and a duplicate from then on") {
  command_ledger x;
  CHECK(x.admit(at("a", 1, 1), 28s, 1, start) == verdict::fresh);
  CHECK(x.admit(at("a", 2, 1), 28s + 1ms, 1, start) == verdict::expired);
  CHECK(x.admit(at("a", 2, 1), 40s, 1, start) == verdict::duplicate);
  CHECK(x.admit(at("a", 2, 2), 0s, 1, start) == verdict::duplicate);  // it had its Stopped
}

TEST_CASE(
    "I3 no resurrection: a generation takes one Start, as its first command, at whatever index") {
  command_ledger x;
  CHECK(x.admit(at("a", 1, 1), 0s, 1, start) == verdict::fresh);
  CHECK(x.admit(at("a", 1, 2), 0s, 1, start) == verdict::duplicate);
  CHECK(x.last_index({actor_id{"a"}, 1}) == 2);  // what is acked is recorded
  CHECK(x.admit(at("a", 1, 3), std::nullopt, 1, start) == verdict::fresh);
  CHECK(x.admit(at("a", 1, 4), 0s, 1, start) == verdict::duplicate);
  CHECK(x.stats().further_starts == 2);
  CHECK(x.admit(at("a", 1, 4), 0s, 1, start) == verdict::duplicate);
  CHECK(x.stats().further_starts == 2);  // that was a replay
  SUBCASE("a Stop first") {
    CHECK(x.admit(at("b", 1, 1), std::nullopt, 1, start) == verdict::fresh);
    CHECK(x.admit(at("b", 1, 2), 0s, 1, start) == verdict::duplicate);
  }
  SUBCASE("an expired Start first") {
    CHECK(x.admit(at("b", 1, 1), 1h, 1, start) == verdict::expired);
    CHECK(x.admit(at("b", 1, 2), 0s, 1, start) == verdict::duplicate);
  }
  SUBCASE("the next generation has its own") {
    CHECK(x.admit(at("a", 2, 1), 0s, 1, start) == verdict::fresh);
  }
}

TEST_CASE("Extreme indexes overflow nothing") {
  command_ledger x;
  CHECK(x.admit(at("a", 1, INT64_MIN), 0s, 1, start) == verdict::fresh);
  CHECK(x.admit(at("a", 1, INT64_MAX), std::nullopt, 1, start) == verdict::fresh);
  CHECK(x.admit(at("a", 1, INT64_MAX), std::nullopt, 1, start) == verdict::duplicate);
  CHECK(x.admit(at("b", UINT32_MAX, 1), 0s, 1, start) == verdict::fresh);
}

TEST_CASE("I3 no resurrection: without proof an entry of a gone actor stays for ever") {
  command_ledger x;
  live_and_stop(x, "a", start);
  x.handle_barrier(1, start);  // its commands came on this very connection
  x.expire(start + 1000h);
  CHECK(x.admit(at("a", 1, 1), 0s, 2, start + 1000h) == verdict::duplicate);
}

TEST_CASE("I3 no resurrection: a late duplicate takes the proof away") {
  command_ledger x;
  live_and_stop(x, "a", start);
  x.handle_barrier(2, start);
  CHECK(x.stats().unproven == 0);
  SUBCASE("of the same generation") {
    CHECK(x.admit(at("a", 1, 2), std::nullopt, 2, start) == verdict::duplicate);
  }
  SUBCASE("of another generation") {
    CHECK(x.admit(at("a", 0, 2), std::nullopt, 2, start) == verdict::superseded);
  }
  CHECK(x.stats().unproven == 1);
  x.expire(start + 1h);
  CHECK(x.stats().entries == 1);
}

TEST_CASE("I9 bounded: a proven entry goes ten minutes after its last command, not before") {
  command_ledger x;
  live_and_stop(x, "a", start);
  CHECK(x.poll_timeout() == start + 10min);
  x.handle_barrier(2, start + 1min);
  CHECK(x.poll_timeout() == start + 10min);
  x.expire(start + 10min - 1ns);
  CHECK(x.stats().entries == 1);
  x.expire(start + 10min);
  CHECK(x.stats().entries == 0);
  CHECK(x.stats().forgotten == 1);
  CHECK(!x.poll_timeout());
}

TEST_CASE("I4 no clobber: entries of live actors need no proof and never go") {
  command_ledger x;
  x.admit(at("a", 1, 1), 0s, 1, start);
  x.handle_live({actor_id{"a"}, 1});
  x.handle_barrier(2, start);
  x.expire(start + 100h);
  CHECK(x.admit(at("a", 1, 1), 0s, 3, start + 100h) == verdict::duplicate);
  CHECK(!x.poll_planned_reconnect(start + 200h));
  x.handle_gone({actor_id{"a"}, 0}, start + 200h);  // not the newest: nothing happens
  CHECK(x.stats().unproven == 0);
}

TEST_CASE("A planned reconnect is asked for once for each need") {
  command_ledger x;
  live_and_stop(x, "a", start);
  CHECK(!x.poll_planned_reconnect(start + 9min));
  CHECK(x.poll_planned_reconnect(start + 10min));
  CHECK(!x.poll_planned_reconnect(start + 11min));
  x.handle_barrier(2, start + 12min);
  CHECK(x.stats().entries == 0);
  CHECK(!x.poll_planned_reconnect(start + 13min));
  SUBCASE("a stall asks too, and nothing is forgotten before the next barrier") {
    live_and_stop(x, "b", start + 14min, 2);
    x.handle_barrier(3, start + 14min);
    x.handle_stall(start + 15min);
    CHECK(x.poll_planned_reconnect(start + 15min));
    x.expire(start + 1h);
    CHECK(x.stats().entries == 1);
    x.handle_barrier(4, start + 1h);
    CHECK(x.stats().entries == 0);
  }
}

TEST_CASE(
    "I9 bounded: at the cap the oldest proven entries go, never one younger than the start limit") {
  command_ledger x{{.bytes_max = 100'000}};
  std::uint64_t n = 0;
  auto now = start;
  for (epoch connection = 1; connection < 50; ++connection) {
    for (int i = 0; i < 200; ++i) live_and_stop(x, name(n++), now += 100ms, connection);
    x.handle_barrier(connection + 1, now);
    CHECK(x.stats().bytes < 150'000);
  }
  CHECK(x.stats().dropped_at_cap > 0);
  // The last 30 s are still there.
  for (std::uint64_t i = n - 299; i < n; ++i) CHECK(x.newest_generation(actor_id{name(i)}) == 1U);
  CHECK(!x.newest_generation(actor_id{name(0)}));
}

TEST_CASE("Near the cap unproven entries ask for a barrier, and only worthwhile ones do") {
  command_ledger x{{.bytes_max = 100'000}};
  std::uint64_t n = 0, asked = 0;
  epoch connection = 1;
  auto now = start;
  for (; n < 20'000; ++n) {
    live_and_stop(x, name(n), now += 100ms, connection);
    if (x.poll_planned_reconnect(now)) {
      ++asked;
      x.handle_barrier(++connection, now);
    }
    REQUIRE(x.stats().bytes <= 110'000);
  }
  CHECK(asked > 5);
  CHECK(asked < n / 30);
}

TEST_CASE("An entry takes at most 128 bytes at the allocator, and all of it comes back") {
  command_ledger x;
  const auto used = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
  const auto before = used();
  constexpr std::uint64_t count = 200'000;
  for (std::uint64_t i = 0; i < count; ++i) live_and_stop(x, name(i), start);
  const auto each = static_cast<double>(used() - before) / static_cast<double>(count);
  const auto estimate = static_cast<double>(x.stats().bytes) / static_cast<double>(count);
  MESSAGE("bytes an entry: ", each, ", estimated: ", estimate);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(each <= 128);
  CHECK(estimate > each * 0.97);
  CHECK(estimate < each * 1.03);
#endif
  x.handle_barrier(2, start + 10min);
  CHECK(x.stats().entries == 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(used() < before + 16384);  // doctest and stdout may have taken buffers meanwhile
#endif
}

TEST_CASE("I9 bounded: 1,000,000 lifetimes leave nothing behind") {
  for (const bool planned : {true, false}) {
    CAPTURE(planned);
    command_ledger x{{.bytes_max = 1 << 20}};
    const auto empty = x.stats().bytes;
    auto now = start;
    epoch connection = 1;
    std::size_t peak = 0;
    for (std::uint64_t i = 0; i < 1'000'000; ++i) {
      live_and_stop(x, name(i), now += 20ms, connection);
      peak = std::max(peak, static_cast<std::size_t>(x.stats().bytes));
      if (planned ? x.poll_planned_reconnect(now) : i % 10'000 == 9'999)
        x.handle_barrier(++connection, now);
    }
    x.handle_barrier(++connection, now + 1h);
    CHECK(x.stats().entries == 0);
    CHECK(x.stats().bytes == empty);
    CHECK(peak < (planned ? 3U << 20U : 4U << 20U));
  }
}

TEST_CASE("Whatever comes, the ledger says what a naive model says, 300 seeds") {
  struct seen {
    std::uint32_t generation;
    std::int64_t last;
    epoch on;
    time_point touched;
    bool live;
  };

  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    const auto pick = [&](std::uint64_t n) { return random() % n; };
    command_ledger x;
    std::map<std::string, seen> model;
    epoch connection = 1, barrier = 0;
    auto now = start;
    for (int step = 0; step < 600; ++step) {
      now += std::chrono::seconds{pick(20)};
      // Some ids are too long to stand inline.
      const auto id = pick(2) ? name(pick(40)) : std::string(40, 'x') + name(pick(40));
      const actor_ref who{actor_id{id}, static_cast<std::uint32_t>(pick(4))};
      auto it = model.find(id);
      const bool known = it != model.end() && it->second.generation == who.generation;
      switch (pick(10)) {
        case 0:
          barrier = ++connection;
          x.handle_barrier(connection, now);
          break;
        case 1:
          x.handle_live(who);
          if (known) it->second.live = true;
          break;
        case 2:
          x.handle_gone(who, now);
          if (known) it->second.live = false, it->second.touched = now;
          break;
        default: {
          const auto index = static_cast<std::int64_t>(pick(5));
          const bool starts = pick(2) == 0;
          auto expected = verdict::fresh;
          if (it != model.end() && who.generation < it->second.generation) {
            expected = verdict::superseded;
          } else if (known && index <= it->second.last) {
            expected = verdict::duplicate;
          } else {
            if (known && starts) expected = verdict::duplicate;
            const bool live = known && it->second.live;
            model[id] = {who.generation, index, 0, {}, live};
          }
          auto& m = model[id];
          m.on = connection;
          m.touched = now;
          const auto age = starts ? std::optional<duration>{0s} : std::nullopt;
          REQUIRE(x.admit(at(id, who.generation, index), age, connection, now) == expected);
        }
      }
      x.expire(now);
      std::uint64_t unproven = 0;
      for (auto i = model.begin(); i != model.end();) {
        const auto& m = i->second;
        if (!m.live && m.on < barrier && m.touched + 10min <= now) {
          i = model.erase(i);
        } else {
          unproven += !m.live && m.on >= barrier;
          ++i;
        }
      }
      REQUIRE(x.stats().entries == model.size());
      REQUIRE(x.stats().unproven == unproven);
    }
    for (const auto& [id, m] : model) CHECK(x.last_index({actor_id{id}, m.generation}) == m.last);
  }
}

}  // namespace command_ledger_test

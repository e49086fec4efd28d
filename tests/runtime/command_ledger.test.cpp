// The ledger's promises: what is fresh, what is over, what is forgotten when, and the size of an entry.
#include <doctest/doctest.h>
#include <malloc.h>

#include <map>
#include <nuncio/commands/command_ledger.hpp>
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

// What the engine's clock says at a local time: right, unless a test says otherwise.
engine_ms engine_at(time_point now) { return 1'700'000'000'000 + now.time_since_epoch() / 1ms; }

// A Start that was created `age` ago.
verdict admit_start(
    command_ledger& x,
    const protocol::actor_checkpoint& what,
    time_point now,
    std::chrono::milliseconds age = 0ms) {
  return x.admit(what, engine_at(now) - age.count(), engine_at(now), now);
}

verdict admit_stop(command_ledger& x, const protocol::actor_checkpoint& what, time_point now) {
  return x.admit(what, std::nullopt, engine_at(now), now);
}

// One life: Start, Stop, gone.
void live_and_stop(command_ledger& x, const std::string& id, time_point now) {
  REQUIRE(admit_start(x, at(id, 1, 1), now) == verdict::fresh);
  x.handle_live({actor_id{id}, 1});
  REQUIRE(admit_stop(x, at(id, 1, 2), now) == verdict::fresh);
  x.handle_gone({actor_id{id}, 1}, now);
}

}  // namespace

TEST_CASE("I1 fresh only: same index, lower index and older generation are not fresh") {
  command_ledger x;
  CHECK(admit_start(x, at("a", 2, 1), start) == verdict::fresh);
  CHECK(admit_start(x, at("a", 2, 1), start) == verdict::duplicate);
  CHECK(admit_stop(x, at("a", 2, 5), start) == verdict::fresh);
  CHECK(admit_stop(x, at("a", 2, 5), start) == verdict::duplicate);
  CHECK(admit_stop(x, at("a", 2, 4), start) == verdict::duplicate);
  CHECK(admit_stop(x, at("a", 1, 9), start) == verdict::superseded);
  CHECK(admit_start(x, at("b", 1, 1), start) == verdict::fresh);
  CHECK(admit_start(x, at("a", 3, 1), start) == verdict::fresh);
  CHECK(admit_stop(x, at("a", 2, 6), start) == verdict::superseded);
  CHECK(x.stats().gaps == 1);
  CHECK(x.stats().duplicates == 3);
  CHECK(x.stats().further_starts == 0);
  CHECK(x.stats().superseded == 2);
  CHECK(x.newest_generation(actor_id{"a"}) == 3U);
  CHECK(x.last_index({actor_id{"a"}, 3}) == 1);
  CHECK(!x.last_index({actor_id{"a"}, 2}));
}

TEST_CASE("I2 record first: the index is there when admit returns") {
  command_ledger x;
  CHECK(admit_start(x, at("a", 1, 1), start) == verdict::fresh);
  CHECK(x.last_index({actor_id{"a"}, 1}) == 1);
}

TEST_CASE("I2 record first: a Start too old to run is a duplicate from then on") {
  command_ledger x;
  CHECK(admit_start(x, at("a", 1, 1), start, 28s) == verdict::fresh);
  CHECK(admit_start(x, at("a", 2, 1), start, 28s + 1ms) == verdict::expired);
  CHECK(admit_start(x, at("a", 2, 1), start, 40s) == verdict::duplicate);
  CHECK(x.last_index({actor_id{"a"}, 2}) == 1);
}

TEST_CASE(
    "I3 no resurrection: a generation takes one Start, as its first command, at whatever index") {
  command_ledger x;
  CHECK(admit_start(x, at("a", 1, 1), start) == verdict::fresh);
  CHECK(admit_start(x, at("a", 1, 2), start) == verdict::duplicate);
  CHECK(x.last_index({actor_id{"a"}, 1}) == 2);  // what is acked is recorded
  CHECK(admit_stop(x, at("a", 1, 3), start) == verdict::fresh);
  CHECK(admit_start(x, at("a", 1, 4), start) == verdict::duplicate);
  CHECK(x.stats().further_starts == 2);
  CHECK(admit_start(x, at("a", 1, 4), start) == verdict::duplicate);
  CHECK(x.stats().further_starts == 2);  // that was a replay
  SUBCASE("a Stop first") {
    CHECK(admit_stop(x, at("b", 1, 1), start) == verdict::expired);
    CHECK(admit_start(x, at("b", 1, 2), start) == verdict::duplicate);
  }
  SUBCASE("an expired Start first") {
    CHECK(admit_start(x, at("b", 1, 1), start, 1h) == verdict::expired);
    CHECK(admit_start(x, at("b", 1, 2), start) == verdict::duplicate);
  }
  SUBCASE("the next generation has its own") {
    CHECK(admit_start(x, at("a", 2, 1), start) == verdict::fresh);
  }
}

TEST_CASE(
    "A Start from the future is as old as it is far ahead, and does not make others look old") {
  command_ledger x;
  CHECK(admit_start(x, at("a", 1, 1), start, -28s) == verdict::fresh);
  CHECK(admit_start(x, at("b", 1, 1), start, -28s - 1ms) == verdict::expired);
  x.expire(start + 11min);
  CHECK(x.stats().entries == 0);
  CHECK(admit_start(x, at("c", 1, 1), start + 11min) == verdict::fresh);
}

TEST_CASE("A generation that is over stays over, whatever arrives for it") {
  command_ledger x;
  CHECK(admit_start(x, at("a", 1, 1), start, 29s) == verdict::expired);
  CHECK(admit_stop(x, at("a", 1, 2), start) == verdict::expired);
  CHECK(admit_start(x, at("a", 1, 3), start) == verdict::duplicate);
  CHECK(admit_stop(x, at("a", 1, 4), start) == verdict::expired);
  CHECK(admit_start(x, at("a", 2, 1), start) == verdict::fresh);
  CHECK(admit_stop(x, at("a", 2, 2), start) == verdict::fresh);
}

TEST_CASE("A Stop for an unknown generation: it is over, unless it may have lived elsewhere") {
  SUBCASE("a key of this process alone") {
    command_ledger x;
    CHECK(admit_stop(x, at("a", 3, 2), start) == verdict::expired);
    CHECK(admit_stop(x, at("a", 4, 2), start) == verdict::expired);
  }
  SUBCASE("an older generation of the actor had its life here") {
    command_ledger x;
    CHECK(admit_start(x, at("b", 3, 1), start) == verdict::fresh);
    CHECK(admit_stop(x, at("b", 4, 2), start) == verdict::fresh);
  }
  SUBCASE("a key that a process before may have had") {
    command_ledger x{{.key_had_a_past = true}};
    CHECK(admit_stop(x, at("a", 3, 2), start) == verdict::fresh);
    CHECK(admit_stop(x, at("a", 3, 2), start) == verdict::duplicate);
    CHECK(admit_start(x, at("b", 3, 1), start) == verdict::fresh);
    CHECK(admit_stop(x, at("b", 4, 2), start) == verdict::fresh);
  }
}

TEST_CASE("Extreme numbers overflow nothing") {
  command_ledger x;
  CHECK(admit_start(x, at("a", 1, INT64_MIN), start) == verdict::fresh);
  CHECK(admit_stop(x, at("a", 1, INT64_MAX), start) == verdict::fresh);
  CHECK(admit_stop(x, at("a", 1, INT64_MAX), start) == verdict::duplicate);
  CHECK(admit_start(x, at("b", UINT32_MAX, 1), start) == verdict::fresh);
  std::uint32_t n = 0;
  for (const auto created : {INT64_MIN, INT64_MIN + 1, INT64_C(-1), INT64_C(0), INT64_MAX})
    CHECK(x.admit(at("c", ++n, 1), created, engine_at(start), start) == verdict::expired);
  for (const auto now : {INT64_MIN, INT64_MAX})
    CHECK(x.admit(at("c", ++n, 1), engine_at(start), now, start) == verdict::expired);
  x.expire(start + 11min);
  CHECK(x.stats().entries == 0);
  // Whatever was said there, what is new is run.
  CHECK(admit_start(x, at("c", 1, 1), start + 11min) == verdict::fresh);
}

TEST_CASE("I3 no resurrection: a forgotten command is not run again, whatever the clock says") {
  command_ledger x;
  live_and_stop(x, "a", start);
  const auto later = start + 10min;
  x.expire(later);
  REQUIRE(x.stats().entries == 0);
  const auto created = engine_at(start);
  engine_ms set_back = 0;
  SUBCASE("the clock is right") { set_back = engine_at(later); }
  SUBCASE("the clock was set back to the moment of the Start") { set_back = created; }
  SUBCASE("the clock was set back to before it") { set_back = created - 20'000; }
  CHECK(x.admit(at("a", 1, 1), created, set_back, later) == verdict::expired);
  CHECK(x.admit(at("a", 1, 2), std::nullopt, set_back, later) == verdict::expired);
  // Nor one that was not newer, of whatever actor and generation: it may have been forgotten, too.
  CHECK(x.admit(at("b", 7, 1), created, set_back, later) == verdict::expired);
}

TEST_CASE("I3 no resurrection: of several generations the newest Start counts") {
  command_ledger x;
  CHECK(admit_start(x, at("a", 1, 1), start) == verdict::fresh);
  // The engine's clock is set back, and the next generation looks older.
  CHECK(
      x.admit(at("a", 2, 1), engine_at(start) - 60'000, engine_at(start) - 60'000, start) ==
      verdict::fresh);
  x.expire(start + 10min);
  REQUIRE(x.stats().entries == 0);
  CHECK(
      x.admit(at("a", 1, 1), engine_at(start), engine_at(start) + 1000, start + 10min) ==
      verdict::expired);
}

TEST_CASE("I3 no resurrection: of several Starts of a generation the newest counts") {
  command_ledger x;
  CHECK(admit_start(x, at("a", 1, 1), start) == verdict::fresh);
  CHECK(admit_start(x, at("a", 1, 2), start + 5s) == verdict::duplicate);
  x.expire(start + 11min);
  REQUIRE(x.stats().entries == 0);
  const auto then = engine_at(start + 5s);
  CHECK(x.admit(at("a", 1, 2), then, then, start + 11min) == verdict::expired);
}

TEST_CASE("I3 no resurrection: a Stop that came first is not followed by its Start") {
  command_ledger x;
  CHECK(admit_stop(x, at("a", 1, 2), start) == verdict::expired);
  CHECK(admit_start(x, at("a", 1, 1), start) == verdict::duplicate);
  x.expire(start + 10min);
  CHECK(
      x.admit(at("a", 1, 1), engine_at(start), engine_at(start), start + 10min) ==
      verdict::expired);
}

TEST_CASE(
    "A new Start runs although much is forgotten, and although the clock was set back a little") {
  command_ledger x;
  live_and_stop(x, "a", start);
  x.expire(start + 10min);
  const auto now = start + 10min;
  CHECK(admit_start(x, at("a", 2, 1), now) == verdict::fresh);
  const auto set_back = engine_at(now) - 9 * 60'000;
  CHECK(x.admit(at("b", 1, 1), set_back, set_back, now) == verdict::fresh);
}

TEST_CASE("I9 bounded: an entry goes ten minutes after its last command and its end, not before") {
  command_ledger x;
  live_and_stop(x, "a", start);
  CHECK(x.poll_timeout() == start + 10min);
  x.expire(start + 10min - 1ns);
  CHECK(x.stats().entries == 1);
  SUBCASE("nothing more comes") {
    x.expire(start + 10min);
    CHECK(x.stats().entries == 0);
    CHECK(x.stats().gone == 0);
    CHECK(x.stats().forgotten == 1);
    CHECK(!x.poll_timeout());
  }
  SUBCASE("a command comes again") {
    CHECK(admit_stop(x, at("a", 1, 2), start + 11min) == verdict::duplicate);
    CHECK(x.poll_timeout() == start + 21min);
  }
  SUBCASE("a command of an older generation comes again") {
    CHECK(admit_stop(x, at("a", 0, 2), start + 11min) == verdict::superseded);
    CHECK(x.poll_timeout() == start + 21min);
  }
}

TEST_CASE(
    "I10 events arrive: a further Stop of one that is gone is a duplicate, at whatever index") {
  command_ledger x;
  live_and_stop(x, "a", start);
  CHECK(admit_stop(x, at("a", 1, 3), start + 1s) == verdict::duplicate);
  CHECK(x.last_index({actor_id{"a"}, 1}) == 3);
  CHECK(x.stats().further_starts == 0);
  CHECK(admit_start(x, at("a", 2, 1), start + 2s) == verdict::fresh);
  CHECK(admit_stop(x, at("a", 2, 2), start + 3s) == verdict::fresh);
}

TEST_CASE("I4 no clobber: entries of live actors never go") {
  command_ledger x;
  CHECK(admit_start(x, at("a", 1, 1), start) == verdict::fresh);
  x.handle_live({actor_id{"a"}, 1});
  CHECK(!x.poll_timeout());
  x.expire(start + 100h);
  CHECK(
      x.admit(at("a", 1, 1), engine_at(start), engine_at(start + 100h), start + 100h) ==
      verdict::duplicate);
  x.handle_gone({actor_id{"a"}, 0}, start + 200h);  // not the newest: nothing happens
  CHECK(x.stats().gone == 0);
  x.handle_gone({actor_id{"a"}, 1}, start + 200h);
  CHECK(x.stats().gone == 1);
}

TEST_CASE("I9 bounded: at the cap the oldest go, never one younger than the start limit") {
  command_ledger x{{.bytes_max = 100'000}};
  std::uint64_t n = 0;
  auto now = start;
  for (; n < 10'000; ++n) {
    live_and_stop(x, name(n), now += 100ms);
    REQUIRE(x.stats().bytes <= 100'000);
  }
  CHECK(x.stats().dropped_at_cap > 0);
  CHECK(x.stats().over_cap == 0);
  // The last 30 s are still there.
  for (std::uint64_t i = n - 299; i < n; ++i) CHECK(x.newest_generation(actor_id{name(i)}) == 1U);
  CHECK(!x.newest_generation(actor_id{name(0)}));
  // More than fits within 30 s: the bound is passed, counted once, and held again later.
  for (; n < 12'000; ++n) live_and_stop(x, name(n), now += 1ms);
  CHECK(x.stats().bytes > 100'000);
  CHECK(x.stats().over_cap == 1);
  REQUIRE(x.poll_timeout());
  x.expire(now + 30s);
  CHECK(x.stats().bytes <= 100'000);
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
  x.expire(start + 10min);
  CHECK(x.stats().entries == 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(used() < before + 16384);  // doctest and stdout may have taken buffers meanwhile
#endif
}

TEST_CASE("I9 bounded: 1,000,000 lifetimes leave nothing behind") {
  command_ledger x{{.bytes_max = 1 << 20}};
  const auto empty = x.stats().bytes;
  auto now = start;
  std::size_t peak = 0;
  for (std::uint64_t i = 0; i < 1'000'000; ++i) {
    live_and_stop(x, name(i), now += 20ms);
    peak = std::max(peak, static_cast<std::size_t>(x.stats().bytes));
  }
  x.expire(now + 10min);
  CHECK(x.stats().entries == 0);
  CHECK(x.stats().bytes == empty);
  CHECK(peak <= 1U << 20U);
}

TEST_CASE("Whatever arrives, the ledger agrees with a naive model, 300 seeds") {
  struct seen {
    std::uint32_t generation;
    std::int64_t last;
    engine_ms created;
    time_point touched;
    bool live, over, gone;
  };

  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    const auto pick = [&](std::uint64_t n) { return random() % n; };
    const bool past = pick(2) == 0;
    command_ledger x{{.key_had_a_past = past}};
    std::map<std::string, seen> model;
    auto now = start;
    engine_ms forgotten = INT64_MIN;
    for (int step = 0; step < 600; ++step) {
      now += std::chrono::seconds{pick(20)};
      const auto engine_now = engine_at(now) - static_cast<engine_ms>(pick(900'000) * pick(2));
      // Some ids are too long to stand inline.
      const auto id = pick(2) ? name(pick(40)) : std::string(40, 'x') + name(pick(40));
      const actor_ref who{actor_id{id}, static_cast<std::uint32_t>(pick(4))};
      auto it = model.find(id);
      const bool known = it != model.end() && it->second.generation == who.generation;
      switch (pick(10)) {
        case 0:
        case 1:
          x.handle_live(who);
          if (known) it->second.live = true;
          break;
        case 2:
          x.handle_gone(who, now);
          if (known) it->second.live = false, it->second.gone = true, it->second.touched = now;
          break;
        default: {
          const auto index = static_cast<std::int64_t>(pick(5));
          std::optional<engine_ms> created;
          if (pick(2)) created = engine_now + 60'000 - static_cast<engine_ms>(pick(120'000));
          auto expected = verdict::fresh;
          if (it != model.end() && who.generation < it->second.generation) {
            expected = verdict::superseded;
          } else if (known && index <= it->second.last) {
            expected = verdict::duplicate;
          } else {
            const bool fits = created && *created >= engine_now - 28'000 &&
                              *created <= engine_now + 28'000 && *created > forgotten;
            const bool lived = it != model.end() && !it->second.over;
            const bool over = known ? it->second.over : created ? !fits : !past && !lived;
            auto newest = it == model.end() ? INT64_MIN : it->second.created;
            if (!created && !known) newest = std::max(newest, engine_now);
            const bool live = known && it->second.live;
            const bool gone = known && it->second.gone;
            model[id] = {who.generation, index, newest, {}, live, over, gone};
            if (over) expected = verdict::expired;
            if (known && (created || gone)) expected = verdict::duplicate;
          }
          auto& m = model[id];
          m.touched = now;
          if (created && *created <= engine_now + 28'000) m.created = std::max(m.created, *created);
          REQUIRE(x.admit(at(id, who.generation, index), created, engine_now, now) == expected);
        }
      }
      x.expire(now);
      std::uint64_t gone = 0;
      for (auto i = model.begin(); i != model.end();) {
        const auto& m = i->second;
        if (!m.live && m.touched + 10min <= now) {
          forgotten = std::max(forgotten, m.created);
          i = model.erase(i);
        } else {
          gone += !m.live;
          ++i;
        }
      }
      REQUIRE(x.stats().entries == model.size());
      REQUIRE(x.stats().gone == gone);
    }
    for (const auto& [id, m] : model) CHECK(x.last_index({actor_id{id}, m.generation}) == m.last);
  }
}

}  // namespace command_ledger_test

// The lease and the engine's clock: delays, freezes, and wall clocks that are set.
#include <doctest/doctest.h>

#include <nuncio/connection/lease.hpp>

namespace lease_test {

using namespace nuncio;
using namespace std::chrono_literals;

namespace {

const time_point start{1h};
constexpr engine_ms t0 = 1'700'000'000'000;

}  // namespace

TEST_CASE("I14 single writer: the lease runs from the Ping's ts, not from its arrival") {
  lease x;
  x.handle_init(15s);
  CHECK(!x.end());
  x.handle_ping(t0, start);
  CHECK(x.end() == start + 11s);
  x.handle_ping(t0 + 3000, start + 3s + 2s);  // 2 s late
  CHECK(x.end() == start + 14s);
  CHECK(!x.ended(start + 14s - 1ns));
  CHECK(x.ended(start + 14s));
  x.handle_ended();
  CHECK(!x.ended(start + 20s));
}

TEST_CASE("I14 single writer: Pings read after a freeze do not extend the lease") {
  lease x;
  x.handle_init(15s);
  x.handle_ping(t0, start);
  for (int i = 1; i <= 13; ++i) {
    x.handle_ping(t0 + 3000 * i, start + 60s);
    CHECK(x.ended(start + 60s));
  }
}

TEST_CASE("An old ts neither shortens nor extends the lease") {
  lease x;
  x.handle_init(15s);
  x.handle_ping(t0 + 6000, start + 6s);
  x.handle_ping(t0, start + 7s);
  CHECK(x.end() == start + 17s);
  CHECK(x.clock().to_local(t0 + 6000) == start + 6s);
  x.handle_ping(t0 + 9000, start + 9s);
  CHECK(x.end() == start + 20s);
  CHECK(x.clock().to_local(t0 + 6000) == start + 6s);
}

TEST_CASE("The lease survives an engine's clock that is set back or forward by an hour") {
  for (const engine_ms set : {engine_ms{-3'600'000}, engine_ms{3'600'000}, engine_ms{-10'000}}) {
    CAPTURE(set);
    lease x;
    x.handle_init(15s);
    auto now = start;
    engine_ms ts = t0;
    for (int i = 0; i < 40; ++i) {
      if (i == 20) ts += set;
      x.handle_ping(ts, now);
      REQUIRE(!x.ended(now + 3100ms));
      REQUIRE(*x.end() <= now + 11s);
      now += 3100ms;
      ts += 3100;
    }
    CHECK(x.end() == now - 3100ms + 11s);
  }
}

TEST_CASE("The mapping follows the smallest delay and forgets it within ten minutes") {
  engine_clock x;
  CHECK(!x.at(start));
  CHECK(!x.age(t0, start));
  x.handle_ping(t0, start + 500ms);
  CHECK(x.age(t0, start + 500ms) == 0s);
  x.handle_ping(t0 + 3000, start + 3s);
  CHECK(x.age(t0, start + 3s) == 3s);
  CHECK(x.age(t0 + 9000, start + 3s) == 0s);
  for (int i = 2; i < 220; ++i) x.handle_ping(t0 + 3000 * i, start + 3s * i + 1s);
  CHECK(x.to_local(t0) == start + 1s);
  CHECK(x.at(start + 1s) == t0);
  CHECK(x.at(start + 61s) == t0 + 60'000);
}

TEST_CASE("A threshold too short for the margins leaves a quarter of itself") {
  lease x;
  x.handle_init(1s);
  x.handle_ping(t0, start);
  CHECK(x.end() == start + 250ms);
}

}  // namespace lease_test

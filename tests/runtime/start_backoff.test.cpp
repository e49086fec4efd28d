// How long the next start of a failing actor waits, and that failures are forgotten.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <nuncio/instances/start_backoff.hpp>

namespace start_backoff_test {

using namespace nuncio;
using namespace std::chrono_literals;

const time_point start{1h};
const actor_id a{"a"}, b{"b"};

TEST_CASE(
    "a start waits twice as long after each failure, up to two seconds, counted from the failure") {
  start_backoff x;
  CHECK(x.delay(a, start) == 0s);
  auto now = start;
  for (const auto wait : {100ms, 200ms, 400ms, 800ms, 1600ms, 2000ms, 2000ms, 2000ms, 2000ms}) {
    x.handle_failed(a, now);
    CHECK(x.delay(a, now) == wait);
    CHECK(x.delay(a, now + wait / 2) == wait / 2);
    CHECK(x.delay(a, now + wait) == 0s);
    now += wait;
  }
  CHECK(x.handle_failed(a, now) == 10);
  CHECK(x.delay(b, now) == 0s);
}

TEST_CASE("a start that was of use, or a minute without a failure, begins anew") {
  start_backoff x;
  x.handle_failed(a, start);
  CHECK(x.handle_failed(a, start) == 2);
  x.handle_useful(a);
  CHECK(x.size() == 0);
  CHECK(x.handle_failed(a, start) == 1);
  CHECK(x.handle_failed(a, start + 1min) == 1);
}

TEST_CASE("I9 bounded: of actors that fail only so many are remembered, the last ones") {
  start_backoff x{{.actors_max = 3}};
  for (int n = 0; n < 5; ++n) x.handle_failed(actor_id{fmt::format("x{}", n)}, start);
  CHECK(x.size() == 3);
  CHECK(x.delay(actor_id{"x1"}, start) == 0s);
  CHECK(x.delay(actor_id{"x2"}, start) == 100ms);
}

}  // namespace start_backoff_test

// Sums and differences of times at the ends of their range.
#include <doctest/doctest.h>

#include <nuncio/support/time_range.hpp>

namespace nuncio::time_range_test {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using wall = std::chrono::system_clock::time_point;

TEST_CASE("a duration that another unit can't hold becomes its end") {
  CHECK(saturated<duration>(milliseconds{5}) == 5ms);
  CHECK(saturated<duration>(milliseconds{-5}) == -5ms);
  CHECK(saturated<duration>(milliseconds::max()) == duration::max());
  CHECK(saturated<duration>(milliseconds::min()) == duration::min());
  CHECK(saturated<milliseconds>(duration::max()) == 9'223'372'036'854ms);
  CHECK(saturated<milliseconds>(duration::min()) == -9'223'372'036'854ms);
  CHECK(saturated<duration>(9'223'372'036'854ms) == 9'223'372'036'854ms);
  CHECK(saturated<duration>(9'223'372'036'855ms) == duration::max());
  CHECK(saturated<duration>(-9'223'372'036'855ms) == duration::min());
}

TEST_CASE("a time beyond the range becomes the last one, and the other way round") {
  const time_point now{1h};
  CHECK(later(now, 1ms) == time_point{1h + 1ms});
  CHECK(later(now, -2h) == time_point{-1h});
  CHECK(later(now, duration::max()) == time_point::max());
  CHECK(later(now, milliseconds::max()) == time_point::max());
  CHECK(later(time_point::max(), 1ns) == time_point::max());
  CHECK(later(time_point::max(), -1ns) == time_point::max() - 1ns);
  CHECK(later(time_point::min(), -1ns) == time_point::min());
  CHECK(later(time_point::min(), duration::max()) == time_point{-1ns});
  CHECK(later(time_point{-1h}, milliseconds::min()) == time_point::min());
}

TEST_CASE("how long it is until a time, at both ends") {
  const wall now{std::chrono::hours{24 * 365 * 50}};
  CHECK(until(now, now + 1ms) == 1ms);
  CHECK(until(now, now) == 0ms);
  CHECK(until(now, now - 1ms) == -1ms);
  CHECK(until(now, wall::min()) == wall::duration::min());
  CHECK(until(wall{-1h}, wall::max()) == wall::duration::max());
  CHECK(until(wall::min(), wall::max()) == wall::duration::max());
  CHECK(until(wall::max(), wall::min()) == wall::duration::min());
}

TEST_CASE("a timer is set for a millisecond to an hour") {
  const time_point now{1h};
  CHECK(timer_until(now, now + 1s) == 1s);
  CHECK(timer_until(now, time_point::min()) == 1ms);
  CHECK(timer_until(now, time_point::max()) == 1h);
  CHECK(waitable(milliseconds::max()) == std::chrono::hours{24} * 36'525);
  CHECK(waitable(duration::min()) == 0ms);
  CHECK(waitable(5s) == 5s);
}

}  // namespace nuncio::time_range_test

// The time that decisions are made in: a clock that goes on while the machine is suspended (CLOCK_BOOTTIME), so that a
// lease ends in a frozen process too. Machines get time points passed in; only links, actors and tools read the clock.
#pragma once

#include <time.h>

#include <chrono>
#include <cstdint>

namespace nuncio {

struct boot_clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<boot_clock>;
  static constexpr bool is_steady = true;

  static time_point now() {
    timespec t{};
    clock_gettime(CLOCK_BOOTTIME, &t);
    return time_point{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
  }
};

using time_point = boot_clock::time_point;
using duration = boot_clock::duration;

/// A moment of the engine's wall clock: unix time in milliseconds, as on the wire.
using engine_ms = std::int64_t;

/// Counts connections of one link; 0 is none yet.
using epoch = std::uint32_t;

}  // namespace nuncio

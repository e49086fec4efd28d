// The clock for all decisions: it keeps running while the machine is suspended (CLOCK_BOOTTIME), so that a lease also ends in a
// frozen process. Machines are passed time points; only links, actors and tools read the clock.
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

/// A moment on the engine's wall clock: unix time in milliseconds, as on the wire.
using engine_ms = std::int64_t;

/// Counts connections of one link; 0: none yet.
using epoch = std::uint32_t;

}  // namespace nuncio

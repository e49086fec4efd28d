// How long whoever has found no room in the link waits before it asks again. Pure.
#pragma once

#include <algorithm>
#include <nuncio/detail/clock.hpp>
#include <utility>

namespace nuncio {

/// Twice as long each time that it was in vain, since many may be waiting.
class room_pause {
public:
  /// The time in which 10 Gbit/s drain a tenth of the link's default bound.
  static constexpr duration shortest = std::chrono::milliseconds{5};
  static constexpr duration longest = 8 * shortest;

  /// How long to wait now.
  duration next() { return std::exchange(next_, std::min(2 * next_, longest)); }

  /// Something has found room.
  void reset() { next_ = shortest; }

private:
  duration next_ = shortest;
};

}  // namespace nuncio

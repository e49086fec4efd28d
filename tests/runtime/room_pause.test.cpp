// room_pause: how often room is asked for.
#include <doctest/doctest.h>

#include <nuncio/room_pause.hpp>

namespace nuncio::room_pause_test {
namespace {

using namespace std::chrono_literals;

TEST_CASE(
    "who finds no room asks again after twice as long each time, up to 40 ms, until something "
    "went") {
  room_pause x;
  for (int n = 0; n < 2; ++n) {
    for (const auto expected : {5ms, 10ms, 20ms, 40ms, 40ms, 40ms}) CHECK(x.next() == expected);
    x.reset();
  }
  CHECK(x.next() == 5ms);
  x.reset();
  CHECK(x.next() == 5ms);
}

}  // namespace
}  // namespace nuncio::room_pause_test

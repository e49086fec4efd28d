// Which address is tried when.
#include <doctest/doctest.h>

#include <nuncio/connection/address_race.hpp>

namespace address_race_test {

using namespace nuncio;
using namespace std::chrono_literals;

namespace {

constexpr time_point start{1h};

std::vector<std::size_t> all_at_once(address_race& x) {
  std::vector<std::size_t> out;
  for (auto now = start; const auto next = x.poll_begin(now); now += 1h) out.push_back(*next);
  return out;
}

}  // namespace

TEST_CASE("1.3: families take turns, beginning with the one that the resolver prefers") {
  address_race six_first{{true, true, true, false, false}};
  CHECK(all_at_once(six_first) == std::vector<std::size_t>{0, 3, 1, 4, 2});
  address_race four_first{{false, true, true}};
  CHECK(all_at_once(four_first) == std::vector<std::size_t>{0, 1, 2});
}

TEST_CASE(
    "1.3: the first attempt starts at once, the next when the last has failed or after a quarter "
    "of a second") {
  address_race x{{false, false, false}};
  CHECK(x.poll_begin(start) == 0);
  CHECK(!x.poll_begin(start));
  CHECK(x.poll_timeout() == start + 250ms);
  CHECK(!x.poll_begin(start + 250ms - 1ns));
  CHECK(x.poll_begin(start + 250ms) == 1);
  CHECK(!x.poll_begin(start + 251ms));
  x.handle_failed();
  CHECK(x.poll_begin(start + 251ms) == 2);
  CHECK(!x.poll_timeout());
  CHECK(!x.lost());
  x.handle_failed();
  CHECK(!x.lost());
  x.handle_failed();
  CHECK(x.lost());
}

TEST_CASE("1.3: of very many addresses only the first are tried") {
  address_race x{std::vector<bool>(1000, false)};
  CHECK(all_at_once(x).size() == 16);
}

}  // namespace address_race_test

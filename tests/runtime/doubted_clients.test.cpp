// Clients that may have left without notice: which of them makes room for a newcomer, and when.
#include <doctest/doctest.h>

#include <deque>
#include <nuncio/tunnel/doubted_clients.hpp>

namespace doubted_clients_test {

using namespace nuncio;
using namespace std::chrono_literals;

namespace {

constexpr auto begin = time_point{1h};

exchange_id exchange(std::uint8_t gateway, std::uint8_t n) { return {{{gateway}}, {{n}}}; }

struct clients {
  gateway_watch gateways{10s};
  doubted_clients<doubted_of_actor> all;
  std::deque<client_doubt> open;

  client_doubt& client(std::uint8_t gateway) {
    return open.emplace_back(exchange(gateway, static_cast<std::uint8_t>(open.size())));
  }

  void reconnect(time_point now) {
    gateways.handle_up(now);
    for (auto& x : open) {
      gateways.handle_open(x.of().gateway);
      all.add(x, now);
    }
  }

  void heard(std::uint8_t gateway) { gateways.handle_heard(exchange(gateway, 0).gateway); }

  client_doubt* next(time_point now) { return all.next(gateways, now); }
};

}  // namespace

TEST_CASE(
    "doubted clients: a client that is silent after a reconnect makes room after a time limit") {
  clients x;
  auto& first = x.client(1);
  auto& second = x.client(1);
  CHECK(x.next(begin + 1h) == nullptr);
  x.reconnect(begin);
  x.heard(1);
  auto& newcomer = x.client(1);
  CHECK(x.next(begin + 10s - 1ns) == nullptr);
  CHECK(x.next(begin + 10s) == &first);
  CHECK(first.since() == begin);
  first.end();
  CHECK_FALSE(first.since());
  CHECK(x.next(begin + 10s) == &second);
  second.end();
  CHECK(x.next(begin + 10s) == nullptr);
  CHECK_FALSE(newcomer.since());
}

TEST_CASE("doubted clients: the longest doubted is the first; its time runs while the link is up") {
  clients x;
  auto& first = x.client(1);
  x.reconnect(begin);
  auto& second = x.client(1);
  x.reconnect(begin + 20s);
  x.heard(1);
  CHECK(first.since() == begin);
  CHECK(second.since() == begin + 20s);
  CHECK(x.next(begin + 30s - 1ns) == nullptr);
  CHECK(x.next(begin + 30s) == &first);
  first.end();
  CHECK(x.next(begin + 30s) == &second);
}

TEST_CASE(
    "I13 backpressure: a gateway that is silent while a new one speaks seems to be gone, and its "
    "clients make room at once") {
  clients x;
  auto& old = x.client(1);
  x.reconnect(begin);
  CHECK(x.next(begin) == nullptr);
  x.heard(2);
  CHECK(x.next(begin) == &old);
  // Its next word says that it is there.
  x.heard(1);
  CHECK(x.next(begin) == nullptr);
  CHECK(x.next(begin + 10s) == &old);
}

TEST_CASE("doubted clients: of two known gateways, neither one's silence means anything") {
  clients x;
  auto& first = x.client(1);
  x.client(2);
  x.reconnect(begin);
  x.heard(2);
  CHECK(x.next(begin) == nullptr);
  CHECK_FALSE(x.gateways.seems_gone(first.of().gateway));
}

TEST_CASE(
    "doubted clients: a gateway that seems gone stays so through further reconnects, others are "
    "judged again") {
  clients x;
  auto& old = x.client(1);
  x.reconnect(begin);
  x.heard(2);
  x.client(2);
  x.reconnect(begin + 1s);
  x.heard(2);
  CHECK(x.next(begin + 1s) == &old);
  old.end();
  CHECK(x.next(begin + 1s) == nullptr);
  // The second engine ends, too.
  x.reconnect(begin + 2s);
  CHECK(x.next(begin + 2s) == &old);  // nobody has ended it here
  old.end();
  CHECK(x.next(begin + 2s) == nullptr);
  x.heard(3);
  CHECK(x.next(begin + 2s) == &x.open.back());
}

TEST_CASE("doubted clients: one with time left is checked once, and hides no other") {
  clients x;
  for (auto i = 0; i < 100; ++i) x.client(1);
  for (auto i = 0; i < 3; ++i) x.client(2);
  x.reconnect(begin);
  x.heard(1);
  CHECK(x.next(begin) == nullptr);
  x.heard(3);
  for (auto i = 100U; i < 103U; ++i) {
    REQUIRE(x.next(begin) == &x.open[i]);
    x.open[i].end();
  }
  CHECK(x.next(begin) == nullptr);
  for (auto i = 0U; i < 100U; ++i) {
    REQUIRE(x.next(begin + 10s) == &x.open[i]);
    x.open[i].end();
  }
  CHECK(x.next(begin + 10s) == nullptr);
}

TEST_CASE("doubted clients: one that has ended is not there") {
  clients x;
  x.client(1);
  x.reconnect(begin);
  x.open.clear();
  CHECK(x.next(begin + 10s) == nullptr);
}

}  // namespace doubted_clients_test

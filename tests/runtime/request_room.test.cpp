// Room for HTTP requests: whose limit refuses what, and which incomplete request makes room.
#include <doctest/doctest.h>

#include <cstring>
#include <deque>
#include <list>
#include <memory>
#include <nuncio/tunnel/request_room.hpp>

namespace request_room_test {

using namespace nuncio;
using namespace std::chrono_literals;

namespace {

exchange_id exchange(std::uint32_t n) {
  exchange_id out;
  std::memcpy(out.request.value.data(), &n, 4);
  return out;
}

constexpr auto begin = time_point{1h};

struct room {
  request_room host{{.requests_max = 20, .bytes_max = 1000}, 10s};
  std::deque<request_share> actors;
  std::list<request_place> all;
  std::uint32_t last = 0;

  room() { host.handle_up(begin); }

  request_share& actor(request_limits limits = {.requests_max = 5, .bytes_max = 400}) {
    return actors.emplace_back(host, limits);
  }

  request_place& open(request_share& of, std::size_t bytes) {
    auto& out = all.emplace_back(of, exchange(++last));
    out.resize(bytes);
    return out;
  }

  request_place& unfinished(
      request_share& of, time_point now, std::shared_ptr<const upload_on_way> on_way = nullptr) {
    auto& out = open(of, 1);
    out.handle_unfinished(now, std::move(on_way));
    return out;
  }

  // What it gets by tens.
  std::size_t fill(request_share& of) {
    std::size_t out = 0;
    auto& x = open(of, 0);
    while (of.full(0, 10) == request_bound::none) x.resize(out += 10);
    return out;
  }
};

}  // namespace

TEST_CASE("request room: places of an actor, and of its host") {
  room x;
  std::vector<request_share*> actors;
  for (int i = 0; i < 4; ++i) {
    auto& one = *actors.emplace_back(&x.actor());
    for (int n = 0; n < 5; ++n) {
      CHECK(one.full(1, 1) == request_bound::none);
      x.open(one, 1);
    }
    CHECK(one.full(1, 1) == request_bound::actor);
    CHECK(one.full(0, 1) == request_bound::none);
  }
  auto& other = x.actor();
  CHECK(other.full(1, 1) == request_bound::host);
  x.all.pop_front();
  CHECK(other.full(1, 1) == request_bound::none);
  CHECK(actors[0]->full(1, 1) == request_bound::none);
}

TEST_CASE("request room: an actor's own bytes, and returned room") {
  room x;
  auto& one = x.actor();
  auto& place = x.open(one, 400);
  CHECK(one.full(1, 1) == request_bound::actor);
  place.resize(300);
  CHECK(one.full(1, 100) == request_bound::none);
  CHECK(x.host.bytes() == 300);
  x.all.clear();
  CHECK(x.host.bytes() == 0);
  CHECK(one.full(1, 400) == request_bound::none);
}

TEST_CASE(
    "I13 backpressure: actors that keep much of the host's room leave some to one that keeps "
    "little") {
  room x;
  CHECK(x.fill(x.actor()) == 400);
  CHECK(x.fill(x.actor()) == 300);  // as much as is left
  CHECK(x.fill(x.actor()) == 150);
  CHECK(x.fill(x.actor()) == 70);
  auto& modest = x.actor();
  CHECK(modest.full(1, 41) == request_bound::host);
  CHECK(modest.full(1, 40) == request_bound::none);
  CHECK(x.actors.front().full(1, 1) == request_bound::actor);
  CHECK(x.actors[1].full(1, 1) == request_bound::host);
}

TEST_CASE(
    "request room: the longest silent request, of an actor or of all, if silent for long enough") {
  room x;
  auto& one = x.actor();
  auto& other = x.actor();
  auto& first = x.unfinished(one, begin);
  auto& second = x.unfinished(other, begin + 1s);
  auto& third = x.unfinished(one, begin + 2s);
  const auto silent = [&](const request_share& of, request_bound at, duration after) {
    return of.longest_silent(at, begin + after);
  };
  CHECK(silent(one, request_bound::host, 10s) == nullptr);
  CHECK(silent(other, request_bound::host, 11s) == &first);
  CHECK(silent(other, request_bound::actor, 11s) == nullptr);
  first.handle_heard(begin + 11s);
  CHECK(silent(one, request_bound::host, 12s) == &second);
  CHECK(silent(one, request_bound::actor, 12s) == nullptr);
  CHECK(silent(one, request_bound::actor, 13s) == &third);
  third.handle_whole();
  third.handle_heard(begin + 13s);
  CHECK(silent(one, request_bound::actor, 20s) == nullptr);
  CHECK(silent(one, request_bound::actor, 22s) == &first);
  CHECK(third.heard() == begin + 13s);
}

TEST_CASE("request room: an actor that keeps much displaces no request of others") {
  room x;
  auto& modest = x.actor();
  auto& greedy = x.actor({.requests_max = 5, .bytes_max = 1000});
  auto& silent = x.unfinished(modest, begin);
  x.fill(greedy);
  auto& last = x.open(greedy, 2);
  const auto now = begin + 1min;
  CHECK(greedy.full(0, 10) == request_bound::host);
  CHECK(greedy.longest_silent(request_bound::host, now) == nullptr);
  CHECK(modest.longest_silent(request_bound::host, now) == &silent);
  last.handle_unfinished(begin + 30s);
  CHECK(greedy.longest_silent(request_bound::host, now) == &last);
}

TEST_CASE("request room: no client counts as silent while none can be heard") {
  room x;
  auto& one = x.actor();
  auto& place = x.unfinished(one, begin);
  x.host.handle_down();
  CHECK(one.longest_silent(request_bound::host, begin + 1h) == nullptr);
  x.host.handle_up(begin + 1h);
  CHECK(one.longest_silent(request_bound::host, begin + 1h + 10s) == nullptr);
  CHECK(one.longest_silent(request_bound::host, begin + 1h + 11s) == &place);
}

TEST_CASE("request room: a client that its handler holds up is not silent") {
  room x;
  auto& one = x.actor();
  const auto held = std::make_shared<upload_on_way>();
  held->add(0);
  held->add(100);
  auto& place = x.unfinished(one, begin, held);
  auto& other = x.unfinished(one, begin + 5s);
  CHECK(one.longest_silent(request_bound::actor, begin + 1min) == &other);
  held->take(0);
  held->take(100);
  CHECK(one.longest_silent(request_bound::actor, begin + 1min) == &other);
  other.handle_whole();
  CHECK(one.longest_silent(request_bound::actor, begin + 70s) == nullptr);
  CHECK(one.longest_silent(request_bound::actor, begin + 71s) == &place);
}

TEST_CASE("request room: a request that is being ended takes no place, but its bytes count") {
  room x;
  auto& one = x.actor({.requests_max = 1, .bytes_max = 400});
  auto& place = x.unfinished(one, begin);
  CHECK(one.full(1, 1) == request_bound::actor);
  place.vacate();
  place.vacate();
  CHECK(one.longest_silent(request_bound::actor, begin + 1min) == nullptr);
  place.resize(300);
  CHECK(one.full(1, 100) == request_bound::none);
  CHECK(one.full(1, 101) == request_bound::actor);
  auto& next = x.open(one, 1);
  CHECK(one.full(1, 1) == request_bound::actor);
  CHECK(next.id() == exchange(2));
  x.all.pop_front();
  CHECK(one.full(1, 1) == request_bound::actor);
  CHECK(one.full(0, 399) == request_bound::none);
}

TEST_CASE(
    "request room: of those that may have gone, an actor's own at its bound, anyone's at the "
    "host's") {
  room x;
  gateway_watch gateways{10s};
  auto& one = x.actor();
  auto& other = x.actor({.requests_max = 5, .bytes_max = 1000});
  auto& first = x.open(one, 1);
  auto& second = x.open(other, 1);
  gateways.handle_up(begin);
  first.handle_doubted(begin);
  second.handle_doubted(begin);
  const auto doubted = [&](request_share& of, request_bound at, duration after) {
    return of.doubted(at, gateways, begin + after);
  };
  CHECK(doubted(other, request_bound::host, 9s) == nullptr);
  CHECK(doubted(other, request_bound::host, 10s) == &first.doubt());
  CHECK(doubted(other, request_bound::actor, 10s) == &second.doubt());
  x.fill(other);  // one that keeps much ends no other's
  CHECK(doubted(other, request_bound::host, 10s) == &second.doubt());
  second.end_doubt();
  CHECK(doubted(other, request_bound::host, 10s) == nullptr);
  first.vacate();
  CHECK(doubted(one, request_bound::host, 10s) == nullptr);
  first.handle_doubted(begin);  // it is on its way out
  CHECK(doubted(one, request_bound::host, 10s) == nullptr);
}

TEST_CASE("request room: no more than the maximum make room at the same time") {
  room x;
  gateway_watch gateways{10s};
  auto& one = x.actor({.requests_max = 2, .bytes_max = 400});
  gateways.handle_up(begin);
  for (auto i = 0; i < 3; ++i) x.open(one, 1).handle_doubted(begin);
  const auto doubted = [&] { return one.doubted(request_bound::actor, gateways, begin + 10s); };
  x.all.front().vacate();
  CHECK(doubted() == &std::next(x.all.begin())->doubt());
  std::next(x.all.begin())->vacate();
  CHECK(doubted() == nullptr);
  x.all.emplace_back(std::move(x.all.front()));  // still in its actor's mailbox
  x.all.pop_front();
  CHECK(doubted() == nullptr);
  x.all.pop_back();
  CHECK(doubted() == &std::next(x.all.begin())->doubt());
}

TEST_CASE("request room: a place that is moved counts once, and is not unfinished") {
  room x;
  auto& one = x.actor({.requests_max = 2, .bytes_max = 400});
  x.unfinished(one, begin).resize(300);
  x.all.emplace_back(std::move(x.all.front()));
  CHECK(one.longest_silent(request_bound::actor, begin + 1min) == nullptr);
  CHECK(x.host.bytes() == 300);
  x.all.pop_front();
  CHECK(x.host.bytes() == 300);
  CHECK(one.full(1, 100) == request_bound::none);
  CHECK(one.full(2, 1) == request_bound::actor);
  x.all.clear();
  CHECK(x.host.bytes() == 0);
  CHECK(one.full(2, 400) == request_bound::none);
}

TEST_CASE("I13 backpressure: an upload never has more under way than the gateway has credit for") {
  upload_on_way x;
  x.add(100);
  CHECK_FALSE(x.exceeds_window(http_window_bytes - 100));
  CHECK(x.exceeds_window(http_window_bytes - 99));
  x.add(http_window_bytes - 100);
  CHECK(x.exceeds_window(1));
  CHECK_FALSE(x.all_taken());
  CHECK(x.cost() == http_window_bytes + 2 * waiting_message_bytes);
  x.take(100);
  CHECK_FALSE(x.exceeds_window(100));
  x.take(http_window_bytes - 100);
  CHECK(x.all_taken());
  CHECK(x.cost() == 0);
}

TEST_CASE(
    "I13 backpressure: one notice of a client's credit is under way, and it has the latest total") {
  response_credit x;
  x.handle(100);
  CHECK(x.poll_word());
  x.handle(300);
  x.handle(200);
  CHECK_FALSE(x.poll_word());
  CHECK(x.take_word() == 300);
  CHECK(x.poll_word());
  CHECK(x.take_word() == 300);
  CHECK(x.total() == 300);
}

}  // namespace request_room_test

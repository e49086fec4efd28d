// Room for clients' messages: which are refused when, and that the sums agree.
#include <doctest/doctest.h>

#include <deque>
#include <nuncio/tunnel/waiting_room.hpp>
#include <thread>
#include <vector>

namespace waiting_room_test {

using namespace nuncio;
using namespace std::chrono_literals;
using verdict = waiting_share::verdict;

namespace {

struct room {
  std::shared_ptr<waiting_pool> host = std::make_shared<waiting_pool>(1000);
  std::shared_ptr<waiting_pool> actor = std::make_shared<waiting_pool>(400, host);
  std::shared_ptr<waiting_pool> other = std::make_shared<waiting_pool>(400, host);
  std::deque<waiting_share> all;

  waiting_share& socket(
      const std::shared_ptr<waiting_pool>& of,
      std::size_t reserved = 0,
      std::size_t bytes_max = 300) {
    all.emplace_back().join(of, reserved, bytes_max);
    return all.back();
  }

  // What it gets by tens.
  static std::size_t fill(waiting_share& x) {
    while (x.take(10) == verdict::taken) {
    }
    return x.used();
  }
};

}  // namespace

TEST_CASE("waiting room: a WebSocket's own limit, except for a single message") {
  room x;
  auto& one = x.socket(x.actor, 0, 100);
  CHECK(one.take(150) == verdict::taken);
  CHECK(one.take(1) == verdict::socket_full);
  one.give_back(150);
  CHECK(one.take(100) == verdict::taken);
  CHECK(one.take(1) == verdict::socket_full);
  CHECK(one.used() == 100);
}

TEST_CASE("waiting room: one that takes all it can leaves as much for the others of its actor") {
  room x;
  CHECK(room::fill(x.socket(x.actor)) == 200);
  CHECK(room::fill(x.socket(x.actor)) == 100);
  CHECK(room::fill(x.socket(x.actor)) == 50);
  CHECK(x.actor->used() == 350);
}

TEST_CASE("waiting room: room() is what take() accepts, and no more") {
  room x;
  std::vector<waiting_share*> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(&x.socket(x.actor, 20));
    all.push_back(&x.socket(x.other));
  }
  for (std::size_t step = 0; step < 2000; ++step) {
    auto& one = *all[step * 7 % all.size()];
    const auto may = one.room();
    if (one.used() != 0) CHECK(one.take(may + 1) != verdict::taken);
    if (may != 0) CHECK(one.take(may) == verdict::taken);
    CHECK(one.room() == 0);
    if (auto& next = *all[step * 5 % all.size()]; step % 3 != 0)
      next.give_back(next.used() - next.used() / 3);
  }
}

TEST_CASE("waiting room: full actors leave room to those of another") {
  room x;
  std::vector<std::shared_ptr<waiting_pool>> actors;
  for (int a = 0; a < 10; ++a) {
    actors.push_back(std::make_shared<waiting_pool>(400, x.host));
    for (int i = 0; i < 10; ++i) room::fill(x.socket(actors.back()));
  }
  CHECK(x.host->used() <= 1000);
  CHECK(x.socket(x.other).take(10) == verdict::crowded);  // a hundred have filled it to the brim
  CHECK(x.socket(x.other, 20).take(20) == verdict::taken);
}

TEST_CASE(
    "I13 backpressure: when a waiting room is full the greedy are refused, not one that keeps "
    "little") {
  room x;
  auto& modest = x.socket(x.actor);
  std::vector<waiting_share*> greedy;
  for (int i = 0; i < 5; ++i) greedy.push_back(&x.socket(x.actor));
  for (auto* each : greedy) CHECK(room::fill(*each) > 0);
  CHECK(greedy[0]->take(5) == verdict::crowded);
  for (int i = 0; i < 100; ++i) {
    REQUIRE(modest.take(5) == verdict::taken);
    modest.give_back(5);
  }
}

TEST_CASE("waiting room: every WebSocket has its reserved share, however full the room is") {
  room x;
  for (int i = 0; i < 50; ++i) room::fill(x.socket(x.actor));
  const auto used = x.actor->used();
  auto& late = x.socket(x.actor, 30);
  CHECK(room::fill(late) >= 30);
  CHECK(x.actor->used() - used == late.used() - 30);
}

TEST_CASE("waiting room: returned room is available to others, in both rooms") {
  room x;
  auto& one = x.socket(x.actor, 7);
  CHECK(one.take(40) == verdict::taken);
  CHECK(one.take(50) == verdict::taken);
  CHECK(x.actor->used() == 83);
  CHECK(x.host->used() == 83);
  one.give_back(40);
  CHECK(x.host->used() == 43);
  one.give_back(50);
  CHECK(x.actor->used() == 0);
  CHECK(x.host->used() == 0);
}

TEST_CASE("waiting room: a place gives back once, wherever it has gone; its copies give nothing") {
  room x;
  const auto share = std::make_shared<waiting_share>();
  share->join(x.actor, 0, 300);
  const auto place = [&](std::size_t n) {
    REQUIRE(share->take(n) == verdict::taken);
    return waiting_place{share, n};
  };
  {
    auto a = place(10);
    auto b = place(20);
    const auto copy = a;  // NOLINT(performance-unnecessary-copy-initialization)
    CHECK(share->used() == 30);
    b = std::move(a);
    CHECK(share->used() == 10);
    b.give_back();
    b.give_back();
    CHECK(share->used() == 0);
    a = place(5);
    a = copy;
    CHECK(share->used() == 0);
    a = place(6);
  }
  CHECK(share->used() == 0);
  CHECK(x.host->used() == 0);
}

TEST_CASE("waiting room: given back by many threads while one takes, the sums agree") {
  const auto host = std::make_shared<waiting_pool>(1'000'000);
  std::vector<std::thread> threads;
  std::deque<waiting_share> sockets(4);
  std::deque<std::atomic<int>> taken(4);
  constexpr int messages = 20'000;
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    sockets[i].join(std::make_shared<waiting_pool>(1'000'000, host), 15, SIZE_MAX);
    threads.emplace_back([&, i] {
      for (int done = 0; done < messages;) {
        while (taken[i].load() == done) std::this_thread::yield();
        sockets[i].give_back(10);
        ++done;
      }
    });
  }
  std::size_t refused = 0;
  for (int n = 0; n < messages; ++n)
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      while (sockets[i].take(10) != verdict::taken) ++refused;
      ++taken[i];
    }
  for (auto& each : threads) each.join();
  CHECK(host->used() == 0);
  for (const auto& each : sockets) CHECK(each.used() == 0);
}

TEST_CASE("waiting room: memory is given back once much has been freed, and once for it") {
  release_watch x;
  constexpr std::size_t mib = std::size_t{1} << 20U;
  const time_point t{};
  CHECK_FALSE(x.handle_used(mib, t));
  CHECK_FALSE(x.poll_timeout());
  CHECK_FALSE(x.handle_used(100 * mib, t));
  REQUIRE(x.poll_timeout() == t + 1s);
  CHECK_FALSE(x.handle_used(60 * mib, t + 1s));
  CHECK_FALSE(x.handle_used(50 * mib, t + 1500ms));
  CHECK(x.handle_used(50 * mib, t + 2s));
  CHECK_FALSE(x.handle_used(50 * mib, t + 3s));
  CHECK(x.handle_used(0, t + 4s));
  CHECK_FALSE(x.poll_timeout());
  CHECK_FALSE(x.handle_used(0, t + 5s));
}

}  // namespace waiting_room_test

// outbound_room: who waits for room in the link's queue, and who is notified when there is some.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <nuncio/connection/outbound_room.hpp>
#include <nuncio/instances/instance_base.hpp>
#include <random>
#include <string>
#include <thread>

namespace nuncio::outbound_room_test {

using kind = room_waiter::kind;
using names = std::vector<std::string>;

struct fixture {
  room_waiter instance(std::size_t n) {
    while (contexts.size() <= n) contexts.push_back(std::make_shared<instance_base>(1));
    return {kind::instance, contexts[n]};
  }

  bool take(std::size_t n, const room_waiter& who, bool bulk = false) {
    const auto taken = room.take_for_client(n, bulk, who);
    if (!taken) CHECK(taken.error().code == errc::queue_full);
    return taken.ok();
  }

  // Nobody asks who is told while nobody can be.
  names told() {
    names out;
    if (!room.due()) return out;
    for (const auto& x : room.poll_told()) {
      if (x.what != kind::instance) {
        out.emplace_back(x.what == kind::host ? "host" : "storage");
        continue;
      }
      const auto at = std::find(contexts.begin(), contexts.end(), x.instance.lock());
      out.push_back(std::to_string(at - contexts.begin()));
    }
    return out;
  }

  outbound_room room{{.clients = 800, .storage = 100}};
  std::vector<std::shared_ptr<const instance_base>> contexts;
};

TEST_CASE_FIXTURE(
    fixture, "I13 backpressure: a refused sender is notified once, when its message would fit") {
  REQUIRE(take(500, {}));
  REQUIRE(take(300, {}));
  CHECK_FALSE(take(400, instance(0)));
  CHECK(told().empty());
  room.give_back_of_client(300, false);
  CHECK(told().empty());  // 300 are free
  room.give_back_of_client(100, false);
  CHECK(told() == names{"0"});
  room.give_back_of_client(100, false);
  CHECK(told().empty());
  CHECK_FALSE(take(600, instance(0)));
  room.give_back_of_client(100, false);
  CHECK(told() == names{"0"});
}

TEST_CASE_FIXTURE(fixture, "nobody is notified without having been refused") {
  REQUIRE(take(800, {}));
  room.give_back_of_client(800, false);
  CHECK_FALSE(room.due());
  CHECK(told().empty());
  CHECK(room.used() == 0);
}

TEST_CASE_FIXTURE(
    fixture, "one that is refused several times is notified once, for the smallest request") {
  REQUIRE(take(800, {}));
  for (const auto n : {300, 100, 200}) CHECK_FALSE(take(static_cast<std::size_t>(n), {}));
  room.give_back_of_client(100, false);
  CHECK(told() == names{"host"});
  room.give_back_of_client(700, false);
  CHECK(told().empty());
}

TEST_CASE_FIXTURE(
    fixture,
    "I13 backpressure: room is offered in the order of waiting, as much to each as it wants") {
  REQUIRE(take(800, {}));
  for (std::size_t n = 0; n < 4; ++n) CHECK_FALSE(take(100, instance(n)));
  room.give_back_of_client(250, false);
  CHECK(told() == names{"0", "1"});
  SUBCASE("who is refused again goes to the end") {
    REQUIRE(take(250, {}));
    CHECK_FALSE(take(100, instance(0)));
    room.give_back_of_client(200, false);
    CHECK(told() == names{"2", "3"});
    room.give_back_of_client(100, false);
    CHECK(told() == names{"0"});
  }
  SUBCASE("what those who were told do not take is the next ones'") {
    room.give_back_of_client(50, false);
    CHECK(told() == names{"2", "3"});
  }
}

TEST_CASE_FIXTURE(
    fixture,
    "I13 backpressure: no waiter passes one that needs more, which would never find room") {
  REQUIRE(take(700, {}));
  REQUIRE(take(100, {}));
  CHECK_FALSE(take(500, instance(0)));
  CHECK_FALSE(take(100, instance(1)));
  room.give_back_of_client(100, false);
  CHECK(told().empty());
  room.give_back_of_client(400, false);
  CHECK(told() == names{"0"});
  room.give_back_of_client(100, false);
  CHECK(told() == names{"1"});
}

// Nothing will be given back any more by which another one could be told.
TEST_CASE_FIXTURE(fixture, "I13 backpressure: all waiters are notified once the queue is empty") {
  REQUIRE(take(800, {}));
  for (std::size_t n = 0; n < 20; ++n) CHECK_FALSE(take(100, instance(n)));
  room.give_back_of_client(800, false);
  CHECK(told().size() == 20);
}

TEST_CASE_FIXTURE(
    fixture, "a message longer than the queue goes alone, and is notified when it may") {
  REQUIRE(take(10, {}));
  CHECK_FALSE(take(5000, instance(0)));
  room.give_back_of_client(10, false);
  CHECK(told() == names{"0"});
  CHECK(take(5000, instance(0)));
}

TEST_CASE_FIXTURE(fixture, "bodies have an eighth of the room, and waiters for it are notified") {
  CHECK(room.has_room_for_bodies({}));
  REQUIRE(take(100, {}, true));
  CHECK_FALSE(room.has_room_for_bodies(instance(0)));
  CHECK_FALSE(room.has_room_for_bodies(instance(0)));
  REQUIRE(take(100, {}));
  CHECK(told().empty());
  SUBCASE("not of any other") {
    room.give_back_of_client(100, false);
    CHECK(told().empty());
    CHECK_FALSE(room.has_room_for_bodies(instance(0)));
  }
  room.give_back_of_client(50, true);
  CHECK(told() == names{"0"});
  CHECK(room.has_room_for_bodies(instance(0)));
}

TEST_CASE_FIXTURE(fixture, "all waiters for bodies are notified once the queue holds none") {
  REQUIRE(take(100, {}, true));
  REQUIRE(take(100, {}));
  for (std::size_t n = 0; n < 20; ++n) CHECK_FALSE(room.has_room_for_bodies(instance(n)));
  room.give_back_of_client(50, true);
  CHECK(told() == names{"0"});  // it may say more than there is room for
  room.give_back_of_client(50, true);
  CHECK(told().size() == 19);
}

TEST_CASE_FIXTURE(fixture, "a waiter with a long message does not block waiters for bodies") {
  REQUIRE(take(700, {}));
  REQUIRE(take(100, {}, true));
  CHECK_FALSE(take(500, instance(0)));
  CHECK_FALSE(room.has_room_for_bodies(instance(1)));
  room.give_back_of_client(100, true);
  CHECK(told() == names{"1"});
}

TEST_CASE_FIXTURE(fixture, "storage has its own room, and is notified about it") {
  REQUIRE(take(800, {}));
  REQUIRE(room.take_for_storage(80).ok());
  CHECK_FALSE(room.take_for_storage(40).ok());
  CHECK_FALSE(take(100, {}));
  room.give_back_of_client(800, false);
  CHECK(told() == names{"host"});
  room.give_back_of_storage(10);
  CHECK(told().empty());
  room.give_back_of_storage(10);
  CHECK(told() == names{"storage"});
  room.give_back_of_storage(60);
  CHECK(told().empty());
}

TEST_CASE_FIXTURE(
    fixture, "I13 backpressure: when the connection ends all waiters are notified, once") {
  REQUIRE(take(800, {}, true));
  REQUIRE(room.take_for_storage(100).ok());
  CHECK_FALSE(room.take_for_storage(40).ok());
  CHECK_FALSE(take(100, {}));
  CHECK_FALSE(room.has_room_for_bodies(instance(0)));
  room.handle_connection_lost();
  CHECK(told() == names{"storage", "host", "0"});
  CHECK_FALSE(take(100, {}));
  CHECK(told().empty());
  room.give_back_of_client(100, true);
  CHECK(told() == names{"host"});
  room.handle_connection_lost();
  CHECK_FALSE(take(100 + 1, {}));
  CHECK(told().empty());
}

TEST_CASE_FIXTURE(fixture, "ended instances keep no place") {
  REQUIRE(take(800, {}));
  CHECK_FALSE(take(1, instance(0)));
  for (int n = 0; n < 1000; ++n) {
    const auto gone = std::make_shared<instance_base>(1);
    CHECK_FALSE(take(1, {kind::instance, gone}));
    if (n % 2 == 0) gone->gate.open.store(false);
    if (n % 2 == 0) contexts.push_back(gone);
  }
  room.give_back_of_client(800, false);
  const auto left = room.poll_told();
  CHECK(left.size() <= 65);
  CHECK(left.front().instance.lock() == contexts.front());
}

// Whoever is refused waits until it is told, and for nothing else: a word that is lost would be waited for in vain.
TEST_CASE_FIXTURE(
    fixture,
    "I13 backpressure: however room is taken and given back, everything is sent in the end") {
  constexpr std::size_t each = 20, speakers = 9;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random{seed};
    const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    outbound_room shared{{.clients = 1 + pick(300), .storage = 1}};

    struct speaker {
      std::size_t left = each;
      bool waits = false;
    };

    std::vector<speaker> all(speakers);
    std::deque<std::pair<std::size_t, bool>> queue;
    std::size_t turns = 0;
    const auto say = [&](std::size_t n) {
      auto& x = all[n];
      while (x.left != 0 && !x.waits) {
        const auto bulk = n % 2 == 0;
        const auto size = 1 + pick(100);
        x.waits = (bulk && !shared.has_room_for_bodies(instance(n))) ||
                  !shared.take_for_client(size, bulk, instance(n)).ok();
        if (x.waits) break;
        queue.emplace_back(size, bulk);
        --x.left;
      }
    };
    const auto tell = [&] {
      if (!shared.due()) return;
      for (const auto& who : shared.poll_told()) {
        const auto at = std::find(contexts.begin(), contexts.end(), who.instance.lock());
        const auto n = static_cast<std::size_t>(at - contexts.begin());
        CHECK(all[n].waits);
        all[n].waits = false;
        if (pick(10) == 0) all[n].left = 0;  // its client has gone
        say(n);
      }
    };
    for (std::size_t n = 0; n < speakers; ++n) say(n);
    for (tell(); !queue.empty(); tell()) {
      REQUIRE(++turns < 10 * each * speakers);
      shared.give_back_of_client(queue.front().first, queue.front().second);
      queue.pop_front();
      if (pick(20) == 0) shared.handle_connection_lost();
    }
    for (const auto& x : all) CHECK(x.left == 0);
    CHECK(shared.used() == 0);
  }
}

// As between the threads of actors and that of the link: who is refused just when the last is given back is told.
TEST_CASE_FIXTURE(fixture, "I13 backpressure: no thread is refused without being notified") {
  constexpr std::size_t each = 20'000;
  outbound_room shared{{.clients = 3, .storage = 1}};
  std::atomic<std::size_t> queued = 0;
  std::array<std::atomic<bool>, 2> told{};
  std::atomic<std::size_t> speaking = told.size();
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds{60};
  const auto late = [&] { return std::chrono::steady_clock::now() > limit; };
  std::vector<std::thread> speakers;
  for (std::size_t n = 0; n < told.size(); ++n)
    speakers.emplace_back([&, n, who = instance(n)] {
      for (std::size_t left = each; left != 0;) {
        if (shared.take_for_client(1, false, who).ok()) {
          queued.fetch_add(1);
          --left;
          continue;
        }
        while (!told[n].exchange(false) && !late()) std::this_thread::yield();
        if (late()) break;
      }
      speaking.fetch_sub(1);
    });
  while (speaking.load() != 0 || queued.load() != 0) {
    if (queued.load() != 0) {
      queued.fetch_sub(1);
      shared.give_back_of_client(1, false);
    }
    if (!shared.due()) continue;
    for (const auto& who : shared.poll_told())
      told[who.instance.lock() == contexts[0] ? 0 : 1].store(true);
  }
  for (auto& x : speakers) x.join();
  CHECK_FALSE(late());
  CHECK(shared.used() == 0);
}

}  // namespace nuncio::outbound_room_test

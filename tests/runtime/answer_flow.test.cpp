// answer_flow: how much is requested at a time, on fast and slow links.
#include <doctest/doctest.h>

#include <deque>
#include <nuncio/storage/answer_flow.hpp>
#include <nuncio/storage/storage_call.hpp>
#include <vector>

namespace nuncio::answer_flow_test {
namespace {

using namespace std::chrono_literals;
using lane = answer_flow::lane;

constexpr std::size_t mib = 1UL << 20U;
constexpr std::size_t longest = answer_bytes_longest + answer_overhead;

// A link that carries so many bytes a second, one answer after the other, and an engine that answers after a while. Actors ask
// for one answer after the other.
struct world {
  struct actor {
    std::size_t answer = 0;  ///< bytes of each
    std::size_t wants = 1;
    answer_sizes sizes{};
    std::size_t longest = answer_flow_test::longest;
    std::vector<duration> took{};
    bool asks = false;
  };

  struct asked {
    actor* by;
    answer_flow::plan plan;
    time_point at, sent;
  };

  explicit world(double rate, duration rtt) : bytes_per_second(rate), round_trip(rtt) {}

  actor& add(std::size_t answer, std::size_t wants = 1) {
    return actors.emplace_back(actor{.answer = answer, .wants = wants});
  }

  // Whoever waits asks as soon as there is room, in turns.
  void ask_all() {
    for (auto& x : actors) {
      if (x.wants == 0 || x.asks) continue;
      const auto plan = flow.plan_for(x.longest, x.sizes);
      if (!flow.take(plan, now)) continue;
      x.asks = true;
      --x.wants;
      const auto begin = std::max(line_free, now + round_trip);
      line_free = begin + std::chrono::duration_cast<duration>(std::chrono::duration<double>(
                              static_cast<double>(x.answer) / bytes_per_second));
      under_way.push_back({&x, plan, line_free, now});
      standing = std::max(standing, line_free - now - round_trip);
    }
  }

  void run() {
    ask_all();
    while (!under_way.empty()) {
      const auto x = under_way.front();
      under_way.pop_front();
      now = x.at;
      flow.handle_answer(x.plan, x.by->longest, x.by->answer, x.by->sizes, x.sent, now);
      flow.give_back(x.plan);
      x.by->took.push_back(now - x.sent);
      x.by->asks = false;
      ask_all();
    }
  }

  double bytes_per_second;
  duration round_trip;
  answer_flow flow;
  std::deque<actor> actors;
  std::deque<asked> under_way;
  time_point now{1h}, line_free{1h};
  duration standing{};  ///< for how long, at most, what the engine says next waits behind answers
};

TEST_CASE(
    "I13 backpressure: requested answers never delay the engine's Pings for long, on a link of any "
    "speed") {
  // Each of 40 actors reads 18 MB, all at once: 720 MB. At 10 MB/s that is more than a minute; the engine waits for 15 s.
  for (const double rate : {2e6, 10e6, 100e6, 5e9}) {
    CAPTURE(rate);
    world x{rate, 50ms};
    for (int n = 0; n < 40; ++n) x.add(18 * mib, 3);
    x.run();
    const auto alone = std::chrono::duration<double>(18.0 * mib / rate);
    const auto bound = std::max<std::chrono::duration<double>>(alone, 3s);
    CHECK(std::chrono::duration<double>(x.standing) <= bound + 1ms);
    for (const auto& each : x.actors) CHECK(each.took.size() == 3);
  }
}

TEST_CASE("a fast link is filled") {
  world x{1e9, 50ms};
  for (int n = 0; n < 40; ++n) x.add(18 * mib, 20);
  x.run();
  CHECK(x.flow.window() == answer_flow_limits{}.window_max);
  // 15 GB in 15 s, if no time is lost.
  const auto took = std::chrono::duration<double>(x.now - time_point{1h}).count();
  CHECK(took < 800 * 18.0 * mib / 1e9 * 1.15);
}

TEST_CASE(
    "I13 backpressure: short answers are requested by many actors at once, however far the engine "
    "is") {
  world x{1e7, 800ms};
  for (int n = 0; n < 300; ++n) x.add(200, 2);
  x.run();
  // The first of 300 actors that were never answered are asked one after the other, and soon all at once.
  CHECK(x.now - time_point{1h} < 15 * 800ms);
  CHECK(x.standing < 10ms);
  // From then on their second ones need no room to speak of.
  const auto plan = x.flow.plan_for(longest, x.actors.front().sizes);
  CHECK(plan.in == lane::brief);
  CHECK(plan.bytes <= 600);
}

TEST_CASE("I13 backpressure: which lane an answer waits in, and what it is expected to take") {
  answer_flow x;
  answer_sizes none, some;
  const auto is = [](answer_flow::plan got, lane in, std::size_t bytes) {
    CHECK(got.in == in);
    CHECK(got.bytes == bytes);
  };
  is(x.plan_for(answer_overhead, none), lane::bounded, 0);
  // Nothing is known: as long as there are, or as much as the first window.
  is(x.plan_for(100'000, none), lane::bounded, 100'000);
  is(x.plan_for(mib, none), lane::bounded, mib);
  is(x.plan_for(mib + 1, none), lane::lengthy, mib + 1);
  is(x.plan_for(longest, none), lane::lengthy, 4 * mib);
  const auto hear = [&](std::size_t of_longest, std::size_t bytes, answer_sizes& of) {
    const auto plan = x.plan_for(of_longest, of);
    x.handle_answer(plan, of_longest, bytes, of, time_point{1h}, time_point{1h});
  };
  hear(longest, 18 * mib, some);
  is(x.plan_for(longest, some), lane::lengthy, 18 * mib);
  is(x.plan_for(longest, none), lane::lengthy, 18 * mib);
  is(x.plan_for(20 * mib, some), lane::lengthy, 18 * mib);
  is(x.plan_for(2 * mib, some), lane::lengthy, 2 * mib);
  // What has a short bound is learned apart.
  is(x.plan_for(100'000, some), lane::bounded, 100'000);
  hear(100'000, 700, some);
  is(x.plan_for(100'000, some), lane::bounded, 700);
  is(x.plan_for(100'000, none), lane::bounded, 100'000);
  // A short answer forgets a quarter of a long one.
  hear(longest, 1000, some);
  is(x.plan_for(longest, some), lane::lengthy, 18 * mib / 4 * 3);
  for (int n = 0; n < 40; ++n) hear(longest, 1000, some);
  is(x.plan_for(longest, some), lane::brief, 1000);
  // Who was never answered is expected to take a part of what it may.
  is(x.plan_for(longest, none), lane::brief, longest / 32);
  // What an actor learned for itself is not asked of others.
  hear(longest, 18 * mib, none);
  is(x.plan_for(longest, some), lane::brief, 1000);
}

TEST_CASE("I13 backpressure: each lane has the window to itself, and one answer in any case") {
  answer_flow x;
  const time_point now{1h};
  CHECK(x.take({lane::lengthy, 18 * mib}, now));
  CHECK_FALSE(x.take({lane::lengthy, 1}, now));
  CHECK(x.take({lane::brief, 3 * mib}, now));
  CHECK_FALSE(x.take({lane::brief, mib + 1}, now));
  CHECK(x.take({lane::brief, mib}, now));
  CHECK(x.take({lane::bounded, 4 * mib}, now));
  CHECK_FALSE(x.take({lane::bounded, 1}, now));
  CHECK(x.take({lane::bounded, 0}, now));  // a word
  x.give_back({lane::lengthy, 18 * mib});
  CHECK(x.take({lane::lengthy, 32 * mib}, now));
  x.give_back({lane::brief, mib});
  CHECK(x.take({lane::brief, mib}, now));
}

TEST_CASE(
    "I13 backpressure: the window: grown by what comes quickly and is held back, halved once for "
    "what comes late") {
  answer_flow x;
  answer_sizes of;
  time_point now{1h};
  const auto carry = [&](std::size_t bytes, duration took, std::size_t came) {
    const answer_flow::plan plan{lane::lengthy, bytes};
    const auto asked = now;
    REQUIRE(x.take(plan, now));
    now += took;
    x.handle_answer(plan, longest, came, of, asked, now);
    x.give_back(plan);
  };
  carry(2 * mib, 100ms, 2 * mib);  // it held nothing back
  CHECK(x.window() == 4 * mib);
  carry(3 * mib, 1s, 100);
  CHECK(x.window() == 7 * mib);
  carry(7 * mib, 1001ms, 100);  // neither quick nor late
  carry(7 * mib, 2s, 100);
  CHECK(x.window() == 7 * mib);
  carry(30 * mib, 1s, 100);
  CHECK(x.window() == 37 * mib);
  carry(30 * mib, 1s, 100);  // above, by what was carried
  CHECK(x.window() == 37 * mib + 100);
  carry(300 * mib, 1s, 300 * mib);
  CHECK(x.window() == 256 * mib);
  // Not needed for 10 s: another link may be as slow.
  now += 10s;
  CHECK(x.take({lane::brief, 1}, now));
  CHECK(x.window() == 256 * mib);
  now += 1ms;
  CHECK(x.take({lane::brief, 1}, now));
  CHECK(x.window() == 4 * mib);
  carry(4 * mib, 2001ms, 4 * mib);
  CHECK(x.window() == 2 * mib);
  for (int n = 0; n < 5; ++n) carry(mib, 3s, mib);
  CHECK(x.window() == mib);
  now += 11s;
  CHECK(x.take({lane::brief, 1}, now));
  CHECK(x.window() == mib);  // what is known to be slow stays so
  carry(mib, 100ms, mib);
  CHECK(x.window() == 2 * mib);
  x.handle_link_up();
  CHECK(x.window() == 4 * mib);
  // All that was under way when it was halved is late for the same reason.
  const auto asked = now;
  now += 5s;
  for (int n = 0; n < 3; ++n) x.handle_answer({lane::brief, 1}, longest, 1, of, asked, now);
  CHECK(x.window() == 2 * mib);
}

}  // namespace
}  // namespace nuncio::answer_flow_test

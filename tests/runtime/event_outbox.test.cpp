// The outbox's promises, also against a model of an engine that loses connections and acks.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <nuncio/commands/event_outbox.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace event_outbox_test {

using namespace nuncio;
using namespace std::chrono_literals;
using protocol::stop_code;

namespace {

const time_point start{1h};
const actor_ref a1{actor_id{"a"}, 1}, b1{actor_id{"b"}, 1};

std::vector<std::int64_t> indexes(const std::optional<protocol::to_rivet_events>& frame) {
  std::vector<std::int64_t> out;
  if (frame)
    for (const auto& e : frame->events) out.push_back(e.checkpoint.index);
  return out;
}

using list = std::vector<std::int64_t>;

list send(event_outbox& x) {
  auto out = indexes(x.poll_transmit());
  x.handle_written(x.connection());
  return out;
}

bool is_stopped(const protocol::event_wrapper& e) {
  const auto* update = std::get_if<protocol::event_actor_state_update>(&e.inner);
  return update && std::holds_alternative<protocol::actor_state_stopped>(update->state);
}

protocol::to_envoy_ack_events ack(const actor_ref& who, std::int64_t index) {
  return {{{who.actor, who.generation, index}}};
}

}  // namespace

TEST_CASE("Events count from 250 in steps of 251, on across connections") {
  event_outbox x;
  x.handle_running(a1);
  x.handle_link_up(1, start);
  CHECK(send(x) == list{250});
  x.handle_acked(ack(a1, 250));
  CHECK(x.stats().kept == 0);
  CHECK(x.engine_acks());
  x.handle_link_down(start);
  x.handle_link_up(2, start);
  x.handle_alarm(a1, 5);
  CHECK(send(x) == list{501});
}

TEST_CASE(
    "I10 events arrive: kept events go first on a new connection, in order, and ask for a lost "
    "ack") {
  event_outbox x;
  x.handle_link_up(1, start);
  x.handle_running(a1);
  x.handle_running(b1);
  CHECK(send(x).size() == 2);
  x.handle_link_down(start);
  x.handle_alarm(b1, 7);
  x.handle_link_up(2, start);
  x.handle_alarm(a1, 9);
  // a's Running, b's Running and alarm, a's question; b's new alarm is question enough; then what
  // is new.
  CHECK(send(x) == list{250, 250, 501, 501, 752});
  CHECK(send(x).empty());
  x.handle_acked(ack(a1, 501));
  x.handle_acked(ack(b1, 501));
  CHECK(x.stats().kept == 1);
  CHECK(x.stats().resent == 2);
}

TEST_CASE("I9 bounded: an unacked event and its question do not grow with reconnects") {
  event_outbox x;
  x.handle_running(a1);
  for (epoch e = 1; e < 200; ++e) {
    x.handle_link_up(e, start);
    const auto sent = send(x);
    CHECK(sent.front() == 250);
    CHECK(sent.size() == (e == 1 ? 1 : 2));
    CHECK(x.stats().kept <= 2);
  }
}

TEST_CASE(
    "I10 events arrive: one Stopped for each generation, never acked away, and what it makes "
    "pointless goes") {
  event_outbox x;
  x.handle_link_up(1, start);
  x.handle_running(a1);
  x.handle_alarm(a1, 1);
  x.handle_intent(a1, protocol::actor_intent_sleep{});
  x.handle_stopped(a1, stop_code::ok, {});
  x.handle_stopped(a1, stop_code::error, "again");
  x.handle_orphan_stop(a1);
  x.handle_running(a1);
  CHECK(send(x) == list{501, 1003});
  x.handle_acked(ack(a1, 1003));
  CHECK(x.stats().kept == 1);
  CHECK(x.stats().stopped == 1);
  x.handle_link_down(start);
  x.handle_link_up(2, start);
  CHECK(send(x) == list{1003});
}

TEST_CASE(
    "I10 events arrive: ids and messages of any length leave in frames that an engine takes") {
  event_outbox x{{.frame_bytes_max = 1000}};
  x.handle_link_up(1, start);
  for (int i = 0; i < 5; ++i)
    x.handle_running({actor_id{std::to_string(i) + std::string(400, 'x')}, 1});
  x.handle_running({actor_id{std::string(3000, 'y')}, 1});
  x.handle_stopped(a1, stop_code::error, std::string(900, 'w'));
  x.handle_stopped(b1, stop_code::error, std::string(900, 'w'));
  std::vector<std::size_t> frames;
  for (auto one = send(x); !one.empty(); one = send(x)) frames.push_back(one.size());
  CHECK(frames == std::vector<std::size_t>{2, 2, 1, 1, 1, 1});
}

TEST_CASE("A Stop for an unknown generation is answered above any counter") {
  event_outbox x;
  x.handle_link_up(1, start);
  x.handle_orphan_stop(a1);
  x.handle_orphan_stop(a1);
  CHECK(send(x) == list{std::int64_t{1} << 53});
}

TEST_CASE(
    "I10 events arrive: a Stopped goes once it is fenced and its grace of connected time has "
    "passed") {
  event_outbox x;
  x.handle_link_up(1, start);
  x.handle_stopped(a1, stop_code::error, "why");
  CHECK(!x.poll_fence());
  CHECK(send(x).size() == 1);
  const auto fence = x.poll_fence();
  REQUIRE(fence);
  CHECK(!x.poll_fence());
  x.handle_fence(1, *fence, start);
  CHECK(x.poll_timeout() == start + 5min);
  SUBCASE("connected all the time") {
    x.expire(start + 5min - 1ns);
    CHECK(x.stats().kept == 1);
    x.expire(start + 5min);
    CHECK(x.stats().kept == 0);
    CHECK(x.stats().actors == 0);
  }
  SUBCASE("a drop starts it over") {
    x.handle_link_down(start + 4min);
    x.expire(start + 10min);
    x.handle_link_up(2, start + 10min);
    CHECK(send(x).size() == 1);
    x.handle_fence(1, *fence, start + 10min);
    CHECK(!x.poll_timeout());
    const auto next = x.poll_fence();
    REQUIRE(next);
    x.handle_fence(2, *next, start + 10min);
    CHECK(x.poll_timeout() == start + 15min);
  }
  SUBCASE("superseded: at once") {
    x.handle_superseded(a1.actor, 2);
    CHECK(x.stats().kept == 0);
    CHECK(!x.poll_timeout());
  }
}

TEST_CASE("I11 generations: events of an older generation after those of a newer one are ignored") {
  event_outbox x;
  x.handle_running({a1.actor, 1});
  x.handle_running({a1.actor, 2});
  x.handle_stopped({a1.actor, 1}, stop_code::ok, {});
  CHECK(x.stats().actors == 1);
  CHECK(x.stats().kept == 1);
}

TEST_CASE("One frame is in flight at a time, and of limited size") {
  event_outbox x{{.events_max = 100}};
  x.handle_link_up(1, start);
  for (int i = 0; i < 250; ++i) x.handle_running({actor_id{std::to_string(i)}, 1});
  CHECK(indexes(x.poll_transmit()).size() == 100);
  CHECK(!x.poll_transmit());
  x.handle_written(0);
  CHECK(!x.poll_transmit());
  x.handle_written(1);
  CHECK(send(x).size() == 100);
  CHECK(send(x).size() == 50);
}

TEST_CASE("A Stopped's message is adapted to the wire") {
  event_outbox x;
  x.handle_link_up(1, start);
  x.handle_stopped(a1, stop_code::error, "bad \xff byte");
  x.handle_stopped(b1, stop_code::error, std::string(4095, 'x') + "\xe2\x82\xac");
  const auto frame = x.poll_transmit();
  REQUIRE(frame);
  std::vector<std::string> said;
  for (const auto& e : frame->events) {
    const auto& update = std::get<protocol::event_actor_state_update>(e.inner);
    const auto& message = std::get<protocol::actor_state_stopped>(update.state).message;
    REQUIRE(message);
    said.push_back(message->str());
  }
  CHECK(said == std::vector<std::string>{"bad ? byte", std::string(4095, 'x')});
}

TEST_CASE("I9 bounded: 1,000,000 lifetimes and 100 connections leave nothing behind") {
  event_outbox x{{.bytes_max = 8 << 20}};
  auto now = start;
  epoch connection = 0;
  std::size_t peak = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    if (i % 10'000 == 0) {
      x.handle_link_down(now);
      x.handle_link_up(++connection, now);
      while (x.poll_transmit()) x.handle_written(connection);
    }
    now += 1ms;
    const actor_ref who{actor_id{std::to_string(i)}, 1};
    x.handle_running(who);
    x.handle_stopped(who, stop_code::ok, {});
    while (x.poll_transmit()) x.handle_written(connection);
    if (const auto fence = x.poll_fence()) x.handle_fence(connection, *fence, now);
    x.expire(now);
    peak = std::max(peak, static_cast<std::size_t>(x.stats().bytes));
  }
  CHECK(peak <= 9 << 20);
  x.expire(now + 1h);
  CHECK(x.stats().kept == 0);
  CHECK(x.stats().actors == 0);
  CHECK(x.stats().bytes == 0);
}

TEST_CASE(
    "I10 events arrive: however many actors live, the Stopped of one is not dropped for them") {
  event_outbox x{{.bytes_max = 4096}};
  x.handle_link_up(1, start);
  for (int i = 0; i < 1000; ++i) x.handle_running({actor_id{std::to_string(i)}, 1});
  while (!send(x).empty()) {
  }
  x.handle_stopped({actor_id{"7"}, 1}, stop_code::ok, {});
  CHECK(x.stats().dropped_at_cap == 0);
  CHECK(send(x).size() == 1);
  // What is over has the bound for itself.
  for (int i = 100; i < 200; ++i)
    x.handle_stopped({actor_id{std::to_string(i)}, 1}, stop_code::ok, {});
  CHECK(x.stats().dropped_at_cap > 80);
  CHECK(x.stats().dropped_at_cap < 100);
}

TEST_CASE("I13 backpressure: a mass stop of 100,000 actors leaves in frames of limited size") {
  event_outbox x;
  x.handle_link_up(1, start);
  // As long as what the host says of an actor of which clients are not to hear more.
  const std::string why(100, 'x');
  for (int i = 0; i < 100'000; ++i)
    x.handle_stopped({actor_id{std::to_string(i)}, 1}, stop_code::error, why);
  CHECK(x.stats().dropped_at_cap == 0);
  std::size_t sent = 0;
  for (auto n = send(x).size(); n != 0; n = send(x).size()) {
    REQUIRE(n <= 512);
    sent += n;
  }
  CHECK(sent == 100'000);
}

TEST_CASE("I10 events arrive: whatever is lost, in order, none twice on a connection, 300 seeds") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    const auto pick = [&](std::uint64_t n) { return random() % n; };
    event_outbox x{{.events_max = 1 + pick(5)}};
    auto now = start;
    epoch connection = 0;
    bool up = false;
    std::set<std::tuple<actor_ref, std::int64_t>> on_this;  // sent on this connection
    std::map<actor_ref, std::int64_t> engine;               // last index that the engine took
    std::map<actor_ref, std::int64_t> stopped_at;
    std::set<actor_ref> must_stop;
    std::optional<std::uint64_t> fence;
    const auto pump = [&](bool lossy) {
      while (const auto frame = x.poll_transmit()) {
        const bool lost = lossy && pick(4) == 0;
        for (const auto& e : frame->events) {
          const actor_ref who{e.checkpoint.actor_id, e.checkpoint.generation};
          REQUIRE(on_this.emplace(who, e.checkpoint.index).second);
          if (is_stopped(e)) {
            const auto [it, first] = stopped_at.emplace(who, e.checkpoint.index);
            REQUIRE(it->second == e.checkpoint.index);
          } else {
            REQUIRE((!stopped_at.contains(who) || !on_this.contains({who, stopped_at[who]})));
          }
          if (lost) continue;
          auto& last = engine.emplace(who, -1).first->second;
          if (e.checkpoint.index <= last) continue;
          last = e.checkpoint.index;
          if (!is_stopped(e) && pick(3) != 0) x.handle_acked(ack(who, last));
        }
        if (lost) {
          x.handle_link_down(now);
          up = false;
          return;
        }
        x.handle_written(connection);
        if (!fence) fence = x.poll_fence();
      }
    };
    for (int step = 0; step < 300; ++step) {
      now += std::chrono::seconds{pick(30)};
      const actor_ref who{actor_id{std::string(1, static_cast<char>('a' + pick(6)))}, 1};
      switch (pick(9)) {
        case 0:
          x.handle_running(who);
          break;
        case 1:
          x.handle_intent(who, protocol::actor_intent_sleep{});
          break;
        case 2:
          x.handle_alarm(who, 1);
          break;
        case 3:
          if (pick(4) == 0 && must_stop.insert(who).second)
            x.handle_stopped(who, stop_code::error, "x");
          break;
        case 4:
          x.handle_link_down(now);
          up = false;
          break;
        case 5:
        case 6:
          if (!up) {
            x.handle_link_up(++connection, now);
            up = true;
            on_this.clear();
            fence.reset();
          }
          break;
        default:
          if (fence) x.handle_fence(connection, *fence, now);
          fence.reset();
      }
      if (up) pump(true);
      REQUIRE(x.stats().kept <= 6 * 4);
      if (step % 7 == 0)
        x.expire(start);  // no grace ends: a generation here never says anything twice
    }
    x.handle_link_down(now);
    x.handle_link_up(++connection, now);
    on_this.clear();
    pump(false);
    for (const auto& who : must_stop) CHECK(engine[who] == stopped_at[who]);
  }
}

TEST_CASE(
    "I10 events arrive: a drop in the middle of the kept events starts again with the first") {
  event_outbox x{{.events_max = 1}};
  x.handle_link_up(1, start);
  x.handle_stopped(a1, stop_code::ok, {});
  x.handle_orphan_stop(b1);
  CHECK(send(x) == list{250});
  x.handle_link_down(start);
  x.handle_link_up(2, start);
  CHECK(send(x) == list{250});
  CHECK(send(x) == list{orphan_event_index});
}

}  // namespace event_outbox_test

// Invariants that no single machine holds, or that another machine could break: ledger and acks together against an engine that
// stores commands until they are acked, loses acks and replays.
#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <nuncio/commands/ack_aggregator.hpp>
#include <nuncio/commands/command_ledger.hpp>
#include <nuncio/commands/event_outbox.hpp>
#include <random>
#include <string>
#include <vector>

#include "support/command_store.hpp"

namespace invariants_test {

using namespace nuncio;
using namespace std::chrono_literals;

namespace {

const time_point start{1h};

protocol::actor_checkpoint at(std::string_view id, std::uint32_t generation, std::int64_t index) {
  return {actor_id{id}, generation, index};
}

// What the engine's clock says at `start`.
constexpr engine_ms engine_start = 1'700'000'000'000;

verdict admit_start(
    command_ledger& x,
    const protocol::actor_checkpoint& what,
    std::chrono::milliseconds age = 0ms) {
  return x.admit(what, engine_start - age.count(), engine_start, start);
}

// The engine's store of unacked commands on one end, ledger and aggregator on the other.
struct command_path {
  command_ledger ledger;
  ack_aggregator acks;
  epoch connection = 0;
  time_point now = start;

  test::command_store store;
  std::map<actor_ref, std::int64_t> last_index, dispatched;

  [[nodiscard]] engine_ms engine_now() const { return engine_start + (now - start) / 1ms; }

  // What must stay 0.
  int out_of_order = 0;  // I1
  int unrecorded = 0;    // I2, I6: acked, or let go by the ledger, but not in it
  int invented = 0;      // I6: acked, but never sent

  bool recorded(const actor_ref& who, std::int64_t index) const {
    const auto newest = ledger.newest_generation(who.actor);
    if (newest && *newest > who.generation) return true;
    return ledger.last_index(who).value_or(0) >= index;
  }

  void deliver(const protocol::actor_checkpoint& command, const protocol::command& what) {
    const actor_ref who{command.actor_id, command.generation};
    const auto* const start = std::get_if<protocol::command_start_actor>(&what);
    std::optional<engine_ms> created;
    if (start != nullptr) created = start->config.create_ts;
    const auto judged = ledger.admit(command, created, engine_now(), now);
    if (!recorded(who, command.index)) ++unrecorded;
    if (judged == verdict::fresh) {
      auto& last = dispatched[who];
      if (command.index <= last) ++out_of_order;
      last = command.index;
      if (start != nullptr)
        ledger.handle_live(who);
      else
        ledger.handle_gone(who, now);
    }
    const std::vector<protocol::actor_checkpoint> processed{command};
    acks.handle_processed(connection, processed);
  }

  // A new command: the next index of `who`, sent at once if connected.
  void command(const actor_ref& who) {
    const protocol::actor_checkpoint at{who.actor, who.generation, ++last_index[who]};
    protocol::command what = protocol::command_stop_actor{};
    if (at.index == 1) {
      protocol::command_start_actor start;
      start.config.create_ts = engine_now();
      what = std::move(start);
    }
    store.store(at, what);
    if (connection != 0 && up) deliver(at, what);
  }

  void connect() {
    up = true;
    acks.handle_link_up(++connection);
    for (const auto& x : store.replay()) deliver(x.checkpoint, x.inner);
  }

  void cut() {
    up = false;
    acks.handle_link_down();
  }

  // Takes one frame of acks off the host; a lost one never gets to the engine. @returns if there
  // was one
  bool transmit(bool lost) {
    const auto frame = acks.poll_transmit();
    if (!frame) return false;
    for (const auto& x : frame->last_command_checkpoints) {
      if (!store.was_stored(x)) {
        ++invented;
        continue;
      }
      if (!recorded({x.actor_id, x.generation}, x.index)) ++unrecorded;
      if (!lost) store.acknowledge(x);
    }
    return true;
  }

  void written() { acks.handle_written(connection); }

  bool up = false;
};

// Starts, Stops, newer generations, cuts, acks lost with a connection or without; then quiet.
command_path play(std::uint64_t seed) {
  std::mt19937_64 random{seed};
  const auto pick = [&](std::uint64_t n) { return random() % n; };
  command_path x;
  std::map<actor_id, std::uint32_t> generation;
  x.connect();
  for (int step = 0; step < 400; ++step) {
    x.now += std::chrono::seconds{pick(20)};
    switch (pick(8)) {
      case 0:
      case 1:
      case 2: {
        const actor_id id{std::string(1, static_cast<char>('a' + pick(8)))};
        auto& g = generation[id];
        if (g == 0 || pick(3) == 0) ++g;
        const actor_ref who{id, g};
        if (x.last_index[who] < 2) x.command(who);
        break;
      }
      case 3:
        if (x.up) x.cut();
        break;
      case 4:
        if (!x.up) x.connect();
        break;
      default:
        if (pick(2)) x.written();
        x.transmit(pick(3) == 0);
    }
    x.ledger.expire(x.now);
  }
  x.cut();
  x.connect();
  do x.written();
  while (x.transmit(false));
  return x;
}

}  // namespace

TEST_CASE("I1 fresh only: whatever is lost and replayed, indexes strictly increase, 300 seeds") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    const auto x = play(seed);
    CHECK(x.out_of_order == 0);
    CHECK(x.ledger.stats().duplicates > 0);
  }
}

TEST_CASE("I2 record first: the index is there when admit returns, whatever the verdict") {
  command_ledger x;
  const actor_ref who{actor_id{"a"}, 2};
  CHECK(!x.last_index(who));
  REQUIRE(admit_start(x, at("a", 2, 1)) == verdict::fresh);
  CHECK(x.last_index(who) == 1);
  CHECK(x.admit(at("a", 2, 2), std::nullopt, engine_start, start) == verdict::fresh);
  CHECK(x.last_index(who) == 2);
  REQUIRE(admit_start(x, at("a", 2, 1)) == verdict::duplicate);
  CHECK(x.last_index(who) == 2);
  REQUIRE(admit_start(x, at("a", 3, 1), 1h) == verdict::expired);
  CHECK(x.last_index({who.actor, 3}) == 1);
  REQUIRE(admit_start(x, at("b", 1, 1), 1h) == verdict::expired);
  CHECK(x.last_index({actor_id{"b"}, 1}) == 1);
}

TEST_CASE("I5 acks complete: one barrier after the last fault the store is empty, 300 seeds") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    CHECK(play(seed).store.unacked().empty());
  }
}

TEST_CASE(
    "I5 acks complete: Start and Stop in one flush, and a frame in flight when the link drops") {
  command_path x;
  const actor_ref a{actor_id{"a"}, 1}, b{actor_id{"b"}, 1};
  x.connect();
  x.command(a);
  x.command(a);
  REQUIRE(x.transmit(false));
  CHECK(x.store.unacked().empty());
  x.command(b);  // waits for the frame that nobody will ever report as written
  x.cut();
  x.connect();
  CHECK(x.transmit(false));
  CHECK(x.store.unacked().empty());
}

TEST_CASE("I6 acks honest: only what was sent and recorded is acked, 300 seeds") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    const auto x = play(seed);
    CHECK(x.invented == 0);
    CHECK(x.unrecorded == 0);
  }
}

TEST_CASE("I6 acks honest: generations are acked side by side, each as it was") {
  ack_aggregator x;
  x.handle_link_up(1);
  const std::vector<protocol::actor_checkpoint> processed{
      at("a", 1, 2), at("a", 2, 1), at("b", 7, 1)};
  x.handle_processed(1, processed);
  auto frame = x.poll_transmit();
  REQUIRE(frame);
  auto& acked = frame->last_command_checkpoints;
  CHECK(acked.size() == 3);
  for (const auto& each : processed)
    CHECK(std::find(acked.begin(), acked.end(), each) != acked.end());
}

TEST_CASE(
    "I11 generations: a command for an older generation is superseded, of a newer one fresh") {
  command_ledger x;
  REQUIRE(admit_start(x, at("a", 2, 1)) == verdict::fresh);
  x.handle_live({actor_id{"a"}, 2});
  CHECK(admit_start(x, at("a", 1, 1)) == verdict::superseded);
  CHECK(x.admit(at("a", 1, 2), std::nullopt, engine_start, start) == verdict::superseded);
  CHECK(x.newest_generation(actor_id{"a"}) == 2U);
  CHECK(x.last_index({actor_id{"a"}, 2}) == 1);
  CHECK(admit_start(x, at("a", 3, 1)) == verdict::fresh);  // without a Stop for the last
  CHECK(x.admit(at("a", 2, 2), std::nullopt, engine_start, start) == verdict::superseded);
  CHECK(x.stats().entries == 1);
}

TEST_CASE("I10 events arrive: events from while the link was down go first on the next one") {
  event_outbox x;
  const actor_ref a{actor_id{"a"}, 1};
  x.handle_link_up(1, start);
  x.handle_link_down(start);
  x.handle_running(a);
  x.handle_stopped(a, protocol::stop_code::error, "while nobody listened");
  CHECK(!x.poll_transmit());
  for (epoch connection = 2; connection < 5; ++connection) {
    x.handle_link_up(connection, start);
    const auto frame = x.poll_transmit();
    REQUIRE(frame);
    CHECK(frame->events.back().checkpoint == at("a", 1, event_index_first + event_index_step));
    x.handle_written(connection);
    CHECK(!x.poll_transmit());
    x.handle_link_down(start);
  }
}

}  // namespace invariants_test

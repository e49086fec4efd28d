// The engine's rules (docs/protocol.md C to F, M), by calls and fake time.
#include <doctest/doctest.h>

#include <algorithm>
#include <engine/engine_core.hpp>
#include <string>
#include <utility>
#include <vector>

namespace engine_core_test {

using namespace nuncio;
using namespace nuncio::testing;
using namespace nuncio::testing::engine;
using protocol::stop_actor_reason;
using protocol::stop_code;

namespace {

/// A core with a pool "p", a clock, and what every connection was sent.
struct rig {
  engine_limits limits;
  engine_core core{limits, 7};
  millis now = 1'000'000;
  std::vector<protocol::command_wrapper> commands;
  std::vector<protocol::actor_checkpoint> event_acks;
  std::vector<std::string> frames;
  std::string closed;
  std::int64_t next_event = 0;

  rig() {
    core.add_namespace("default", "Default", now);
    core.add_pool("default", "p");
  }

  void collect() {
    for (const auto& e : core.take_effects()) {
      if (const auto* close = std::get_if<close_connection>(&e)) closed = close->reason;
      const auto* send = std::get_if<send_frame>(&e);
      if (send == nullptr) continue;
      if (const auto* c = std::get_if<protocol::to_envoy_commands>(&send->message)) {
        frames.push_back("commands");
        commands.insert(commands.end(), c->commands.begin(), c->commands.end());
      } else if (const auto* a = std::get_if<protocol::to_envoy_ack_events>(&send->message)) {
        event_acks.insert(
            event_acks.end(), a->last_event_checkpoints.begin(), a->last_event_checkpoints.end());
      } else if (std::holds_alternative<protocol::to_envoy_init>(send->message)) {
        frames.push_back("init");
      } else if (std::holds_alternative<protocol::to_envoy_ping>(send->message)) {
        frames.push_back("ping");
      }
    }
  }

  void connect(connection_id id, const std::string& key = "host", std::uint32_t version = 1) {
    commands.clear();
    frames.clear();
    CHECK(core.connect({id, 8, "default", key, version, "p"}, now) == "");
    collect();
  }

  actor_id create(std::optional<std::string> key = {}) {
    auto id = core.create({"default", "x", std::move(key), "p", {}}, now).id;
    collect();
    return id;
  }

  void handle(connection_id id, const protocol::to_rivet& message) {
    core.handle(id, message, now);
    collect();
  }

  /// Lets `ms` pass in small steps, answering Pings for `alive`.
  void pass(millis ms, connection_id alive = 0) {
    for (const auto end = now + ms; now < end;) {
      now = std::min(end, now + 10);
      if (alive != 0) core.handle(alive, protocol::to_rivet_pong{now}, now);
      core.tick(now);
      collect();
    }
  }

  protocol::event_wrapper event(const actor_id& id, protocol::event what) {
    return {{id, core.find(id)->generation, next_event++}, std::move(what)};
  }

  protocol::event_wrapper running(const actor_id& id) {
    return event(id, protocol::event_actor_state_update{protocol::actor_state_running{}});
  }

  protocol::event_wrapper stopped(const actor_id& id, stop_code code) {
    return event(
        id, protocol::event_actor_state_update{protocol::actor_state_stopped{code, text{"why"}}});
  }

  protocol::event_wrapper sleep_intent(const actor_id& id) {
    return event(id, protocol::event_actor_intent{protocol::actor_intent_sleep{}});
  }

  void send(connection_id id, std::vector<protocol::event_wrapper> events) {
    handle(id, protocol::to_rivet_events{std::move(events)});
  }

  void ack(connection_id id, const actor_id& actor, std::uint32_t generation, std::int64_t index) {
    handle(id, protocol::to_rivet_ack_commands{{{actor, generation, index}}});
  }

  actor_id running_actor(connection_id id) {
    const auto actor = create();
    send(id, {running(actor)});
    pass(30, id);
    CHECK(core.find(actor)->phase == actor_phase::running);
    return actor;
  }

  actor_phase phase(const actor_id& id) { return core.find(id)->phase; }

  stop_actor_reason last_stop() {
    return std::get<protocol::command_stop_actor>(commands.back().inner).reason;
  }
};

}  // namespace

TEST_CASE("a command is stored until acked and replayed before the first Ping") {
  rig r;
  r.connect(1);
  CHECK(r.frames == std::vector<std::string>{"init", "ping"});
  const auto a = r.running_actor(1);
  r.core.destroy(a, r.now);
  r.collect();
  CHECK(r.core.commands_left() == 2);

  r.core.disconnected(1);
  r.connect(2);
  CHECK(r.frames == std::vector<std::string>{"init", "commands", "ping"});
  REQUIRE(r.commands.size() == 2);
  CHECK(r.commands[0].checkpoint.index == 1);
  CHECK(r.commands[1].checkpoint.index == 2);

  SUBCASE("a partial ack leaves the rest") {
    r.ack(2, a, 1, 1);
    r.connect(3);
    REQUIRE(r.commands.size() == 1);
    CHECK(r.commands[0].checkpoint.index == 2);
    CHECK(r.closed == "ws.eviction");
  }
  SUBCASE("acks below the first index and of other generations do nothing") {
    r.ack(2, a, 1, 0);
    r.ack(2, a, 1, -1);
    r.ack(2, a, 2, 9);
    CHECK(r.core.commands_left() == 2);
  }
  SUBCASE("an ack beyond the last index clears") {
    r.ack(2, a, 1, 50);
    CHECK(r.core.commands_left() == 0);
    r.connect(3);
    CHECK(r.frames == std::vector<std::string>{"init", "ping"});
  }
  SUBCASE("one malformed id voids the whole ack") {
    r.handle(2, protocol::to_rivet_ack_commands{{{a, 1, 2}, {actor_id{"bad"}, 1, 1}}});
    CHECK(r.closed == "core.internal_error");
    CHECK(r.core.commands_left() == 2);
  }
  SUBCASE("another envoy's ack does nothing") {
    r.connect(3, "other");
    r.ack(3, a, 1, 2);
    CHECK(r.core.commands_left() == 2);
  }
}

TEST_CASE("two Stopped(OK) in one batch destroy an actor that was to sleep") {
  rig r;
  r.connect(1);
  const auto a = r.running_actor(1);
  r.send(1, {r.sleep_intent(a)});
  r.pass(30, 1);
  CHECK(r.phase(a) == actor_phase::sleep_intent);
  CHECK(r.last_stop() == stop_actor_reason::sleep_intent);

  SUBCASE("one lets it sleep") {
    r.send(1, {r.stopped(a, stop_code::ok)});
    r.pass(30, 1);
    CHECK(r.phase(a) == actor_phase::sleeping);
  }
  SUBCASE("two frames close together are one batch") {
    r.send(1, {r.stopped(a, stop_code::ok)});
    r.send(1, {r.stopped(a, stop_code::ok)});
    r.pass(30, 1);
    CHECK(r.phase(a) == actor_phase::destroyed);
  }
  SUBCASE("the same index twice in one batch counts twice") {
    const auto once = r.stopped(a, stop_code::ok);
    r.send(1, {once, once});
    r.pass(30, 1);
    CHECK(r.phase(a) == actor_phase::destroyed);
  }
  SUBCASE("with time between them the second is ignored") {
    r.send(1, {r.stopped(a, stop_code::ok)});
    r.pass(100, 1);
    r.send(1, {r.stopped(a, stop_code::ok)});
    r.pass(30, 1);
    CHECK(r.phase(a) == actor_phase::sleeping);
  }
}

TEST_CASE("intent and Stopped in one batch sleep after Running was accepted, and destroy before") {
  rig r;
  r.connect(1);
  SUBCASE("after") {
    const auto a = r.running_actor(1);
    r.send(1, {r.sleep_intent(a), r.stopped(a, stop_code::ok)});
    r.pass(30, 1);
    CHECK(r.phase(a) == actor_phase::sleeping);
  }
  SUBCASE("before") {
    const auto a = r.create();
    r.send(1, {r.running(a), r.sleep_intent(a), r.stopped(a, stop_code::ok)});
    r.pass(30, 1);
    CHECK(r.phase(a) == actor_phase::destroyed);
  }
}

TEST_CASE("an unsolicited Stopped destroys when OK and sleeps when Error") {
  rig r;
  r.connect(1);
  const auto a = r.running_actor(1);
  const auto b = r.running_actor(1);
  r.send(1, {r.stopped(a, stop_code::ok), r.stopped(b, stop_code::error)});
  r.pass(30, 1);
  CHECK(r.phase(a) == actor_phase::destroyed);
  CHECK(r.phase(b) == actor_phase::sleeping);
  CHECK(r.core.find(b)->error == actor_error::crashed);
  CHECK(r.core.find(b)->error_detail == "why");

  r.core.wake(b, r.now);
  r.collect();
  CHECK(r.core.find(b)->generation == 2);
  CHECK(r.commands.back().checkpoint.index == 1);
  CHECK(r.core.find(b)->error == actor_error::none);
}

TEST_CASE("events are acked beyond a gap of 250, a Stopped never") {
  rig r;
  r.connect(1);
  r.next_event = 249;
  const auto a = r.running_actor(1);
  CHECK(r.event_acks.empty());  // counted from -1, 249 is not more than 250
  r.next_event = 250;
  r.send(1, {r.event(a, protocol::event_actor_set_alarm{})});
  r.pass(30, 1);
  REQUIRE(r.event_acks.size() == 1);
  CHECK(r.event_acks[0].index == 250);
  r.next_event = 9000;
  r.send(1, {r.stopped(a, stop_code::error)});
  r.pass(30, 1);
  CHECK(r.event_acks.size() == 1);
}

TEST_CASE("events of a lower index, an older generation or another envoy are ignored") {
  rig r;
  r.connect(1);
  r.connect(2, "other", 0);
  const auto a = r.running_actor(1);
  r.next_event = 0;
  r.send(1, {r.stopped(a, stop_code::ok)});
  r.pass(30, 1);
  CHECK(r.phase(a) == actor_phase::running);
  r.next_event = 99;
  r.send(2, {r.stopped(a, stop_code::ok)});
  r.pass(30, 1);
  CHECK(r.phase(a) == actor_phase::running);
  auto old = r.stopped(a, stop_code::ok);
  old.checkpoint.generation = 0;
  r.send(1, {old});
  r.pass(30, 1);
  CHECK(r.phase(a) == actor_phase::running);
  CHECK(r.core.counters().events_ignored == 3);
}

TEST_CASE("an actor that does not start in time is given up without a Stop") {
  rig r;
  r.connect(1);
  const auto a = r.create();
  SUBCASE("nobody waits: it sleeps") {
    r.pass(r.limits.start_timeout, 1);
    CHECK(r.phase(a) == actor_phase::sleeping);
    CHECK(r.core.find(a)->error == actor_error::envoy_no_response);
    r.send(1, {r.running(a)});
    r.pass(30, 1);
    CHECK(r.phase(a) == actor_phase::sleeping);
  }
  SUBCASE("a request waits: the next generation starts") {
    r.core.wake(a, r.now);
    r.pass(r.limits.start_timeout, 1);
    CHECK(r.core.find(a)->generation == 2);
  }
  for (const auto& c : r.commands)
    CHECK(std::holds_alternative<protocol::command_start_actor>(c.inner));
}

TEST_CASE("an envoy that stays away loses its actors when each is judged") {
  rig r;
  r.connect(1);
  const auto a = r.running_actor(1);
  r.ack(1, a, 1, 1);
  r.core.disconnected(1);
  r.pass(14'000);
  SUBCASE("back in time: nothing happens") {
    r.connect(2);
    r.pass(60'000, 2);
    CHECK(r.phase(a) == actor_phase::running);
    CHECK(r.commands.empty());
  }
  SUBCASE("too late: lost, and a Stop(LOST) is waiting") {
    r.pass(17'000);
    CHECK(r.phase(a) == actor_phase::sleeping);
    CHECK(r.core.find(a)->error == actor_error::envoy_connection_lost);
    CHECK(r.core.find(a)->error_detail == "host");
    r.connect(2);
    REQUIRE(r.commands.size() == 1);
    CHECK(r.commands[0].checkpoint.index == 2);
    CHECK(r.last_stop() == stop_actor_reason::lost);
    // A late Stopped of the lost generation must not destroy it.
    r.send(2, {r.stopped(a, stop_code::ok)});
    r.pass(30, 2);
    CHECK(r.phase(a) == actor_phase::sleeping);
  }
}

TEST_CASE("an envoy that stops answering Pings is closed") {
  rig r;
  r.connect(1);
  r.pass(20'000);
  CHECK(r.closed == "ws.timed_out");
}

TEST_CASE(
    "an envoy that reads nothing is not closed for it, and its actors are judged by its last "
    "Ping") {
  rig r;
  r.connect(1);
  const auto a = r.running_actor(1);
  r.frames.clear();
  const auto held = [&](millis ms) {
    for (const auto end = r.now + ms; r.now < end; r.pass(10)) r.core.hold_pings(1, r.now + 10);
  };
  held(14'000);
  CHECK(r.phase(a) == actor_phase::running);
  held(17'000);
  CHECK(r.closed.empty());
  CHECK(std::count(r.frames.begin(), r.frames.end(), "ping") == 0);
  CHECK(r.core.find(a)->error == actor_error::envoy_connection_lost);
  r.pass(10);
  CHECK(std::count(r.frames.begin(), r.frames.end(), "ping") == 1);
  r.pass(20'000);
  CHECK(r.closed == "ws.timed_out");
}

TEST_CASE(
    "Stopping moves running actors, and only connected envoys of the highest version get actors") {
  rig r;
  r.connect(1, "old", 1);
  const auto a = r.running_actor(1);
  r.connect(2, "new", 2);
  const auto b = r.create();
  CHECK(r.core.find(b)->envoy == "new");
  r.handle(1, protocol::to_rivet_stopping{});
  CHECK(r.phase(a) == actor_phase::going_away);
  CHECK(r.last_stop() == stop_actor_reason::going_away);
  r.send(1, {r.stopped(a, stop_code::ok)});
  r.pass(30, 2);
  CHECK(r.core.find(a)->envoy == "new");
  CHECK(r.core.find(a)->generation == 2);
}

TEST_CASE("without an envoy an actor waits, and starts when one comes") {
  rig r;
  r.connect(1);
  r.core.disconnected(1);
  const auto a = r.create();
  CHECK(r.phase(a) == actor_phase::allocating);
  CHECK(r.core.find(a)->error == actor_error::no_envoys);
  r.pass(30'000);
  r.connect(2);
  r.pass(2'100, 2);
  CHECK(r.phase(a) == actor_phase::starting);
}

TEST_CASE("in a pool that never saw an envoy only a request starts the actor") {
  rig r;
  const auto a = r.create();
  CHECK(r.core.find(a)->error == actor_error::no_capacity);
  r.connect(1);
  r.pass(33'000, 1);
  CHECK(r.phase(a) == actor_phase::sleeping);
  r.core.wake(a, r.now);
  CHECK(r.phase(a) == actor_phase::starting);
}

TEST_CASE("delete while starting waits for Running, while asleep it is immediate") {
  rig r;
  r.connect(1);
  const auto a = r.create();
  r.core.destroy(a, r.now);
  CHECK(r.phase(a) == actor_phase::starting);
  r.send(1, {r.running(a)});
  r.pass(30, 1);
  CHECK(r.phase(a) == actor_phase::destroying);
  CHECK(r.last_stop() == stop_actor_reason::destroy);
  r.send(1, {r.stopped(a, stop_code::error)});
  r.pass(30, 1);
  CHECK(r.phase(a) == actor_phase::destroyed);
}

TEST_CASE("delete while a start is under way that fails: the actor is destroyed") {
  rig r;
  r.connect(1);
  const auto a = r.create();
  r.core.destroy(a, r.now);
  r.send(1, {r.stopped(a, stop_code::error)});
  r.pass(30, 1);
  CHECK(r.phase(a) == actor_phase::destroyed);
}

TEST_CASE("an alarm wakes a sleeping actor") {
  rig r;
  r.connect(1);
  const auto a = r.running_actor(1);
  r.send(
      1,
      {r.event(a, protocol::event_actor_set_alarm{r.now + 5000}),
       r.sleep_intent(a),
       r.stopped(a, stop_code::ok)});
  r.pass(1000, 1);
  CHECK(r.phase(a) == actor_phase::sleeping);
  r.pass(5000, 1);
  CHECK(r.phase(a) == actor_phase::starting);
  CHECK(r.core.find(a)->generation == 2);
}

}  // namespace engine_core_test

// The dev engine's faults as an envoy sees them on its socket, ordered by a flag from the start and by /dev/faults.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <nuncio/testing/dev_engine.hpp>
#include <thread>

#include "hand_envoy.hpp"

namespace faults_test {

using namespace nuncio;
using namespace nuncio::test;
using namespace nuncio::testing;
using namespace std::chrono_literals;
using json = nlohmann::json;
using clock = std::chrono::steady_clock;

namespace {

/// A dev engine with one fault: as a flag would order it, or by its API before anybody connects.
struct faulty_engine {
  clock::time_point ordered;  ///< no later than that
  dev_engine engine;
  std::uint16_t port = 0;

  faulty_engine(const std::string& fault, bool by_flag)
      : ordered(clock::now()), engine(options(fault, by_flag)) {
    REQUIRE(engine.start());
    port = engine.port();
    if (!by_flag) order(fault);
    CHECK(active() == std::vector<std::string>{fault});
  }

  static dev_engine_options options(const std::string& fault, bool by_flag) {
    dev_engine_options o;
    o.pools = {"p"};
    o.limits.ping_interval = 60'000;  // no frames but those that a test asks for
    o.limits.pong_timeout = 600'000;
    if (by_flag) {
      const auto parsed = parse_fault(fault);
      REQUIRE(parsed);
      o.faults.push_back(*parsed);
    }
    return o;
  }

  void order(const std::string& fault) const {
    REQUIRE(http(port, "POST", "/dev/faults", json{{"fault", fault}}.dump()).status == 200);
  }

  void clear() const { REQUIRE(http(port, "DELETE", "/dev/faults").status == 200); }

  /// The faults that it still shows.
  [[nodiscard]] std::vector<std::string> active() const {
    return json::parse(http(port, "GET", "/dev/faults").body).at("faults");
  }

  [[nodiscard]] bool await_stat(
      std::uint64_t dev_engine_stats::*which, std::uint64_t wanted) const {
    for (int tries = 0; tries < 500; ++tries) {
      if (engine.stats().*which == wanted) return true;
      std::this_thread::sleep_for(20ms);
    }
    return false;
  }

  [[nodiscard]] clock::duration since_order() const { return clock::now() - ordered; }
};

void in_both_ways(const std::string& fault, const std::function<void(faulty_engine&)>& check) {
  for (const bool by_flag : {true, false}) {
    CAPTURE(fault);
    CAPTURE(by_flag);
    faulty_engine engine{fault, by_flag};
    check(engine);
  }
}

/// The next message, whatever it is.
protocol::to_envoy next_message(hand_envoy& envoy) {
  const auto got = envoy.socket.receive();
  REQUIRE_FALSE(got.closed);
  auto message = protocol::decode_to_envoy(bytes{got.data}, envoy.version);
  REQUIRE(message);
  return std::move(*message);
}

/// The ids of the actors that a Commands frame is about; empty for another message.
std::vector<std::string> actors_in(const protocol::to_envoy& message) {
  std::vector<std::string> out;
  if (const auto* commands = std::get_if<protocol::to_envoy_commands>(&message))
    for (const auto& c : commands->commands) out.emplace_back(c.checkpoint.actor_id.view());
  return out;
}

using ids = std::vector<std::string>;

/// What the engine can't decode; it counts it, so that a test knows whether it reads.
void send_nonsense(hand_envoy& envoy) { envoy.socket.send("\xff"); }

}  // namespace

TEST_CASE("fault duplicate: a Commands frame comes twice, count=1 ends it") {
  in_both_ways("duplicate:count=1", [](faulty_engine& x) {
    hand_envoy envoy{x.port};
    CHECK(std::holds_alternative<protocol::to_envoy_init>(next_message(envoy)));
    CHECK(std::holds_alternative<protocol::to_envoy_ping>(next_message(envoy)));
    const auto a = id_of(create(x.port));
    const auto once = next_message(envoy), twice = next_message(envoy);
    CHECK(actors_in(once) == ids{a});
    CHECK(once == twice);
    CHECK(x.active().empty());
    const auto b = id_of(create(x.port)), c = id_of(create(x.port));
    CHECK(actors_in(next_message(envoy)) == ids{b});
    CHECK(actors_in(next_message(envoy)) == ids{c});
    CHECK(x.engine.stats().deliveries == 4);
    CHECK(x.engine.stats().faults == 1);
  });
}

TEST_CASE("fault reorder: a Commands frame is reversed and comes after the next frame") {
  in_both_ways("reorder", [](faulty_engine& x) {
    {
      hand_envoy envoy{x.port};
      CHECK(std::holds_alternative<protocol::to_envoy_init>(next_message(envoy)));
      CHECK(std::holds_alternative<protocol::to_envoy_ping>(next_message(envoy)));
      const auto a = id_of(create(x.port)), b = id_of(create(x.port));
      CHECK(actors_in(next_message(envoy)) == ids{b});
      CHECK(actors_in(next_message(envoy)) == ids{a});
    }
    // A replay, which is one frame, comes after the Ping that follows it.
    hand_envoy again{x.port};
    CHECK(std::holds_alternative<protocol::to_envoy_init>(next_message(again)));
    CHECK(std::holds_alternative<protocol::to_envoy_ping>(next_message(again)));
    auto reversed = actors_in(next_message(again));
    CHECK(reversed.size() == 2);
    x.clear();
    hand_envoy last{x.port};
    CHECK(std::holds_alternative<protocol::to_envoy_init>(next_message(last)));
    std::reverse(reversed.begin(), reversed.end());
    CHECK(actors_in(next_message(last)) == reversed);
    CHECK(std::holds_alternative<protocol::to_envoy_ping>(next_message(last)));
  });
}

TEST_CASE("fault delay: every frame comes later by as much, in its order") {
  in_both_ways("delay:ms=300", [](faulty_engine& x) {
    const auto before = clock::now();
    hand_envoy envoy{x.port};
    CHECK(std::holds_alternative<protocol::to_envoy_init>(next_message(envoy)));
    CHECK(clock::now() - before >= 299ms);
    CHECK(std::holds_alternative<protocol::to_envoy_ping>(next_message(envoy)));
    const auto asked = clock::now();
    const auto a = id_of(create(x.port)), b = id_of(create(x.port));
    CHECK(actors_in(next_message(envoy)) == ids{a});
    CHECK(clock::now() - asked >= 299ms);
    CHECK(actors_in(next_message(envoy)) == ids{b});
    CHECK(x.engine.stats().faults == 4);
  });
}

TEST_CASE("fault reset: by TCP RST where drop ends in good order") {
  for (const auto& [kind, error] : {std::pair{"reset", ECONNRESET}, std::pair{"drop", 0}})
    in_both_ways(
        std::string{kind} + ":on=command,count=1", [kind = kind, error = error](faulty_engine& x) {
          hand_envoy envoy{x.port};
          // Nothing is answered: a write into a reset connection would take its error away.
          CHECK(std::holds_alternative<protocol::to_envoy_init>(next_message(envoy)));
          CHECK(std::holds_alternative<protocol::to_envoy_ping>(next_message(envoy)));
          const auto a = id_of(create(x.port));
          // The command has been written.
          CHECK(actors_in(next_message(envoy)) == ids{a});
          CHECK(envoy.wait_closed() == 1006);
          CHECK(envoy.socket.error() == error);
          // It happens once.
          hand_envoy next{x.port};
          CHECK(actors_in(next.expect<protocol::to_envoy_commands>()) == ids{a});
          const auto b = id_of(create(x.port));
          CHECK(actors_in(next.expect<protocol::to_envoy_commands>()) == ids{b});
          // And at once, to a connection that is there.
          x.order(kind);
          CHECK(next.wait_closed() == 1006);
          CHECK(next.socket.error() == error);
          CHECK(x.engine.stats().faults == 2);
        });
}

TEST_CASE("fault reset: at the next Stop, not at a Start") {
  in_both_ways("reset:on=stop,count=1", [](faulty_engine& x) {
    hand_envoy envoy{x.port};
    envoy.expect<protocol::to_envoy_init>();
    const auto a = id_of(create(x.port));
    envoy.start();
    envoy.expect<protocol::to_envoy_ack_events>();
    CHECK(http(x.port, "POST", "/actors/" + a + "/sleep?namespace=default", "{}").status == 200);
    const auto commands = envoy.expect<protocol::to_envoy_commands>().commands;
    REQUIRE(commands.size() == 1);
    CHECK(std::holds_alternative<protocol::command_stop_actor>(commands[0].inner));
    CHECK(envoy.wait_closed() == 1006);
    CHECK(envoy.socket.error() == ECONNRESET);
  });
}

TEST_CASE("fault reset: when the next ack or the next events arrive, which do not count") {
  for (const bool ack : {true, false})
    in_both_ways(
        std::string{"reset:on="} + (ack ? "ack" : "events") + ",count=1", [ack](faulty_engine& x) {
          hand_envoy envoy{x.port};
          envoy.expect<protocol::to_envoy_init>();
          create(x.port);
          protocol::actor_checkpoint at;
          if (ack) {
            at = envoy.start();  // its Running is let through
            envoy.expect<protocol::to_envoy_ack_events>();
            envoy.send(protocol::to_rivet_ack_commands{{at}});
          } else {
            at = envoy.expect<protocol::to_envoy_commands>().commands.at(0).checkpoint;
            envoy.event(at, protocol::event_actor_state_update{protocol::actor_state_running{}});
          }
          CHECK(envoy.wait_closed() == 1006);
          CHECK(envoy.socket.error() == ECONNRESET);
          CHECK(x.engine.stats().commands_left == 1);
          CHECK(x.engine.stats().actors_running == (ack ? 1 : 0));
          // Said again it counts.
          hand_envoy next{x.port};
          CHECK(next.expect<protocol::to_envoy_commands>().commands.at(0).checkpoint == at);
          next.next_event = 501;
          next.event(at, protocol::event_actor_state_update{protocol::actor_state_running{}});
          next.send(protocol::to_rivet_ack_commands{{at}});
          CHECK(x.await_stat(&dev_engine_stats::commands_left, 0));
          CHECK(x.await_stat(&dev_engine_stats::actors_running, 1));
        });
}

TEST_CASE("fault mute: the engine does not read, does not write, or neither; only that envoy") {
  for (const bool reads : {true, false})
    for (const bool writes : {true, false}) {
      if (reads && writes) continue;
      in_both_ways(
          std::string{"mute"} +
              (writes  ? ":read,"
               : reads ? ":write,"
                       : ":") +
              "envoy=quiet",
          [=](faulty_engine& x) {
            hand_envoy quiet{x.port, "quiet"};
            send_nonsense(quiet);
            if (writes) quiet.expect<protocol::to_envoy_init>();
            if (reads) CHECK(x.await_stat(&dev_engine_stats::frames_ignored, 1));
            // The other envoy's frames are read to the last, and they come after what the quiet one has sent.
            hand_envoy other{x.port, "other"};
            other.expect<protocol::to_envoy_init>();
            send_nonsense(other);
            other.send(protocol::to_rivet_ack_commands{{{actor_id{"bad"}, 1, 1}}});
            CHECK(other.wait_closed() == 1011);
            CHECK(x.engine.stats().frames_ignored == (reads ? 2 : 1));
            if (!writes) CHECK(quiet.socket.quiet());
            x.clear();
            if (!writes) quiet.expect<protocol::to_envoy_init>();
            CHECK(x.await_stat(&dev_engine_stats::frames_ignored, 2));
          });
    }
}

TEST_CASE("fault mute: ordered while a connection is there, and ms= ends it") {
  in_both_ways("mute:ms=300", [](faulty_engine& x) {
    hand_envoy envoy{x.port};
    envoy.expect<protocol::to_envoy_init>();
    CHECK(x.since_order() >= 299ms);
    envoy.expect<protocol::to_envoy_ping>();
    const auto before = clock::now();
    x.order("mute:ms=400");
    send_nonsense(envoy);
    const auto a = id_of(create(x.port));
    CHECK(actors_in(next_message(envoy)) == ids{a});
    CHECK(clock::now() - before >= 399ms);
    CHECK(x.await_stat(&dev_engine_stats::frames_ignored, 1));
  });
}

TEST_CASE("fault mute: what it holds back dies with its connection") {
  in_both_ways("mute:write,envoy=quiet", [](faulty_engine& x) {
    hand_envoy quiet{x.port, "quiet"};
    REQUIRE(x.await_stat(&dev_engine_stats::connections, 1));
    hand_envoy next{x.port, "quiet"};
    REQUIRE(x.await_stat(&dev_engine_stats::evictions, 1));
    const auto end = quiet.socket.receive();
    CHECK(end.closed);
    CHECK(end.data.starts_with("ws.eviction#"));
  });
}

TEST_CASE("fault stall: nothing is written for a while, then everything, in its order") {
  in_both_ways("stall:ms=400", [](faulty_engine& x) {
    hand_envoy envoy{x.port};
    send_nonsense(envoy);
    CHECK(x.await_stat(&dev_engine_stats::frames_ignored, 1));  // it reads meanwhile
    const auto a = id_of(create(x.port)), b = id_of(create(x.port));
    CHECK(std::holds_alternative<protocol::to_envoy_init>(next_message(envoy)));
    CHECK(x.since_order() >= 399ms);
    CHECK(std::holds_alternative<protocol::to_envoy_ping>(next_message(envoy)));
    CHECK(actors_in(next_message(envoy)) == ids{a});
    CHECK(actors_in(next_message(envoy)) == ids{b});
    const auto before = clock::now();
    x.order("stall:ms=300");
    const auto c = id_of(create(x.port));
    CHECK(actors_in(next_message(envoy)) == ids{c});
    CHECK(clock::now() - before >= 299ms);
  });
}

TEST_CASE(
    "/dev/faults: adds, lists and clears; what can't be read is refused and changes nothing") {
  faulty_engine x{"delay:ms=1,envoy=nobody", true};
  const auto added = http(x.port, "POST", "/dev/faults", R"({"fault":"duplicate"})");
  CHECK(json::parse(added.body).at("faults") == json{"delay:ms=1,envoy=nobody", "duplicate"});
  for (const auto* bad : {R"({"fault":"nonsense"})", R"({"fault":7})", R"({})", "duplicate", ""}) {
    CAPTURE(bad);
    CHECK(http(x.port, "POST", "/dev/faults", bad).status == 400);
  }
  CHECK(x.active().size() == 2);
  x.clear();
  CHECK(x.active().empty());
  CHECK(http(x.port, "GET", "/dev/nothing").status == 404);
}

}  // namespace faults_test

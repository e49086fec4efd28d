// How actors begin and end, and what is reported to the engine: the table of README.md, row by row.
#include <doctest/doctest.h>

#include "actors/watched_actors.hpp"

namespace endings_test {

using namespace nuncio;
using namespace nuncio::test;
using reason = protocol::stop_actor_reason;
using strings = std::vector<std::string>;

namespace {

struct fixture : hosted {
  actor_ref a = instance_of("a");

  fixture() {
    host.serve("open to all", [](engine_actor*) -> caf::behavior {
      return {
          [](const socket_opened&) { throw std::runtime_error("an odd client"); },
          [](const http_request& r) -> http_response {
            if (r.path == "/throw") throw std::runtime_error("an odd request");
            return {};
          }};
    });
    host.boot();
  }

  void begin(std::string_view name = "echo") {
    host.start_accepted(a, name);
    host.clear();
  }

  // As a streaming gateway asks.
  void streamed(std::uint32_t n, std::optional<actor_ref> who = {}) {
    auto message = sim_host::request_message(who.value_or(a), n);
    auto& kind = std::get<protocol::to_envoy_tunnel_message>(message).message_kind;
    std::get<protocol::to_envoy_request_start>(kind).response_stream = true;
    host.deliver(std::move(message));
  }
};

}  // namespace

TEST_CASE_FIXTURE(
    fixture, "quit() is sleep: the intent first, Stopped(OK) only after the engine's Stop") {
  begin();
  host.request(a, 1, "GET", "/quit");
  CHECK(
      host.lines() ==
      strings{"1 #0 500 the actor ended before it answered\n", "event a/1:501 intent sleep"});
  CHECK(p->ended == 1);
  CHECK(host.stats().instances == 1);
  host.clear();
  host.stop(a);
  CHECK(host.lines() == strings{"ack a/1:2", "event a/1:752 stopped ok"});
  CHECK(host.stats().instances == 0);
}

TEST_CASE_FIXTURE(fixture, "quit() before Running was acked: no intent until then") {
  host.start(a, "quitter");
  CHECK(host.lines() == strings{"ack a/1:1", "event a/1:250 running"});
  host.pass(5s);
  CHECK(host.lines().size() == 2);
  host.clear();
  host.accept(a);
  CHECK(host.lines() == strings{"event a/1:501 intent sleep"});
  host.stop(a);
  CHECK(host.lines().back() == "event a/1:752 stopped ok");
}

TEST_CASE_FIXTURE(fixture, "an intent that the engine never answers ends with Stopped(Error)") {
  begin();
  host.request(a, 1, "GET", "/quit");
  host.clear();
  host.pass(61s);
  CHECK(
      host.lines() ==
      strings{"event a/1:752 stopped error: the engine did not answer an intent in time"});
  CHECK(host.stats().instances == 0);
}

TEST_CASE_FIXTURE(fixture, "sleep() asks the engine and goes on until told to stop") {
  begin("stubborn");
  host.request(a, 1, "GET", "/sleep");
  host.request(a, 2, "POST", "/");
  CHECK(host.lines() == strings{"1 #0 200 0", "event a/1:501 intent sleep", "2 #0 200 1"});
  CHECK(p->ended == 0);
  host.clear();
  host.stop(a);
  CHECK(p->told == std::vector{reason::sleep_intent});
  CHECK(host.lines() == strings{"ack a/1:2"});
  caf::anon_send(p->selves[0], std::string{"quit"});
  host.settle();
  CHECK(host.lines().back() == "event a/1:752 stopped ok");
}

TEST_CASE_FIXTURE(fixture, "sleep() before the actor is initialized") {
  host.start(a, "sleepy");
  CHECK(host.lines() == strings{"ack a/1:1", "event a/1:250 running"});
  host.accept(a);
  CHECK(host.lines().back() == "event a/1:501 intent sleep");
}

TEST_CASE_FIXTURE(fixture, "destroy() is the only call that destroys") {
  begin();
  host.request(a, 1, "GET", "/destroy");
  CHECK(host.lines() == strings{"1 #0 200 0", "event a/1:501 intent stop"});
  host.clear();
  host.stop(a, reason::stop_intent);
  CHECK(host.lines() == strings{"ack a/1:2", "event a/1:752 stopped ok"});
}

TEST_CASE_FIXTURE(fixture, "destroy() before Running was acked waits for it") {
  host.start(a, "stubborn");
  caf::anon_send(p->selves[0], std::string{"destroy"});
  host.settle();
  CHECK(host.lines().size() == 2);
  host.accept(a);
  CHECK(host.lines().back() == "event a/1:501 intent stop");
}

TEST_CASE_FIXTURE(
    fixture,
    "5.5: an exception: 500 and Stopped(Error), with an id under which the log has its text") {
  begin();
  host.request(a, 1, "GET", "/throw");
  CHECK(
      host.lines() ==
      strings{"1 #0 500 hidden: boom\n", "event a/1:501 stopped error: hidden: boom"});
  CHECK(host.stats().actors_failed == 1);
  CHECK(host.stats().instances == 0);
  CHECK(host.log_text().find("boom") != std::string::npos);
  // The engine starts the next generation with the next request.
  host.clear();
  host.start_accepted(instance_of("a", 2));
  host.request(instance_of("a", 2), 2);
  CHECK(host.lines().back() == "2 #0 200 0");
}

TEST_CASE_FIXTURE(fixture, "an exception that is not a std::exception") {
  begin();
  host.request(a, 1, "GET", "/throw-int");
  CHECK(
      host.lines() ==
      strings{
          "1 #0 500 hidden: an exception that is not a std::exception\n",
          "event a/1:501 stopped error: hidden: an exception that is not a std::exception"});
}

TEST_CASE_FIXTURE(
    fixture, "an exception while another request waits for its promise: both are answered 500") {
  begin();
  host.request(a, 1, "GET", "/later");
  host.request(a, 2, "GET", "/throw");
  auto lines = host.lines();
  std::sort(lines.begin(), lines.end() - 1);
  CHECK(
      lines == strings{
                   "1 #0 500 hidden: boom\n",
                   "2 #0 500 hidden: boom\n",
                   "event a/1:501 stopped error: hidden: boom"});
}

TEST_CASE_FIXTURE(fixture, "quit with an error is a failure") {
  begin();
  host.request(a, 1, "GET", "/quit-error");
  REQUIRE(host.lines().size() == 2);
  CHECK(host.lines()[0].starts_with("1 #0 500 hidden: "));
  CHECK(host.lines()[0].find("fed up") != std::string::npos);
  CHECK(host.lines()[1].starts_with("event a/1:501 stopped error: hidden: "));
  CHECK(host.lines()[1].find("fed up") != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "an exception in a message of another actor") {
  begin("stubborn");
  caf::anon_send(p->selves[0], std::string{"throw"});
  host.settle();
  CHECK(host.lines() == strings{"event a/1:501 stopped error: hidden: in a message"});
}

TEST_CASE_FIXTURE(fixture, "an actor that fails before Running was acked is reported at once") {
  host.start(a, "stubborn");
  host.clear();
  caf::anon_send(p->selves[0], std::string{"throw"});
  host.settle();
  CHECK(host.lines() == strings{"event a/1:501 stopped error: hidden: in a message"});
}

TEST_CASE_FIXTURE(fixture, "an actor that fails while stopping") {
  begin("stubborn");
  host.stop(a);
  caf::anon_send(p->selves[0], std::string{"throw"});
  host.settle();
  CHECK(host.lines() == strings{"ack a/1:2", "event a/1:501 stopped error: hidden: in a message"});
}

TEST_CASE_FIXTURE(fixture, "I12 nothing silent: unknown name") {
  host.start(a, "nobody");
  CHECK(
      host.lines() ==
      strings{
          "ack a/1:1", "event a/1:250 stopped error: no actor is served under the name 'nobody'"});
  CHECK(host.stats().instances == 0);
}

TEST_CASE_FIXTURE(fixture, "I12 nothing silent: a function's factory throws") {
  host.start(a, "broken");
  CHECK(host.lines() == strings{"ack a/1:1", "event a/1:250 stopped error: hidden: no luck"});
}

TEST_CASE_FIXTURE(
    fixture, "an actor whose start keeps failing waits longer and longer for the next start") {
  // The engine starts the next generation as soon as it hears of the end, for two minutes.
  std::uint32_t generation = 1;
  host.start(a, "broken", 1);
  const auto end = host.sim.now() + 2min;
  const auto said_of = [&] {
    return fmt::format("event a/{}:250 stopped error: hidden: no luck", generation);
  };
  while (host.sim.now() < end) {
    if (host.lines().back() == said_of()) host.start(instance_of("a", ++generation), "broken");
    host.pass(100ms, 100ms);
  }
  // 0.1 + 0.2 + … + 1.6 s, then one each two seconds, and up to 0.1 s more until the engine's next Start.
  CHECK(generation >= 60);
  CHECK(generation <= 66);
  CHECK(host.log.size() <= 2 * generation);  // what was thrown, and that the actor failed
  host.clear();
  SUBCASE("others do not") {
    host.start(instance_of("b"));
    CHECK(host.lines() == strings{"ack b/1:1", "event b/1:250 running"});
  }
  SUBCASE("a Stop ends the wait") {
    host.start(instance_of("a", ++generation), "broken");
    host.stop(instance_of("a", generation), reason::destroy);
    CHECK(host.lines().back() == fmt::format("event a/{}:250 stopped ok", generation));
  }
  SUBCASE("so do a newer generation, which waits itself, and the host's end") {
    host.start(instance_of("a", ++generation), "echo");
    host.start(instance_of("a", ++generation), "echo");
    CHECK(host.stats().instances == 1);
    CHECK(p->factories == 0);
    host.to_ingress(internal::drain{host.sim.now() + 30s});
    CHECK(host.stats().instances == 0);
    CHECK(host.link->closed);
  }
  SUBCASE("and there is none once the host ends") {
    host.start_accepted(instance_of("b"));
    host.to_ingress(internal::drain{host.sim.now() + 30s});
    host.start(instance_of("a", ++generation), "echo");
    CHECK(
        host.lines().back() ==
        fmt::format(
            "event a/{}:250 stopped error: the host ends before the actor's next start",
            generation));
  }
  SUBCASE("one that was of use begins anew") {
    host.pass(11s);
    host.start_accepted(instance_of("a", ++generation), "echo");
    host.pass(11s);
    host.request(instance_of("a", generation), 1);
    CHECK(host.lines().back() == "1 #0 200 0");
    host.stop(instance_of("a", generation));
    host.start(instance_of("a", ++generation), "broken");
    CHECK(host.lines().back() == said_of());
  }
}

TEST_CASE_FIXTURE(fixture, "a failure that a client causes does not delay the next start") {
  for (std::uint32_t g = 1; g < 6; ++g) {
    const auto who = instance_of("a", g);
    host.start_accepted(who, "open to all");
    CHECK(host.lines().back() == fmt::format("event a/{}:250 running", g));
    if (g % 2 == 0)
      host.request(who, g, "GET", "/throw");
    else
      host.open_socket(who, g);
  }
  CHECK(host.stats().actors_failed == 5);
}

TEST_CASE_FIXTURE(fixture, "a late Start waits for at most half of its remaining time") {
  for (std::uint32_t g = 1; g <= 8; ++g) {
    host.start(instance_of("a", g), "broken");
    host.pass(2s, 100ms);
  }
  host.start(instance_of("a", 9), "broken");
  const auto all = p->factories;
  host.command(host.start_command(instance_of("a", 10), "echo", 1, 27s));
  CHECK(p->factories == all);
  host.pass(500ms, 100ms);
  CHECK(host.lines().back() == "event a/10:250 running");
}

TEST_CASE_FIXTURE(fixture, "I12 nothing silent: a class's constructor throws") {
  host.start(a, "full room");
  CHECK(
      host.lines() ==
      strings{"ack a/1:1", "event a/1:250 stopped error: hidden: the room is full"});
  CHECK(host.stats().instances == 0);
}

TEST_CASE_FIXTURE(fixture, "I12 nothing silent: a state's constructor throws") {
  host.start(a, "broken state");
  CHECK(
      host.lines() == strings{"ack a/1:1", "event a/1:250 stopped error: hidden: no state today"});
  host.start_accepted(instance_of("b"));  // ingress goes on
  host.request(instance_of("b"), 1);
  CHECK(host.lines().back() == "1 #0 200 0");
}

TEST_CASE_FIXTURE(
    fixture, "a failing actor leaves others unaffected, and its log lines are limited") {
  host.start_accepted(instance_of("b"));
  for (auto i = 0; i < 50; ++i) host.start(instance_of(fmt::format("x{}", i)), "broken");
  CHECK(host.log.size() <= 22);  // ten of each of two kinds a second, and what was left out
  host.clear();
  host.request(instance_of("b"), 1, "POST");
  CHECK(host.lines() == strings{"1 #0 200 1"});
}

TEST_CASE_FIXTURE(fixture, "the class form is told who it is") {
  begin("room");
  host.request(a, 1, "GET", "/x");
  CHECK(host.lines() == strings{"1 #0 200 /x a 1"});
  host.stop(a);
  CHECK(host.lines().back() == "event a/1:501 stopped ok");
}

TEST_CASE_FIXTURE(fixture, "a Stop while the factory runs") {
  host.deliver(protocol::to_envoy_commands{
      {host.start_command(a, "room"), sim_host::stop_command_for(a, reason::destroy)}});
  CHECK(host.lines() == strings{"ack a/1:2", "event a/1:250 stopped ok"});
  CHECK(host.stats().instances == 0);
}

TEST_CASE_FIXTURE(
    fixture, "going away and destroy stop an actor, lost ends it with Stopped(Error)") {
  begin();
  host.stop(a, reason::going_away);
  CHECK(host.lines() == strings{"ack a/1:2", "event a/1:501 stopped ok"});
  host.start_accepted(instance_of("b"));
  host.clear();
  host.stop(instance_of("b"), reason::lost);
  CHECK(
      host.lines() ==
      strings{"ack b/1:2", "event b/1:501 stopped error: the engine ended it: LOST"});
  CHECK(p->ended == 2);
}

TEST_CASE_FIXTURE(fixture, "an actor that is killed gets no more messages, whatever waits for it") {
  begin();
  host.request(a, 1, "GET", "/later");
  // The end is sent when the answer's turn has not come.
  host.batch({protocol::to_envoy_commands{{sim_host::stop_command_for(a, reason::lost)}}});
  answer("too late");
  CHECK(p->ended == 1);
  CHECK(p->pending.size() == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "an actor answers what a streaming gateway had sent before the actor was told to stop") {
  begin();
  streamed(1);
  CHECK(host.lines() == strings{"1 #0 200 0"});
  host.stop(a);
  for (std::uint32_t n = 2; n < 12; ++n) {
    host.pass(60ms, 60ms);
    streamed(n);
    CHECK(host.lines().back() == fmt::format("{} #0 200 0", n));
  }
  CHECK(p->ended == 0);
  host.pass(99ms, 99ms);
  CHECK(p->ended == 0);
  host.pass(2ms, 2ms);
  CHECK(p->ended == 1);
  CHECK(host.lines().back() == "event a/1:501 stopped ok");
  CHECK(host.stats().requests_aborted == 0);
  SUBCASE("within a limit") {
    const auto b = instance_of("b");
    host.start_accepted(b);
    host.stop(b);
    const auto begun = host.sim.now();
    while (p->ended == 1 && host.sim.now() < begun + 5s) {
      host.pass(60ms, 60ms);
      streamed(20, b);
    }
    CHECK(host.sim.now() <= begun + 1060ms);
  }
  SUBCASE("an actor to be destroyed is told at once, since it gets no more requests") {
    const auto b = instance_of("b");
    host.start_accepted(b);
    host.stop(b, reason::destroy);
    CHECK(p->ended == 2);
    CHECK(host.lines().back() == "event b/1:501 stopped ok");
  }
  SUBCASE("the engine may change its mind") {
    const auto b = instance_of("b");
    host.start_accepted(b);
    host.stop(b);
    host.stop(b, reason::lost, 3);
    CHECK(host.lines().back() == "event b/1:501 stopped error: the engine ended it: LOST");
  }
  SUBCASE("an actor that quits meanwhile is not waited for") {
    const auto b = instance_of("b");
    host.start_accepted(b);
    host.stop(b);
    host.request(b, 30, "GET", "/quit");
    CHECK(host.lines().back() == "event b/1:501 stopped ok");
    CHECK(host.stats().instances == 0);
  }
  SUBCASE("a WebSocket is for the next generation") {
    const auto b = instance_of("b");
    host.start_accepted(b);
    host.stop(b);
    host.open_socket(b, 40);
    CHECK(host.lines().back() == "40 #0 socket close 1011");
  }
}

TEST_CASE_FIXTURE(
    fixture,
    "I12 nothing silent: a Stop for what an earlier process may have run under the key: "
    "Stopped(OK) "
    "above any counter") {
  ingress_options old_key;
  old_key.ledger.key_had_a_past = true;
  sim_host host{std::move(old_key)};
  host.boot();
  host.stop(instance_of("z", 3), reason::lost);
  CHECK(host.lines() == strings{"ack z/3:2", "event z/3:9007199254740992 stopped ok"});
  CHECK(host.stats().orphan_stops == 1);
  host.clear();
  host.stop(instance_of("z", 3), reason::lost);
  CHECK(host.lines() == strings{"ack z/3:2"});
}

TEST_CASE_FIXTURE(
    fixture,
    "I3 no resurrection: a forgotten command is acked when it is repeated, on the same connection "
    "or on the next, and nothing else happens") {
  host.start_accepted(a);
  host.stop(a);
  const auto start = host.start_command(a);
  const auto stop = sim_host::stop_command_for(a);
  host.pass(11min, 10s);
  REQUIRE(host.ledger().entries == 0);
  REQUIRE(host.events().actors == 0);
  host.clear();
  const auto again = [&](std::vector<protocol::command_wrapper> what) {
    SUBCASE("live") { host.deliver(protocol::to_envoy_commands{std::move(what)}); }
    SUBCASE("in a replay") {
      host.cut();
      host.clear();
      host.connect(std::move(what));
    }
  };
  // Its age is that of what was forgotten: young, if the engine's clock was set back.
  auto young = start;
  std::get<protocol::command_start_actor>(young.inner).config.create_ts -= 1;
  SUBCASE("Start and Stop") { again({young, stop}); }
  SUBCASE("the Stop alone") { again({stop}); }
  CHECK(host.lines() == strings{"ack a/1:2"});
  CHECK(host.events().actors == 0);
  CHECK(host.stats().starts == 1);
  CHECK(host.stats().instances == 0);
  // And the next generation is run.
  host.clear();
  host.start(instance_of("a", 2));
  CHECK(host.lines() == strings{"ack a/2:1", "event a/2:250 running"});
}

TEST_CASE_FIXTURE(
    fixture,
    "I3 no resurrection: an expired Start is acked and ends the older generation, and neither it "
    "nor its Stop is answered") {
  begin();
  host.command(host.start_command(instance_of("a", 2), "echo", 1, 29s));
  CHECK(host.ledger().expired == 1);
  CHECK(p->factories == 1);
  CHECK(p->ended == 1);
  CHECK(host.lines() == strings{"ack a/2:1"});
  CHECK(
      host.log_text().find("a Start is not run: the engine has already given it up actor=a "
                           "generation=2 age_s=29.0") != std::string::npos);
  host.clear();
  host.stop(instance_of("a", 2));
  CHECK(host.lines() == strings{"ack a/2:2"});
  CHECK(host.stats().instances == 0);
  // A little younger, it runs.
  host.command(host.start_command(instance_of("b"), "echo", 1, 27s));
  CHECK(p->factories == 2);
}

TEST_CASE_FIXTURE(fixture, "the replay of a first connection waits for the engine's clock") {
  sim_host fresh;
  fresh.serve("echo", tally, p);
  fresh.boot(false);
  fresh.open();
  fresh.deliver(protocol::to_envoy_commands{
      {fresh.start_command(instance_of("old"), "echo", 1, 29s),
       fresh.start_command(instance_of("new"))}});
  CHECK(fresh.lines().empty());
  fresh.ping();
  CHECK(p->factories == 1);
  CHECK(fresh.ledger().expired == 1);
  CHECK(fresh.counts->acks_sent == 2);
  p->selves.clear();
}

TEST_CASE_FIXTURE(fixture, "an index that the engine skipped is logged, and nothing waits for it") {
  begin();
  const auto told = "the engine skipped an index actor=a generation=1 index=3\n";
  CHECK(host.log_text().find(told) == std::string::npos);
  host.stop(a, reason::sleep_intent, 3);
  CHECK(host.ledger().gaps == 1);
  CHECK(host.log_text().find(told) != std::string::npos);
  CHECK(p->ended == 1);
}

TEST_CASE("a ledger over its limit is logged, once") {
  ingress_options small;
  small.ledger.bytes_max = 1;
  sim_host host{small};
  host.boot();
  for (const auto* id : {"a", "b", "c"}) host.start(instance_of(id));
  CHECK(host.ledger().over_cap == 1);
  const auto log = host.log_text();
  const auto told = log.find("the command ledger is over its limit");
  CHECK(told != std::string::npos);
  CHECK(log.find("the command ledger is over its limit", told + 1) == std::string::npos);
}

}  // namespace endings_test

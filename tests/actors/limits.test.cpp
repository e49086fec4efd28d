// Generations, time limits, the lease, eviction and drain.
#include <doctest/doctest.h>

#include "actors/watched_actors.hpp"

namespace limits_test {

using namespace nuncio;
using namespace nuncio::test;
using reason = protocol::stop_actor_reason;
using strings = std::vector<std::string>;

namespace {

struct fixture : hosted {
  actor_ref a = instance_of("a");
  int finals = 0;
  int dones = 0;

  fixture() {
    host.options().on_final = [this](const failure&) { ++finals; };
    host.options().on_done = [this] { ++dones; };
    host.boot();
  }

  // Starts `a` so many seconds after its allocation, and takes its first turn, which runs the factory, out of the
  // scheduler's list.
  caf::resumable* begin_stuck(duration age) {
    host.batch({protocol::to_envoy_commands{{host.start_command(a, "echo", 1, age)}}});
    auto& jobs = host.sim.jobs();
    while (jobs.size() == 1) host.sim.run_once();
    caf::resumable* stuck = nullptr;
    std::deque<caf::resumable*> rest;
    for (auto* job : std::exchange(jobs, {}))
      (stuck == nullptr && dynamic_cast<tally_actor*>(job) != nullptr ? stuck = job
                                                                      : (rest.push_back(job), job));
    jobs = rest;
    REQUIRE(stuck != nullptr);
    host.settle();
    return stuck;
  }
};

}  // namespace

TEST_CASE_FIXTURE(
    fixture, "I11 generations: a newer one ends the older and starts when that is down") {
  host.start_accepted(a);
  host.clear();
  host.start(instance_of("a", 2));
  CHECK(p->factories == 2);
  CHECK(p->ended == 1);
  // Nothing of the older one is said any more.
  CHECK(host.lines() == strings{"ack a/2:1", "event a/2:250 running"});
  CHECK(host.stats().instances == 1);
}

TEST_CASE_FIXTURE(
    fixture, "I11 generations: queued until the older is down; a still newer one replaces it") {
  host.start_accepted(a);
  host.clear();
  // All in one frame: the older one has had no chance to end in between.
  host.deliver(protocol::to_envoy_commands{
      {host.start_command(instance_of("a", 2)),
       host.start_command(instance_of("a", 3)),
       host.start_command(instance_of("a", 4))}});
  CHECK(p->factories == 2);
  CHECK(p->ended == 1);
  CHECK(host.stats().instances == 1);
  host.accept(instance_of("a", 4));
  host.request(instance_of("a", 4), 1, "POST");
  CHECK(host.lines().back() == "1 #0 200 1");
  const auto lines = host.lines();
  CHECK(std::count(lines.begin(), lines.end(), "event a/4:250 running") == 1);
  CHECK(std::none_of(lines.begin(), lines.end(), [](const auto& x) {
    return x.starts_with("event a/2") || x.starts_with("event a/3");
  }));
}

TEST_CASE_FIXTURE(fixture, "I11 generations: a request for a newer one ends the older instance") {
  host.start_accepted(a);
  host.clear();
  host.request(instance_of("a", 2), 1);
  CHECK(p->ended == 1);
  CHECK(host.lines() == strings{"1 #0 abort"});
}

TEST_CASE_FIXTURE(fixture, "a Stop for a queued generation") {
  host.start_accepted(a);
  host.clear();
  host.deliver(protocol::to_envoy_commands{
      {host.start_command(instance_of("a", 2)),
       sim_host::stop_command_for(instance_of("a", 2), reason::destroy)}});
  CHECK(p->factories == 1);
  CHECK(host.stats().instances == 0);
  CHECK(host.lines() == strings{"ack a/2:2", "event a/2:250 stopped ok"});
  CHECK(host.log_text().find("can't happen") == std::string::npos);
}

TEST_CASE_FIXTURE(
    fixture,
    "I9 bounded: an instance's events are forgotten when a request ends it for a newer one") {
  const auto b = instance_of("b");
  host.start_accepted(a);
  host.start_accepted(b);
  CHECK(host.events().actors == 2);
  host.request(instance_of("a", 2), 1);
  protocol::to_envoy_web_socket_open open{b.actor, 2, text{"/"}, {}};
  host.deliver(sim_host::tunnel(2, 0, std::move(open)));
  CHECK(host.stats().instances == 0);
  CHECK(host.events().actors == 0);
}

TEST_CASE_FIXTURE(fixture, "I11 generations: a Stop for a newer one than is known ends the older") {
  host.start_accepted(a);
  host.clear();
  host.stop(instance_of("a", 2), reason::destroy);
  CHECK(p->ended == 1);
  CHECK(host.stats().instances == 0);
  CHECK(host.lines() == strings{"ack a/2:2", "event a/2:9007199254740992 stopped ok"});
}

TEST_CASE("a name's own request limit applies instead of the host's") {
  hosted x;
  x.host.options().requests_max = 2;
  x.host.options().factories["wide"] = {
      internal::function_factory(tally, x.p), {.name = "wide", .requests_max = 3}};
  x.host.boot();
  const auto a = instance_of("a");
  const auto b = instance_of("b");
  x.host.start_accepted(a);
  x.host.start_accepted(b, "wide");
  for (std::uint32_t i = 0; i < 4; ++i) {
    x.host.request(a, i, "GET", "/later");
    x.host.request(b, 10 + i, "GET", "/later");
  }
  CHECK(x.host.stats().requests_open == 5);
  CHECK(x.host.stats().requests_rejected == 3);
}

TEST_CASE("2.4: the Starts that a host keeps have a limit; above it a Start is answered") {
  ingress_options options;
  options.host_start_bytes_max = 2 * 4096 + 3000;
  hosted x{std::move(options)};
  x.host.boot();
  x.host.start_accepted(instance_of("a"));
  x.host.start_accepted(instance_of("b"));
  const auto start_large = [&](const char* id) {
    auto wrapper = x.host.start_command(instance_of(id));
    std::get<protocol::command_start_actor>(wrapper.inner).config.input =
        bytes{std::string(2000, 'x')};
    x.host.clear();
    x.host.command(std::move(wrapper));
    return x.host.lines();
  };
  CHECK(
      start_large("c") ==
      strings{"ack c/1:1", "event c/1:250 stopped error: this host has no room for another actor"});
  CHECK(x.host.stats().instances == 2);
  // Nothing of it is counted any more, and what ends makes room.
  x.host.stop(instance_of("a"));
  CHECK(start_large("d") == strings{"ack d/1:1", "event d/1:250 running"});
  CHECK(
      start_large("e") ==
      strings{"ack e/1:1", "event e/1:250 stopped error: this host has no room for another actor"});
}

TEST_CASE("2.4: an actor's id counts as part of its Start") {
  ingress_options options;
  options.host_start_bytes_max = 2 * 4096 + 100'000;
  hosted x{std::move(options)};
  x.host.boot();
  const auto start = [&](char id) {
    x.host.command(x.host.start_command(instance_of(std::string(5000, id).c_str())));
    return x.host.stats().instances;
  };
  CHECK(start('a') == 1);
  CHECK(start('b') == 1);
  CHECK(start('c') == 1);
}

TEST_CASE("2.4: detached actors have a limit; above it a Start is answered") {
  ingress_options options;
  options.detached_max = 0;
  hosted x{std::move(options)};
  x.host.serve(serve_options{.name = "own thread", .detached = true}, [](engine_actor*) {
    return caf::behavior{[](const http_request&) { return http_response{}; }};
  });
  x.host.boot();
  x.host.command(x.host.start_command(instance_of("a"), "own thread"));
  CHECK(
      x.host.lines() ==
      strings{
          "ack a/1:1",
          "event a/1:250 stopped error: this host has no thread for another detached actor"});
  x.host.clear();
  x.host.command(x.host.start_command(instance_of("b")));
  CHECK(x.host.lines() == strings{"ack b/1:1", "event b/1:250 running"});
}

TEST_CASE("2.4: memory is returned to the system once many actors have ended") {
  int released = 0;
  ingress_options options;
  options.release_memory = [&] { ++released; };
  hosted x{std::move(options)};
  x.host.boot();
  const auto all = [](int i) { return instance_of(std::to_string(i).c_str()); };
  for (int i = 0; i < 20'000; ++i) x.host.command(x.host.start_command(all(i)));
  x.host.pass(1min, 1s);
  CHECK(released == 0);
  for (int i = 0; i < 20'000; ++i) x.host.stop(all(i));
  x.host.pass(1min, 1s);
  CHECK(released == 1);
}

TEST_CASE_FIXTURE(fixture, "2.1: an actor keeps nothing of its Start's frame") {
  const auto frame = std::make_shared<const std::string>("echo[\"k\"]input and other Starts");
  const auto cut = [&](std::size_t from, std::size_t size) {
    return text{frame, std::span<const char>{*frame}.subspan(from, size)};
  };
  for (const auto* id : {"a", "b"}) {  // served, and unknown
    auto wrapper = host.start_command(instance_of(id));
    auto& config = std::get<protocol::command_start_actor>(wrapper.inner).config;
    config.name = cut(0, *id == 'a' ? 4 : 3);
    config.key = cut(4, 5);
    const auto input = cut(9, 5);
    const bytes raw{
        input.owner(), {reinterpret_cast<const std::uint8_t*>(input.data()), input.size()}};
    config.input = raw;
    std::get<protocol::command_start_actor>(wrapper.inner).preloaded_kv =
        protocol::preloaded_kv{{{raw, raw, {raw, 1}}}, {raw}, {raw}};
    host.command(std::move(wrapper));
  }
  host.accept(a);
  CHECK(host.stats().instances == 1);
  CHECK(frame.use_count() == 1);
  host.request(a, 1);
  CHECK(host.lines().back() == "1 #0 200 0");
}

TEST_CASE_FIXTURE(fixture, "an actor that outlives its grace is ended with Stopped(Error)") {
  host.start_accepted(a, "stubborn");
  host.stop(a);
  host.clear();
  host.pass(16s);
  CHECK(p->ended == 1);
  CHECK(
      host.lines() ==
      strings{"event a/1:501 stopped error: the actor did not stop within its grace period"});
}

TEST_CASE_FIXTURE(fixture, "an actor that ignores exit is abandoned after the limit, and named") {
  host.start_accepted(a);
  host.clear();
  // Its next turn is taken out of the scheduler's list: like a handler that never returns.
  caf::anon_send(p->selves[0], 1);
  auto& jobs = host.sim.jobs();
  REQUIRE(jobs.size() == 1);
  auto* const stuck = jobs.front();
  jobs.clear();
  host.stop(a);
  host.start(instance_of("a", 2));  // waits
  CHECK(p->factories == 1);
  host.pass(3s);
  CHECK(host.stats().actors_abandoned == 1);
  CHECK(
      host.log_text().find("an actor ignores its end; going on without it name=echo actor=a") !=
      std::string::npos);
  CHECK(p->factories == 2);
  CHECK(host.lines() == strings{"ack a/1:2", "ack a/2:1", "event a/2:250 running"});
  // When it comes back to life it ends without a word.
  host.clear();
  jobs.push_back(stuck);
  host.settle();
  CHECK(p->ended == 1);
  CHECK(host.lines().empty());
}

TEST_CASE_FIXTURE(
    fixture, "a factory slower than the start limit: Stopped(Error), the actor is ended") {
  auto* const stuck = begin_stuck(0s);
  CHECK(host.lines() == strings{"ack a/1:1"});
  host.pass(31s);
  CHECK(
      host.lines() ==
      strings{
          "ack a/1:1",
          "event a/1:250 stopped error: the factory took longer than the start limit"});
  CHECK(host.stats().actors_abandoned == 1);
  host.clear();
  host.sim.jobs().push_back(stuck);
  host.settle();
  CHECK(host.lines().empty());
  CHECK(host.stats().instances == 0);
}

TEST_CASE_FIXTURE(
    fixture,
    "I14 single writer: a factory's time counts from the engine's allocation, not from the Start's "
    "arrival") {
  auto* const stuck = begin_stuck(10s);
  host.pass(17s);
  CHECK(host.lines() == strings{"ack a/1:1"});
  host.pass(2s);
  CHECK(host.log_text().find("an actor ignores its end") == std::string::npos);
  host.pass(2s);  // what an actor gets to end
  CHECK(
      host.lines() ==
      strings{
          "ack a/1:1",
          "event a/1:250 stopped error: the factory took longer than the start limit"});
  host.sim.jobs().push_back(stuck);
}

TEST_CASE_FIXTURE(
    fixture,
    "I14 single writer: a Start that waits for the older generation counts from its allocation") {
  host.start_accepted(a);
  host.clear();
  caf::anon_send(p->selves[0], 1);
  auto& jobs = host.sim.jobs();
  REQUIRE(jobs.size() == 1);
  auto* const stuck = jobs.front();
  jobs.clear();
  host.command(host.start_command(instance_of("a", 2), "echo", 1, 27s));
  host.pass(900ms, 300ms);
  CHECK(host.lines() == strings{"ack a/2:1"});
  host.pass(200ms, 100ms);
  CHECK(
      host.lines() ==
      strings{
          "ack a/2:1",
          "event a/2:250 stopped error: the older generation did not end within the start limit"});
  CHECK(p->factories == 1);
  jobs.push_back(stuck);
}

TEST_CASE_FIXTURE(
    fixture,
    "I14 single writer: how long Running may go unacked counts from the engine's allocation") {
  host.start_accepted(a);  // the engine acks
  const auto b = instance_of("b");
  host.clear();
  host.command(host.start_command(b, "echo", 1, 27s));
  CHECK(host.lines() == strings{"ack b/1:1", "event b/1:250 running"});
  host.pass(900ms, 300ms);
  CHECK(p->ended == 0);
  host.pass(200ms, 100ms);
  CHECK(p->ended == 1);
  CHECK(
      host.lines().back() ==
      "event b/1:501 stopped error: the engine did not accept Running in time");
  // Acked within the limit, it runs on.
  const auto c = instance_of("c");
  host.command(host.start_command(c, "echo", 1, 27s));
  host.accept(c);
  host.pass(60s);
  CHECK(p->ended == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "I14 single writer: Running never acked ends an actor, but only towards an engine that acks") {
  host.start(a);
  host.pass(40s);
  CHECK(p->ended == 0);
  host.start_accepted(instance_of("b"));
  host.start(instance_of("c"));
  host.clear();
  host.pass(30s);
  // The first one's limit passed before the rule was in force; it is asked again.
  CHECK(p->ended == 2);
  CHECK(
      host.lines() ==
      strings{
          "event a/1:501 stopped error: the engine did not accept Running in time",
          "event c/1:501 stopped error: the engine did not accept Running in time"});
  host.request(instance_of("b"), 1);
  CHECK(host.lines().back() == "1 #0 200 0");
}

TEST_CASE_FIXTURE(
    fixture, "I14 single writer: the lease's end ends every actor with Stopped(Error), never OK") {
  host.start_accepted(a);
  host.start_accepted(instance_of("b"), "stubborn");
  host.start_accepted(instance_of("c"));
  host.request(instance_of("c"), 1, "GET", "/quit");
  host.cut();
  host.clear();
  host.to_ingress(internal::lease_ended{});
  CHECK(p->ended == 3);
  CHECK(host.stats().instances == 0);
  host.connect();
  const auto lines = host.lines();
  auto events = lines;
  std::erase_if(events, [](const auto& x) {
    return !x.starts_with("event") || x.find("stopped error") == x.npos;
  });
  CHECK(events.size() == 3);
  CHECK(std::none_of(
      lines.begin(), lines.end(), [](const auto& x) { return x.find("stopped ok") != x.npos; }));
  host.to_ingress(internal::lease_ended{});  // nothing is left to end
}

TEST_CASE_FIXTURE(fixture, "I14 single writer: an eviction ends all at once, without events") {
  host.start_accepted(a);
  host.start_accepted(instance_of("b"), "stubborn");
  host.request(a, 1, "GET", "/later");
  host.clear();
  host.to_ingress(internal::link_final{{errc::evicted, "another host took over"}});
  CHECK(p->ended == 2);
  CHECK(host.stats().instances == 0);
  CHECK(finals == 1);
  const auto lines = host.lines();
  CHECK(std::none_of(
      lines.begin(), lines.end(), [](const auto& x) { return x.starts_with("event"); }));
  host.to_ingress(internal::link_final{{errc::evicted, "again"}});
  CHECK(finals == 1);
}

TEST_CASE_FIXTURE(fixture, "drain: Stopping, actors stop, all is flushed, the link closes") {
  host.start_accepted(a);
  host.start_accepted(instance_of("b"), "stubborn");
  host.clear();
  host.to_ingress(internal::drain{host.sim.now() + 30s});
  CHECK(host.lines() == strings{"stopping"});
  CHECK(!host.link->closed);
  host.stop(a, reason::going_away);
  host.clear();
  // b gets no Stop within a second: it asks for sleep itself.
  host.pass(2s);
  CHECK(host.lines() == strings{"event b/1:501 intent sleep"});
  host.stop(instance_of("b"), reason::sleep_intent);
  host.to_ingress(internal::drain{host.sim.now() + 10s});  // said again
  CHECK(!host.link->closed);
  caf::anon_send(p->selves[1], std::string{"quit"});
  host.settle();
  CHECK(host.lines().back() == "event b/1:752 stopped ok");
  CHECK(host.link->closed);
  host.to_ingress(internal::link_final{{errc::cancelled, "closed"}});
  CHECK(finals == 1);
  CHECK(dones == 1);
}

TEST_CASE_FIXTURE(
    fixture, "drain: every later connection begins with Stopping, a late Start sleeps") {
  host.to_ingress(internal::drain{host.sim.now() + 30s});
  REQUIRE(!host.link->greeting.empty());
  CHECK(std::holds_alternative<protocol::to_rivet_stopping>(host.link->greeting.back()));
}

TEST_CASE_FIXTURE(fixture, "drain: at the deadline Stopped(Error)") {
  host.start_accepted(a, "stubborn");
  host.stop(a, reason::going_away);
  host.to_ingress(internal::drain{host.sim.now() + 5s});
  host.clear();
  host.pass(6s);
  CHECK(
      host.lines() == strings{"event a/1:501 stopped error: the host's drain deadline has passed"});
  CHECK(host.link->closed);
}

TEST_CASE_FIXTURE(fixture, "drain: with the engine away it still ends at the deadline") {
  host.start_accepted(a);
  host.cut();
  host.to_ingress(internal::drain{host.sim.now() + 5s});
  host.pass(4s);
  CHECK(!host.link->closed);
  host.pass(4s);
  CHECK(host.stats().instances == 0);
  CHECK(host.link->closed);
}

TEST_CASE_FIXTURE(fixture, "drain: with the engine away and nothing to send it ends at once") {
  host.start_accepted(a);
  host.stop(a);
  host.pass(6min);  // the Stopped is past its grace
  host.cut();
  host.to_ingress(internal::drain{host.sim.now() + 30s});
  CHECK(host.link->closed);
}

TEST_CASE_FIXTURE(
    fixture, "drain: unsent events wait for the engine until it has given up the host") {
  host.start_accepted(a, "stubborn");
  host.cut();
  caf::anon_send(p->selves[0], std::string{"throw"});
  host.settle();
  SUBCASE("while the drain waits") {
    host.to_ingress(internal::drain{host.sim.now() + 30s});
    host.pass(5s);
    CHECK(!host.link->closed);
    host.to_ingress(internal::lease_ended{});
    CHECK(host.link->closed);
  }
  SUBCASE("before the drain") {
    host.to_ingress(internal::lease_ended{});
    host.to_ingress(internal::drain{host.sim.now() + 30s});
    CHECK(host.link->closed);
  }
  SUBCASE("an engine that came back is told") {
    host.to_ingress(internal::lease_ended{});
    host.clear();
    host.connect();
    CHECK(host.lines().back() == "event a/1:501 stopped error: hidden: in a message");
    host.cut();
    host.to_ingress(internal::drain{host.sim.now() + 30s});
    CHECK(!host.link->closed);
  }
}

TEST_CASE_FIXTURE(fixture, "ready once, with the first replay barrier") {
  int ready = 0;
  hosted x;
  x.host.options().on_ready = [&] { ++ready; };
  x.host.boot(false);
  x.host.open();
  CHECK(ready == 0);
  x.host.ping();
  x.host.ping();
  x.host.cut();
  x.host.connect();
  CHECK(ready == 1);
  CHECK(x.host.stats().barriers == 2);
}

}  // namespace limits_test

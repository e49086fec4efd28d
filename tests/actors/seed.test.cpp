// The seed scenarios: what a replaying engine may do to a host, each by name.
#include <doctest/doctest.h>

#include "actors/watched_actors.hpp"

namespace seed_test {

using namespace nuncio;
using namespace nuncio::test;
using reason = protocol::stop_actor_reason;
using strings = std::vector<std::string>;

namespace {

struct fixture : hosted {
  fixture() { host.boot(); }
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "I1 fresh only: same-index replay") {
  const auto a = instance_of("a");
  host.start(a);
  CHECK(host.lines() == strings{"ack a/1:1", "event a/1:250 running"});
  for (auto i = 0; i < 10'000; ++i) host.start(a);
  CHECK(p->factories == 1);
  CHECK(host.stats().dispatched == 1);
  CHECK(host.ledger().duplicates == 10'000);
  // Each in a frame of its own, each acked again, and nothing else said.
  CHECK(host.lines().size() == 2 + 10'000);
  CHECK(host.lines().back() == "ack a/1:1");
  host.clear();
  // Twice in one frame, and on many connections.
  for (auto i = 0; i < 20; ++i) {
    host.cut();
    host.connect({host.start_command(a), host.start_command(a)});
  }
  CHECK(p->factories == 1);
  CHECK(p->ended == 0);
  CHECK(host.counts->acks_sent == 1 + 10'000 + 20);
}

TEST_CASE_FIXTURE(fixture, "I1 fresh only: stale lower index") {
  const auto a = instance_of("a");
  host.start_accepted(a);
  host.stop(a, reason::sleep_intent, 5);
  CHECK(host.ledger().gaps == 1);
  host.clear();
  host.command(host.start_command(a, "echo", 1));
  host.stop(a, reason::destroy, 2);
  host.stop(a, reason::destroy, 5);
  CHECK(host.ledger().duplicates == 3);
  CHECK(p->factories == 1);
  CHECK(host.lines() == strings{"ack a/1:1", "ack a/1:2", "ack a/1:5"});
}

TEST_CASE_FIXTURE(fixture, "I1 fresh only: monotonic processing") {
  const auto a = instance_of("a");
  host.deliver(protocol::to_envoy_commands{
      {host.start_command(a),
       sim_host::stop_command_for(a),
       host.start_command(a),
       sim_host::stop_command_for(a)}});
  CHECK(host.stats().dispatched == 2);
  CHECK(host.ledger().duplicates == 2);
  CHECK(p->factories <= 1);
  // One checkpoint for the whole frame: the highest.
  CHECK(host.lines().front() == "ack a/1:2");
  CHECK(host.counts->acks_sent == 1);
}

TEST_CASE_FIXTURE(fixture, "I1 fresh only: per-actor isolation") {
  host.start_accepted(instance_of("a"));
  host.start_accepted(instance_of("b"));
  host.request(instance_of("a"), 1, "POST", "/");
  host.clear();
  host.stop(instance_of("b"));
  host.start(instance_of("b"));  // replayed
  host.request(instance_of("a"), 2);
  CHECK(
      host.lines() == strings{"ack b/1:2", "event b/1:501 stopped ok", "ack b/1:1", "2 #0 200 1"});
  CHECK(p->factories == 2);
  CHECK(p->ended == 1);
}

TEST_CASE_FIXTURE(fixture, "I11 generations: per-generation isolation") {
  host.start_accepted(instance_of("a", 1));
  host.stop(instance_of("a", 1));
  host.clear();
  host.start_accepted(instance_of("a", 2));  // index 1 again, another generation
  CHECK(p->factories == 2);
  CHECK(host.lines() == strings{"ack a/2:1", "event a/2:250 running"});
  host.clear();
  host.stop(instance_of("a", 1));  // replay of the older generation
  host.start(instance_of("a", 1));
  CHECK(host.ledger().superseded == 2);
  CHECK(p->factories == 2);
  CHECK(p->ended == 1);
  CHECK(host.lines() == strings{"ack a/1:2", "ack a/1:1"});
}

TEST_CASE_FIXTURE(
    fixture, "I4 no clobber: Start replay on a live actor: state and in-flight request intact") {
  const auto a = instance_of("a");
  host.start_accepted(a);
  host.request(a, 1, "POST", "/");
  host.request(a, 2, "POST", "/later");
  host.clear();
  host.cut();
  host.connect({host.start_command(a)});
  CHECK(host.lines() == strings{"ack a/1:1"});
  CHECK(p->factories == 1);
  REQUIRE(p->pending.size() == 1);
  answer("late", 201);
  host.request(a, 3);
  CHECK(host.lines() == strings{"ack a/1:1", "2 #0 201 late", "3 #0 200 2"});
}

TEST_CASE_FIXTURE(fixture, "I3 no resurrection: Start replay on a stopped actor") {
  const auto a = instance_of("a");
  host.start_accepted(a);
  host.stop(a);
  CHECK(host.stats().instances == 0);
  host.cut();
  host.clear();
  host.connect({host.start_command(a), sim_host::stop_command_for(a)});
  CHECK(p->factories == 1);
  CHECK(host.stats().instances == 0);
  // Acked, and the kept Stopped goes again with its own index.
  CHECK(host.lines() == strings{"event a/1:501 stopped ok", "ack a/1:2"});
}

TEST_CASE_FIXTURE(fixture, "I7 re-ack: Stop replay") {
  const auto a = instance_of("a");
  host.start_accepted(a, "stubborn");
  host.stop(a);
  host.stop(a);
  host.cut();
  host.connect({sim_host::stop_command_for(a)});
  CHECK(p->told.size() == 1);
  caf::anon_send(p->selves.at(0), std::string{"quit"});
  host.settle();
  host.clear();
  host.stop(a);
  CHECK(host.stats().stops == 1);
  CHECK(host.ledger().duplicates == 3);
  CHECK(host.lines() == strings{"ack a/1:2"});
  CHECK(host.events().stopped == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "I5 acks complete: stopped actor acked after removal until the engine's store is empty") {
  const auto a = instance_of("a");
  host.start_accepted(a);
  host.stop(a, reason::destroy);
  CHECK(host.stats().instances == 0);
  // The engine lost every ack so far: it replays, we ack again, as often as it takes.
  for (auto i = 0; i < 5; ++i) {
    host.cut();
    host.clear();
    host.connect({host.start_command(a), sim_host::stop_command_for(a, reason::destroy)});
    CHECK(host.lines() == strings{"event a/1:501 stopped ok", "ack a/1:2"});
  }
  // Ten minutes after the last of them its entry goes.
  CHECK(host.ledger().entries == 1);
  host.pass(11min, 10s);
  CHECK(host.ledger().entries == 0);
  CHECK(host.ledger().forgotten == 1);
  CHECK(host.events().actors == 0);
}

}  // namespace seed_test

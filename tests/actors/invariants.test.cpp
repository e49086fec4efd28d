// The invariants that other files of this suite don't already cover: a whole host, a fake link, one thread. On the other end is
// the engine's store of unacked commands.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <variant>

#include "actors/watched_actors.hpp"
#include "support/command_store.hpp"

namespace invariants_test {

using namespace nuncio;
using namespace nuncio::test;
using reason = protocol::stop_actor_reason;
using strings = std::vector<std::string>;

namespace {

struct fixture : hosted {
  actor_ref a = instance_of("a");

  fixture() { host.boot(); }
};

// Stores what it has sent until it is acked. May lose the acks that a connection carried, or let
// them through.
class storing_engine {
public:
  explicit storing_engine(sim_host& host) : host_(host) {}

  void command(const actor_ref& who, std::int64_t index) {
    const auto command = index == 1 ? host_.start_command(who) : sim_host::stop_command_for(who);
    commands_.store(command.checkpoint, command.inner);
    if (host_.link->connection != 0) host_.command(command);
  }

  void connect() { host_.connect(commands_.replay()); }

  /// Reads what the host has sent since the last time.
  void read(bool lost) {
    for (const auto& frame : host_.link->sent) {
      const auto* message = std::get_if<protocol::to_rivet>(&frame.content);
      const auto* acks = message ? std::get_if<protocol::to_rivet_ack_commands>(message) : nullptr;
      if (acks == nullptr) continue;
      for (const auto& x : acks->last_command_checkpoints) {
        if (!commands_.was_stored(x)) ++invented_;
        if (!lost) commands_.acknowledge(x);
      }
    }
    host_.clear();
  }

  [[nodiscard]] std::size_t stored() const { return commands_.unacked().size(); }

  [[nodiscard]] int invented() const { return invented_; }

private:
  sim_host& host_;
  command_store commands_;
  int invented_ = 0;
};

// A random life with cuts and lost acks; at its end the link comes up once more and is quiet.
void play(hosted& x, storing_engine& engine, std::uint64_t seed) {
  std::mt19937_64 random{seed};
  const auto pick = [&](std::uint64_t n) { return random() % n; };
  std::map<std::string, actor_ref> newest;
  std::map<actor_ref, std::int64_t> last;
  x.host.boot();
  for (auto step = 0; step < 120; ++step) {
    if (const auto what = pick(8); what < 5) {
      const auto id = std::string(1, static_cast<char>('a' + pick(6)));
      const auto at = newest.try_emplace(id, instance_of(id)).first;
      if (last[at->second] == 2 || pick(6) == 0) ++at->second.generation;
      engine.command(at->second, ++last[at->second]);
    } else if (what == 5) {
      engine.read(true);
      x.host.cut();
      engine.connect();
    } else {
      engine.read(pick(3) == 0);
    }
  }
  x.host.cut();
  engine.read(true);
  engine.connect();
  engine.read(false);
}

}  // namespace

TEST_CASE("I2 record first: the ledger holds a command before its actor is made") {
  hosted x;
  int made = 0;
  // Fails at once, in ingress itself: the first that can observe the command, and the entry must
  // outlive it.
  x.host.options().factories["failing"] = [&](caf::actor_system&,
                                              const std::shared_ptr<const instance_context>&,
                                              std::vector<caf::actor>&) -> caf::actor {
    ++made;
    throw std::runtime_error("no");
  };
  x.host.boot();
  x.host.start_accepted(instance_of("a"));
  CHECK(x.host.ledger().entries == 1);
  CHECK(x.host.ledger().gone == 0);  // held as one that lives, not as one that is gone
  x.host.command(x.host.start_command(instance_of("b"), "failing"));
  CHECK(x.host.ledger().entries == 2);
  CHECK(x.host.ledger().gone == 1);
  // The entry of a live actor is not forgotten, and so its Start is not carried out again.
  x.host.pass(15min, 30s);
  CHECK(x.host.ledger().entries == 1);
  x.host.start(instance_of("a"));
  CHECK(x.p->factories == 1);
  CHECK(made == 1);
}

TEST_CASE(
    "I6 acks honest: commands that wait for the engine's clock are not acked, since they are not "
    "recorded") {
  hosted x;
  x.host.boot(false);
  x.host.open();
  x.host.command(x.host.start_command(instance_of("a")));
  CHECK(x.host.ledger().entries == 0);
  CHECK(x.host.lines().empty());
  CHECK(x.p->factories == 0);
  x.host.cut();  // what was held dies with its connection
  x.host.connect();
  CHECK(x.host.ledger().entries == 0);
  CHECK(x.host.lines().empty());
  x.host.cut();
  x.host.connect({x.host.start_command(instance_of("a"))});
  CHECK(x.host.lines() == strings{"ack a/1:1", "event a/1:250 running"});
}

TEST_CASE(
    "I5 acks complete: cuts and lost acks, then quiet: the engine's store is empty, 60 seeds") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    hosted x;
    storing_engine engine{x.host};
    play(x, engine, seed);
    REQUIRE(engine.stored() == 0);
  }
}

TEST_CASE("I6 acks honest: no checkpoint that the engine did not send, 60 seeds") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    hosted x;
    storing_engine engine{x.host};
    play(x, engine, seed);
    REQUIRE(engine.invented() == 0);
  }
}

TEST_CASE_FIXTURE(
    fixture, "I8 one truth: acks that wait die with the link, and the replay says what to ack") {
  host.link->auto_written = false;  // one frame of acks stays in flight
  host.start(a);
  host.start(instance_of("b"));
  host.start(instance_of("c"));
  CHECK(host.counts->acks_pending == 2);
  host.cut();
  CHECK(host.counts->acks_pending == 0);
  host.clear();
  host.link->auto_written = true;
  host.connect({host.start_command(instance_of("b"))});
  auto acks = host.lines();
  std::erase_if(acks, [](const auto& x) { return !x.starts_with("ack"); });
  CHECK(acks == strings{"ack b/1:1"});
  CHECK(p->factories == 3);
}

TEST_CASE_FIXTURE(
    fixture, "I8 one truth: commands processed on one connection are not acked on the next") {
  const auto acks = [&] {
    auto out = host.lines();
    std::erase_if(out, [](const auto& x) { return !x.starts_with("ack"); });
    return out;
  };
  host.clear();
  host.batch({protocol::to_envoy_commands{{host.start_command(a)}}});
  host.swap_connection();  // ingress meets it before it has handed the command's checkpoint on
  host.settle();
  CHECK(p->factories == 1);
  CHECK(acks() == strings{});  // this connection has not brought the command
  host.deliver(protocol::to_envoy_init{{15'000, 1'800'000, 20'971'520}});
  host.command(host.start_command(a));
  host.ping();
  CHECK(acks() == strings{"ack a/1:1"});
  CHECK(p->factories == 1);
}

TEST_CASE_FIXTURE(
    fixture, "I7 re-ack: an ack that the link refuses blocks nothing, and the replay is acked") {
  const auto b = instance_of("b");
  host.link->connection = 0;  // the link knows of the end before the ack actor does
  host.start(a);
  host.start(b);
  CHECK(p->factories == 2);
  CHECK(host.counts->acks_pending == 0);
  CHECK(host.counts->acks_sent == 0);
  host.cut();
  host.clear();
  host.connect({host.start_command(a), host.start_command(b)});
  auto acks = host.lines();
  std::erase_if(acks, [](const auto& x) { return !x.starts_with("ack"); });
  std::sort(acks.begin(), acks.end());
  CHECK(acks == strings{"ack a/1:1", "ack b/1:1"});
  CHECK(p->factories == 2);
}

TEST_CASE_FIXTURE(
    fixture,
    "I10 events arrive: events lost in a cut, and events without a link, go on the next one") {
  host.start_accepted(a, "stubborn");
  host.start_accepted(instance_of("b"));
  host.stop(instance_of("b"));  // its Stopped went out, nobody knows how far
  host.cut();
  host.clear();
  caf::anon_send(p->selves.at(0), std::string{"throw"});
  host.settle();
  CHECK(host.stats().instances == 0);
  CHECK(host.lines().empty());
  for (auto i = 0; i < 3; ++i) {
    host.connect();
    CHECK(
        host.lines() ==
        strings{"event b/1:501 stopped ok", "event a/1:501 stopped error: hidden: in a message"});
    host.cut();
    host.clear();
  }
}

TEST_CASE_FIXTURE(
    fixture,
    "I14 single writer: at the lease's end an instance has lost its outputs before it ends") {
  host.start_accepted(a);
  host.request(a, 1, "GET", "/later");
  host.clear();
  host.to_ingress(internal::lease_ended{});
  CHECK(p->ended == 1);
  answer("too late");
  // The gateway is told to ask elsewhere; the handler's end says nothing.
  CHECK(
      host.lines() ==
      strings{"1 #0 abort", "event a/1:501 stopped error: the engine was silent for too long"});
}

TEST_CASE_FIXTURE(
    fixture,
    "I14 single writer: a superseded instance sends nothing more, neither events nor responses") {
  host.start_accepted(a, "stubborn");
  host.request(a, 1, "GET", "/later");
  host.clear();
  host.start(instance_of("a", 2));
  answer("too late");
  CHECK(host.lines() == strings{"1 #0 abort", "ack a/2:1", "event a/2:250 running"});
}

}  // namespace invariants_test

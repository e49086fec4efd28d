// host_machine as a whole, driven by hand: the effects of commands, and of messages from instances. The rules for requests and
// WebSockets are tested through the actors, and everything in the simulation.
#include <doctest/doctest.h>

#include <algorithm>
#include <nuncio/commands/event_outbox.hpp>
#include <nuncio/host/host_machine.hpp>
#include <string>
#include <utility>
#include <vector>

namespace host_machine_test {

using namespace nuncio;
using namespace std::chrono_literals;

namespace {

constexpr engine_ms engine_start = 1'700'000'000'000;

/// A link that takes everything.
class open_link final : public link_port {
public:
  outcome<void> send_frame(frame_class, epoch, const protocol::to_rivet&) override { return {}; }

  outcome<void> send_for_connection(
      std::shared_ptr<const output_gate>, epoch, const protocol::to_rivet&) override {
    return {};
  }

  outcome<void> send_across_connections(
      tunnel_source, protocol::to_rivet_tunnel_message&&) override {
    return {};
  }

  [[nodiscard]] bool has_room_for_bodies(const room_waiter&) override { return true; }

  void close() override { closed = true; }

  void fence(epoch, std::uint64_t) override {}

  void greet(std::vector<protocol::to_rivet>, bool) override {}

  void grant(std::size_t, std::size_t) override {}

  bool closed = false;
};

// The engine may say Stops for what an earlier process ran.
host_limits limits_with_a_past() {
  host_limits out;
  out.ledger.key_had_a_past = true;
  return out;
}

actor_ref ref(std::string_view id, std::uint32_t generation) { return {actor_id{id}, generation}; }

/// A machine that serves "room", on a connection whose clock is known, and what it has put out.
struct driven {
  driven() { machine.handle_link_up(1, now); }

  void ping(duration later = {}) { feed(protocol::to_envoy_ping{engine_start + later / 1ms}); }

  // The connection goes with it, and the next one is up.
  void lose_lease() {
    ping();
    machine.handle_lease_ended(now);
    machine.handle_link_down(now);
    machine.handle_link_up(2, now);
  }

  void start(const actor_ref& who, std::string_view name = "room") {
    protocol::command_start_actor start;
    start.config.name = text{name};
    start.config.create_ts = engine_start;
    command(who, 1, std::move(start));
  }

  void stop(
      const actor_ref& who,
      std::int64_t index = 2,
      protocol::stop_actor_reason why = protocol::stop_actor_reason::sleep_intent) {
    command(who, index, protocol::command_stop_actor{why});
  }

  /// Its factory has returned.
  void begin(const actor_ref& who) {
    const auto verdict = machine.handle_spawned(who, now);
    CHECK(verdict.what == spawned::lives);
    CHECK(verdict.number == numbers.back());
    tell(internal::instance_started{who});
  }

  template <class T>
  void tell(T what) {
    machine.handle(what, now);
    take();
  }

  void command(const actor_ref& who, std::int64_t index, protocol::command what) {
    protocol::to_envoy_commands frame;
    frame.commands.push_back({{who.actor, who.generation, index}, std::move(what)});
    feed(std::move(frame));
  }

  void feed(protocol::to_envoy what) {
    inbound_batch batch;
    batch.connection = 1;
    batch.messages.push_back(std::move(what));
    machine.handle_inbound(batch, now);
    take();
  }

  void take() {
    machine.flush(now);
    while (auto next = machine.poll_output()) {
      if (const auto* x = std::get_if<host_output::spawn>(&*next)) numbers.push_back(x->number);
      if (const auto* x = std::get_if<host_output::kill>(&*next)) killed.push_back(x->number);
      if (const auto* x = std::get_if<host_output::forget>(&*next)) forgotten.push_back(x->number);
      if (const auto* x = std::get_if<host_output::outputs_closed>(&*next)) cut.push_back(x->who);
      if (auto* x = std::get_if<host_output::message>(&*next)) told.push_back(std::move(*x));
      if (auto* x = std::get_if<internal::processed>(&*next))
        for (auto& each : x->checkpoints) acked.push_back(each);
      if (auto* x = std::get_if<internal::outbox_batch>(&*next))
        for (auto& each : x->inputs) said.push_back(std::move(each));
    }
  }

  template <class T>
  [[nodiscard]] std::size_t count() const {
    return static_cast<std::size_t>(std::count_if(
        said.begin(), said.end(), [](const auto& x) { return std::holds_alternative<T>(x); }));
  }

  /// How the last instance that is over has ended.
  [[nodiscard]] protocol::stop_code stopped() const {
    return std::get<internal::say_stopped>(said.back()).code;
  }

  time_point now{1h};
  std::shared_ptr<const serve_options> rooms =
      std::make_shared<const serve_options>(serve_options{.name = "room"});
  std::shared_ptr<open_link> link = std::make_shared<open_link>();
  host_machine machine{
      {.limits = limits_with_a_past(),
       .roster = {
           [this](std::string_view name) { return name == "room" ? rooms : nullptr; },
           [](const actor_ref&, std::uint64_t term) {
             return std::make_shared<instance_base>(term);
           }},
       .greeting = {},
       .link = link,
       .log = {},
       .on_judged = {}}};
  std::vector<instance_number> numbers, killed, forgotten;  ///< numbers: spawned
  std::vector<actor_ref> cut;
  std::vector<host_output::message> told;
  std::vector<protocol::actor_checkpoint> acked;
  std::vector<internal::outbox_input> said;
};

}  // namespace

TEST_CASE(
    "I5 acks complete: commands that wait for the engine's clock are carried out and acked once it "
    "is known") {
  driven host;
  host.start(ref("a", 1));
  CHECK(host.numbers.empty());
  CHECK(host.acked.empty());
  host.ping();
  CHECK(host.numbers.size() == 1);
  REQUIRE(host.acked.size() == 1);
  CHECK(host.acked[0].index == 1);
}

TEST_CASE("I9 bounded: an instance's number is used again once it is over") {
  driven host;
  host.ping();
  for (std::uint32_t generation = 1; generation <= 100; ++generation) {
    const auto who = ref("a", generation);
    host.start(who);
    host.begin(who);
    host.stop(who);
    host.tell(internal::instance_down{who, {}, {}});
  }
  CHECK(host.numbers == std::vector<instance_number>(100, 0));
  CHECK(host.forgotten == host.numbers);
  CHECK(host.machine.actors() == 0);
}

TEST_CASE("I10 events arrive: an alarm that comes after the end of its instance is not reported") {
  driven host;
  host.ping();
  const auto who = ref("a", 1);
  host.start(who);
  host.begin(who);
  host.tell(internal::alarm_called{who, 1});
  CHECK(host.count<internal::say_alarm>() == 1);
  SUBCASE("it was ended") { host.start(ref("a", 2)); }
  SUBCASE("it has ended") {
    host.stop(who);
    host.tell(internal::instance_down{who, {}, {}});
  }
  host.tell(internal::alarm_called{who, 2});
  CHECK(host.count<internal::say_alarm>() == 1);
}

TEST_CASE(
    "I10 events arrive: an instance whose intent the engine does not answer is over in the end") {
  driven host;
  host.ping();
  const auto who = ref("a", 1);
  host.start(who);
  host.begin(who);
  host.feed(protocol::to_envoy_ack_events{{{who.actor, who.generation, event_index_first}}});
  host.tell(internal::instance_down{who, {}, {}});
  CHECK(host.count<internal::say_intent>() == 1);
  CHECK(host.count<internal::say_stopped>() == 0);
  host.now += 61s;
  host.machine.expire(host.now);
  host.take();
  CHECK(host.count<internal::say_stopped>() == 1);
  CHECK(host.machine.actors() == 0);
}

TEST_CASE("I11 generations: the newer instance begins once the older one is down, and not before") {
  driven host;
  host.ping();
  host.start(ref("a", 1));
  host.begin(ref("a", 1));
  host.start(ref("a", 2));
  CHECK(host.killed == std::vector<instance_number>{0});
  CHECK(host.numbers.size() == 1);
  host.tell(internal::instance_down{ref("a", 1), "killed", {}});
  CHECK(host.numbers == std::vector<instance_number>{0, 1});
  host.begin(ref("a", 2));
  CHECK(host.count<internal::say_running>() == 2);
}

TEST_CASE(
    "I12 nothing silent: a Stop of an instance that never ran here is answered, and leaves no "
    "entry behind") {
  driven host;
  host.ping();
  host.stop(ref("a", 7), 3);
  CHECK(host.count<internal::answer_orphan_stop>() == 1);
  REQUIRE(host.acked.size() == 1);
  host.now += 11min;
  host.machine.expire(host.now);
  CHECK(host.machine.ledger().stats().entries == 0);
}

TEST_CASE("I1 fresh only: of the Stops of an instance that never ran here, one is carried out") {
  driven host;
  host.ping();
  host.stop(ref("a", 7), 3);
  host.stop(ref("a", 7), 4);
  CHECK(host.count<internal::answer_orphan_stop>() == 1);
  CHECK(host.acked.size() == 2);
}

TEST_CASE("I12 nothing silent: an actor that keeps failing is started later, not never") {
  driven host;
  host.ping();
  for (std::uint32_t generation = 1; generation <= 3; ++generation) {
    host.start(ref("a", generation));
    host.machine.expire(host.now += 5s);
    host.take();
    CHECK(host.numbers.size() == generation);
    host.tell(internal::instance_down{ref("a", generation), "it fails", {}});
    CHECK(host.count<internal::say_stopped>() == generation);
  }
}

TEST_CASE(
    "I14 single writer: an instance that the engine has given up is ended, and not asked to stop") {
  driven host;
  host.ping();
  host.start(ref("a", 1));
  host.begin(ref("a", 1));
  host.stop(ref("a", 1), 2, protocol::stop_actor_reason::lost);
  CHECK(host.killed.size() == 1);
  CHECK(host.told.empty());
}

TEST_CASE("I14 single writer: the end of the lease ends every instance") {
  driven host;
  host.ping();
  host.start(ref("a", 1));
  host.begin(ref("a", 1));
  host.start(ref("b", 1));
  host.machine.handle_lease_ended(host.now);
  host.take();
  CHECK(host.killed.size() == 1);
  CHECK(host.machine.handle_spawned(ref("b", 1), host.now).what == spawned::lives);
  host.take();
  CHECK(host.killed.size() == 2);
}

TEST_CASE(
    "I14 single writer: what storage has not reported in the grace is cut, and its instance "
    "fails") {
  driven host;
  host.ping();
  const auto who = ref("a", 1);
  host.start(who);
  host.begin(who);
  host.stop(who);
  host.tell(internal::instance_down{who, {}, {}, true});
  CHECK(host.count<internal::say_stopped>() == 0);
  SUBCASE("it reports that all is stored") {
    host.tell(internal::storage_done{who, {}});
    CHECK(host.cut.empty());
    CHECK(host.stopped() == protocol::stop_code::ok);
  }
  SUBCASE("it stands still") {
    host.machine.expire(host.now += 11s);
    host.take();
    CHECK(host.cut == std::vector<actor_ref>{who});
    CHECK(host.stopped() == protocol::stop_code::error);
    host.tell(internal::storage_done{who, {}});
  }
  CHECK(host.count<internal::say_stopped>() == 1);
  CHECK(host.machine.actors() == 0);
}

TEST_CASE("I14 single writer: once the lease has ended, commands wait for the next Ping") {
  driven host;
  host.lose_lease();
  host.start(ref("a", 1));
  CHECK(host.machine.actors() == 0);
  CHECK(!host.machine.ledger().last_index(ref("a", 1)));
  host.ping();
  CHECK(host.machine.actors() == 1);
  host.start(ref("b", 1));
  CHECK(host.machine.actors() == 2);
}

TEST_CASE(
    "I14 single writer: a Ping from the past, which begins no lease, lets no command through") {
  driven host;
  host.lose_lease();
  host.start(ref("a", 1));
  host.ping(-1s);
  CHECK(host.machine.actors() == 0);
  host.now += 3s;
  host.ping(-1s);  // a second one from there: the engine's clock was set back
  CHECK(host.machine.actors() == 1);
}

TEST_CASE(
    "I14 single writer: the rule of Running applies from the first event that the engine acks") {
  driven host;
  host.ping();
  host.start(ref("a", 1));
  host.begin(ref("a", 1));
  SUBCASE("none is acked") {
    host.machine.expire(host.now += 29s);
    host.take();
    CHECK(host.killed.empty());
  }
  SUBCASE("one is") {
    host.feed(protocol::to_envoy_ack_events{{{actor_id{"b"}, 1, event_index_first}}});
    host.machine.expire(host.now += 29s);
    host.take();
    CHECK(host.killed.size() == 1);
  }
}

TEST_CASE("an actor spawned after its instance is over is ended") {
  driven host;
  host.ping();
  host.start(ref("a", 1));
  host.start(ref("a", 2));
  host.machine.expire(host.now += 3s);  // the older one does not end in time
  host.take();
  CHECK(host.machine.handle_spawned(ref("a", 1), host.now).what == spawned::unwanted);
  CHECK(host.machine.handle_spawned(ref("a", 2), host.now).what == spawned::lives);
}

TEST_CASE("a drain without actors asks the outbox, and closes the link when that is done") {
  driven host;
  host.ping();
  host.machine.handle_drain(host.now + 10s, host.now);
  host.machine.flush(host.now);
  bool asked = false;
  while (const auto next = host.machine.poll_output())
    asked = asked || std::holds_alternative<host_output::drain_outbox>(*next);
  CHECK(asked);
  CHECK(!host.link->closed);
  host.machine.handle_outbox_drained();
  CHECK(host.link->closed);
}

}  // namespace host_machine_test

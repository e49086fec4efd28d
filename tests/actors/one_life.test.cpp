// A generation lives once, whatever the engine sends: every sequence of Starts and Stops of two generations with rising
// indexes, against actors of each kind.
#include <doctest/doctest.h>

#include <map>

#include "actors/watched_actors.hpp"

namespace one_life_test {

using namespace nuncio;
using namespace nuncio::test;
using strings = std::vector<std::string>;

namespace {

struct command_kind {
  std::uint32_t generation;
  bool start;
};

constexpr std::array<command_kind, 4> kinds{{{1, true}, {1, false}, {2, true}, {2, false}}};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t length_max = 4;  // time is short
constexpr std::size_t sequences_made = 1 + 4 + 16 + 64 + 256;
#else
constexpr std::size_t length_max = 5;
constexpr std::size_t sequences_made = 1 + 4 + 16 + 64 + 256 + 1024;
#endif

/// How often each instance was made, and which of an actor's lives now.
struct lives {
  std::map<actor_ref, int> made;
  std::map<actor_id, int> alive;
  int beside = 0;  ///< instances that began while another one of their actor lived
};

struct fixture : hosted {
  std::shared_ptr<lives> seen = std::make_shared<lives>();

  fixture() {
    for (const auto* name : {"obeys", "ignores", "quits", "fails"})
      host.serve(name, [how = std::string{name}, all = seen](engine_actor* self) -> caf::behavior {
        const auto who = self->start().self;
        ++all->made[who];
        if (how == "fails") throw std::runtime_error("no luck");
        if (++all->alive[who.actor] > 1) ++all->beside;
        self->attach_functor([all, who](const caf::error&) { --all->alive[who.actor]; });
        if (how == "quits") self->quit();
        if (how == "ignores")
          return {[](const http_request&) { return http_response{}; }, [](const stop_command&) {}};
        return {[](const http_request&) { return http_response{}; }};
      });
    host.boot();
  }
};

std::string name_of(const std::vector<command_kind>& sequence) {
  std::string out;
  for (const auto& x : sequence)
    out += fmt::format("{}{} ", x.start ? "Start" : "Stop", x.generation);
  return out;
}

std::vector<std::vector<command_kind>> sequences() {
  std::vector<std::vector<command_kind>> out{{}};
  for (std::size_t from = 0, length = 0; length < length_max; ++length)
    for (const auto end = out.size(); from < end; ++from)
      for (const auto& next : kinds) {
        auto longer = out[from];
        longer.push_back(next);
        out.push_back(std::move(longer));
      }
  return out;
}

std::vector<protocol::command_wrapper> commands(
    sim_host& host,
    const std::vector<command_kind>& sequence,
    std::string_view actor,
    std::string_view name) {
  std::vector<protocol::command_wrapper> out;
  std::map<std::uint32_t, std::int64_t> index;
  for (const auto& x : sequence) {
    const auto who = instance_of(actor, x.generation);
    const auto next = ++index[x.generation];
    out.push_back(
        x.start ? host.start_command(who, name, next)
                : sim_host::stop_command_for(who, protocol::stop_actor_reason::sleep_intent, next));
  }
  return out;
}

// What the engine was told of one generation, in order.
strings events_of(const strings& lines, const actor_ref& who) {
  strings out;
  const auto head = fmt::format("event {}/{}:", who.actor.view(), who.generation);
  for (const auto& x : lines)
    if (x.starts_with(head)) out.push_back(x.substr(x.find(' ', head.size()) + 1));
  return out;
}

}  // namespace

TEST_CASE_FIXTURE(
    fixture,
    "I3 no resurrection: every sequence of Starts and Stops of two generations gives each at most "
    "one "
    "instance and one Stopped, and nothing after it") {
  std::size_t n = 0;
  for (const auto& sequence : sequences())
    for (const auto* name : {"obeys", "ignores", "quits", "fails"})
      for (const bool together : {false, true}) {
        CAPTURE(name_of(sequence));
        CAPTURE(name);
        CAPTURE(together);
        const auto actor = fmt::format("a{}", ++n);
        host.clear();
        auto all = commands(host, sequence, actor, name);
        std::map<std::uint32_t, std::int64_t> last;
        for (const auto& x : all) last[x.checkpoint.generation] = x.checkpoint.index;
        if (together)
          host.deliver(protocol::to_envoy_commands{std::move(all)});
        else
          for (auto& x : all) host.command(std::move(x));
        for (std::uint32_t g = 1; g <= 2; ++g) host.accept(instance_of(actor, g));
        host.pass(20s, 10s, false);  // the patience with an actor that ignores its Stop is over
        const auto lines = host.lines();
        for (const auto& [generation, index] : last) {
          const auto who = instance_of(actor, generation);
          REQUIRE(seen->made[who] <= 1);
          const auto events = events_of(lines, who);
          const auto stopped = std::find_if(
              events.begin(), events.end(), [](const auto& x) { return x.starts_with("stopped"); });
          REQUIRE((stopped == events.end() || stopped + 1 == events.end()));
          // I7: the highest is acked whatever became of it.
          REQUIRE(
              std::count(
                  lines.begin(),
                  lines.end(),
                  fmt::format("ack {}/{}:{}", actor, generation, index)) == 1);
        }
        REQUIRE(seen->beside == 0);
      }
  CHECK(n == 8 * sequences_made);
  CAPTURE(host.log_text());
  CHECK(host.log_text().find("can't happen") == std::string::npos);
}

TEST_CASE_FIXTURE(
    fixture, "I3 no resurrection: a Start that follows its own Stop is acked and not run") {
  const auto a = instance_of("a");
  host.stop(a, protocol::stop_actor_reason::destroy, 1);
  host.start(a, "obeys", 2);
  CHECK(seen->made[a] == 0);
  CHECK(host.lines() == strings{"ack a/1:1", "ack a/1:2"});
}

TEST_CASE_FIXTURE(
    fixture, "I4 no clobber: another Start of a running generation is acked, logged and not run") {
  const auto a = instance_of("a");
  host.start_accepted(a, "obeys");
  host.clear();
  for (std::int64_t index = 2; index < 5; ++index) host.start(a, "obeys", index);
  CHECK(host.lines() == strings{"ack a/1:2", "ack a/1:3", "ack a/1:4"});
  CHECK(seen->made[a] == 1);
  CHECK(host.stats().instances == 1);
  host.request(a, 1);
  CHECK(host.lines().back() == "1 #0 200 ");
  CHECK(host.ledger().further_starts == 3);
  CHECK(
      host.log_text().find("the engine started a generation twice; the second Start is not run "
                           "actor=a generation=1 index=2") != std::string::npos);
}

}  // namespace one_life_test

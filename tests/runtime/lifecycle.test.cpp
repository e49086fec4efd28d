// The lifecycle table, walked on every path: what must never be reported, and what must be reachable.
#include <doctest/doctest.h>

#include <nuncio/instances/lifecycle.hpp>
#include <set>
#include <vector>

namespace lifecycle_test {

using namespace nuncio::lifecycle;

namespace {

constexpr int states = static_cast<int>(state::stopped) + 1;
constexpr int inputs = static_cast<int>(input::end_limit) + 1;

// What matters of the way that led here.
struct walker {
  state at = state::queued;
  bool told = false, accepted = false, silent = false, ran = false;
  int stopped = 0;
  auto operator<=>(const walker&) const = default;
};

walker follow(walker w, input in, const transition& t) {
  w.told = w.told || in == input::stop_command;
  w.accepted = w.accepted || in == input::accepted || in == input::stop_command;
  w.silent = w.silent || in == input::superseded || in == input::evicted;
  if (t.actions & spawn) {
    CHECK(!w.ran);
    w.ran = true;
  }
  if (t.actions & (say_sleep | say_destroy)) CHECK((w.accepted && w.stopped == 0));
  if (t.actions & (say_running | say_sleep | say_destroy | stopped_ok)) CHECK(!w.silent);
  if (t.actions & stopped_ok) CHECK(w.told);
  if (t.actions & (stopped_ok | stopped_error)) {
    ++w.stopped;
    CHECK(t.to == state::stopped);
  }
  CHECK(w.stopped <= 1);
  // The end is silent only if a newer generation or host exists.
  if (t.to == state::stopped && w.stopped == 0) CHECK(w.silent);
  w.at = t.to;
  return w;
}

}  // namespace

TEST_CASE(
    "No path through the table reports what must not be reported, and every state is reached") {
  std::set<walker> seen{{}};
  std::vector<walker> open{{}};
  while (!open.empty()) {
    const auto w = open.back();
    open.pop_back();
    for (int i = 0; i < inputs; ++i) {
      const auto in = static_cast<input>(i);
      const auto t = step(w.at, in);
      if (!t) continue;
      // Only what the table calls accepted counts as such.
      const auto next = follow(w, in, *t);
      if (seen.insert(next).second) open.push_back(next);
    }
  }
  std::set<state> reached;
  for (const auto& w : seen) reached.insert(w.at);
  CHECK(reached.size() == states);
}

TEST_CASE("Each pair of state and input is in the table at most once, and is found by step") {
  std::set<std::pair<state, input>> pairs;
  for (const auto& t : table()) {
    CHECK(pairs.emplace(t.from, t.in).second);
    const auto found = step(t.from, t.in);
    REQUIRE(found);
    CHECK(found->to == t.to);
    CHECK(found->actions == t.actions);
    CHECK(!to_string(t.from).empty());
    CHECK(!to_string(t.in).empty());
  }
}

TEST_CASE("I11 generations, I14 single writer: these ends are decided in every state") {
  for (int s = 0; s < states; ++s)
    for (const auto in :
         {input::stop_command,
          input::lost_command,
          input::superseded,
          input::lease_ended,
          input::evicted,
          input::deadline,
          input::drain}) {
      CAPTURE(to_string(static_cast<state>(s)));
      CAPTURE(to_string(in));
      REQUIRE(step(static_cast<state>(s), in));
    }
}

TEST_CASE("I14 single writer: a lease's end cuts what lives and is never reported OK") {
  for (int s = 0; s < states; ++s) {
    const auto from = static_cast<state>(s);
    const auto t = step(from, input::lease_ended);
    REQUIRE(t);
    CHECK(!(t->actions & stopped_ok));
    const bool ending = from == state::ending || from == state::ending_silently;
    if (has_actor(from) && !ending)
      CHECK((t->actions & (cut | action::exit)) == (cut | action::exit));
  }
}

TEST_CASE("What an actor requests while its factory runs is not forgotten") {
  auto t = step(state::starting, input::sleep_called);
  REQUIRE(t);
  CHECK(t->to == state::sleep_wanted);
  CHECK(t->actions == say_running);
  t = step(t->to, input::started);
  REQUIRE(t);
  t = step(t->to, input::accepted);
  REQUIRE(t);
  CHECK(t->actions == say_sleep);
}

TEST_CASE("Whatever happens, an instance can end") {
  for (int s = 0; s < states; ++s) {
    auto at = static_cast<state>(s);
    at = step(at, input::deadline)->to;
    if (at != state::stopped) at = step(at, input::end_limit)->to;
    CHECK(at == state::stopped);
  }
}

}  // namespace lifecycle_test

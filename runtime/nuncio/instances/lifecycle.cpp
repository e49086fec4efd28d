// The table of lifecycle.hpp as plain data.
#include <algorithm>
#include <array>
#include <nuncio/instances/lifecycle.hpp>
#include <vector>

namespace nuncio::lifecycle {
namespace {

using enum state;

// `in::started` reads better than input::started in a table, and does not collide with state's names.
using in = input;

constexpr transition rows[] = {
    {queued, in::older_down, starting, spawn},
    {queued, in::failed, stopped, stopped_error},  // unknown name
    {queued, in::stop_command, stopped, stopped_ok},
    {queued, in::lost_command, stopped, stopped_error},
    {queued, in::superseded, stopped, none},
    {queued, in::lease_ended, stopped, stopped_error},
    {queued, in::evicted, stopped, none},
    {queued, in::start_limit, stopped, stopped_error},
    {queued, in::drain, queued, none},
    {queued, in::accepted, queued, none},
    {queued, in::deadline, stopped, stopped_error},

    {starting, in::started, running, say_running},
    {starting, in::quit, quit_wanted, say_running},  // the factory worked and wants sleep at once
    {starting, in::failed, stopped, stopped_error},
    {starting, in::stop_command, stopping, tell_stop},  // Stop overtakes a slow factory
    // sleep() and destroy() imply that the actor has started, even if the factory is still running.
    {starting, in::sleep_called, sleep_wanted, say_running},
    {starting, in::destroy_called, destroy_wanted, say_running},
    {starting, in::start_limit, ending, cut | exit},
    {starting, in::drain, starting, none},
    {starting, in::accepted, starting, none},

    {running, in::accepted, accepted, none},
    {running, in::sleep_called, sleep_wanted, none},
    {running, in::destroy_called, destroy_wanted, none},
    {running, in::quit, quit_wanted, none},
    {running, in::given_up, ending, cut | exit},
    {running, in::drain, sleep_wanted, none},

    {accepted, in::sleep_called, sleep_intent, say_sleep},
    {accepted, in::destroy_called, stop_intent, say_destroy},
    {accepted, in::quit, quit_intent, say_sleep},
    {accepted, in::drain, sleep_intent, say_sleep},

    {sleep_wanted, in::accepted, sleep_intent, say_sleep},
    {sleep_wanted, in::destroy_called, destroy_wanted, none},
    {sleep_wanted, in::quit, quit_wanted, none},
    {sleep_wanted, in::given_up, ending, cut | exit},

    {destroy_wanted, in::accepted, stop_intent, say_destroy},
    {destroy_wanted, in::quit, destroyed_wanted, none},
    {destroy_wanted, in::given_up, ending, cut | exit},

    {sleep_intent, in::quit, quit_intent, none},
    {stop_intent, in::quit, destroyed_intent, none},

    {quit_wanted, in::accepted, quit_intent, say_sleep},
    {quit_wanted, in::destroy_called, destroyed_wanted, none},
    {quit_wanted, in::given_up, stopped, stopped_error},
    {destroyed_wanted, in::accepted, destroyed_intent, say_destroy},
    {destroyed_wanted, in::given_up, stopped, stopped_error},

    {stopping, in::quit, stopped, stopped_ok},
    {stopping, in::stop_limit, ending, cut | exit},

    {ending, in::quit, stopped, stopped_error},
    {ending, in::failed, stopped, stopped_error},
    {ending, in::end_limit, stopped, abandon | stopped_error},
    {ending, in::superseded, ending_silently, none},
    {ending, in::evicted, ending_silently, none},
    {ending_silently, in::quit, stopped, none},
    {ending_silently, in::failed, stopped, none},
    {ending_silently, in::end_limit, stopped, abandon},
};

constexpr state alive[] = {
    starting, running, accepted, sleep_wanted, destroy_wanted, sleep_intent, stop_intent, stopping};
constexpr state waiting[] = {quit_wanted, quit_intent, destroyed_wanted, destroyed_intent};
constexpr state late[] = {ending, ending_silently, stopped};

std::vector<transition> build() {
  std::vector<transition> all{std::begin(rows), std::end(rows)};
  const auto add = [&](const transition& t) {
    const auto same = [&](const transition& x) { return x.from == t.from && x.in == t.in; };
    if (std::none_of(all.begin(), all.end(), same)) all.push_back(t);
  };
  for (const auto s : alive) {
    add({s, in::failed, stopped, stopped_error});
    add({s, in::stop_command, stopping, s == stopping ? none : tell_stop});
    add({s, in::lost_command, ending, cut | exit});
    add({s, in::superseded, ending_silently, cut | exit});
    add({s, in::evicted, ending_silently, cut | exit});
    add({s, in::lease_ended, ending, cut | exit});
    add({s, in::deadline, ending, cut | exit});
    // Repeated, too late, or no longer relevant.
    for (const auto x :
         {in::started,
          in::accepted,
          in::sleep_called,
          in::destroy_called,
          in::given_up,
          in::drain,
          in::start_limit,
          in::stop_limit})
      add({s, x, s, none});
  }
  for (const auto s : waiting) {
    add({s, in::stop_command, stopped, stopped_ok});
    add({s, in::lost_command, stopped, stopped_error});
    add({s, in::superseded, stopped, none});
    add({s, in::evicted, stopped, none});
    add({s, in::lease_ended, stopped, stopped_error});
    add({s, in::deadline, stopped, stopped_error});
    for (const auto x :
         {in::started,
          in::accepted,
          in::sleep_called,
          in::destroy_called,
          in::given_up,
          in::drain,
          in::start_limit,
          in::stop_limit,
          in::end_limit})
      add({s, x, s, none});
  }
  for (const auto s : late)
    for (auto x = 0; x <= static_cast<int>(in::end_limit); ++x)
      if (static_cast<input>(x) != in::older_down) add({s, static_cast<input>(x), s, none});
  return all;
}

}  // namespace

std::span<const transition> table() {
  static const std::vector<transition> all = build();
  return all;
}

std::optional<transition> step(state from, input what) {
  // A matrix of indexes into table(), so that a step is one lookup.
  constexpr std::size_t states = static_cast<std::size_t>(stopped) + 1;
  constexpr std::size_t inputs = static_cast<std::size_t>(in::end_limit) + 1;
  static const auto matrix = [] {
    std::array<std::array<std::int16_t, inputs>, states> m{};
    for (auto& row : m) row.fill(-1);
    std::int16_t n = 0;
    for (const auto& t : table())
      m[static_cast<std::size_t>(t.from)][static_cast<std::size_t>(t.in)] = n++;
    return m;
  }();
  const auto n = matrix[static_cast<std::size_t>(from)][static_cast<std::size_t>(what)];
  if (n < 0) return std::nullopt;
  return table()[static_cast<std::size_t>(n)];
}

std::string_view to_string(state s) {
  constexpr std::array<std::string_view, 16> names{
      "queued",
      "starting",
      "running",
      "accepted",
      "sleep_wanted",
      "destroy_wanted",
      "sleep_intent",
      "stop_intent",
      "quit_wanted",
      "quit_intent",
      "destroyed_wanted",
      "destroyed_intent",
      "stopping",
      "ending",
      "ending_silently",
      "stopped"};
  return names[static_cast<std::size_t>(s)];
}

std::string_view to_string(input x) {
  constexpr std::array<std::string_view, 18> names{
      "older_down",
      "started",
      "accepted",
      "sleep_called",
      "destroy_called",
      "quit",
      "failed",
      "stop_command",
      "lost_command",
      "superseded",
      "lease_ended",
      "evicted",
      "given_up",
      "start_limit",
      "drain",
      "deadline",
      "stop_limit",
      "end_limit"};
  return names[static_cast<std::size_t>(x)];
}

}  // namespace nuncio::lifecycle

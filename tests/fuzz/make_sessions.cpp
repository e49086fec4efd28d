// Writes the first sessions of session_fuzz: one file for each life that an actor usually has, and for each that was once
// lived wrongly. usage: make_sessions FOLDER
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "session/guest_names.hpp"
#include "session/step.hpp"

namespace {

using namespace nuncio::fuzz;
using enum step_kind;

constexpr std::uint8_t all_modes = session_head::stores | session_head::acks_events;
constexpr std::uint8_t next_generation = 5;
constexpr std::uint8_t same_index = 4;

template <class Names>
std::uint8_t number_of(const Names& names, std::string_view name) {
  std::uint8_t at = 0;
  while (at < names.size() && names[at] != name) ++at;
  return at;
}

step start_of(std::string_view name, std::uint8_t actor = 0) {
  return {.kind = of(start), .actor = actor, .what = number_of(guest_names, name)};
}

step asks(std::string_view path, std::uint8_t exchange = 0, std::uint8_t size = 0) {
  return {.kind = of(request), .exchange = exchange, .what = number_of(guest_paths, path), .size = size};
}

step opens(std::string_view path, std::uint8_t exchange = 0) {
  return {.kind = of(socket_open), .exchange = exchange, .what = number_of(guest_sockets, path)};
}

step says(std::uint8_t what, std::uint8_t exchange = 0) {
  return {.kind = of(socket_message), .exchange = exchange, .what = what, .size = 5};
}

step stops(std::uint8_t reason = 0) { return {.kind = of(stop), .what = reason}; }

step passes(std::uint8_t span) { return {.kind = of(pass_time), .what = span}; }

step cuts(std::uint8_t replay) { return {.kind = of(cut), .what = replay}; }

struct session {
  const char* name;
  std::vector<step> steps;
  std::uint8_t modes = all_modes;
};

std::vector<session> sessions() {
  const step later{.kind = of(start), .generation = next_generation};
  return {
      {"life", {start_of("guest"), asks("/ok"), asks("/echo", 1, 9), stops(), passes(2)}},
      {"replay", {start_of("guest"), cuts(2), {.kind = of(replay_command)}, stops(), cuts(2)}},
      {"forgotten", {start_of("guest"), stops(), passes(7), cuts(2)}},
      {"newer", {start_of("guest"), later, stops(), later, cuts(1)}},
      {"sleep", {start_of("guest"), asks("/sleep"), stops(), later, asks("/ok", 1)}},
      {"idle", {start_of("guest"), passes(5), stops(), passes(2)}},
      {"parts",
       {start_of("reader"),
        {.kind = of(request), .index = 48 | 64, .what = number_of(guest_paths, "/sink")},
        {.kind = of(request_part), .size = 30},
        {.kind = of(request_part), .what = 1, .size = 30},
        {.kind = of(window_update), .number = 4}}},
      {"stream",
       {start_of("guest"),
        {.kind = of(request), .index = 64, .what = number_of(guest_paths, "/stream")},
        {.kind = of(window_update), .number = 9},
        {.kind = of(request_abort), .what = 1}}},
      {"socket", {start_of("guest"), opens("/plain"), says(0), says(2), {.kind = of(socket_close)}}},
      {"hibernation",
       {start_of("guest"),
        opens("/hibernate"),
        says(1),
        asks("/sleep", 1),
        stops(),
        {.kind = of(start), .generation = next_generation, .exchange = 4},
        says(0, 4)}},
      {"state", {start_of("keeper"), asks("/ok"), passes(3), asks("/sleep", 1), stops(), later}},
      {"storage",
       {start_of("guest"), asks("/put", 0), asks("/get", 1), {.kind = of(answer_storage)}, cuts(0)},
       session_head::acks_events},
      {"lease", {start_of("restless"), opens("/plain"), {.kind = of(lease_end)}, later}},
      {"drain", {start_of("guest"), {.kind = of(drain), .number = 5}, stops(3), passes(3)}},
      {"broken", {start_of("broken"), start_of("nobody", 1), start_of("quitter", 2), passes(2)}},
      // What was wrong once.
      {"two starts of one generation",
       {start_of("guest"), start_of("guest"), asks("/ok"), start_of("guest")}},
      {"start after stop of one generation", {start_of("guest"), stops(), start_of("guest")}},
      {"start again at once",
       {{.kind = of(start) | step::joins_next}, {.kind = of(start), .index = same_index}}},
      {"two stops of nobody", {stops(), passes(7), stops()}},
  };
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder{argv[1]};
  std::filesystem::create_directories(folder);
  for (const auto& x : sessions()) {
    const session_head head{5, x.modes};
    std::ofstream out{folder / x.name, std::ios::binary};
    out.write(reinterpret_cast<const char*>(&head), sizeof head);
    out.write(
        reinterpret_cast<const char*>(x.steps.data()),
        static_cast<std::streamsize>(x.steps.size() * sizeof(step)));
  }
  return 0;
}

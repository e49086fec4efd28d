// Writes the first sessions of session_fuzz: one file for each usual life of an actor, and for each that once went wrong.
// usage: make_sessions FOLDER
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

step start_of(std::string_view name, std::uint8_t actor = 0) {
  return {.kind = of(start), .actor = actor, .what = guest_names.number_of(name)};
}

step later_of(std::string_view name) {
  auto out = start_of(name);
  out.generation = next_generation;
  return out;
}

step asks(std::string_view path, std::uint8_t exchange = 0, std::uint8_t size = 0) {
  return {
      .kind = of(request), .exchange = exchange, .what = guest_paths.number_of(path), .size = size};
}

step opens(std::string_view path, std::uint8_t exchange = 0) {
  return {.kind = of(socket_open), .exchange = exchange, .what = guest_sockets.number_of(path)};
}

step says(std::uint8_t what, std::uint8_t exchange = 0) {
  return {.kind = of(socket_message), .exchange = exchange, .what = what, .size = 5};
}

step stops(std::uint8_t reason = 0) { return {.kind = of(stop), .what = reason}; }

step passes(std::uint8_t span) { return {.kind = of(pass_time), .what = span}; }

step cuts(std::uint8_t replay) { return {.kind = of(cut), .what = replay}; }

step answers(std::uint8_t how = 0) { return {.kind = of(answer_storage), .what = how}; }

// The nth kind of say_too_long in session_world.cpp.
step is_too_long(std::uint8_t nth, std::uint8_t exchange = 0) {
  return {.kind = of(too_long), .exchange = exchange, .what = nth, .size = 5};
}

struct session {
  const char* name;
  std::vector<step> steps;
  std::uint8_t modes = all_modes;
};

std::vector<session> sessions() {
  const auto later = later_of("guest");
  const auto later_pager = later_of("pager"), later_archive = later_of("archive");
  return {
      {"life", {start_of("guest"), asks("/ok"), asks("/echo", 1, 9), stops(), passes(2)}},
      {"replay", {start_of("guest"), cuts(2), {.kind = of(replay_command)}, stops(), cuts(2)}},
      {"forgotten", {start_of("guest"), stops(), passes(7), cuts(2)}},
      {"newer", {start_of("guest"), later, stops(), later, cuts(1)}},
      {"sleep", {start_of("guest"), asks("/sleep"), stops(), later, asks("/ok", 1)}},
      {"idle", {start_of("guest"), passes(5), stops(), passes(2)}},
      {"parts",
       {start_of("reader"),
        {.kind = of(request), .index = 48 | 64, .what = guest_paths.number_of("/sink")},
        {.kind = of(request_part), .size = 30},
        {.kind = of(request_part), .what = 1, .size = 30},
        {.kind = of(window_update), .number = 4}}},
      {"stream",
       {start_of("guest"),
        {.kind = of(request), .index = 64, .what = guest_paths.number_of("/stream")},
        {.kind = of(window_update), .number = 9},
        {.kind = of(request_abort), .what = 1}}},
      {"socket",
       {start_of("guest"), opens("/plain"), says(0), says(2), {.kind = of(socket_close)}}},
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
      {"every call of storage",
       {start_of("guest"),
        asks("/put-all", 0, 9),
        asks("/get-all", 1),
        asks("/list", 2),
        asks("/erase", 3),
        asks("/erase-range", 4),
        asks("/drop", 5),
        asks("/exec", 0),
        asks("/batch", 1),
        asks("/await", 2)}},
      {"local database",
       {start_of("pager"),
        asks("/put"),
        asks("/big", 1),
        asks("/list", 2),
        asks("/erase", 3),
        stops(),
        later_pager,
        asks("/get", 4)}},
      {"local database, answer by answer",
       {start_of("pager"),
        asks("/big"),
        answers(),
        answers(),
        answers(),
        answers(1),  // an error
        answers(),
        asks("/put", 1),
        answers(),
        {.kind = of(cut), .what = 1, .size = 1},  // done, and nobody has heard of it
        answers(),
        answers(3)},  // out of shape
       session_head::acks_events},
      {"local database at once, and then not",
       {start_of("pager"),
        {.kind = of(store), .number = 1},
        asks("/put"),
        {.kind = of(store)},
        asks("/put", 1),
        answers(2),
        passes(5)},
       session_head::acks_events},
      {"state in SQL",
       {start_of("archive"),
        asks("/ok"),
        passes(3),
        asks("/sleep", 1),
        stops(),
        later_archive,
        asks("/ok", 2)}},
      {"too long",
       {start_of("guest"),
        is_too_long(0),
        opens("/plain", 1),
        is_too_long(6, 1),
        asks("/get", 2),
        is_too_long(8)},
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
      {"the lease ends while an actor awaits",
       {start_of("guest"), asks("/await"), {.kind = of(lease_end)}, passes(3)},
       session_head::acks_events},
      {"a request for a newer generation",
       {start_of("guest"), {.kind = of(request), .generation = next_generation, .index = 8}}},
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

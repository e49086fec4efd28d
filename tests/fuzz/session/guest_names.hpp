// The names that a fuzzed session may use: of actors, of request paths and of WebSocket paths. Values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace nuncio::fuzz {

/// A list that has grown: the numbers of a step mean the first `before` as they did, and the highest ones what came later.
template <std::size_t Size>
struct names_list {
  std::array<std::string_view, Size> all;
  std::size_t before;

  static constexpr std::size_t numbers_each = 8;  ///< of what came later

  [[nodiscard]] constexpr std::string_view named(std::uint8_t number) const {
    const auto later = before + (255U - number) / numbers_each;
    return all[later < Size ? later : number % before];
  }

  [[nodiscard]] constexpr std::uint8_t number_of(std::string_view name) const {
    std::size_t at = 0;
    while (at < Size && all[at] != name) ++at;
    return static_cast<std::uint8_t>(at < before ? at : 255 - (at - before) * numbers_each);
  }
};

/// Names under which actors are served, and one under which none is.
inline constexpr names_list<10> guest_names{
    {"guest",
     "reader",
     "keeper",
     "room",
     "broken",
     "quitter",
     "restless",
     "nobody",
     "archive",
     "pager"},
    8};

inline constexpr names_list<32> guest_paths{
    {"/ok",        "/echo", "/later",     "/answer",  "/throw",   "/error",   "/sleep",
     "/destroy",   "/quit", "/finish",    "/alarm",   "/stream",  "/endless", "/sink",
     "/get",       "/put",  "/list",      "/sql",     "/big",     "/nothing", "/awake",
     "/broadcast", "/bad",  "/fail-sink", "/get-all", "/put-all", "/erase",   "/erase-range",
     "/drop",      "/exec", "/batch",     "/await"},
    24};

inline constexpr names_list<4> guest_sockets{{"/plain", "/hibernate", "/refuse", "/silent"}, 4};

}  // namespace nuncio::fuzz

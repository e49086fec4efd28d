// What a fuzzed session may ask for: names of actors, paths of requests and of WebSockets. Values; any thread.
#pragma once

#include <array>
#include <string_view>

namespace nuncio::fuzz {

/// Names under which actors are served, and one under which none is.
inline constexpr std::array<std::string_view, 8> guest_names{
    "guest", "reader", "keeper", "room", "broken", "quitter", "restless", "nobody"};

inline constexpr std::array<std::string_view, 24> guest_paths{
    "/ok",     "/echo",   "/later", "/answer",  "/throw",  "/error",    "/sleep", "/destroy",
    "/quit",   "/finish", "/alarm", "/stream",  "/endless", "/sink",    "/get",   "/put",
    "/list",   "/sql",    "/big",   "/nothing", "/awake",  "/broadcast", "/bad",   "/fail-sink"};

inline constexpr std::array<std::string_view, 4> guest_sockets{
    "/plain", "/hibernate", "/refuse", "/silent"};

}  // namespace nuncio::fuzz

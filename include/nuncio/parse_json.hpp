// JSON of a client, for an actor that keeps it. nlohmann_json parses any depth, but copies and writes by recursion: some
// 80 KB of `[[[…]]]` overflow a thread's stack as soon as they are copied into another value. Pure; any thread.
//
//   auto got = nuncio::parse_json(request.body.view());
//   if (!got) throw nuncio::http_error{400, got.error().message};
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <nuncio/outcome.hpp>
#include <string_view>

namespace nuncio {

/// Levels of arrays and objects within each other that a persistent_actor saves; far below what a stack has room for.
inline constexpr std::size_t json_depth_max = 512;

/// What nlohmann::json::parse returns, if it is nested no deeper than that.
/// @returns errc::malformed for what is no JSON, too_large for what is nested deeper
outcome<nlohmann::json> parse_json(std::string_view from, std::size_t depth_max = json_depth_max);

}  // namespace nuncio

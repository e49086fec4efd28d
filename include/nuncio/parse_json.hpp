// Parses JSON from a client, for an actor that stores it. nlohmann_json parses any depth, but copies and writes by recursion:
// about 80 KB of `[[[…]]]` overflow a thread's stack as soon as the value is copied. Pure; any thread.
//
//   auto got = nuncio::parse_json(request.body.view());
//   if (!got) throw nuncio::http_error{400, got.error().message};
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <nuncio/outcome.hpp>
#include <string_view>

namespace nuncio {

/// The nesting depth of arrays and objects that a persistent_actor saves; far below what a stack has room for.
inline constexpr std::size_t json_depth_max = 512;

/// The same as nlohmann::json::parse, if the nesting is no deeper than `depth_max`.
/// @returns errc::malformed if it is not JSON, too_large if it is nested deeper
outcome<nlohmann::json> parse_json(std::string_view from, std::size_t depth_max = json_depth_max);

}  // namespace nuncio

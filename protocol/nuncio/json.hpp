// JSON rendering of messages, and its reverse: for logs, tools and test vectors. Pure; any thread.
// struct = object with all fields of the version; union = {"tag", "val"}; enum = its name; 64-bit integers = decimal
// strings; data = lower-case hex; none = null; map = array of [key, value] in wire order; void = null.
#pragma once

#include <cstdint>
#include <nuncio/messages.hpp>
#include <nuncio/outcome.hpp>
#include <string>
#include <string_view>

namespace nuncio::protocol {

/// One line of JSON.
std::string to_json(const to_rivet& x, std::uint16_t version);
std::string to_json(const to_envoy& x, std::uint16_t version);

/// Reads what to_json wrote. Unknown and missing fields are errors.
/// @returns errc::malformed with the offset of the syntax error, or the JSON pointer of the value that does not fit
outcome<to_rivet> to_rivet_from_json(std::string_view json, std::uint16_t version);
outcome<to_envoy> to_envoy_from_json(std::string_view json, std::uint16_t version);

}  // namespace nuncio::protocol

// The ranges of the numbers that an engine sends, and what happens to numbers outside them. They are checked only here, between
// decoding and everything else, which may rely on it (table: docs/reliability.md, "Numbers from the engine"). Pure.
#pragma once

#include <cstdint>
#include <nuncio/detail/clock.hpp>
#include <nuncio/messages.hpp>

namespace nuncio {

/// Times are 0 to this (year 2223): what system_clock can hold in nanoseconds. Others become the nearer end.
inline constexpr engine_ms engine_ms_max = 8'000'000'000'000;

/// envoyLostThreshold is 1 ms to one day: more becomes a day, and less the usual value (docs/protocol.md C.3).
inline constexpr std::int64_t lost_threshold_ms_max = 86'400'000;
inline constexpr std::int64_t lost_threshold_ms_usual = 15'000;

/// maxResponsePayloadSize is 1 byte to this: what fits, with a head, into the longest message that an engine accepts, 32 MiB
/// (docs/protocol.md C.2). More becomes this, and 0 the usual value.
inline constexpr std::uint64_t response_bytes_limit = 31ULL << 20U;
inline constexpr std::uint64_t response_bytes_usual = 20'971'520;

/// Moves each number outside its range to where the table says. A Ping's answer needs the original `ts`: take it first.
void keep_in_range(protocol::to_envoy& message);

}  // namespace nuncio

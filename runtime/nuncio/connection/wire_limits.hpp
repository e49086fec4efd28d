// The ranges of the numbers that an engine sends, and what becomes of those outside: the one place where they are looked
// at, between decoding and everything else, which may rely on them (table: docs/reliability.md, "Numbers from the
// engine"). Pure.
#pragma once

#include <cstdint>
#include <nuncio/detail/clock.hpp>
#include <nuncio/messages.hpp>

namespace nuncio {

/// Times are 0 to this (year 2223): what system_clock can hold in nanoseconds. Others are put at the nearer end.
inline constexpr engine_ms engine_ms_max = 8'000'000'000'000;

/// envoyLostThreshold is 1 ms to a day: longer counts as a day, and less as what engines usually say (docs/protocol.md C.3).
inline constexpr std::int64_t lost_threshold_ms_max = 86'400'000;
inline constexpr std::int64_t lost_threshold_ms_usual = 15'000;

/// maxResponsePayloadSize is 1 byte to this: what fits beside a head into the longest message that an engine takes, 32 MiB
/// (docs/protocol.md C.2). More counts as this, and 0 as what engines usually say.
inline constexpr std::uint64_t response_bytes_limit = 31ULL << 20U;
inline constexpr std::uint64_t response_bytes_usual = 20'971'520;

/// Puts each number that is outside its range where its table says. A Ping's answer needs its `ts` as it came: take it first.
void keep_in_range(protocol::to_envoy& message);

}  // namespace nuncio

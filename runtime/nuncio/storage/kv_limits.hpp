// The engine's limits for keys and values, checked here because it answers violations with "transaction failed"
// (docs/protocol.md H.1). Pure; any thread.
#pragma once

#include <cstddef>
#include <nuncio/messages_kv.hpp>
#include <nuncio/outcome.hpp>

namespace nuncio::kv_limits {

inline constexpr std::size_t key_bytes_max = 2046;
inline constexpr std::size_t value_bytes_max = 131'072;
inline constexpr std::size_t batch_keys_max = 128;
/// What the engine adds for each key of a put.
inline constexpr std::size_t key_overhead_bytes = 2;
/// Keys and values of one put in total.
inline constexpr std::size_t put_bytes_max = std::size_t{976} * 1024;

/// @returns errc::invalid_argument or too_large, naming what, its size and the limit
outcome<void> check(const protocol::kv_request_data& request);

/// The share of `key` with `value` in put_bytes_max.
std::size_t cost(const bytes& key, const bytes& value);

}  // namespace nuncio::kv_limits

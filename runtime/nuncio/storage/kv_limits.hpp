// What the engine takes of keys and values, checked here because it answers violations with
// "transaction failed" (docs/protocol.md H.1). Pure; any thread.
#pragma once

#include <cstddef>
#include <nuncio/messages_kv.hpp>
#include <nuncio/outcome.hpp>

namespace nuncio::kv_limits {

inline constexpr std::size_t key_bytes_max = 2046;
inline constexpr std::size_t value_bytes_max = 131'072;
inline constexpr std::size_t batch_keys_max = 128;
/// What the engine counts for each key of a put beyond its bytes.
inline constexpr std::size_t key_overhead_bytes = 2;
/// Keys and values of one put together.
inline constexpr std::size_t put_bytes_max = std::size_t{976} * 1024;

/// @returns errc::invalid_argument or too_large, naming what, how much and the limit
outcome<void> check(const protocol::kv_request_data& request);

/// Bytes that `key` with `value` takes of put_bytes_max.
std::size_t cost(const bytes& key, const bytes& value);

}  // namespace nuncio::kv_limits

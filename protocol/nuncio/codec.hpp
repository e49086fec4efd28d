// Encode and decode of whole messages at a protocol version: the only functions that the layers above need.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <nuncio/bytes.hpp>
#include <nuncio/messages.hpp>
#include <nuncio/outcome.hpp>
#include <vector>

namespace nuncio::protocol {

/// Encodes `x` canonically.
/// @param version   protocol version, 3 to 8
/// @param headroom  bytes to leave unused in front of the message, for a transport that writes its header there
/// @returns the message behind `headroom` bytes, or errc::not_in_version | malformed (text that is not UTF-8)
outcome<std::vector<std::uint8_t>> encode(
    const to_rivet& x, std::uint16_t version, std::size_t headroom = 0);
outcome<std::vector<std::uint8_t>> encode(
    const to_envoy& x, std::uint16_t version, std::size_t headroom = 0);

/// Decodes one whole message. Total: any bytes give a value or errc::malformed with offset and reason.
/// Slices in the result share the memory of `frame`.
outcome<to_rivet> decode_to_rivet(const bytes& frame, std::uint16_t version);
outcome<to_envoy> decode_to_envoy(const bytes& frame, std::uint16_t version);
/// The same within bounded memory.
/// @param elements_bytes_max  the most memory that elements of lists and maps may take: an element of one byte in `frame` may
///                            take fifty. Above it: errc::too_large, whether or not the rest is a message
outcome<to_envoy> decode_to_envoy_within(
    const bytes& frame, std::uint16_t version, std::size_t elements_bytes_max);

/// The schema's name of the message that `x` holds, such as "ToEnvoyInit".
std::string_view name_of(const to_rivet& x);
std::string_view name_of(const to_envoy& x);

}  // namespace nuncio::protocol

// The checked encodings of docs/protocol.md, section L, for tests: read from tests/data.
#pragma once

#include <cstdint>
#include <nuncio/bytes.hpp>
#include <nuncio/codec.hpp>
#include <nuncio/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace nuncio::test {

struct vector_case {
  std::string name;
  bool to_envoy = false;
  std::string json;  ///< the value as one line; empty for negative cases
  std::string hex;
  std::string why;  ///< negative cases only: what is wrong with the bytes
};

/// Cases of tests/data/`file`. Ends the program if the file can't be read.
std::vector<vector_case> load_vectors(const std::string& file);

/// All valid vectors of both directions.
std::vector<vector_case> all_vectors();

std::vector<std::uint8_t> from_hex(std::string_view hex);

std::string to_hex(const std::vector<std::uint8_t>& xs);

/// `hex` as a frame of exactly its length, so that a sanitizer sees any step beyond.
inline bytes frame(std::string_view hex) { return bytes{from_hex(hex)}; }

/// Hex of the encoding, or "errc: message".
template <class Message>
std::string encoded(const Message& x, std::uint16_t version = 8) {
  const auto out = protocol::encode(x, version);
  return out ? to_hex(*out) : to_string(out.error());
}

/// The message of a tunnel part that belongs to gateway 00000000, request 00000000, index 0.
template <class Kind>
protocol::to_rivet tunnel_to_rivet(Kind kind) {
  return protocol::to_rivet_tunnel_message{{}, std::move(kind)};
}

template <class Kind>
protocol::to_envoy tunnel_to_envoy(Kind kind) {
  return protocol::to_envoy_tunnel_message{{}, std::move(kind)};
}

}  // namespace nuncio::test

// `nuncio codec`: converts messages between JSON and hex, line by line. One thread; reads all of its input.
#pragma once

#include <cstdint>
#include <iosfwd>

namespace nuncio::tools {

struct codec_options {
  enum class direction : std::uint8_t { encode, decode };
  enum class message : std::uint8_t { to_rivet, to_envoy };

  direction action = direction::decode;  ///< encode: JSON to hex; decode: hex to JSON
  message type = message::to_envoy;
  std::uint16_t version = 8;  ///< protocol version, 3 to 8
};

/// Writes one line for each line of `in`: the converted value, or "error: ..." with offset and reason.
/// @returns the exit status: 0 all converted, 1 some line was not converted or `out` failed, 2 unsupported version
int run_codec(const codec_options& options, std::istream& in, std::ostream& out, std::ostream& err);

}  // namespace nuncio::tools

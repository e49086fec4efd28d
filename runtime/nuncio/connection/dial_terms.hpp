// The terms for dialling the engine that may change during a host's life: the protocol version and the token. Pure.
#pragma once

#include <cstdint>
#include <nuncio/outcome.hpp>
#include <string>

namespace nuncio {

struct dial_terms {
  std::uint16_t protocol_version = 8;
  std::string token{};  ///< empty: none

  bool operator==(const dial_terms&) const = default;
};

/// Whether this library supports the version: 3 to 8, but not 7, whose layout differs between engines.
bool speaks_protocol_version(int version);

/// The supported versions for a person: "3, 4, 5, 6 or 8".
std::string spoken_protocol_versions();

/// The newest version that both sides support.
/// @param engine_speaks  the newest that the engine supports; 0: it did not say
/// @returns errc::unsupported_version if there is none
outcome<std::uint16_t> choose_protocol_version(int engine_speaks);

}  // namespace nuncio

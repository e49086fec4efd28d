// What a connection to the engine is dialled with that may change while a host lives: the protocol
// version and the token. Pure.
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

/// Whether this library speaks the version: 3 to 8, but not 7, whose layout engines disagree on.
bool speaks_protocol_version(int version);

/// Those versions for a person: "3, 4, 5, 6 or 8".
std::string spoken_protocol_versions();

/// The newest version that both sides speak.
/// @param engine_speaks  the newest that the engine speaks; 0: it did not say
/// @returns errc::refused when there is none
outcome<std::uint16_t> choose_protocol_version(int engine_speaks);

}  // namespace nuncio

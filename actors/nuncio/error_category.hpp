// What all `caf::error`s of this library have in common: their category, and codes of which each means one thing. The
// context holds the whole value, or the code's name.
#pragma once

#include <caf/actor_system_config.hpp>
#include <caf/atom.hpp>
#include <caf/error.hpp>
#include <caf/message.hpp>
#include <cstdint>
#include <nuncio/outcome.hpp>
#include <optional>

namespace nuncio::internal {

inline constexpr auto error_category = caf::atom("nuncio");

/// To CAF a code of 0 is no error.
constexpr std::uint8_t caf_code(errc x) {
  return static_cast<std::uint8_t>(static_cast<std::uint8_t>(x) + 1);
}

/// Of an http_error, which is none of errc: above all of those.
inline constexpr std::uint8_t http_error_code = 200;
static_assert(caf_code(errc::internal) < http_error_code);

/// The whole value that an error of ours was made of, if it is a `T`.
template <class T>
std::optional<T> value_in(const caf::error& e) {
  if (!e || e.category() != error_category || !e.context().match_elements<T>()) return std::nullopt;
  return e.context().get_as<T>(0);
}

/// Has `actor_system::render` print errors of this library as their values' to_string does.
void print_errors(caf::actor_system_config& config);

}  // namespace nuncio::internal

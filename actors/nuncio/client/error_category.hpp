// What all `caf::error`s of this library share: the category, and codes that each mean one thing. The context holds the whole
// value, or the code's name.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/error.hpp>
#include <caf/expected.hpp>
#include <caf/message.hpp>
#include <cstdint>
#include <nuncio/errors.hpp>
#include <nuncio/host/private_message_types.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string>
#include <utility>
#if NUNCIO_CAF_1
#include <caf/is_error_code_enum.hpp>
#else
#include <caf/atom.hpp>
#endif

namespace nuncio::internal {

/// How CAF identifies errors of this library.
#if NUNCIO_CAF_1
enum class error_number : std::uint8_t {};

std::string to_string(error_number x);
bool from_string(std::string_view from, error_number& x);
bool from_integer(std::uint8_t from, error_number& x);

template <class Inspector>
bool inspect(Inspector& f, error_number& x) {
  auto get = [&x] { return static_cast<std::uint8_t>(x); };
  auto set = [&x](std::uint8_t to) { return from_integer(to, x); };
  return f.apply(get, set);
}
#else
inline constexpr auto error_category = caf::atom("nuncio");
#endif

/// CAF treats a code of 0 as no error.
constexpr std::uint8_t caf_code(errc x) {
  return static_cast<std::uint8_t>(static_cast<std::uint8_t>(x) + 1);
}

/// The code of an http_error, which is not an errc: above all of those.
inline constexpr std::uint8_t http_error_code = 200;
static_assert(caf_code(errc::internal) < http_error_code);

/// The error with this code and value.
template <class T>
caf::error make_caf_error(std::uint8_t code, T value);

bool is_ours(const caf::error& e);

/// The value from which an error of ours was made, if it is a `T`.
template <class T>
std::optional<T> value_in(const caf::error& e) {
  if (!is_ours(e) || !e.context().match_elements<T>()) return std::nullopt;
  return e.context().get_as<T>(0);
}

/// How CAF itself prints an error.
std::string print(const caf::actor_system& system, const caf::error& e);

/// Makes CAF 0.17's `actor_system::render` print errors of this library like their values' to_string.
void print_errors(caf::actor_system_config& config);

}  // namespace nuncio::internal

#if NUNCIO_CAF_1
CAF_ERROR_CODE_ENUM(nuncio::internal::error_number)
#endif

namespace nuncio::internal {

template <class T>
caf::error make_caf_error(std::uint8_t code, T value) {
#if NUNCIO_CAF_1
  return caf::error{error_number{code}, caf::make_message(std::move(value))};
#else
  return {code, error_category, caf::make_message(std::move(value))};
#endif
}

inline bool is_ours(const caf::error& e) {
#if NUNCIO_CAF_1
  return e && e.category() == caf::type_id_v<error_number>;
#else
  return e && e.category() == error_category;
#endif
}

/// Converts a result of the runtime into the result of a public class.
inline caf::expected<void> to_expected(const outcome<void>& x) {
  if (!x) return make_error(x.error());
  return {};
}

}  // namespace nuncio::internal

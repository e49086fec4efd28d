// A value in CAF's binary form, for types with CAF's inspect. Inspect returns an error in CAF 0.17 and a bool in CAF 1.1, and
// the bytes differ, too. For persistent_actor.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
#include <caf/deserializer.hpp>
#include <caf/error.hpp>
#include <caf/serializer.hpp>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <nuncio/detail/caf.hpp>
#include <span>
#include <utility>
#include <vector>

namespace nuncio::internal {

#if NUNCIO_CAF_1
using inspect_result = bool;
using saved_byte = std::byte;
#else
using inspect_result = caf::error;
using saved_byte = char;
#endif

/// The inspectors that write a value and read it back.
#if NUNCIO_CAF_1
template <class T>
concept saves_values = !T::is_loading;
template <class T>
concept loads_values = T::is_loading;
#else
template <class T>
concept saves_values = std::derived_from<T, caf::serializer>;
template <class T>
concept loads_values = std::derived_from<T, caf::deserializer>;
#endif

template <class T>
concept inspectable = requires(T& x, caf::binary_serializer& to, caf::binary_deserializer& from) {
  { inspect(to, x) } -> std::convertible_to<inspect_result>;
  { inspect(from, x) } -> std::convertible_to<inspect_result>;
};

inline bool is_failed(const inspect_result& x) {
#if NUNCIO_CAF_1
  return !x;
#else
  return static_cast<bool>(x);
#endif
}

/// What inspect returns if it failed because of `why`.
template <class Inspector>
inspect_result inspect_failed(Inspector& f, caf::error why) {
#if NUNCIO_CAF_1
  f.set_error(std::move(why));
  return false;
#else
  static_cast<void>(f);
  return why;
#endif
}

/// What inspect returns for a type with one field.
template <class Inspector, class T>
inspect_result inspect_field(Inspector& f, T& x) {
#if NUNCIO_CAF_1
  return f.apply(x);
#else
  return f(x);
#endif
}

template <class Inspector, class T>
caf::error inspect_with(Inspector& f, T& x) {
#if NUNCIO_CAF_1
  if (inspect(f, x)) return {};
  return f.get_error();
#else
  return inspect(f, x);
#endif
}

/// Appends `x` to `to`.
template <inspectable T>
caf::error save(caf::actor_system& system, T& x, std::vector<std::uint8_t>& to) {
  std::vector<saved_byte> out;
  caf::binary_serializer sink{system, out};
  if (auto why = inspect_with(sink, x)) return why;
  const auto* const first = reinterpret_cast<const std::uint8_t*>(out.data());
  to.insert(to.end(), first, first + out.size());
  return {};
}

/// @param unread  the number of bytes left after the value
template <inspectable T>
caf::error load(
    caf::actor_system& system, std::span<const std::uint8_t> from, T& x, std::size_t& unread) {
  caf::binary_deserializer source{
      system, reinterpret_cast<const saved_byte*>(from.data()), from.size()};
  if (auto why = inspect_with(source, x)) return why;
  unread = source.remaining();
  return {};
}

}  // namespace nuncio::internal

// CAF's form of whole protocol messages, so that they can be sent to other nodes, stored and printed like any CAF message type:
// the canonical bytes at the newest version, which knows every field, and JSON as text. Both are derived from the one
// declaration of each type (messages.hpp). Pure; any thread.
#pragma once

#include <caf/error.hpp>
#include <caf/sec.hpp>
#include <concepts>
#include <nuncio/codec.hpp>
#include <nuncio/detail/caf_inspect.hpp>
#include <nuncio/detail/wire.hpp>
#include <nuncio/json.hpp>
#include <string>
#include <utility>

namespace nuncio::protocol {

template <class T>
concept whole_message = std::same_as<T, to_rivet> || std::same_as<T, to_envoy>;

/// The text that caf::deep_to_string and CAF's log show.
template <whole_message T>
std::string to_string(const T& x) {
  return to_json(x, wire::version_max);
}

/// @returns sec::invalid_argument if a text of `x` is not UTF-8
template <internal::saves_values Inspector, whole_message T>
internal::inspect_result inspect(Inspector& f, T& x) {
  const auto encoded = encode(x, wire::version_max);
  if (!encoded)
    return internal::inspect_failed(
        f, caf::make_error(caf::sec::invalid_argument, encoded.error().message));
  std::string raw{encoded->begin(), encoded->end()};
  return internal::inspect_field(f, raw);
}

/// Total: any input gives a value, or an error that leaves `x` unchanged.
/// @returns sec::invalid_argument with offset and reason if the bytes are not one whole message
template <internal::loads_values Inspector, whole_message T>
internal::inspect_result inspect(Inspector& f, T& x) {
  std::string raw;
  auto read = internal::inspect_field(f, raw);
  if (internal::is_failed(read)) return read;
  const auto store = [&](auto decoded) -> internal::inspect_result {
    if (!decoded)
      return internal::inspect_failed(
          f, caf::make_error(caf::sec::invalid_argument, decoded.error().message));
    x = std::move(*decoded);
    return read;
  };
  bytes frame{std::move(raw)};
  if constexpr (std::same_as<T, to_rivet>)
    return store(decode_to_rivet(frame, wire::version_max));
  else
    return store(decode_to_envoy(frame, wire::version_max));
}

}  // namespace nuncio::protocol

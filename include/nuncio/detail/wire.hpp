// How a type describes itself to the codec: each wire type names its fields once, with the protocol versions in which they
// exist. Encoding, decoding, JSON and CAF's form are derived from that. Declarations only, no code that runs.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace nuncio::wire {

/// Protocol versions that we speak: docs/protocol.md, "Version deltas".
inline constexpr std::uint16_t version_min = 3;
inline constexpr std::uint16_t version_max = 8;

/// The versions in which a part exists. A `droppable` part is left out for a version that lacks it, whatever its value; any
/// other part may be encoded for such a version only if it has its default value.
struct presence {
  std::uint16_t first = version_min;
  bool droppable = false;

  [[nodiscard]] constexpr bool covers(std::uint16_t version) const { return version >= first; }
};

constexpr presence since(std::uint16_t version) { return {version, false}; }

/// Like `since`, but silently left out for older versions: for parts that are only informative.
constexpr presence since_droppable(std::uint16_t version) { return {version, true}; }

template <class Owner, class T>
struct field_of {
  using owner = Owner;
  using type = T;
  std::string_view name;
  T Owner::*member;
  presence when;
};

template <class Owner, class T>
constexpr field_of<Owner, T> field(std::string_view name, T Owner::*member, presence when = {}) {
  return {name, member, when};
}

template <class... Fields>
struct record_of {
  std::string_view name;
  presence when;
  std::tuple<Fields...> fields;
};

/// A struct, or `void` without fields. As a union alternative it may have its own `since`.
template <class... Fields>
constexpr record_of<Fields...> record(std::string_view name, Fields... fields) {
  return {name, {}, {fields...}};
}

template <class... Fields>
constexpr record_of<Fields...> record(std::string_view name, presence when, Fields... fields) {
  return {name, when, {fields...}};
}

template <class Owner, class T>
struct newtype_of {
  using type = T;
  std::string_view name;
  presence when;
  T Owner::*member;
};

/// A named alias: encoded as its only member.
template <class Owner, class T>
constexpr newtype_of<Owner, T> newtype(std::string_view name, T Owner::*member) {
  return {name, {}, member};
}

/// An enumeration: the names of its values 0, 1, 2, ...
template <std::size_t N>
struct enumeration {
  std::string_view name;
  std::array<std::string_view, N> values;
};

template <class... Names>
constexpr enumeration<sizeof...(Names)> enumerate(std::string_view name, Names... values) {
  return {name, {std::string_view{values}...}};
}

// -- concepts: the wire kinds of C++ types ------------------------------------

template <class T>
inline constexpr bool is_record_of = false;
template <class... Fs>
inline constexpr bool is_record_of<record_of<Fs...>> = true;
template <class T>
inline constexpr bool is_newtype_of = false;
template <class O, class T>
inline constexpr bool is_newtype_of<newtype_of<O, T>> = true;

template <class T>
concept described = requires {
  T::wire;
};
template <class T>
concept record_type = described<T> && is_record_of<std::remove_cvref_t<decltype(T::wire)>>;
template <class T>
concept newtype_type = described<T> && is_newtype_of<std::remove_cvref_t<decltype(T::wire)>>;

template <class T>
concept enum_type = std::is_enum_v<T> && requires(T x) {
  wire_enum(x);
};

template <class T>
inline constexpr bool is_variant = false;
template <class... Ts>
inline constexpr bool is_variant<std::variant<Ts...>> = true;
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_byte_array = false;
template <std::size_t N>
inline constexpr bool is_byte_array<std::array<std::uint8_t, N>> = true;

template <class T>
concept union_type = is_variant<T>;
template <class T>
concept list_type = is_vector<T>;
template <class T>
concept optional_type = is_optional<T>;
template <class T>
concept fixed_type = is_byte_array<T>;

template <class>
inline constexpr bool unsupported = false;

/// Calls `f` with each field of `T` in wire order.
template <record_type T, class F>
constexpr void for_each_field(F&& f) {
  std::apply([&](const auto&... fields) { (f(fields), ...); }, T::wire.fields);
}

/// `map<str><V>` in wire order; keys are unique. Small maps (headers) are searched linearly.
template <class K, class V>
struct map_of {
  std::vector<std::pair<K, V>> entries;

  [[nodiscard]] const V* find(std::string_view key) const {
    for (const auto& [k, v] : entries)
      if (std::string_view{k} == key) return &v;
    return nullptr;
  }

  bool operator==(const map_of&) const = default;
};

template <class T>
inline constexpr bool is_map = false;
template <class K, class V>
inline constexpr bool is_map<map_of<K, V>> = true;
template <class T>
concept map_type = is_map<T>;

}  // namespace nuncio::wire

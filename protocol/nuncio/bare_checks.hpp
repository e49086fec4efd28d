// What BARE values are refused for: keys that stand twice, alternatives that a version does not have, and counts beyond what
// the bytes present can fill.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <nuncio/detail/wire.hpp>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

namespace nuncio::bare {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they stand");

/// Fewest bytes that any value of `T` takes, at any version: what bounds the count of a list.
template <class T>
constexpr std::size_t wire_bytes_min() {
  if constexpr (wire::record_type<T>) {
    std::size_t sum = 0;
    wire::for_each_field<T>([&](const auto& f) {
      using field_type = typename std::remove_cvref_t<decltype(f)>::type;
      if (f.when.first <= wire::version_min) sum += wire_bytes_min<field_type>();
    });
    return sum;
  } else if constexpr (wire::newtype_type<T>) {
    return wire_bytes_min<typename std::remove_cvref_t<decltype(T::wire)>::type>();
  } else if constexpr (wire::fixed_type<T>) {
    return std::tuple_size_v<T>;
  } else if constexpr (std::is_arithmetic_v<T>) {
    return sizeof(T);
  } else {
    return 1;
  }
}

/// Whether a key stands twice in `x`.
template <class K, class V>
bool has_duplicate(const wire::map_of<K, V>& x) {
  const auto n = x.entries.size();
  if (n <= 16) {
    for (std::size_t i = 1; i < n; ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (x.entries[i].first == x.entries[j].first) return true;
    return false;
  }
  std::vector<std::string_view> keys;
  keys.reserve(n);
  for (const auto& [k, v] : x.entries) keys.push_back(k);
  std::sort(keys.begin(), keys.end());
  return std::adjacent_find(keys.begin(), keys.end()) != keys.end();
}

/// Whether alternative `A` of a union exists at `version`.
template <class A>
constexpr bool alive(std::uint16_t version) {
  return A::wire.when.covers(version);
}

}  // namespace nuncio::bare

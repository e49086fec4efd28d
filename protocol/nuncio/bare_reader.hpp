// BARE reader over the descriptions of wire.hpp. It is total: any bytes give a value or the first error with its offset; it
// never reads past the end, and allocates no more than what the bytes present can fill. Included only where a projection is
// instantiated (messages.cpp) and by tests; all else calls codec.hpp's functions.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>
#include <memory>
#include <nuncio/actor_id.hpp>
#include <nuncio/bare_checks.hpp>
#include <nuncio/bytes.hpp>
#include <nuncio/detail/wire.hpp>
#include <nuncio/utf8.hpp>
#include <span>
#include <string_view>
#include <vector>

namespace nuncio::bare {

class reader {
public:
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

  /// Reads `frame`; slices in the result share its memory.
  /// @param elements_bytes_max  the most memory that elements of lists and maps may take, however small they are in `frame`
  reader(const bytes& frame, std::uint16_t version, std::size_t elements_bytes_max = unlimited)
      : owner_(frame.owner()),
        begin_(frame.data()),
        at_(frame.data()),
        end_(frame.data() + frame.size()),
        elements_bytes_left_(elements_bytes_max),
        version_(version) {}

  /// Why the bytes are no value of the type; null as long as all went well.
  [[nodiscard]] const char* error() const { return error_; }

  /// Where the first error was noticed, in bytes from the start.
  [[nodiscard]] std::size_t error_offset() const { return error_offset_; }

  /// After an error: whether the bytes ended too early, so that more of them might do.
  [[nodiscard]] bool ended_early() const { return needed_ != 0; }

  /// After an error: whether the bytes may be a value, which would take too much memory.
  [[nodiscard]] bool took_too_much() const { return took_too_much_; }

  /// After ended_early(): at least how many bytes there must be, from the start.
  [[nodiscard]] std::size_t needed() const { return needed_; }

  /// How many bytes have been read.
  [[nodiscard]] std::size_t consumed() const { return static_cast<std::size_t>(at_ - begin_); }

  /// Reads the tag of a union. @returns which of its alternatives follows; std::variant_npos after an error
  template <wire::union_type T>
  std::size_t get_tag() {
    return get_tag<T>(std::make_index_sequence<std::variant_size_v<T>>{});
  }

  /// Reads the count of a list whose elements are read one by one, and may follow later.
  std::uint64_t get_list_count() { return get_uint(); }

  /// Call last: leftover bytes are an error.
  void finish() {
    if (error_ == nullptr && at_ != end_) fail("trailing bytes");
  }

  template <class T>
  T get() {
    T x{};
    get(x);
    return x;
  }

  template <class T>
  void get(T& x) {
    if (error_ != nullptr) return;
    if constexpr (std::is_same_v<T, bool>) {
      std::uint8_t raw_value = 0;
      raw(&raw_value, 1);
      if (raw_value > 1) return fail_back("bool is neither 0 nor 1", 1);
      x = raw_value == 1;
    } else if constexpr (std::is_arithmetic_v<T>) {
      raw(&x, sizeof x);
    } else if constexpr (wire::enum_type<T>) {
      const auto* start = at_;
      const auto number = get_uint();
      if (number >= wire_enum(T{}).values.size()) return fail_at("unknown enum value", start);
      x = static_cast<T>(number);
    } else if constexpr (std::is_same_v<T, bytes>) {
      const auto span = get_span();
      x = span.empty() ? bytes{} : bytes{slice<std::uint8_t>{owner_, span}};
    } else if constexpr (std::is_same_v<T, text>) {
      const auto chars = get_chars();
      x = chars.empty() ? text{} : text{slice<char>{owner_, {chars.data(), chars.size()}}};
    } else if constexpr (std::is_same_v<T, actor_id>) {
      x = actor_id{get_chars()};
    } else if constexpr (wire::fixed_type<T>) {
      raw(x.data(), x.size());
    } else if constexpr (wire::optional_type<T>) {
      if (get<bool>()) get(x.emplace());
    } else if constexpr (wire::list_type<T>) {
      get_list(x);
    } else if constexpr (wire::map_type<T>) {
      get_map(x);
    } else if constexpr (wire::newtype_type<T>) {
      get(x.*(T::wire.member));
    } else if constexpr (wire::record_type<T>) {
      wire::for_each_field<T>([&](const auto& f) {
        if (f.when.covers(version_)) get(x.*(f.member));
      });
    } else if constexpr (wire::union_type<T>) {
      get_union(x, std::make_index_sequence<std::variant_size_v<T>>{});
    } else {
      static_assert(wire::unsupported<T>, "this C++ type has no BARE encoding");
    }
  }

private:
  // A count is checked against the bytes left, but elements are larger in memory than on the wire: so room is made
  // for no more than this at once, and the rest grows with what really arrives.
  static constexpr std::size_t reserve_elements_max = 256;

  template <class T>
  void get_list(std::vector<T>& xs) {
    const auto n = get_count(wire_bytes_min<T>());
    xs.reserve(std::min(n, reserve_elements_max));
    for (std::size_t i = 0; i < n && error_ == nullptr; ++i)
      if (take_memory(sizeof(T))) get(xs.emplace_back());
  }

  template <class K, class V>
  void get_map(wire::map_of<K, V>& x) {
    const auto* start = at_;
    const auto n = get_count(wire_bytes_min<K>() + wire_bytes_min<V>());
    x.entries.reserve(std::min(n, reserve_elements_max));
    for (std::size_t i = 0; i < n && error_ == nullptr; ++i) {
      if (!take_memory(sizeof(x.entries.front()))) return;
      auto& [k, v] = x.entries.emplace_back();
      get(k);
      get(v);
    }
    if (error_ == nullptr && has_duplicate(x)) fail_at("duplicate map key", start);
  }

  bool take_memory(std::size_t n) {
    if (n <= elements_bytes_left_) {
      elements_bytes_left_ -= n;
      return true;
    }
    took_too_much_ = true;
    fail("takes too much memory");
    return false;
  }

  template <class T, std::size_t... Is>
  std::size_t get_tag(std::index_sequence<Is...>) {
    const auto* start = at_;
    const auto tag = get_uint();
    if (error_ != nullptr) return std::variant_npos;
    std::uint64_t next = 0;
    auto found = std::variant_npos;
    ((alive<std::variant_alternative_t<Is, T>>(version_) && next++ == tag ? void(found = Is)
                                                                          : void()),
     ...);
    if (found == std::variant_npos) fail_at("unknown union tag", start);
    return found;
  }

  template <class T, std::size_t... Is>
  void get_union(T& x, std::index_sequence<Is...> all) {
    const auto found = get_tag<T>(all);
    ((Is == found ? get(x.template emplace<Is>()) : void()), ...);
  }

  std::size_t get_count(std::size_t element_bytes_min) {
    const auto* start = at_;
    const auto n = get_uint();
    if (error_ == nullptr && n > left() / std::max<std::size_t>(element_bytes_min, 1)) {
      fail_short("count is larger than what is left can hold", start, n, element_bytes_min);
      return 0;
    }
    return static_cast<std::size_t>(n);
  }

  std::span<const std::uint8_t> get_span() {
    const auto* start = at_;
    const auto n = get_uint();
    if (error_ != nullptr) return {};
    if (n > left()) {
      fail_short("length is larger than what is left", start, n);
      return {};
    }
    const std::span<const std::uint8_t> span{at_, static_cast<std::size_t>(n)};
    at_ += n;
    return span;
  }

  std::string_view get_chars() {
    const auto span = get_span();
    const std::string_view chars{reinterpret_cast<const char*>(span.data()), span.size()};
    if (error_ == nullptr && !is_utf8(chars)) {
      fail_back("str is not valid UTF-8", span.size());
      return {};
    }
    return chars;
  }

  std::uint64_t get_uint() {
    const auto* start = at_;
    std::uint64_t x = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      std::uint8_t byte = 0;
      raw(&byte, 1);
      if (error_ != nullptr) return 0;
      if (shift == 63 && byte > 1) break;
      x |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
      if ((byte & 0x80U) != 0) continue;
      if (byte == 0 && shift != 0) {
        fail_at("uint is not minimal", start);
        return 0;
      }
      return x;
    }
    fail_at("uint does not fit in 64 bits", start);
    return 0;
  }

  void raw(void* to, std::size_t n) {
    if (error_ != nullptr) return;
    if (n > left()) return fail_short("truncated", at_, n);
    if (n != 0) std::memcpy(to, at_, n);
    at_ += n;
  }

  [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }

  void fail(const char* why) { fail_at(why, at_); }

  // `n` elements were to follow.
  void fail_short(
      const char* why, const std::uint8_t* where, std::uint64_t n, std::uint64_t element = 1) {
    if (error_ != nullptr) return;
    constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max() / 2;
    needed_ = static_cast<std::size_t>(consumed() + (n > most / element ? most : n * element));
    fail_at(why, where);
  }

  void fail_back(const char* why, std::size_t n) { fail_at(why, at_ - n); }

  void fail_at(const char* why, const std::uint8_t* where) {
    if (error_ != nullptr) return;
    error_ = why;
    error_offset_ = static_cast<std::size_t>(where - begin_);
  }

  std::shared_ptr<const void> owner_;
  const std::uint8_t* begin_;
  const std::uint8_t* at_;
  const std::uint8_t* end_;
  std::size_t elements_bytes_left_;
  std::uint16_t version_;
  bool took_too_much_ = false;
  const char* error_ = nullptr;
  std::size_t error_offset_ = 0;
  std::size_t needed_ = 0;
};

}  // namespace nuncio::bare

// BARE writer over the descriptions of wire.hpp. Included only where a projection is instantiated (messages.cpp) and by tests;
// all else calls codec.hpp's functions.
#pragma once

#include <algorithm>
#include <cassert>
#include <nuncio/actor_id.hpp>
#include <nuncio/bare_checks.hpp>
#include <nuncio/bytes.hpp>
#include <nuncio/detail/wire.hpp>
#include <nuncio/utf8.hpp>
#include <string_view>
#include <vector>

namespace nuncio::bare {

class writer {
public:
  /// Appends to `out`, which may already hold a prefix.
  writer(std::vector<std::uint8_t>& out, std::uint16_t version) : out_(out), version_(version) {}

  /// Why the value can't be written; null when it was. The bytes are worthless after an error.
  [[nodiscard]] const char* error() const { return error_; }

  /// After an error: whether another version could say it.
  [[nodiscard]] bool error_is_of_version() const { return of_version_; }

  /// The name of the type that `error` is about.
  [[nodiscard]] std::string_view error_at() const { return error_at_; }

  template <class T>
  void put(const T& x) {
    if constexpr (std::is_same_v<T, bool>) {
      out_.push_back(x ? 1 : 0);
    } else if constexpr (std::is_arithmetic_v<T>) {
      raw(&x, sizeof x);
    } else if constexpr (wire::enum_type<T>) {
      if (static_cast<std::size_t>(x) >= wire_enum(x).values.size())
        malformed("unknown enum value", wire_enum(x).name);
      put_uint(static_cast<std::uint64_t>(x));
    } else if constexpr (std::is_same_v<T, bytes>) {
      put_uint(x.size());
      raw(x.data(), x.size());
    } else if constexpr (std::is_same_v<T, text> || std::is_same_v<T, actor_id>) {
      if (!is_utf8(x.view())) malformed("not valid UTF-8", "str");
      put_uint(x.view().size());
      raw(x.view().data(), x.view().size());
    } else if constexpr (wire::fixed_type<T>) {
      raw(x.data(), x.size());
    } else if constexpr (wire::optional_type<T>) {
      put(x.has_value());
      if (x) put(*x);
    } else if constexpr (wire::list_type<T>) {
      put_uint(x.size());
      for (const auto& y : x) put(y);
    } else if constexpr (wire::map_type<T>) {
      if (has_duplicate(x)) malformed("duplicate map key", "map");
      put_uint(x.entries.size());
      for (const auto& [k, v] : x.entries) {
        put(k);
        put(v);
      }
    } else if constexpr (wire::newtype_type<T>) {
      put(x.*(T::wire.member));
    } else if constexpr (wire::record_type<T>) {
      wire::for_each_field<T>([&](const auto& f) {
        if (f.when.covers(version_)) {
          put(x.*(f.member));
        } else if (!f.when.droppable && !(x.*(f.member) == T{}.*(f.member))) {
          missing("field is not in this protocol version", f.name);
        }
      });
    } else if constexpr (wire::union_type<T>) {
      put_union(x, std::make_index_sequence<std::variant_size_v<T>>{});
    } else {
      static_assert(wire::unsupported<T>, "this C++ type has no BARE encoding");
    }
  }

private:
  template <class T, std::size_t... Is>
  void put_union(const T& x, std::index_sequence<Is...>) {
    std::uint64_t tag = 0;
    ((Is < x.index() && alive<std::variant_alternative_t<Is, T>>(version_) ? void(++tag) : void()),
     ...);
    std::visit(
        [&](const auto& y) {
          using alternative = std::remove_cvref_t<decltype(y)>;
          if (!alive<alternative>(version_))
            return missing("message is not in this protocol version", alternative::wire.name);
          put_uint(tag);
          put(y);
        },
        x);
  }

  void put_uint(std::uint64_t x) {
    while (x >= 0x80) {
      out_.push_back(static_cast<std::uint8_t>(x | 0x80U));
      x >>= 7U;
    }
    out_.push_back(static_cast<std::uint8_t>(x));
  }

  void raw(const void* from, std::size_t n) {
    // A body fills the room exactly and would be moved again for the byte that follows it; many in a row move each other.
    if (n >= 256 && out_.capacity() - out_.size() < n)
      out_.reserve(out_.size() + std::max(n + 256, out_.size() / 2));
    const auto* p = static_cast<const std::uint8_t*>(from);
    out_.insert(out_.end(), p, p + n);
  }

  void malformed(const char* why, std::string_view at) { fail(why, at, false); }

  void missing(const char* why, std::string_view at) { fail(why, at, true); }

  void fail(const char* why, std::string_view at, bool of_version) {
    if (error_ != nullptr) return;
    error_ = why;
    error_at_ = at;
    of_version_ = of_version;
  }

  std::vector<std::uint8_t>& out_;
  std::uint16_t version_;
  const char* error_ = nullptr;
  std::string_view error_at_;
  bool of_version_ = false;
};

}  // namespace nuncio::bare

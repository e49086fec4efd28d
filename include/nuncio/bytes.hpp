// Copyable slices of immutable memory, used for bodies, keys, values and texts. A slice shares the frame that it was cut from,
// or owns its bytes if a program built it. A copy costs one reference count. Any thread may read.
//
//   const nuncio::bytes body{std::string{"hello"}};
//   body.view();  // as characters
//   const auto kept = body.part(0, 4);  // the same memory
#pragma once

#include <algorithm>
#include <compare>
#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nuncio {

/// Immutable elements that the slice itself keeps alive. Use `bytes` or `text` below.
template <class T>
class slice {
public:
  slice() = default;

  slice(const slice&) = default;

  slice& operator=(const slice&) = default;

  // A moved-from slice is empty: it must not point into memory that it no longer keeps alive.
  slice(slice&& x) noexcept
      : owner_(std::move(x.owner_)),
        data_(std::exchange(x.data_, nullptr)),
        size_(std::exchange(x.size_, 0)) {}

  slice& operator=(slice&& x) noexcept {
    if (this == &x) return *this;
    owner_ = std::move(x.owner_);
    data_ = std::exchange(x.data_, nullptr);
    size_ = std::exchange(x.size_, 0);
    return *this;
  }

  ~slice() = default;

  /// Takes ownership of `xs`.
  explicit slice(std::vector<T> xs) {
    auto kept = std::make_shared<const std::vector<T>>(std::move(xs));
    data_ = kept->data();
    size_ = kept->size();
    owner_ = std::move(kept);
  }

  /// Shares `owner`, which must keep `xs` alive and unchanged.
  slice(std::shared_ptr<const void> owner, std::span<const T> xs)
      : owner_(std::move(owner)), data_(xs.data()), size_(xs.size()) {}

  [[nodiscard]] const T* data() const { return data_; }

  [[nodiscard]] std::size_t size() const { return size_; }

  [[nodiscard]] bool empty() const { return size_ == 0; }

  [[nodiscard]] const T* begin() const { return data_; }

  [[nodiscard]] const T* end() const { return data_ + size_; }

  [[nodiscard]] std::span<const T> span() const { return {data_, size_}; }

  /// What keeps the elements alive; null if empty and unowned.
  [[nodiscard]] const std::shared_ptr<const void>& owner() const { return owner_; }

  /// `count` elements from `offset` on, sharing the same memory; truncated at the end.
  [[nodiscard]] slice part(std::size_t offset, std::size_t count = SIZE_MAX) const {
    offset = std::min(offset, size_);
    return {owner_, {data_ + offset, std::min(count, size_ - offset)}};
  }

  /// A copy with its own memory.
  static slice copy_of(std::span<const T> xs) {
    if (xs.empty()) return {};
    auto kept = std::make_shared_for_overwrite<T[]>(xs.size());
    std::copy(xs.begin(), xs.end(), kept.get());
    const std::span<const T> all{kept.get(), xs.size()};
    return {std::move(kept), all};
  }

  /// The same elements, without keeping much other memory alive: a copy, unless the slice is at least half of the `among` bytes
  /// that it shares memory with.
  [[nodiscard]] slice apart(std::size_t among) const {
    return size_ * sizeof(T) >= among - among / 2 ? *this : copy_of(span());
  }

  friend bool operator==(const slice& a, const slice& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

private:
  std::shared_ptr<const void> owner_;
  const T* data_ = nullptr;
  std::size_t size_ = 0;
};

/// BARE `data`: opaque bytes.
class bytes : public slice<std::uint8_t> {
public:
  using slice::slice;

  bytes(slice<std::uint8_t> x) : slice(std::move(x)) {}

  /// Takes ownership of the characters of `x`.
  bytes(std::string x) {
    auto kept = std::make_shared<const std::string>(std::move(x));
    const std::span<const std::uint8_t> all{
        reinterpret_cast<const std::uint8_t*>(kept->data()), kept->size()};
    static_cast<slice&>(*this) = slice(std::move(kept), all);
  }

  /// Copies the characters of `x`, up to the terminating zero.
  bytes(const char* x) : bytes(std::string{x}) {}

  bytes() = default;

  /// Copies the characters of `x`.
  explicit bytes(std::string_view x) : slice(std::vector<std::uint8_t>(x.begin(), x.end())) {}

  /// Copies `xs`.
  static bytes copy_of(std::span<const std::uint8_t> xs) { return slice::copy_of(xs); }

  /// The bytes as characters.
  [[nodiscard]] std::string_view view() const {
    return {reinterpret_cast<const char*>(data()), size()};
  }
};

/// BARE `str`: UTF-8 text. Decoded text is known to be valid; text that we create is checked when it is encoded.
class text : public slice<char> {
public:
  using slice::slice;

  text() = default;

  text(slice<char> x) : slice(std::move(x)) {}

  text(std::string x) {
    auto kept = std::make_shared<const std::string>(std::move(x));
    const std::span<const char> all{*kept};
    static_cast<slice&>(*this) = slice(std::move(kept), all);
  }

  text(std::string_view x) : text(std::string{x}) {}

  text(const char* x) : text(std::string{x}) {}

  [[nodiscard]] std::string_view view() const { return {data(), size()}; }

  operator std::string_view() const { return view(); }

  [[nodiscard]] std::string str() const { return std::string{view()}; }

  friend bool operator==(const text& a, std::string_view b) { return a.view() == b; }

  friend bool operator==(const text& a, const text& b) { return a.view() == b.view(); }

  friend bool operator==(const text& a, const char* b) { return a.view() == b; }

  friend auto operator<=>(const text& a, const text& b) { return a.view() <=> b.view(); }
};

/// The types that convert to text: a literal, a std::string, a std::string_view. For overloads on text and bytes, both of which
/// these types convert to.
template <class T>
concept string_like =
    std::convertible_to<const T&, std::string_view> && !std::derived_from<T, text>;

}  // namespace nuncio

// The engine's name for an actor: opaque text that is never parsed and is returned byte for byte. A 32-byte value; ids of up to
// 31 bytes (today's have 30) need no allocation. Any thread.
//
//   const nuncio::actor_id id{"0198c5f2"};
//   log(id.view());
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

namespace nuncio {

class actor_id {
public:
  /// The longest id that is stored inline, in bytes.
  static constexpr std::size_t inline_bytes_max = 31;

  actor_id() = default;

  explicit actor_id(std::string_view x) { assign(x); }

  actor_id(const actor_id& x) { copy_from(x); }

  actor_id(actor_id&& x) noexcept { steal(x); }

  actor_id& operator=(const actor_id& x) {
    if (this != &x) {
      release();
      copy_from(x);
    }
    return *this;
  }

  actor_id& operator=(actor_id&& x) noexcept {
    if (this != &x) {
      release();
      steal(x);
    }
    return *this;
  }

  ~actor_id() { release(); }

  [[nodiscard]] std::string_view view() const {
    if (tag_ != heap_tag) return {raw_.data(), tag_};
    const auto far = heap();
    return {far.data, far.size};
  }

  [[nodiscard]] bool empty() const { return tag_ == 0; }

  [[nodiscard]] std::string str() const { return std::string{view()}; }

  /// Bytes on the heap beyond the object itself.
  [[nodiscard]] std::size_t heap_bytes() const { return tag_ == heap_tag ? heap().size : 0; }

  friend bool operator==(const actor_id& a, const actor_id& b) {
    if (a.tag_ != heap_tag) return a.tag_ == b.tag_ && a.raw_ == b.raw_;
    return a.view() == b.view();
  }

  friend auto operator<=>(const actor_id& a, const actor_id& b) { return a.view() <=> b.view(); }

private:
  struct far_text {
    const char* data;
    std::size_t size;
  };

  static constexpr std::uint8_t heap_tag = 0xff;

  [[nodiscard]] far_text heap() const {
    far_text far;
    std::memcpy(&far, raw_.data(), sizeof far);
    return far;
  }

  void assign(std::string_view x) {
    if (x.size() <= inline_bytes_max) {
      if (!x.empty()) std::memcpy(raw_.data(), x.data(), x.size());
      tag_ = static_cast<std::uint8_t>(x.size());
      return;
    }
    auto* copy = new char[x.size()];
    std::memcpy(copy, x.data(), x.size());
    const far_text far{copy, x.size()};
    std::memcpy(raw_.data(), &far, sizeof far);
    tag_ = heap_tag;
  }

  void copy_from(const actor_id& x) {
    if (x.tag_ == heap_tag) {
      assign(x.view());
    } else {
      raw_ = x.raw_;
      tag_ = x.tag_;
    }
  }

  void steal(actor_id& x) noexcept {
    raw_ = x.raw_;
    tag_ = x.tag_;
    x.raw_ = {};
    x.tag_ = 0;
  }

  void release() noexcept {
    if (tag_ == heap_tag) delete[] heap().data;
    raw_ = {};
    tag_ = 0;
  }

  // Unused bytes are zero, so that inline ids compare and hash as 32 plain bytes.
  alignas(8) std::array<char, inline_bytes_max> raw_{};
  std::uint8_t tag_ = 0;
};

static_assert(sizeof(actor_id) == 32);

/// Mixes eight bytes at a time with one multiplication each: the ledger's hash (see docs/benchmarks.md).
inline std::uint64_t hash_bytes(std::string_view x) {
  constexpr std::uint64_t k = 0x9fb21c651e98df25ULL;
  std::uint64_t h = x.size() * k;
  while (!x.empty()) {
    std::uint64_t word = 0;
    const auto n = x.size() < 8 ? x.size() : 8;
    std::memcpy(&word, x.data(), n);
    h = (h ^ word) * k;
    h ^= h >> 32U;
    x.remove_prefix(n);
  }
  return h;
}

}  // namespace nuncio

template <>
struct std::hash<nuncio::actor_id> {
  std::size_t operator()(const nuncio::actor_id& x) const { return nuncio::hash_bytes(x.view()); }
};

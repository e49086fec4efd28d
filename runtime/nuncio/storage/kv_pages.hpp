// Reads a range of KV page by page: where the next page begins, and how many entries it may have. Every answer comes in one
// frame, so a page that is longer than the host accepts is requested again with half as many entries. Pure; owned by the
// reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nuncio/bytes.hpp>
#include <nuncio/storage/kv_limits.hpp>
#include <string>
#include <utility>

namespace nuncio {

class kv_pages {
public:
  /// Entries of the first page: one round trip for most actors, while pages with entries of maximum size
  /// (kv_limits::value_bytes_max) are below 32 MiB after two halvings.
  static constexpr std::size_t entries_max = 512;

  /// From `first` up to but not including `last`.
  kv_pages(bytes first, bytes last, std::size_t entries = entries_max)
      : first_(std::move(first)), last_(std::move(last)), limit_(entries) {}

  [[nodiscard]] const bytes& first() const { return first_; }

  [[nodiscard]] const bytes& last() const { return last_; }

  [[nodiscard]] std::size_t limit() const { return limit_; }

  /// A page has arrived, with this number of entries, the last of them under `key`. @returns whether to request another
  bool handle_page(std::size_t entries, const bytes& key) {
    if (entries < limit_) return false;
    std::string next{key.view()};  // becomes the smallest key above it
    if (next.size() < kv_limits::key_bytes_max) {
      next += '\0';
    } else {
      while (!next.empty() && next.back() == '\xff') next.pop_back();
      if (next.empty()) return false;
      ++next.back();
    }
    first_ = bytes{std::move(next)};
    return true;
  }

  /// The page was longer than the host accepts. @returns whether to request less of it
  bool handle_too_long() {
    if (limit_ == 1) return false;
    limit_ /= 2;
    return true;
  }

private:
  bytes first_;
  bytes last_;
  std::size_t limit_;
};

}  // namespace nuncio

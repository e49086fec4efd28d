// Key-value storage of an engine actor: small values that outlive it, until it is destroyed.
//
//   self->kv().put("score", "42").then([] {});
//   self->kv().list({.prefix = "room/", .limit = 10}).then(
//       [](std::vector<nuncio::kv_entry> found) { … });
//
// On the actor's own thread only. Each call is one request to the engine, all or nothing; an actor's requests are carried out
// in the order of its calls. Consecutive puts (or erases) in one turn share a request and its outcome. Errors: errc::too_large,
// queue_full, link_lost, timed_out, refused, cancelled; storage_failure_of tells whether a write may have happened. Limits
// (docs/protocol.md H.1): keys of 2045 bytes, values of 128 KiB, 128 keys and 976 KiB in one call.
//
// Keeping a key or a value keeps alive at most twice its size: what is less than half of its answer is a copy.
#pragma once

#include <chrono>
#include <nuncio/storage_response.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nuncio {

struct kv_requests;

/// Bytes in any form that a caller may have: text, a vector, a span (these are copied), or `bytes` (shared).
struct octets : bytes {
  octets() = default;

  octets(bytes x) : bytes(std::move(x)) {}

  octets(std::string x) : bytes(std::move(x)) {}

  octets(std::string_view x) : bytes(x) {}

  octets(const char* x) : bytes(std::string_view{x}) {}

  octets(std::vector<std::uint8_t> x) : bytes(std::move(x)) {}

  octets(std::span<const std::uint8_t> x) : bytes(bytes::copy_of(x)) {}
};

struct kv_entry {
  bytes key;
  bytes value;
  std::chrono::system_clock::time_point updated;  ///< by the engine's clock
};

/// What to list, in ascending byte order: everything, all keys that begin with `prefix`, or from `first` up to but not
/// including `last`.
struct kv_query {
  octets prefix{};
  octets first{};  ///< empty: from the beginning
  octets last{};   ///< excluded; empty: to the end
  bool reverse = false;
  std::optional<std::uint64_t> limit{};
};

/// A view of the actor's storage; cheap, meant to be used at once.
class kv_store {
public:
  storage_response<std::optional<bytes>> get(octets key);
  /// @returns one value for each key, in the order of `keys`
  storage_response<std::vector<std::optional<bytes>>> get_all(std::vector<octets> keys);
  storage_response<std::vector<kv_entry>> list(kv_query what = {});
  storage_response<void> put(octets key, octets value);
  storage_response<void> put_all(std::vector<std::pair<octets, octets>> entries);
  /// A missing key is not an error.
  storage_response<void> erase(octets key);
  storage_response<void> erase_all(std::vector<octets> keys);
  /// From `first` up to but not including `last`; an empty `last` is the end.
  storage_response<void> erase_range(octets first, octets last);
  /// Erases everything.
  storage_response<void> drop();

private:
  kv_store(internal::storage_client& through, std::string_view prefix, write_mode mode)
      : through_(&through), prefix_(prefix), mode_(mode) {}

  [[nodiscard]] bytes full(const bytes& key) const;
  [[nodiscard]] bytes end_of(const bytes& last) const;
  [[nodiscard]] std::vector<bytes> full(const std::vector<octets>& keys) const;
  friend struct internal::access;
  friend struct kv_requests;

  internal::storage_client* through_;
  std::string_view prefix_;
  write_mode mode_;
};

}  // namespace nuncio

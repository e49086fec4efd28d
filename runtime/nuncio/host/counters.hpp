// A host's counters. Its actors write `counters`, each number from one actor; users read `host_stats`, the plain value.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <mutex>
#include <nuncio/host_stats.hpp>
#include <type_traits>

namespace nuncio {

/// Adds a struct of std::uint64_t numbers, member by member.
template <class T>
void add(T& sum, const T& more) {
  static_assert(
      std::has_unique_object_representations_v<T> && sizeof(T) % sizeof(std::uint64_t) == 0);
  using numbers = std::array<std::uint64_t, sizeof(T) / sizeof(std::uint64_t)>;
  auto all = std::bit_cast<numbers>(sum);
  const auto each = std::bit_cast<numbers>(more);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] += each[i];
  sum = std::bit_cast<T>(all);
}

/// Snapshots that each actor publishes after handling a message; readers copy under a short lock.
template <class T>
class published {
public:
  void set(const T& x) {
    const std::lock_guard guard{mutex_};
    value_ = x;
  }

  [[nodiscard]] T get() const {
    const std::lock_guard guard{mutex_};
    return value_;
  }

private:
  mutable std::mutex mutex_;
  T value_{};
};

struct counters {
  published<ingress_stats> ingress;
  published<ledger_stats> ledger;
  published<outbox_stats> outbox;
  published<storage_stats> storage;
  std::atomic<bool> engine_acks = false;
  std::atomic<std::uint64_t> acks_sent = 0, ack_frames = 0, acks_pending = 0, responses = 0;
};

}  // namespace nuncio

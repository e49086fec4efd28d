// The actors that `nuncio serve` and `nuncio demo` host: counter, echo, bench and probe. Any CAF application may serve them.
#pragma once

#include <nuncio/host.hpp>

namespace nuncio {

/// Counts how often a factory was called for each (actor id, generation). It does not use the ledger: more than one call is the
/// bug that this project exists to prevent. Remembers the last 10,000 instances. Any thread.
class start_census {
public:
  /// Records a call; returns the number of calls for this instance.
  std::uint64_t count(const actor_ref& who);
  /// Calls so far for this instance, or for all generations of an actor; 0 if it is not remembered.
  [[nodiscard]] std::uint64_t starts_of(const actor_ref& who) const;
  [[nodiscard]] std::uint64_t starts_of(const actor_id& who) const;
  /// Calls beyond the first, of all instances ever.
  [[nodiscard]] std::uint64_t repeated() const;
  [[nodiscard]] std::uint64_t calls() const;

private:
  static constexpr std::size_t remembered_max = 10'000;

  struct life {
    std::uint64_t starts = 0;
    std::size_t remembered = 0;  ///< instances in starts_
  };

  mutable std::mutex mutex_;
  std::unordered_map<actor_ref, std::uint64_t> starts_;
  std::unordered_map<actor_id, life> lives_;
  std::deque<actor_ref> order_;
  std::uint64_t calls_ = 0;
  std::uint64_t repeated_ = 0;
};

/// Serves `counter`, `echo` and `bench` on `to`.
void serve_samples(host& to, const std::shared_ptr<start_census>& census);

}  // namespace nuncio

// Remembers ids that may still be mentioned, as long as that can happen, up to a limit. Pure. If there is no room for an id,
// that is remembered, too.
#pragma once

#include <cstddef>
#include <nuncio/detail/clock.hpp>
#include <nuncio/support/expiring_map.hpp>
#include <optional>
#include <utility>

namespace nuncio {

template <class Id, class Value>
class known_for {
public:
  /// The size of one entry: a node of the list and one of the table, with their share of its buckets.
  static constexpr std::size_t entry_bytes = 2 * sizeof(Id) + sizeof(Value) + 96;

  /// @param worth  how long an entry is worth keeping; duration::max(): until it is forgotten explicitly
  known_for(duration worth, std::size_t bytes_max)
      : worth_(worth), entries_max_(bytes_max / entry_bytes) {}

  /// `id` is known from now on, or again.
  /// @returns false if there is no room: the other entries are worth as much
  bool add(const Id& id, Value value, time_point now) {
    expire(now);
    static_cast<void>(take(id));
    const auto until = worth_ == duration::max() ? time_point::max() : now + worth_;
    if (entries_.size() >= entries_max_) {
      incomplete_until_ = until;
      return false;
    }
    entries_.add(id, std::move(value), until);
    return true;
  }

  /// Null if `id` is not known.
  [[nodiscard]] Value* find(const Id& id) { return entries_.find(id); }

  /// Forgets `id`. @returns what was known
  std::optional<Value> take(const Id& id) { return entries_.take(id); }

  void expire(time_point now) {
    while (entries_.take_expired(now)) {
    }
    if (incomplete_until_ && *incomplete_until_ <= now) incomplete_until_.reset();
  }

  /// Whether there was no room for an entry that may still be needed.
  [[nodiscard]] bool incomplete(time_point now) const {
    return incomplete_until_ && *incomplete_until_ > now;
  }

  void clear() {
    entries_.clear();
    incomplete_until_.reset();
  }

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  [[nodiscard]] std::size_t size_max() const { return entries_max_; }

private:
  duration worth_;
  std::size_t entries_max_;
  expiring_map<Id, Value> entries_;
  std::optional<time_point> incomplete_until_;
};

}  // namespace nuncio

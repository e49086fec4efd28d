// Remembers ids that may still be mentioned, as long as that can happen, up to a limit. Pure. If there is no room for an id,
// that is remembered, too.
#pragma once

#include <cstddef>
#include <list>
#include <nuncio/detail/clock.hpp>
#include <optional>
#include <unordered_map>
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
    order_.push_back({until, id});
    entries_.try_emplace(id, entry{std::move(value), std::prev(order_.end())});
    return true;
  }

  /// Null if `id` is not known.
  [[nodiscard]] Value* find(const Id& id) {
    const auto at = entries_.find(id);
    return at == entries_.end() ? nullptr : &at->second.value;
  }

  /// Forgets `id`. @returns what was known
  std::optional<Value> take(const Id& id) {
    const auto at = entries_.find(id);
    if (at == entries_.end()) return std::nullopt;
    std::optional<Value> out{std::move(at->second.value)};
    order_.erase(at->second.place);
    entries_.erase(at);
    return out;
  }

  void expire(time_point now) {
    while (!order_.empty() && order_.front().first <= now) {
      entries_.erase(order_.front().second);
      order_.pop_front();
    }
    if (incomplete_until_ && *incomplete_until_ <= now) incomplete_until_.reset();
  }

  /// Whether there was no room for an entry that may still be needed.
  [[nodiscard]] bool incomplete(time_point now) const {
    return incomplete_until_ && *incomplete_until_ > now;
  }

  void clear() {
    order_ = {};
    entries_ = {};
    incomplete_until_.reset();
  }

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  [[nodiscard]] std::size_t size_max() const { return entries_max_; }

private:
  using places = std::list<std::pair<time_point, Id>>;

  struct entry {
    Value value;
    typename places::iterator place;
  };

  duration worth_;
  std::size_t entries_max_;
  places order_;  ///< the one worth keeping for the shortest time first
  std::unordered_map<Id, entry> entries_;
  std::optional<time_point> incomplete_until_;
};

}  // namespace nuncio

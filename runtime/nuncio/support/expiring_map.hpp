// Values under ids, each until its end. Pure. What known_for and known_by_owner share: entries expire in the order in which they
// were added, so each must end no earlier than those before it.
#pragma once

#include <cassert>
#include <cstddef>
#include <list>
#include <nuncio/detail/clock.hpp>
#include <optional>
#include <unordered_map>
#include <utility>

namespace nuncio {

template <class Id, class Value>
class expiring_map {
public:
  /// `id` must be missing.
  void add(const Id& id, Value value, time_point until) {
    assert(!entries_.contains(id));
    order_.push_back({until, id});
    entries_.try_emplace(id, entry{std::move(value), std::prev(order_.end())});
  }

  /// Null if `id` is missing.
  [[nodiscard]] Value* find(const Id& id) {
    const auto at = entries_.find(id);
    return at == entries_.end() ? nullptr : &at->second.value;
  }

  /// Removes `id`. @returns its value; none if it is missing
  std::optional<Value> take(const Id& id) {
    const auto at = entries_.find(id);
    if (at == entries_.end()) return std::nullopt;
    std::optional<Value> out{std::move(at->second.value)};
    order_.erase(at->second.place);
    entries_.erase(at);
    return out;
  }

  /// Removes an entry that has ended. @returns its value; none if there is no such entry
  std::optional<Value> take_expired(time_point now) {
    if (order_.empty() || order_.front().first > now) return std::nullopt;
    return take(order_.front().second);
  }

  void clear() {
    order_ = {};
    entries_ = {};
  }

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

private:
  using places = std::list<std::pair<time_point, Id>>;

  struct entry {
    Value value;
    typename places::iterator place;
  };

  places order_;  ///< the one that ends first in front
  std::unordered_map<Id, entry> entries_;
};

}  // namespace nuncio

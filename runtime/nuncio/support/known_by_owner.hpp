// Like known_for, for ids that belong to owners: a crowd of one owner does not cost another owner's entries. Pure. An owner may
// use as much room as it leaves free for the others; what does not fit is missing for that owner only.
#pragma once

#include <cstddef>
#include <deque>
#include <nuncio/detail/clock.hpp>
#include <nuncio/support/expiring_map.hpp>
#include <optional>
#include <unordered_map>
#include <utility>

namespace nuncio {

template <class Owner, class Id, class Value>
class known_by_owner {
public:
  /// The size of one entry: a node of the list and one of the table, with their share of its buckets.
  static constexpr std::size_t entry_bytes = 2 * sizeof(Id) + sizeof(Value) + 112;
  /// The size of an owner, with the note that something of it is missing.
  static constexpr std::size_t owner_bytes = 2 * sizeof(Owner) + 104;

  /// @param worth  how long an entry is worth keeping
  known_by_owner(duration worth, std::size_t bytes_max) : worth_(worth), bytes_max_(bytes_max) {}

  /// `id` of `owner` is known from now on, or again.
  /// @returns false if there is no room: the other entries are worth as much
  bool add(const Owner& owner, const Id& id, Value value, time_point now) {
    expire(now);
    static_cast<void>(take(id));
    const auto until = now + worth_;
    auto& of = *owners_.try_emplace(owner).first;
    const auto own = bytes_of(of.second) + entry_bytes;
    const auto others = bytes() - bytes_of(of.second);
    if (others + 2 * own > bytes_max_) {
      miss(of, until);
      return false;
    }
    ++of.second.entries;
    entries_.add(id, {std::move(value), &of}, until);
    return true;
  }

  /// Null if `id` is not known.
  [[nodiscard]] Value* find(const Id& id) {
    auto* known = entries_.find(id);
    return known == nullptr ? nullptr : &known->value;
  }

  /// Forgets `id`. @returns what was known
  std::optional<Value> take(const Id& id) {
    auto known = entries_.take(id);
    if (!known) return std::nullopt;
    release(*known->of);
    return std::move(known->value);
  }

  void expire(time_point now) {
    while (const auto known = entries_.take_expired(now)) release(*known->of);
    while (!missing_.empty() && missing_.front().first <= now) {
      auto& of = *missing_.front().second;
      missing_.pop_front();
      auto& until = of.second.incomplete_until;
      if (*until > now) {
        missing_.emplace_back(*until, &of);
        continue;
      }
      until.reset();
      drop_if_idle(of);
    }
    if (incomplete_until_ && *incomplete_until_ <= now) incomplete_until_.reset();
  }

  /// Whether there was no room for an entry of `owner` that may still be needed.
  [[nodiscard]] bool incomplete(const Owner& owner, time_point now) const {
    if (incomplete_until_ && *incomplete_until_ > now) return true;
    const auto of = owners_.find(owner);
    if (of == owners_.end()) return false;
    const auto& until = of->second.incomplete_until;
    return until && *until > now;
  }

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  /// The bytes of everything kept.
  [[nodiscard]] std::size_t bytes() const {
    return entries_.size() * entry_bytes + owners_.size() * owner_bytes;
  }

private:
  struct owned {
    std::size_t entries = 0;
    std::optional<time_point> incomplete_until;
  };

  using owner_map = std::unordered_map<Owner, owned>;
  using node = typename owner_map::value_type;

  struct entry {
    Value value;
    node* of;
  };

  static std::size_t bytes_of(const owned& x) { return owner_bytes + x.entries * entry_bytes; }

  // Without room to note this for its owner, it may be any owner's.
  void miss(node& of, time_point until) {
    if (bytes() > bytes_max_) {
      incomplete_until_ = until;
      return drop_if_idle(of);
    }
    if (!std::exchange(of.second.incomplete_until, until)) missing_.emplace_back(until, &of);
  }

  // An entry of `of` is gone.
  void release(node& of) {
    --of.second.entries;
    drop_if_idle(of);
  }

  void drop_if_idle(node& of) {
    if (of.second.entries == 0 && !of.second.incomplete_until)
      owners_.erase(owners_.find(of.first));
  }

  duration worth_;
  std::size_t bytes_max_;
  owner_map owners_;
  expiring_map<Id, entry> entries_;
  std::deque<std::pair<time_point, node*>> missing_;  ///< each incomplete owner, once
  std::optional<time_point> incomplete_until_;
};

}  // namespace nuncio

// When something is due for an owner: one queue for all owners, ordered by time. Pure: time is passed in; one thread.
#pragma once

#include <algorithm>
#include <map>
#include <nuncio/detail/clock.hpp>
#include <optional>
#include <utility>
#include <vector>

namespace nuncio {

/// `Kind` says what is due; an owner may have several entries of one kind.
template <class Owner, class Kind>
class due_times {
  struct entry {
    Owner* of;
    Kind kind;
  };

  using queue = std::multimap<time_point, entry>;

public:
  /// The entries of one owner, which keeps this, and drops them all before it is destroyed.
  class own {
    friend due_times;
    std::vector<typename queue::iterator> all_;
  };

  void add(Owner& of, own& to, Kind kind, time_point at) {
    // Most are equally far away, so the latest belongs at the end.
    to.all_.push_back(queue_.emplace_hint(queue_.end(), at, entry{&of, kind}));
  }

  /// Drops the first of that kind, if any.
  void drop(own& from, Kind kind) {
    const auto at = std::find_if(from.all_.begin(), from.all_.end(), [&](const auto& each) {
      return each->second.kind == kind;
    });
    if (at == from.all_.end()) return;
    queue_.erase(*at);
    from.all_.erase(at);
  }

  /// Whether there is an entry of that kind.
  [[nodiscard]] static bool has(const own& of, Kind kind) {
    return std::any_of(of.all_.begin(), of.all_.end(), [&](const auto& each) {
      return each->second.kind == kind;
    });
  }

  void drop_all(own& from) {
    for (const auto& each : from.all_) queue_.erase(each);
    from.all_.clear();
  }

  /// The next due entry, which is removed from the queue.
  /// @param own_of  where an owner keeps its entries
  template <class OwnOf>
  std::optional<std::pair<Owner*, Kind>> poll(time_point now, OwnOf own_of) {
    if (queue_.empty() || queue_.begin()->first > now) return std::nullopt;
    const auto first = queue_.begin();
    const auto [of, kind] = first->second;
    std::erase(own_of(*of).all_, first);
    queue_.erase(first);
    return std::pair{of, kind};
  }

  /// When the next entry is due.
  [[nodiscard]] std::optional<time_point> poll_timeout() const {
    if (queue_.empty()) return std::nullopt;
    return queue_.begin()->first;
  }

  /// Only with, or after, all owners.
  void clear() { queue_.clear(); }

private:
  queue queue_;
};

}  // namespace nuncio

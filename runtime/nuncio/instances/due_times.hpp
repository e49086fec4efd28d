// When something of an owner is due: one queue for all owners, in the order of its times. Pure: time is passed in; one thread.
#pragma once

#include <algorithm>
#include <map>
#include <nuncio/detail/clock.hpp>
#include <optional>
#include <utility>
#include <vector>

namespace nuncio {

/// `Kind` says what is due; an owner may have several of one kind.
template <class Owner, class Kind>
class due_times {
  struct entry {
    Owner* of;
    Kind kind;
  };

  using queue = std::multimap<time_point, entry>;

public:
  /// Those of one owner, which keeps it, and drops them all before it goes.
  class own {
    friend due_times;
    std::vector<typename queue::iterator> all_;
  };

  void add(Owner& of, own& to, Kind kind, time_point at) {
    // Most are equally far away, so that the latest belongs at the end.
    to.all_.push_back(queue_.emplace_hint(queue_.end(), at, entry{&of, kind}));
  }

  /// The first of that kind, if there is one.
  void drop(own& from, Kind kind) {
    const auto at = std::find_if(from.all_.begin(), from.all_.end(), [&](const auto& each) {
      return each->second.kind == kind;
    });
    if (at == from.all_.end()) return;
    queue_.erase(*at);
    from.all_.erase(at);
  }

  /// Whether one of that kind is due some time.
  [[nodiscard]] static bool has(const own& of, Kind kind) {
    return std::any_of(of.all_.begin(), of.all_.end(), [&](const auto& each) {
      return each->second.kind == kind;
    });
  }

  void drop_all(own& from) {
    for (const auto& each : from.all_) queue_.erase(each);
    from.all_.clear();
  }

  /// The next one that is due, which is no longer in the queue.
  /// @param own_of  where an owner keeps its own
  template <class OwnOf>
  std::optional<std::pair<Owner*, Kind>> poll(time_point now, OwnOf own_of) {
    if (queue_.empty() || queue_.begin()->first > now) return std::nullopt;
    const auto first = queue_.begin();
    const auto [of, kind] = first->second;
    std::erase(own_of(*of).all_, first);
    queue_.erase(first);
    return std::pair{of, kind};
  }

  /// When the next one is due.
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

// The line of exchanges that found no room in the link: ingress has one for responses that are whole, each instance one for
// those that it streams. Pure; one thread.
#pragma once

#include <nuncio/support/intrusive_list.hpp>

namespace nuncio {

struct waits_for_room;

/// Base of what stands in a room_line, and leaves it when it is destroyed. Its `exchange` is an http_exchange.
using room_line_place = list_hook<waits_for_room>;

/// The longest waiting tries first, and goes to the end if it made progress: a long response leaves room for the others.
template <class T>
class room_line {
public:
  /// `x` found no room. No effect if it is in line.
  void join(T& x) {
    if (!x.linked()) waiting_.push_back(x);
  }

  [[nodiscard]] bool empty() const { return waiting_.empty(); }

  template <class Do>
  void for_each(const Do& act) const {
    for (auto* x = waiting_.front(); x != nullptr; x = waiting_.after(*x)) act(*x);
  }

  /// The link may have room. `send(x)` sends what `x` has, which has left the line and joins again if it finds no room.
  /// It returns `x`, or null if that is gone.
  template <class Send>
  void handle_room(const Send& send) {
    // If a short message finds no room, nothing else does.
    for (auto full = false; !full && !waiting_.empty();) {
      auto& first = *waiting_.front();
      first.unlink();
      const auto next = first.exchange.position().next_index;
      T* const x = send(first);
      if (x == nullptr || !x->linked()) continue;
      full = !x->exchange.bulky();
      (x->exchange.position().next_index == next ? tried_ : helped_).push_back(*x);
    }
    tried_.take_all(waiting_);
    tried_.take_all(helped_);
    waiting_.take_all(tried_);
  }

private:
  using line = intrusive_list<T, waits_for_room>;

  line waiting_;
  line tried_, helped_;  // while handle_room() runs
};

}  // namespace nuncio

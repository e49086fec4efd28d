// Room for request bodies: the memory that all of them may take together. A connection without room is not read until there is
// some. A body with a known length asks for all of it before it is read, one of unknown length asks for more as it grows. Pure;
// one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <unordered_map>
#include <utility>

namespace nuncio::testing::engine {

class body_room {
public:
  explicit body_room(std::size_t limit) : limit_(limit) {}

  /// Calls `then` once `n` more bytes belong to `who`, perhaps at once. Bodies that have begun go first. One that has no room
  /// to grow may exceed the limit, but only one at a time: otherwise all might wait for each other.
  void ask(const void* who, std::size_t n, std::function<void()> then) {
    (held_.contains(who) ? growing_ : beginning_).push_back({who, n, std::move(then)});
    admit();
  }

  /// Gives back everything that `who` has or waits for. No effect if that is nothing.
  void give_back(const void* who) {
    const auto is_its = [who](const waiter& x) { return x.who == who; };
    std::erase_if(growing_, is_its);
    std::erase_if(beginning_, is_its);
    if (favourite_ == who) favourite_ = nullptr;
    if (const auto at = held_.find(who); at != held_.end()) {
      taken_ -= at->second;
      held_.erase(at);
    }
    admit();
  }

  void forget_waiting() {
    growing_.clear();
    beginning_.clear();
  }

  [[nodiscard]] std::size_t taken() const { return taken_; }

private:
  struct waiter {
    const void* who;
    std::size_t size;
    std::function<void()> then;
  };

  [[nodiscard]] bool fits(const waiter& x) const { return taken_ + x.size <= limit_; }

  void admit() {
    while (!growing_.empty()) {
      auto next = growing_.begin();
      if (!fits(*next)) {
        if (favourite_ == nullptr) favourite_ = next->who;
        next = std::find_if(growing_.begin(), growing_.end(), [this](const waiter& x) {
          return x.who == favourite_;
        });
        if (next == growing_.end()) return;
      }
      take(growing_, next);
    }
    // A body longer than the limit goes alone.
    while (!beginning_.empty() && (taken_ == 0 || fits(beginning_.front())))
      take(beginning_, beginning_.begin());
  }

  void take(std::deque<waiter>& from, std::deque<waiter>::iterator at) {
    const auto next = std::move(*at);
    from.erase(at);
    taken_ += next.size;
    held_[next.who] += next.size;
    next.then();
  }

  std::size_t limit_;
  std::size_t taken_ = 0;
  std::unordered_map<const void*, std::size_t> held_;
  std::deque<waiter> growing_, beginning_;
  const void* favourite_ = nullptr;
};

}  // namespace nuncio::testing::engine

// A doubly linked list through hooks inside its elements: any element can be removed in constant time, without knowing its
// list, and no allocation is needed. One thread. Never owns its elements.
#pragma once

#include <utility>

namespace nuncio {

/// Base of elements that can be in one list for each `Tag`.
template <class Tag>
class list_hook {
public:
  list_hook() = default;
  list_hook(const list_hook&) = delete;
  list_hook& operator=(const list_hook&) = delete;

  ~list_hook() { unlink(); }

  [[nodiscard]] bool linked() const { return next_ != this; }

  void unlink() {
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = this;
  }

private:
  template <class T, class U>
  friend class intrusive_list;

  list_hook* prev_ = this;
  list_hook* next_ = this;
};

/// `T` derives from list_hook<Tag>.
template <class T, class Tag>
class intrusive_list {
public:
  intrusive_list() = default;

  ~intrusive_list() {
    while (!empty()) head_.next_->unlink();
  }

  intrusive_list(const intrusive_list&) = delete;
  intrusive_list& operator=(const intrusive_list&) = delete;

  [[nodiscard]] bool empty() const { return !head_.linked(); }

  /// First element, or null.
  [[nodiscard]] T* front() const { return at(head_.next_); }

  /// Last element, or null.
  [[nodiscard]] T* back() const { return at(head_.prev_); }

  /// The element after `x`, or null.
  [[nodiscard]] T* after(const T& x) const { return at(hook_of(x).next_); }

  void push_back(T& x) { insert(head_, x); }

  /// Moves all elements of `other` to the end of this list, in constant time.
  void take_all(intrusive_list& other) {
    if (other.empty()) return;
    auto* first = std::exchange(other.head_.next_, &other.head_);
    auto* last = std::exchange(other.head_.prev_, &other.head_);
    first->prev_ = head_.prev_;
    head_.prev_->next_ = first;
    last->next_ = &head_;
    head_.prev_ = last;
  }

private:
  using hook = list_hook<Tag>;

  static const hook& hook_of(const T& x) { return x; }

  [[nodiscard]] T* at(hook* h) const { return h == &head_ ? nullptr : static_cast<T*>(h); }

  static void insert(hook& at, hook& x) {
    x.unlink();
    x.prev_ = at.prev_;
    x.next_ = &at;
    at.prev_->next_ = &x;
    at.prev_ = &x;
  }

  // The ring's anchor: its next is the first element, its prev the last.
  mutable hook head_;
};

}  // namespace nuncio

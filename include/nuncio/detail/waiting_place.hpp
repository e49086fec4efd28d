// What a WebSocket message takes of the room for messages that actors have not handled yet. Used by socket_message only.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace nuncio {

class waiting_share;

/// The room that a message takes while this object exists. It is part of the message, so a message that is dropped unhandled
/// gives it back. A copy takes none.
class waiting_place {
public:
  waiting_place() = default;

  /// `cost` was taken from `of`.
  waiting_place(std::shared_ptr<waiting_share> of, std::size_t cost)
      : of_(std::move(of)), cost_(cost) {}

  waiting_place(const waiting_place&) {}

  waiting_place(waiting_place&& x) noexcept
      : of_(std::move(x.of_)), cost_(std::exchange(x.cost_, 0)) {}

  waiting_place& operator=(const waiting_place& x) {
    if (this != &x) give_back();
    return *this;
  }

  waiting_place& operator=(waiting_place&& x) noexcept {
    if (this == &x) return *this;
    give_back();
    of_ = std::move(x.of_);
    cost_ = std::exchange(x.cost_, 0);
    return *this;
  }

  ~waiting_place() { give_back(); }

  void give_back() {
    if (of_) give_back_to_share();
  }

private:
  void give_back_to_share();

  std::shared_ptr<waiting_share> of_;
  std::size_t cost_ = 0;
};

}  // namespace nuncio

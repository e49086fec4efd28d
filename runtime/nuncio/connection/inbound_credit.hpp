// Counts what was received and handed over but not granted back. Above the limit the socket is not read, so that TCP pushes
// back on the engine. Pure; any thread.
#pragma once

#include <atomic>
#include <cstddef>

namespace nuncio {

struct inbound_bounds {
  std::size_t messages = 16384;
  std::size_t bytes = 64UL << 20U;  ///< encoded size
};

class inbound_credit {
public:
  explicit inbound_credit(inbound_bounds bounds) : bounds_(bounds) {}

  /// Handed over. @returns whether a limit is now exceeded
  bool handle_handed_over(std::size_t messages, std::size_t bytes) {
    const auto m = messages_.fetch_add(messages) + messages;
    const auto b = bytes_.fetch_add(bytes) + bytes;
    return m > bounds_.messages || b > bounds_.bytes;
  }

  /// Granted back. @returns whether this brought one of both below half of its limit: only that is worth a wake-up
  bool handle_granted(std::size_t messages, std::size_t bytes) {
    const auto crosses = [](std::atomic<std::size_t>& held, std::size_t n, std::size_t half) {
      const auto before = held.fetch_sub(n);
      return before > half && before - n <= half;
    };
    const auto by_messages = crosses(messages_, messages, bounds_.messages / 2);
    const auto by_bytes = crosses(bytes_, bytes, bounds_.bytes / 2);
    return by_messages || by_bytes;
  }

  /// Both are below half of their limits: a paused socket may be read again.
  [[nodiscard]] bool may_resume() const {
    return messages_.load() <= bounds_.messages / 2 && bytes_.load() <= bounds_.bytes / 2;
  }

private:
  const inbound_bounds bounds_;
  std::atomic<std::size_t> messages_ = 0, bytes_ = 0;
};

}  // namespace nuncio

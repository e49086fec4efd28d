// What ingress and the answering instance share about one HTTP request, each on its own thread: who may answer, how much of the
// upload was not taken, and how much of the response the client has read.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <nuncio/tunnel/http_exchange.hpp>
#include <nuncio/tunnel/waiting_room.hpp>

namespace nuncio {

/// The right to answer one attempt: for its instance, or for ingress once the time limit is over. Only the one that takes it
/// answers. Any thread.
class answer_claim {
public:
  /// @returns false if it was taken before
  [[nodiscard]] bool take() { return !taken_.exchange(true); }

private:
  std::atomic<bool> taken_ = false;
};

/// Parts of an upload that were passed on to the handler, which has not taken them yet. One thread passes on, any may take.
class upload_on_way {
public:
  /// A part of `bytes` bytes is passed on; the first is the request itself.
  void add(std::size_t bytes) {
    bytes_.fetch_add(bytes);
    parts_.fetch_add(1);
  }

  /// The handler has taken a part.
  void take(std::size_t bytes) {
    bytes_.fetch_sub(bytes);
    parts_.fetch_sub(1);
  }

  /// Whether the gateway has sent more than its credit, with `more` bytes: it may not have received credit yet for what was
  /// taken.
  [[nodiscard]] bool exceeds_window(std::size_t more) const {
    return bytes_.load() + more > http_window_bytes;
  }

  /// Its size as stored.
  [[nodiscard]] std::size_t cost() const {
    return bytes_.load() + parts_.load() * waiting_message_bytes;
  }

  /// The handler has everything that has arrived: it waits for its client.
  [[nodiscard]] bool all_taken() const { return parts_.load() == 0; }

private:
  std::atomic<std::size_t> bytes_ = 0, parts_ = 0;
};

/// How much of a response its client has read, from ingress to the instance that writes it: the latest total, and one notice
/// under way however often it changes.
class response_credit {
public:
  /// For ingress: the engine's update. It only grows.
  void handle(std::uint64_t total) { total_.store(std::max(total, total_.load())); }

  /// For ingress. @returns true if the instance has to be notified; false while a notice is already under way
  bool poll_word() { return !on_way_.exchange(true); }

  /// For the instance, on the notice.
  [[nodiscard]] std::uint64_t take_word() {
    on_way_.store(false);
    return total_.load();
  }

  [[nodiscard]] std::uint64_t total() const { return total_.load(); }

private:
  std::atomic<std::uint64_t> total_ = 0;
  std::atomic<bool> on_way_ = false;
};

}  // namespace nuncio

// What ingress and the instance that answers have in common of one HTTP request, each on its own thread: who may answer, how
// much of the upload has not been taken, and how much of the response the client has read.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <nuncio/tunnel/http_exchange.hpp>
#include <nuncio/tunnel/waiting_room.hpp>

namespace nuncio {

/// The right to answer one attempt: its instance's, or ingress's once the time for it is over. Who takes it speaks, the other
/// one never. Any thread.
class answer_claim {
public:
  /// @returns false if it was taken before
  [[nodiscard]] bool take() { return !taken_.exchange(true); }

private:
  std::atomic<bool> taken_ = false;
};

/// What of an upload has been handed on to its handler, who has not taken it yet. One thread hands on, any may take.
class upload_on_way {
public:
  /// A part of `bytes` bytes goes on; the first is the request itself.
  void add(std::size_t bytes) {
    bytes_.fetch_add(bytes);
    parts_.fetch_add(1);
  }

  /// The handler has a part.
  void take(std::size_t bytes) {
    bytes_.fetch_sub(bytes);
    parts_.fetch_sub(1);
  }

  /// Whether the gateway has sent more than it has credit for, with `more` bytes: of what was taken it may have had none yet.
  [[nodiscard]] bool exceeds_window(std::size_t more) const {
    return bytes_.load() + more > http_window_bytes;
  }

  /// As it is kept.
  [[nodiscard]] std::size_t cost() const {
    return bytes_.load() + parts_.load() * waiting_message_bytes;
  }

  /// The handler has all that has come: it waits for its client.
  [[nodiscard]] bool all_taken() const { return parts_.load() == 0; }

private:
  std::atomic<std::size_t> bytes_ = 0, parts_ = 0;
};

/// How much of a response its client has read, from ingress to the instance that writes it: the latest total, and one word
/// on its way however often it changes.
class response_credit {
public:
  /// Ingress: the engine's word. Only ever more.
  void handle(std::uint64_t total) { total_.store(std::max(total, total_.load())); }

  /// Ingress. @returns true if the instance has to be told; false while it is about to hear of it anyway
  bool poll_word() { return !on_way_.exchange(true); }

  /// The instance, when it is told.
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

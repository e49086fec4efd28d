// Room for clients' messages while they wait for their actors: how much each WebSocket, each actor and the whole host may keep,
// in bytes as stored. Pure. One thread takes; any thread gives back.
//
// The rule: a WebSocket may keep as much as it leaves free, of its actor's room and of its host's, and no more than its own
// limit. So a WebSocket that keeps much is refused long before the room is full, while for one that keeps little there is
// something left, however many others fill it; each WebSocket also has a small reserved share. Answers of storage that wait for
// actors follow the same rule, with actors in place of WebSockets (storage_requests).
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nuncio/detail/clock.hpp>
#include <nuncio/detail/waiting_place.hpp>
#include <nuncio/host_options.hpp>
#include <optional>
#include <utility>

namespace nuncio {

/// What a client's message takes beyond its data: the frame in which it arrived, the mailbox element, and everything attached
/// to them. Measured ("a waiting message takes no more than is counted for it"), and rounded up.
inline constexpr std::size_t waiting_message_bytes = 512;

/// The shared room of one actor, within the room of its host.
class waiting_pool {
public:
  explicit waiting_pool(std::size_t bytes_max, std::shared_ptr<waiting_pool> within = nullptr)
      : bytes_max_(bytes_max), within_(std::move(within)) {}

  /// For the taking thread; on other threads a change under way may be missing.
  [[nodiscard]] std::size_t used() const { return used_.load(); }

  /// Takes `cost` bytes, here and in the enclosing room. @returns false, and takes nothing, if there is no room
  bool take(std::size_t cost) {
    for (const auto* each = this; each != nullptr; each = each->within_.get())
      if (each->free() < cost) return false;
    add(cost);
    return true;
  }

  /// Any thread.
  void give_back(std::size_t cost) { subtract(cost); }

private:
  friend class waiting_share;

  [[nodiscard]] std::size_t free() const {
    const auto used = used_.load();
    return used < bytes_max_ ? bytes_max_ - used : 0;
  }

  void add(std::size_t n) {
    for (auto* each = this; each != nullptr; each = each->within_.get()) each->used_.fetch_add(n);
  }

  void subtract(std::size_t n) {
    for (auto* each = this; each != nullptr; each = each->within_.get()) each->used_.fetch_sub(n);
  }

  std::size_t bytes_max_;
  std::shared_ptr<waiting_pool> within_;
  std::atomic<std::size_t> used_ = 0;
};

/// The share of one WebSocket.
class waiting_share {
public:
  enum class verdict : std::uint8_t {
    taken,
    socket_full,  ///< the WebSocket's own limit
    crowded,      ///< it keeps more than is left for others, of its actor's room or of its host's
  };

  /// Before the first take(). Both limits are at most 4 GiB.
  void join(std::shared_ptr<waiting_pool> pool, std::size_t reserved, std::size_t bytes_max) {
    pool_ = std::move(pool);
    reserved_ = static_cast<std::uint32_t>(std::min<std::size_t>(reserved, UINT32_MAX));
    bytes_max_ = static_cast<std::uint32_t>(std::min<std::size_t>(bytes_max, UINT32_MAX));
  }

  /// Takes `cost` bytes, within all limits.
  verdict take(std::size_t cost) {
    const auto before = own_.load();
    if (before != 0 && before + cost > bytes_max_) return verdict::socket_full;
    return take_beyond(cost);
  }

  /// Takes `cost` bytes, regardless of its own limit.
  verdict take_beyond(std::size_t cost) {
    const auto before = own_.load();
    const auto more = shared(before + cost) - shared(before);
    if (more != 0)
      for (const auto* each = pool_.get(); each != nullptr; each = each->within_.get()) {
        const auto free = each->free();
        if (free < more || shared(before + cost) > free - more) return verdict::crowded;
      }
    add(cost);
    return verdict::taken;
  }

  /// The most that take() accepts now.
  [[nodiscard]] std::size_t room() const {
    const auto own = own_.load();
    const auto up_to = [own](std::size_t most) { return most > own ? most - own : 0; };
    auto out = up_to(bytes_max_);
    // The same amount as it has beyond its share must then be free.
    for (const auto* each = pool_.get(); each != nullptr; each = each->within_.get())
      out = std::min(out, up_to((each->free() + shared(own)) / 2 + reserved_));
    return out;
  }

  /// Adds bytes regardless of any limit.
  void add(std::size_t cost) { move(own_.fetch_add(cost), cost); }

  /// Any thread.
  void give_back(std::size_t cost) {
    const auto before = own_.fetch_sub(cost);
    if (pool_) pool_->subtract(shared(before) - shared(before - cost));
  }

  [[nodiscard]] std::size_t used() const { return own_.load(); }

private:
  [[nodiscard]] std::size_t shared(std::size_t own) const {
    return own > reserved_ ? own - reserved_ : 0;
  }

  // The value of `own_` that a concurrent give_back() saw decides how much each of them moves in the pool: the sums agree.
  void move(std::size_t before, std::size_t cost) {
    if (pool_) pool_->add(shared(before + cost) - shared(before));
  }

  std::shared_ptr<waiting_pool> pool_;
  std::uint32_t reserved_ = 0;  // in 32 bits: there is one of this for each idle WebSocket
  std::uint32_t bytes_max_ = UINT32_MAX;
  std::atomic<std::size_t> own_ = 0;
};

/// When freed memory is worth returning to the system: the allocator keeps what many threads have freed.
class release_watch {
public:
  /// `used` bytes are in use. @returns whether that is much less than before
  bool handle_used(std::size_t used, time_point now) {
    if (used > peak_) peak_ = used;
    if (peak_ < worth_bytes) return false;
    if (!due_) due_ = now + interval;
    if (*due_ > now) return false;
    due_ = now + interval;
    if (used > peak_ / 2) return false;
    peak_ = used;
    if (peak_ < worth_bytes) due_.reset();
    return true;
  }

  /// When to check again.
  [[nodiscard]] std::optional<time_point> poll_timeout() const { return due_; }

private:
  static constexpr std::size_t worth_bytes = 16UL << 20U;
  static constexpr duration interval = std::chrono::seconds{1};

  std::size_t peak_ = 0;
  std::optional<time_point> due_;
};

}  // namespace nuncio

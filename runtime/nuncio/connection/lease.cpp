// See lease.hpp.
#include <algorithm>
#include <cassert>
#include <nuncio/connection/lease.hpp>
#include <nuncio/connection/wire_limits.hpp>

namespace nuncio {
namespace {

constexpr auto window = std::chrono::minutes{5};

duration since_unix_epoch(engine_ms ts) {
  assert(ts >= 0 && ts <= engine_ms_max);  // keep_in_range
  return std::chrono::milliseconds{ts};
}

}  // namespace

bool engine_clock::handle_ping(engine_ms ts, time_point now) {
  const duration offset = now.time_since_epoch() - since_unix_epoch(ts);
  if (newest_ && ts < *newest_ && !(stepped_ && ts >= stepped_->ts)) {
    // A single Ping from the past may be anything; if a second one continues from it, the clock was set back.
    stepped_ = step{ts, offset};
    return false;
  }
  if (stepped_ && ts < *newest_) {
    current_ = std::min(stepped_->offset, offset);
    last_.reset();
    window_end_ = now + window;
  } else {
    if (now >= window_end_) {
      last_ = now >= window_end_ + window ? std::nullopt : current_;
      current_.reset();
      window_end_ = now + window;
    }
    current_ = current_ ? std::min(*current_, offset) : offset;
  }
  stepped_.reset();
  newest_ = ts;
  return true;
}

std::optional<duration> engine_clock::offset() const {
  return current_ && last_ ? std::min(*current_, *last_) : current_;
}

std::optional<time_point> engine_clock::to_local(engine_ms ts) const {
  const auto by = offset();
  return by ? std::optional{time_point{since_unix_epoch(ts) + *by}} : std::nullopt;
}

std::optional<engine_ms> engine_clock::at(time_point now) const {
  const auto by = offset();
  if (!by) return std::nullopt;
  return std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch() - *by).count();
}

std::optional<duration> engine_clock::age(engine_ms ts, time_point now) const {
  const auto then = to_local(ts);
  if (!then) return std::nullopt;
  return std::max(duration::zero(), now - *then);
}

void lease::handle_init(duration lost_threshold) { lost_threshold_ = lost_threshold; }

void lease::handle_ping(engine_ms ts, time_point now) {
  if (!clock_.handle_ping(ts, now)) return;
  // A threshold too short for the margins still leaves a quarter of itself, or no actor could ever run.
  const auto length =
      std::max(lost_threshold_ - options_.margin - options_.end_limit, lost_threshold_ / 4);
  end_ = *clock_.to_local(ts) + length;
}

void lease::handle_ended() { end_.reset(); }

}  // namespace nuncio

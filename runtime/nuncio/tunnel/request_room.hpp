// Room for HTTP requests: how many an actor and its host may have open, and how much these keep (heads, bodies, waiting
// responses), in bytes as stored. Pure. One thread.
//
// The rule for bytes: an actor may keep as much as it leaves free of its host's room, and no more than its own limit. So a few
// that keep much leave room for all that keep little. At a limit, requests whose clients may have gone, or have stopped
// sending, make room for others: first a doubted one, otherwise the one that has been silent longest, if for long enough.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nuncio/detail/clock.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/support/intrusive_list.hpp>
#include <nuncio/support/time_range.hpp>
#include <nuncio/tunnel/doubted_clients.hpp>
#include <nuncio/tunnel/shared_request.hpp>
#include <optional>
#include <utility>

namespace nuncio {

/// Whose limit is reached.
enum class request_bound : std::uint8_t { none, actor, host };

struct request_limits {
  std::size_t requests_max = 0;
  std::size_t bytes_max = 0;
};

class request_place;
struct of_actor;
struct of_host;

/// For all actors of a host.
class request_room {
public:
  /// @param patience  how long the client of an incomplete request must have been silent before it makes room for others
  request_room(request_limits limits, duration patience) : limits_(limits), patience_(patience) {}

  /// Clients can be heard from now on.
  void handle_up(time_point now) { up_since_ = now; }

  /// No client counts as silent while none can be heard.
  void handle_down() { up_since_.reset(); }

  [[nodiscard]] std::size_t bytes() const { return bytes_; }

private:
  friend class request_share;
  friend class request_place;

  [[nodiscard]] std::size_t free() const {
    return limits_.bytes_max - std::min(bytes_, limits_.bytes_max);
  }

  template <class Tag>
  request_place* longest_silent(
      const intrusive_list<request_place, Tag>& all, time_point now) const;

  request_limits limits_;
  duration patience_;
  std::size_t requests_ = 0, bytes_ = 0;
  std::size_t vacated_ = 0;  ///< places that still exist, and do not count as requests
  std::optional<time_point> up_since_;
  intrusive_list<request_place, of_host> unfinished_;  ///< the longest silent first
  doubted_clients<doubted_of_host> doubted_;
};

/// For one actor, within the room of its host, which outlives it.
class request_share {
public:
  request_share(request_room& of, request_limits limits) : of_(&of), limits_(limits) {}

  request_share(const request_share&) = delete;
  request_share& operator=(const request_share&) = delete;

  /// Whose limit has no room for this many more requests and bytes.
  [[nodiscard]] request_bound full(std::size_t requests, std::size_t bytes) const {
    if (requests_ + requests > limits_.requests_max || bytes_ + bytes > limits_.bytes_max)
      return request_bound::actor;
    const auto free = of_->free();
    const auto too_much = bytes != 0 && (free < bytes || bytes_ + bytes > free - bytes);
    return too_much || of_->requests_ + requests > of_->limits_.requests_max ? request_bound::host
                                                                             : request_bound::none;
  }

  /// The incomplete request to end if `bound` has no room: among those that it counts, the one whose client has been silent
  /// longest. An actor that keeps much, more than half of what is left, displaces no request of other actors. Null if none has
  /// been silent for long enough.
  [[nodiscard]] request_place* longest_silent(request_bound bound, time_point now) const;

  /// Like longest_silent, among requests whose clients may have gone; see doubted_clients. Also null while the maximum number
  /// is already ending: each of them may still be in a mailbox.
  [[nodiscard]] client_doubt* doubted(
      request_bound bound, const gateway_watch& gateways, time_point now);

private:
  friend class request_place;

  [[nodiscard]] bool own_only(request_bound bound) const {
    return bound == request_bound::actor || bytes_ > of_->free() / 2;
  }

  request_room* of_;
  request_limits limits_;
  std::size_t requests_ = 0, bytes_ = 0, vacated_ = 0;
  intrusive_list<request_place, of_actor> unfinished_;
  doubted_clients<doubted_of_actor> doubted_;
};

/// What one request takes, as long as this exists. Within its actor's share, which outlives it.
class request_place : list_hook<of_actor>, list_hook<of_host> {
public:
  request_place(request_share& of, const exchange_id& id) : of_(&of), id_(id), doubt_(id) {
    count(1);
  }

  /// Counts in place of `x`, and is neither incomplete nor doubted.
  request_place(request_place&& x) noexcept
      : list_hook<of_actor>(),
        list_hook<of_host>(),
        of_(std::exchange(x.of_, nullptr)),
        id_(x.id_),
        doubt_(x.id_),
        bytes_(std::exchange(x.bytes_, 0)),
        vacated_(x.vacated_),
        heard_(x.heard_) {
    x.handle_whole();
    x.doubt_.end();
  }

  request_place(const request_place&) = delete;
  request_place& operator=(const request_place&) = delete;
  request_place& operator=(request_place&&) = delete;

  ~request_place() {
    if (of_ == nullptr) return;
    resize(0);
    vacate();
    for (auto* sum : {&of_->vacated_, &of_->of_->vacated_}) --*sum;
  }

  [[nodiscard]] const exchange_id& id() const { return id_; }

  /// It keeps this many bytes now.
  void resize(std::size_t bytes) {
    for (auto* sum : {&of_->bytes_, &of_->of_->bytes_}) *sum += bytes - bytes_;
    bytes_ = bytes;
  }

  /// The rest of its body is still to come.
  /// @param on_way  the part that is passed on as it arrives; null: the body is joined first
  void handle_unfinished(time_point now, std::shared_ptr<const upload_on_way> on_way = nullptr) {
    on_way_ = std::move(on_way);
    of_->unfinished_.push_back(*this);
    of_->of_->unfinished_.push_back(*this);
    heard_ = now;
  }

  /// Nothing more will come from its client.
  void handle_whole() {
    list_hook<of_actor>::unlink();
    list_hook<of_host>::unlink();
  }

  /// Its client was heard, or could not say more.
  void handle_heard(time_point now) {
    heard_ = now;
    if (!list_hook<of_actor>::linked()) return;
    of_->unfinished_.push_back(*this);
    of_->of_->unfinished_.push_back(*this);
  }

  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  [[nodiscard]] time_point heard() const { return heard_; }

  /// It was open through a reconnect at `now`, and has not been heard of since.
  void handle_doubted(time_point now) {
    if (vacated_) return;
    of_->doubted_.add(doubt_, now);
    of_->of_->doubted_.add(doubt_, now);
  }

  /// Its client is there.
  void end_doubt() { doubt_.end(); }

  [[nodiscard]] const client_doubt& doubt() const { return doubt_; }

  /// It is being ended: others may have its place. What it keeps from now on counts.
  void vacate() {
    handle_whole();
    doubt_.end();
    if (std::exchange(vacated_, true)) return;
    count(-1);
    for (auto* sum : {&of_->vacated_, &of_->of_->vacated_}) ++*sum;
  }

private:
  friend class request_room;
  template <class T, class Tag>
  friend class intrusive_list;

  void count(int n) {
    for (auto* sum : {&of_->requests_, &of_->of_->requests_}) *sum += static_cast<std::size_t>(n);
  }

  request_share* of_;
  exchange_id id_;
  client_doubt doubt_;
  std::size_t bytes_ = 0;
  bool vacated_ = false;
  time_point heard_{};  ///< when its client was last heard
  std::shared_ptr<const upload_on_way> on_way_;
};

template <class Tag>
request_place* request_room::longest_silent(
    const intrusive_list<request_place, Tag>& all, time_point now) const {
  while (auto* x = all.front()) {
    if (!up_since_ || later(std::max(x->heard_, *up_since_), patience_) >= now) return nullptr;
    if (!x->on_way_ || x->on_way_->all_taken()) return x;
    x->handle_heard(now);  // its handler holds it up
  }
  return nullptr;
}

inline request_place* request_share::longest_silent(request_bound bound, time_point now) const {
  return own_only(bound) ? of_->longest_silent(unfinished_, now)
                         : of_->longest_silent(of_->unfinished_, now);
}

inline client_doubt* request_share::doubted(
    request_bound bound, const gateway_watch& gateways, time_point now) {
  if (vacated_ >= limits_.requests_max || of_->vacated_ >= of_->limits_.requests_max)
    return nullptr;
  return own_only(bound) ? doubted_.next(gateways, now) : of_->doubted_.next(gateways, now);
}

}  // namespace nuncio

// Clients that may have left without notice: every client that is open through a reconnect is doubted until it sends something.
// If a newcomer finds no room, a doubted client makes some after a time limit; or at once if its gateway seems to be gone, like
// all gateways of an engine that has crashed. Pure. One thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <nuncio/detail/clock.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/support/intrusive_list.hpp>
#include <nuncio/support/time_range.hpp>
#include <optional>
#include <unordered_map>
#include <utility>

namespace nuncio {

struct doubted_of_actor;
struct doubted_of_host;

template <class Tag>
class doubted_clients;

/// The doubt about one open exchange, as long as this exists.
class client_doubt : list_hook<doubted_of_actor>, list_hook<doubted_of_host> {
public:
  explicit client_doubt(const exchange_id& of) : of_(of) {}

  [[nodiscard]] const exchange_id& of() const { return of_; }

  /// The reconnect since which nothing has been heard; none if it is not doubted.
  [[nodiscard]] std::optional<time_point> since() const { return since_; }

  /// Something was heard from it, or it is being ended.
  void end() {
    since_.reset();
    list_hook<doubted_of_actor>::unlink();
    list_hook<doubted_of_host>::unlink();
  }

private:
  template <class Tag>
  friend class doubted_clients;
  template <class T, class Tag>
  friend class intrusive_list;

  exchange_id of_;
  std::optional<time_point> since_;
};

/// Which gateways have been heard since a reconnect. Nobody reports a gateway that ends with its engine, and its successor has
/// another id. So once a gateway sends something that had nothing open at the last reconnect, those that had, and have been
/// silent since, seem to be gone. A wrong guess is corrected by the gateway's next message.
class gateway_watch {
public:
  /// @param patience  how long a client must have been doubted to make room, if its gateway is there
  explicit gateway_watch(duration patience) : patience_(patience) {}

  /// A connection is up; handle_open() follows for everything that is open.
  void handle_up(time_point now) {
    ++connection_;
    up_at_ = now;
    before_ = std::exchange(known_, {});
  }

  void handle_open(const gateway_id& x) {
    const auto at = before_.find(word(x));
    known_.try_emplace(word(x), at == before_.end() ? connection_ - 1 : at->second);
  }

  /// The gateway has sent something.
  void handle_heard(const gateway_id& x) {
    if (known_.empty()) return;
    if (const auto at = known_.find(word(x)); at != known_.end())
      at->second = connection_;
    else
      stranger_ = connection_;
  }

  [[nodiscard]] bool seems_gone(const gateway_id& x) const {
    const auto at = known_.find(word(x));
    return at != known_.end() && at->second < stranger_;
  }

  /// Whether a newcomer may take its place.
  [[nodiscard]] bool makes_room(const client_doubt& x, time_point now) const {
    return had_its_time(x, now) || seems_gone(x.of().gateway);
  }

  [[nodiscard]] bool had_its_time(const client_doubt& x, time_point now) const {
    return x.since() && later(std::max(*x.since(), up_at_), patience_) <= now;
  }

  /// Changes when more gateways may seem gone than before.
  [[nodiscard]] std::uint64_t version() const { return stranger_; }

private:
  static std::uint32_t word(const gateway_id& x) {
    std::uint32_t out = 0;
    std::memcpy(&out, x.value.data(), sizeof out);
    return out;
  }

  duration patience_;
  time_point up_at_{};
  std::uint64_t connection_ = 0;
  std::uint64_t stranger_ = 0;  ///< the last connection on which an unknown gateway sent something
  /// For gateways with something open at the last reconnect: the connection on which each was last heard.
  std::unordered_map<std::uint32_t, std::uint64_t> known_;
  std::unordered_map<std::uint32_t, std::uint64_t> before_;  ///< as of the previous reconnect
};

/// The doubted exchanges of one actor, or of one host: `Tag` says which. Each is checked once for each reconnect, however often
/// room is needed.
template <class Tag>
class doubted_clients {
public:
  /// Nothing has been heard of `x` since `now`, or since it was first doubted.
  void add(client_doubt& x, time_point now) {
    if (!x.since_) x.since_ = now;
    if (!static_cast<list_hook<Tag>&>(x).linked()) fresh_.push_back(x);
  }

  /// The one that makes room for a newcomer, the longest doubted first; null if there is none.
  [[nodiscard]] client_doubt* next(const gateway_watch& gateways, time_point now) {
    if (std::exchange(version_, gateways.version()) != gateways.version()) {
      passed_.take_all(fresh_);
      fresh_.take_all(passed_);
    }
    if (auto* x = passed_.front(); x != nullptr && gateways.had_its_time(*x, now)) return x;
    while (auto* x = fresh_.front()) {
      if (gateways.makes_room(*x, now)) return x;
      passed_.push_back(*x);
    }
    return nullptr;
  }

private:
  std::uint64_t version_ = 0;
  /// In order of their doubt: those that still had time left at the last check, and the rest.
  intrusive_list<client_doubt, Tag> passed_;
  intrusive_list<client_doubt, Tag> fresh_;
};

}  // namespace nuncio

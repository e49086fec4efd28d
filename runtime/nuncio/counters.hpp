// What a host counts. `counters` is written by its actors, each number by one of them; `host_stats` is the plain value
// that users read.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <mutex>
#include <nuncio/command_ledger.hpp>
#include <nuncio/event_outbox.hpp>
#include <nuncio/link.hpp>
#include <nuncio/storage_requests.hpp>
#include <type_traits>

namespace nuncio {

struct ingress_stats {
  std::uint64_t commands = 0;      ///< commands received, replays included
  std::uint64_t dispatched = 0;    ///< fresh commands carried out
  std::uint64_t starts = 0;        ///< of these, Starts
  std::uint64_t stops = 0;         ///< of these, Stops
  std::uint64_t orphan_stops = 0;  ///< Stops for a generation of which nothing was known
  std::uint64_t barriers = 0;      ///< replay barriers passed
  std::uint64_t instances = 0;     ///< instances now, down ones that wait for the engine included
  std::uint64_t actors_started = 0;
  std::uint64_t actors_failed = 0;
  std::uint64_t actors_abandoned = 0;  ///< ignored exit
  std::uint64_t requests = 0;          ///< HTTP requests handed to actors
  std::uint64_t requests_open = 0;
  std::uint64_t requests_rejected = 0;  ///< answered 503 at a bound
  std::uint64_t requests_aborted = 0;   ///< left to the next generation
  std::uint64_t requests_late = 0;      ///< answered 504: their actor did not answer in time
  std::uint64_t requests_silent = 0;  ///< answered 408 at a bound: their bodies had stopped coming
  std::uint64_t clients_doubted =
      0;  ///< ended at a bound, WebSockets too: they had not been heard of since a reconnect
  std::uint64_t requests_replaced = 0;  ///< a repeated start of a live exchange
  std::uint64_t sockets = 0;            ///< client WebSockets handed to actors
  std::uint64_t sockets_open = 0;
  std::uint64_t sockets_refused =
      0;  ///< at a bound, not accepted in time, or for an actor that ends
  std::uint64_t too_long =
      0;  ///< messages for requests and WebSockets that were too long to be taken
  std::uint64_t sockets_flooded = 0;  ///< closed because more came than their actor could take
  std::uint64_t socket_bytes_waiting =
      0;  ///< said by clients and not heard yet, beyond what each may always say
  std::uint64_t socket_messages = 0;  ///< handed to actors
};

/// Adds a struct that is nothing but std::uint64_t numbers, each to its own.
template <class T>
void add(T& sum, const T& more) {
  static_assert(
      std::has_unique_object_representations_v<T> && sizeof(T) % sizeof(std::uint64_t) == 0);
  using numbers = std::array<std::uint64_t, sizeof(T) / sizeof(std::uint64_t)>;
  auto all = std::bit_cast<numbers>(sum);
  const auto each = std::bit_cast<numbers>(more);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] += each[i];
  sum = std::bit_cast<T>(all);
}

/// All of a host's counters at one moment, of all its links together.
struct host_stats {
  ingress_stats ingress;
  ledger_stats ledger;
  outbox_stats outbox;
  link_stats link;
  storage_stats storage;
  std::uint64_t acks_sent = 0;  ///< checkpoints put into frames
  std::uint64_t ack_frames = 0;
  std::uint64_t acks_pending = 0;
  std::uint64_t responses = 0;  ///< HTTP responses handed to the link
  bool engine_acks_events =
      false;  ///< the engine has acked an event: the rule "Running not acked" is in force
};

/// Snapshots that each actor publishes after it has dealt with a message; readers copy under a short lock.
template <class T>
class published {
public:
  void set(const T& x) {
    const std::lock_guard guard{mutex_};
    value_ = x;
  }

  [[nodiscard]] T get() const {
    const std::lock_guard guard{mutex_};
    return value_;
  }

private:
  mutable std::mutex mutex_;
  T value_{};
};

struct counters {
  published<ingress_stats> ingress;
  published<ledger_stats> ledger;
  published<outbox_stats> outbox;
  published<storage_stats> storage;
  std::atomic<bool> engine_acks = false;
  std::atomic<std::uint64_t> acks_sent = 0, ack_frames = 0, acks_pending = 0, responses = 0;
};

}  // namespace nuncio

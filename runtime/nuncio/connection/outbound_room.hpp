// The room in the link's outbound queue: how much is taken, who waits for some, and who is notified when there is some. Pure:
// no clock, no I/O; any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/outcome.hpp>
#include <utility>
#include <vector>

namespace nuncio {

/// In bytes, as stored; a message longer than a whole part goes alone.
struct outbound_bounds {
  std::size_t clients = 64UL << 20U;  ///< tunnel messages; bulk may take an eighth of it
  std::size_t storage = 32UL << 20U;  ///< storage requests
};

/// A refused sender waits, and is notified once: when what it was refused would fit. Freed room is offered in the order in
/// which they began to wait, as much to each as it wants, so that few are notified in vain. Once nothing is left that could be
/// freed, all are notified: none depends on what another does with its turn.
class outbound_room {
public:
  explicit outbound_room(outbound_bounds bounds) : bounds_(bounds) {}

  outbound_room(const outbound_room&) = delete;
  outbound_room& operator=(const outbound_room&) = delete;

  /// Takes `n` bytes for a tunnel message. @returns errc::queue_full: nothing was taken, and `who` waits
  outcome<void> take_for_client(std::size_t n, bool bulk, const room_waiter& who);
  /// Takes `n` bytes for a storage request. @returns errc::queue_full: nothing was taken, and storage waits
  outcome<void> take_for_storage(std::size_t n);
  /// See link_port::has_room_for_bodies. @returns false: `who` waits
  [[nodiscard]] bool has_room_for_bodies(const room_waiter& who);

  void give_back_of_client(std::size_t n, bool bulk);
  void give_back_of_storage(std::size_t n);

  /// All waiters are notified: what they wait with may have died with the connection.
  void handle_connection_lost();

  /// Whether poll_told() is worth a call: check after each give_back, handle_connection_lost and refusal. Cheap.
  [[nodiscard]] bool due() const { return due_.load(); }

  /// The waiters to notify now; none of them waits any longer.
  [[nodiscard]] std::vector<room_waiter> poll_told();

  /// Bytes taken.
  [[nodiscard]] std::size_t used() const { return clients_.load() + storage_.load(); }

private:
  using key = std::pair<room_waiter::kind, const instance_base*>;

  struct place {
    room_waiter who;
    key of;
    std::size_t bytes = 0;  ///< the smallest refused size; 0: none
    bool bodies = false;    ///< has_room_for_bodies() returned false
  };

  using place_list = std::list<place>;

  [[nodiscard]] std::size_t bodies_max() const;
  place& place_for(const room_waiter& who);
  place_list::iterator erase(place_list::iterator at);
  void wait_for(std::size_t bytes, const room_waiter& who);
  void handle_freed();
  void drop_ended();
  void poll_clients(std::vector<room_waiter>& out);

  const outbound_bounds bounds_;
  std::atomic<std::size_t> clients_ = 0, bulk_ = 0, storage_ = 0;
  std::atomic<bool> somebody_waits_ = false;
  std::atomic<bool> due_ = false;

  std::mutex mutex_;  ///< for the following: locked by refused senders, and while any waits
  place_list places_;
  std::map<key, place_list::iterator> place_of_;
  std::size_t for_bytes_ = 0, for_bodies_ = 0;  ///< places that wait for one or the other
  std::size_t storage_waits_ = 0;               ///< bytes of the refused request, or 0
  std::size_t drop_at_ = 64;  ///< number of places at which those of ended instances are dropped
  bool lost_ = false;
};

}  // namespace nuncio

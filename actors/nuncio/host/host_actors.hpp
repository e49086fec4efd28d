// The actors behind one link: ingress, ack, outbox and storage. They receive the link's calls as messages. Owned by `bundle`,
// or by a simulated host in virtual time. Spawned and ended from one thread; the rest may be called from any thread.
#pragma once

#include <caf/actor_cast.hpp>
#include <caf/actor_system.hpp>
#include <functional>
#include <future>
#include <memory>
#include <nuncio/connection/link.hpp>
#include <nuncio/host/counters.hpp>
#include <nuncio/host/ingress.hpp>
#include <nuncio/storage/storage.hpp>

namespace nuncio {

struct host_actors_options {
  std::shared_ptr<link_port> link;
  std::shared_ptr<counters> counts;
  ingress_options ingress;  ///< without `link`, `counts`, `storage` and `now`
  storage_options storage;  ///< likewise
  std::function<time_point()> now = boot_clock::now;
  /// Each on its own thread: then handlers that block all threads of the pool delay no engine message, no ack and no event.
  /// Must be off under a scheduler that a test drives.
  bool detached = true;
  std::function<void()> on_ask;  ///< see link_listener
};

class host_actors final : public link_listener {
public:
  host_actors() = default;
  host_actors(const host_actors&) = delete;
  host_actors& operator=(const host_actors&) = delete;

  /// Once. The link may call from then on.
  void spawn(caf::actor_system& system, host_actors_options options);

  /// Ends them. The link must be silent. Idempotent. Waits up to ten seconds until those with their own threads have sent their
  /// last messages to the instances: the actor system may go next, and the receivers with it.
  /// @param system_over  the actor system is shutting down: no message may be left in a mailbox that nobody empties
  void end(bool system_over = false);

  /// For the directory.
  [[nodiscard]] caf::actor_addr ingress_address() const {
    return caf::actor_cast<caf::actor_addr>(ingress_);
  }

  /// Ingress drains, and then closes the link.
  void drain(time_point deadline);

  /// The link ends before it has begun.
  void fail(failure why);

  /// Adds their counters.
  void add_to(host_stats& sum) const;

  // -- link_listener
  void on_up(epoch connection) override;
  void on_inbound(inbound_batch batch) override;
  void on_written(epoch connection, frame_class what) override;
  void on_room(const room_waiter& who) override;
  void on_fence(epoch connection, std::uint64_t id) override;
  void on_down(epoch connection, std::string_view why, duration retry_after) override;
  void on_lease_ended() override;
  void on_ask() override;
  void on_final(const failure& why) override;

private:
  template <caf::spawn_options How>
  void spawn_all(caf::actor_system& system, host_actors_options& options);
  template <class T>
  void to_all(const T& x);
  /// If an exception ends `x`, the link is closed and the host is told that it is over. The functions are called on any thread.
  void watch(
      const caf::actor& x,
      const std::shared_ptr<link_port>& link,
      const std::function<void(const failure&)>& on_final,
      const std::function<void()>& on_done);

  std::function<void()> ask_;
  std::shared_ptr<counters> counts_;
  caf::actor ingress_, ack_, outbox_, storage_;
  std::future<void> ended_;  ///< ready once all four have ended; invalid if not detached
};

}  // namespace nuncio

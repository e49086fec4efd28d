// Everything of one envoy key: the link to the engine, and the actors behind it. Owned by host,
// which makes, starts and ends it from one thread at a time; what the link's thread says is handed
// to the actors as messages.
#pragma once

#include <caf/actor_cast.hpp>
#include <caf/actor_system.hpp>
#include <functional>
#include <memory>
#include <nuncio/counters.hpp>
#include <nuncio/ingress.hpp>
#include <nuncio/link.hpp>
#include <nuncio/storage.hpp>

namespace nuncio {

struct bundle_options {
  link_options link;
  ingress_options ingress;  ///< without `link` and `counts`, which are the bundle's own
  storage_options storage;  ///< likewise
  /// On the link's thread: the engine refused what the link was dialled with. Answered by renew().
  std::function<void()> on_ask;
};

class bundle final : public link_listener {
public:
  /// Spawns the actors; the link does not dial before start().
  bundle(caf::actor_system& system, bundle_options options);
  /// The link must have been stopped by end().
  ~bundle() override;
  bundle(const bundle&) = delete;
  bundle& operator=(const bundle&) = delete;

  /// Begins to dial. A failure reaches ingress as the link's end.
  void start(dial_terms terms);

  /// What the link is to be dialled with from now on; or why that can't be said.
  void renew(outcome<dial_terms> terms) { link_->renew(std::move(terms)); }

  /// For the directory.
  [[nodiscard]] caf::actor_addr ingress_address() const {
    return caf::actor_cast<caf::actor_addr>(ingress_);
  }

  /// Ingress drains, and closes the link behind itself.
  void drain(time_point deadline);

  /// The link is over before it has begun.
  void fail(failure why);

  /// Stops the link and ends the actors. Idempotent.
  /// @param system_over  the actor system is shutting down: no message may be left in a mailbox
  /// that nobody empties
  void end(bool system_over);

  /// Adds what this bundle has counted.
  void add_to(host_stats& sum) const;

private:
  void on_up(epoch connection) override;
  void on_inbound(inbound_batch batch) override;
  void on_written(epoch connection, frame_class what) override;
  void on_fence(epoch connection, std::uint64_t id) override;
  void on_down(epoch connection, std::string_view why, duration retry_after) override;
  void on_lease_ended() override;
  void on_ask() override;
  void on_final(const failure& why) override;
  template <class T>
  void to_all(const T& x);
  /// Should an exception end `x`, the link is closed and the host hears that it is over. The functions are called on any thread.
  void watch(
      const caf::actor& x,
      const std::function<void(const failure&)>& on_final,
      const std::function<void()>& on_done);

  std::function<void()> ask_;
  std::shared_ptr<counters> counts_ = std::make_shared<counters>();
  std::shared_ptr<link> link_;  ///< whose thread is stopped before the handles below go
  caf::actor ingress_, ack_, outbox_, storage_;
};

}  // namespace nuncio

// Everything of one envoy key: the link to the engine, and the actors behind it. Owned by host, which makes, starts and ends it
// from one thread at a time. What comes from the link's thread is passed to the actors as messages.
#pragma once

#include <caf/actor_system.hpp>
#include <functional>
#include <memory>
#include <nuncio/connection/link.hpp>
#include <nuncio/host/host_actors.hpp>

namespace nuncio {

struct bundle_options {
  link_options link;
  ingress_options ingress;  ///< without what host_actors sets
  storage_options storage;  ///< likewise
  /// Called on the link's thread if the engine has refused the dial terms. Answered by renew().
  std::function<void()> on_ask;
};

class bundle {
public:
  /// Spawns the actors; the link does not dial before start().
  bundle(caf::actor_system& system, bundle_options options);
  /// The link must have been stopped by end().
  ~bundle();
  bundle(const bundle&) = delete;
  bundle& operator=(const bundle&) = delete;

  /// Begins to dial. A failure reaches ingress as the end of the link.
  void start(dial_terms terms);

  /// The terms for the next dials, or why there are none.
  void renew(outcome<dial_terms> terms) { link_->renew(std::move(terms)); }

  /// For the directory.
  [[nodiscard]] caf::actor_addr ingress_address() const { return actors_.ingress_address(); }

  /// Ingress drains, and then closes the link.
  void drain(time_point deadline) { actors_.drain(deadline); }

  /// The link ends before it has begun.
  void fail(failure why) { actors_.fail(std::move(why)); }

  /// Stops the link and ends the actors. Idempotent.
  /// @param system_over  the actor system is shutting down: no message may be left in a mailbox that nobody empties
  void end(bool system_over);

  /// Adds this bundle's counters.
  void add_to(host_stats& sum) const;

private:
  host_actors actors_;
  std::shared_ptr<link> link_;  ///< its thread is stopped before the actors' handles are released
};

}  // namespace nuncio

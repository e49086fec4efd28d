// The connection between an instance and its host: the context, made by ingress, and what is sent through it. Ingress writes,
// the instance's thread reads.
#pragma once

#include <caf/actor.hpp>
#include <caf/actor_addr.hpp>
#include <caf/actor_cast.hpp>
#include <caf/message.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/detail/caf.hpp>
#include <nuncio/detail/clock.hpp>
#include <nuncio/host/error_log.hpp>
#include <nuncio/instances/instance_base.hpp>
#include <nuncio/log.hpp>
#include <utility>

namespace nuncio {

struct counters;

/// Connects an instance to its host; made by ingress.
struct instance_context : instance_base {
  explicit instance_context(std::uint64_t term = 0) : instance_base(term) {}

  std::shared_ptr<link_port> link;
  std::shared_ptr<counters> counts;
  /// Weak: a user's handle to an ended actor must not keep the host's detached actor alive, because the actor system waits for
  /// it.
  caf::actor_addr ingress;
  caf::actor_addr storage;       ///< weak for the same reason
  mutable caf::actor_addr self;  ///< the instance, set by itself before any of its other code runs
  std::function<time_point()> now = boot_clock::now;
  std::function<std::chrono::system_clock::time_point()> wall_now = std::chrono::system_clock::now;
  log_sink log;
  std::shared_ptr<internal::error_log> errors;  ///< for hidden()
};

namespace internal {

/// The source of what an instance with this context sends to clients, whichever part sends it.
[[nodiscard]] inline tunnel_source source_of(
    const std::shared_ptr<const instance_base>& context,
    std::shared_ptr<output_meter> meter = nullptr) {
  return {{context, &context->gate}, {room_waiter::kind::instance, context}, std::move(meter)};
}

/// Notifies the waiting instance, if it still exists, that the link may have room.
void tell_of_room(const room_waiter& who);

/// Sends `what` to the instance as a CAF request; the response comes back to the instance itself, under `ticket`.
void deliver(const caf::actor& instance, std::uint64_t ticket, caf::message what);

/// Sends `what` to the instance's ingress, if it still exists.
template <class T>
void tell(const instance_context& context, T what) {
  if (const auto to = caf::actor_cast<caf::actor>(context.ingress)) post(to, std::move(what));
}

/// Whether this thread is running a handler of a hosted engine actor.
bool on_instance_thread();

}  // namespace internal
}  // namespace nuncio

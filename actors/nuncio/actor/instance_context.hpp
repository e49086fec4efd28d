// What connects an instance to its host: its context, made by ingress, and what is said through it. Ingress writes, the
// instance's thread reads.
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

/// What connects an instance to its host; made by ingress.
struct instance_context : instance_base {
  explicit instance_context(std::uint64_t term = 0) : instance_base(term) {}

  std::shared_ptr<link_port> link;
  std::shared_ptr<counters> counts;
  /// Weak: a user's handle to an ended actor must not keep the host's detached actor, for which the system's end waits.
  caf::actor_addr ingress;
  caf::actor_addr storage;       ///< weak for the same reason
  mutable caf::actor_addr self;  ///< the instance, set by itself before anything else of it runs
  std::function<time_point()> now = boot_clock::now;
  std::function<std::chrono::system_clock::time_point()> wall_now = std::chrono::system_clock::now;
  log_sink log;
  std::shared_ptr<internal::error_log> errors;  ///< for hidden()
};

namespace internal {

/// What an instance of this context says to clients, whoever of it speaks.
[[nodiscard]] inline tunnel_source source_of(
    const std::shared_ptr<const instance_base>& context,
    std::shared_ptr<output_meter> meter = nullptr) {
  return {{context, &context->gate}, {room_waiter::kind::instance, context}, std::move(meter)};
}

/// Tells the instance that waits, if it still lives, that there may be room in the link.
void tell_of_room(const room_waiter& who);

/// Hands `what` to the instance as a CAF request whose response comes back to the instance itself, under `ticket`.
void deliver(const caf::actor& instance, std::uint64_t ticket, caf::message what);

/// Sends `what` to the instance's ingress, if that still lives.
template <class T>
void tell(const instance_context& context, T what) {
  if (const auto to = caf::actor_cast<caf::actor>(context.ingress)) post(to, std::move(what));
}

/// Whether this thread is running a handler of a hosted engine actor.
bool on_instance_thread();

}  // namespace internal
}  // namespace nuncio

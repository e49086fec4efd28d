// The messages between instances and the storage actor. Values without behaviour; never leave the process.
#pragma once

#include <memory>
#include <nuncio/host/internal_messages.hpp>
#include <nuncio/host/private_message_types.hpp>
#include <nuncio/storage/storage_call.hpp>
#include <vector>

namespace nuncio {

struct instance_context;

namespace internal {

/// Waits for a result. If it is destroyed without one (the host is ending), it reports errc::cancelled.
class storage_waiter {
public:
  storage_waiter() = default;
  virtual ~storage_waiter() = default;
  storage_waiter(const storage_waiter&) = delete;
  storage_waiter& operator=(const storage_waiter&) = delete;

  /// Once, on any thread; must not block.
  /// @param bytes  that `with` takes of what its actor may keep; reported back in storage_batch::consumed
  virtual void complete(storage_result with, std::size_t bytes) = 0;
};

/// The requests of one instance in one turn, in order, and the answers that it has handled.
struct storage_batch {
  struct item {
    storage_call call;
    std::vector<std::shared_ptr<storage_waiter>> waiters;
    write_mode mode = write_mode::once;
    bool awaited = false;  ///< the instance handles nothing before its answer
  };

  std::shared_ptr<const instance_context> from;
  std::vector<item> items;
  std::size_t consumed = 0;  ///< bytes of answers that it has handled
};

/// The instance is down and sends no more requests; storage answers ingress with storage_done.
struct storage_end {
  std::shared_ptr<const instance_context> from;
};

/// Ingress has closed the output gate of `who`.
struct outputs_closed {
  actor_ref who;
};

/// Messages of the engine that answer storage requests.
struct storage_inbound {
  std::vector<protocol::to_envoy> messages;
  std::size_t bytes = 0;                         ///< to be granted back
  std::optional<protocol::to_envoy> too_long{};  ///< as in inbound_batch
};

/// An answer on its way to the instance that asked.
struct storage_reply {
  storage_result content;
  std::size_t bytes = 0;  ///< that it takes until it is handled
};

}  // namespace internal
}  // namespace nuncio

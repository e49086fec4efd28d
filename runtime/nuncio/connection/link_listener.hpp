// The receiver of a link's calls: inbound messages, and changes of the connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/detail/clock.hpp>
#include <nuncio/messages.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string_view>
#include <vector>

namespace nuncio {

/// Messages of one turn of the socket, in order.
struct inbound_batch {
  epoch connection = 0;
  std::uint64_t term = 0;  ///< lease term at receipt
  std::vector<protocol::to_envoy> messages;
  std::size_t bytes = 0;  ///< encoded size: to be granted back
  time_point received{};
  /// The head (protocol::decode_head) of a message that was too long to accept; it came before `messages`.
  std::optional<protocol::to_envoy> too_long{};
};

/// The owner's side; every method is called on the link's thread and must not block.
class link_listener {
public:
  virtual ~link_listener() = default;
  virtual void on_up(epoch connection) = 0;
  virtual void on_inbound(inbound_batch batch) = 0;
  /// The one frame of this class in flight has been handed to the kernel.
  virtual void on_written(epoch connection, frame_class what) = 0;
  /// `who` was refused room in the outbound queue, and there may be some now: it retries everything that it has to send, and is
  /// notified again after another refusal.
  virtual void on_room(const room_waiter& who) = 0;
  virtual void on_fence(epoch connection, std::uint64_t id) = 0;
  virtual void on_down(epoch connection, std::string_view why, duration retry_after) = 0;
  /// The engine may have given up this host: every instance has lost its outputs.
  virtual void on_lease_ended() = 0;
  /// The engine refused the token or the protocol version: answer with renew() and the current terms.
  virtual void on_ask() = 0;
  /// The link is over and will not dial again: errc::evicted, refused, or cancelled after close().
  virtual void on_final(const failure& why) = 0;
};

}  // namespace nuncio

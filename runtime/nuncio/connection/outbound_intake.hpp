// The intake for outbound messages, between the senders on any thread and the owner of the connection: a message is encoded,
// gets room or is refused, and waits to be taken. Pure: no clock, no I/O.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/connection/outbound_room.hpp>
#include <nuncio/detail/clock.hpp>
#include <nuncio/messages.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <utility>
#include <vector>

namespace nuncio {

struct outbound_intake_options {
  outbound_bounds room;
  /// A longer encoded message is refused: the engine would answer it by dropping the connection (docs/protocol.md C.2).
  std::size_t message_bytes_max = 32UL << 20U;
  /// Spare bytes in front of each encoded message, for its framing.
  std::size_t headroom = 0;
};

/// A message that waits for the connection.
struct outbound_message {
  enum class kind : std::uint8_t { frame, storage, tunnel, fence };

  kind what = kind::frame;
  frame_class frames = frame_class::ack;  // frame
  epoch connection = 0;                   // all but tunnel: the connection it was sent for
  std::uint64_t fence = 0;                // fence: its id
  std::uint16_t version = 0;              // of `encoded`; 0 once that was used
  std::vector<std::uint8_t> encoded;
  std::size_t charge = 0;                     // bytes of room that it takes, as kept
  std::size_t metered = 0;                    // bytes in `meter`, as encoded
  bool bulk = false;                          // whether that is room for is_bulk()
  bool given_back = false;                    // that room
  protocol::to_rivet_tunnel_message message;  // tunnel: to encode again
  std::shared_ptr<const output_gate> gate;
  std::shared_ptr<output_meter> meter;
};

/// What a tunnel message takes besides its encoded bytes, all in all: this structure, and the room that encoding reserves.
inline constexpr std::size_t outbound_message_bytes = 512;
static_assert(
    sizeof(outbound_message) + 256 <= outbound_message_bytes);  // the encoder reserves 256

class outbound_intake {
public:
  /// @param wake  called on any thread, must not block: the owner must poll() soon, and notify those that wait for room
  outbound_intake(outbound_intake_options options, std::function<void()> wake);

  // -- any thread: see link_port

  outcome<void> send_frame(frame_class what, epoch connection, const protocol::to_rivet& message);
  outcome<void> send_for_connection(
      std::shared_ptr<const output_gate> gate, epoch connection, const protocol::to_rivet& request);
  outcome<void> send_across_connections(
      tunnel_source from, protocol::to_rivet_tunnel_message&& message);
  [[nodiscard]] bool has_room_for_bodies(const room_waiter& who);
  void fence(epoch connection, std::uint64_t id);
  void greet(std::vector<protocol::to_rivet> first, bool now);

  [[nodiscard]] outbound_room& room() { return room_; }

  [[nodiscard]] const outbound_room& room() const { return room_; }

  /// `headroom` bytes, then the message. @returns errc::too_large, not_in_version or malformed
  [[nodiscard]] outcome<std::vector<std::uint8_t>> encode(
      const protocol::to_rivet& message, std::uint16_t version) const;

  /// Of the newest dial.
  [[nodiscard]] epoch connection() const { return connection_.load(); }

  /// Likewise: the protocol version.
  [[nodiscard]] std::uint16_t version() const { return version_.load(); }

  [[nodiscard]] bool up() const { return up_.load(); }

  // -- for outbound_queue, on the thread of the connection's owner

  void handle_dial(epoch connection, std::uint16_t version);
  void handle_open();
  /// The connection is over: messages for it are refused from now on.
  void handle_gone();
  /// Nothing will be taken any more: everything is refused.
  void handle_end();
  /// Moves queued messages to the end of `to`, unless this connection must begin with another message. @returns that message
  std::optional<protocol::to_rivet> poll(std::deque<outbound_message>& to);

  /// Gives back the room of `x`, unless that was done.
  void give_back(outbound_message& x);

private:
  [[nodiscard]] bool is_over(epoch connection) const;
  outcome<void> push(outbound_message&& x);
  failure refused(failure why);

  const outbound_intake_options options_;
  const std::function<void()> wake_;
  outbound_room room_;
  std::atomic<epoch> connection_ = 0;
  std::atomic<std::uint16_t> version_ = 0;
  std::atomic<bool> up_ = false;

  std::mutex mutex_;  // for the following
  std::vector<outbound_message> waiting_;
  bool ended_ = false;
  std::vector<protocol::to_rivet> greeting_;
  std::size_t greeting_at_ = 0;
};

/// A link_port that sends through an intake.
class intake_port : public link_port {
public:
  outcome<void> send_frame(
      frame_class what, epoch connection, const protocol::to_rivet& message) override {
    return intake().send_frame(what, connection, message);
  }

  outcome<void> send_for_connection(
      std::shared_ptr<const output_gate> gate,
      epoch connection,
      const protocol::to_rivet& request) final {
    return intake().send_for_connection(std::move(gate), connection, request);
  }

  outcome<void> send_across_connections(
      tunnel_source from, protocol::to_rivet_tunnel_message&& message) final {
    return intake().send_across_connections(std::move(from), std::move(message));
  }

  [[nodiscard]] bool has_room_for_bodies(const room_waiter& who) final {
    return intake().has_room_for_bodies(who);
  }

  void fence(epoch connection, std::uint64_t id) final { intake().fence(connection, id); }

  void greet(std::vector<protocol::to_rivet> first, bool now) final {
    intake().greet(std::move(first), now);
  }

private:
  virtual outbound_intake& intake() = 0;
};

}  // namespace nuncio

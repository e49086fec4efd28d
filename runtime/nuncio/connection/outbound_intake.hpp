// What a host has to say, between those who say it, on any thread, and the owner of the connection: it is encoded, given
// room or refused, and waits to be taken. Pure: no clock, no I/O.
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
  /// A longer encoded message is refused: the engine answers it by dropping the connection (docs/protocol.md C.2).
  std::size_t message_bytes_max = 32UL << 20U;
  /// Spare bytes in front of each encoded message, for whoever frames it.
  std::size_t headroom = 0;
};

/// What waits for the connection.
struct outbound_message {
  enum class kind : std::uint8_t { frame, storage, tunnel, fence };

  kind what = kind::frame;
  frame_class frames = frame_class::ack;  // frame
  epoch connection = 0;                   // all but tunnel: what it was said for
  std::uint64_t fence = 0;                // fence: its id
  std::uint16_t version = 0;              // that `encoded` is in; 0 when it was spent
  std::vector<std::uint8_t> encoded;
  std::size_t charge = 0;                     // bytes of room that it has
  bool bulk = false;                          // and whether that is room of what is_bulk()
  protocol::to_rivet_tunnel_message message;  // tunnel: to encode again
  std::shared_ptr<const output_gate> gate;
  std::shared_ptr<output_meter> meter;
};

class outbound_intake {
public:
  /// @param wake  called on any thread, must not block: the owner is to poll() soon, and to tell who waits for room
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

  /// As well: the protocol's.
  [[nodiscard]] std::uint16_t version() const { return version_.load(); }

  [[nodiscard]] bool up() const { return up_.load(); }

  // -- outbound_queue, on the thread of the connection's owner

  void handle_dial(epoch connection, std::uint16_t version);
  void handle_open();
  /// The connection is over: all that is said for it is refused from now on.
  void handle_gone();
  /// Nobody will take anything any more: all is refused.
  void handle_end();
  /// Moves what was said to the end of `to`, unless something is to be said first on this connection. @returns that
  std::optional<protocol::to_rivet> poll(std::deque<outbound_message>& to);

  /// The room that `x` has had.
  void give_back(const outbound_message& x);

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

  std::mutex mutex_;  // of what follows
  std::vector<outbound_message> waiting_;
  bool ended_ = false;
  std::vector<protocol::to_rivet> greeting_;
  std::size_t greeting_at_ = 0;
};

/// A link_port that sends by an intake.
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

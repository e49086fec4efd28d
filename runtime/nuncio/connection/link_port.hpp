// The link as actors need it, so that tests can replace it by a fake. All methods: any thread, never block.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nuncio/detail/clock.hpp>
#include <nuncio/messages.hpp>
#include <nuncio/outcome.hpp>
#include <utility>
#include <variant>
#include <vector>

namespace nuncio {

/// The gate through which an instance's tunnel messages and storage requests leave. Closing it drops what is still queued.
/// Shared by ingress (which closes it), the instance and the queue.
struct output_gate {
  explicit output_gate(std::uint64_t at_term) : term(at_term) {}

  std::atomic<bool> open = true;
  /// The lease term in which the instance was started: a later term ends it.
  const std::uint64_t term;
};

/// Bytes of a sender's tunnel messages that are queued or may be unread by the engine; a sender uses it to keep its own limit.
/// Shared by the sender and the queue.
using output_meter = std::atomic<std::size_t>;

struct instance_base;

/// A part that waits for room in the outbound queue; see link_listener::on_room.
struct room_waiter {
  enum class kind : std::uint8_t {
    host,  ///< host_machine: its own messages, and the responses that wait there
    storage,
    instance,  ///< messages of its handlers
  };

  kind what = kind::host;
  std::weak_ptr<const instance_base> instance{};  ///< for an instance only
};

/// The source of a tunnel message.
struct tunnel_source {
  std::shared_ptr<const output_gate> gate;
  room_waiter waiter;
  std::shared_ptr<output_meter> meter{};  ///< counts it; null: not counted
};

/// The longest message for a client that needs no call of link_port::has_room_for_bodies.
inline constexpr std::size_t short_message_bytes_max = 65536;

/// Whether `x` needs that call: part of a body, or long.
[[nodiscard]] inline bool is_bulk(const protocol::to_rivet_tunnel_message_kind& x) {
  if (const auto* start = std::get_if<protocol::to_rivet_response_start>(&x))
    return start->body && start->body->size() > short_message_bytes_max;
  if (const auto* said = std::get_if<protocol::to_rivet_web_socket_message>(&x))
    return said->data.size() > short_message_bytes_max;
  return std::holds_alternative<protocol::to_rivet_response_chunk>(x);
}

/// The kind of a frame, which decides what happens to it when the connection drops.
enum class frame_class : std::uint8_t { ack, events };

class link_port {
public:
  virtual ~link_port() = default;

  /// Sends what is queued, waits up to 3 s until the engine has handled it, then sends a close frame; on_final(cancelled)
  /// follows within the socket's close_limit.
  virtual void close() = 0;
  // Three ways to send, which differ in what happens to a message when the connection drops.

  /// Queues a frame. Its sender has one in flight at a time, and sends it again on the next connection: the frame dies with
  /// `connection`, and on_written() follows once it is in the kernel. Never finds the queue full. @returns errc::link_lost if
  /// that connection is over, errc::not_in_version, ...
  virtual outcome<void> send_frame(
      frame_class what, epoch connection, const protocol::to_rivet& message) = 0;
  /// Queues a storage request of an instance for `connection`, with which it dies; no notice when it is written. @returns
  /// errc::link_lost, cancelled, queue_full (storage is notified once there is room), not_in_version or malformed: nothing was
  /// queued.
  virtual outcome<void> send_for_connection(
      std::shared_ptr<const output_gate> gate,
      epoch connection,
      const protocol::to_rivet& request) = 0;
  /// Queues a tunnel message, connected or not: it moves to the next connection until the engine is known to have read it.
  /// @returns errc::queue_full at the limit: its waiter is notified once there is room. After any failure nothing was queued,
  /// and `message` is unchanged.
  virtual outcome<void> send_across_connections(
      tunnel_source from, protocol::to_rivet_tunnel_message&& message) = 0;

  /// Whether messages with is_bulk() may be queued: together they may take an eighth of the limit, so that everything else has
  /// room beside them and never waits behind more than that. @returns false: `who` is notified once they may.
  [[nodiscard]] virtual bool has_room_for_bodies(const room_waiter& who) = 0;

  /// Sends a WebSocket ping after everything queued; on_fence(id) follows when its pong has come back. Dies with the
  /// connection.
  virtual void fence(epoch connection, std::uint64_t id) = 0;
  /// The first messages on every later connection; with `now` they are also sent on the current one.
  virtual void greet(std::vector<protocol::to_rivet> first, bool now) = 0;
  /// Messages of that number and total size were handled.
  virtual void grant(std::size_t messages, std::size_t bytes) = 0;
};

}  // namespace nuncio

// What actors need of a link, so that tests can put a fake in its place. All methods: any thread, never block.
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

/// Through which the tunnel messages and storage requests of one instance leave. Closing it drops what is still queued. Shared by ingress
/// (which closes it), the instance and the queue.
struct output_gate {
  explicit output_gate(std::uint64_t at_term) : term(at_term) {}

  std::atomic<bool> open = true;
  /// The lease term in which the instance was started: a later one ends it.
  const std::uint64_t term;
};

/// How many bytes of somebody's tunnel messages are queued or not known to have been read by the engine: by it a sender
/// keeps its own bound. Shared by the sender and the queue.
using output_meter = std::atomic<std::size_t>;

struct instance_base;

/// Who waits for room in the outbound queue; see link_listener::on_room.
struct room_waiter {
  enum class kind : std::uint8_t {
    host,  ///< host_machine: what it answers itself, and the responses that wait there
    storage,
    instance,  ///< what its handlers say
  };

  kind what = kind::host;
  std::weak_ptr<const instance_base> instance{};  ///< of an instance only
};

/// Where a tunnel message comes from.
struct tunnel_source {
  std::shared_ptr<const output_gate> gate;
  room_waiter waiter;
  std::shared_ptr<output_meter> meter{};  ///< counts it; none: nobody does
};

/// The longest message for a client that need not ask link_port::has_room_for_bodies.
inline constexpr std::size_t short_message_bytes_max = 65536;

/// Whether `x` is one of those that ask: part of a body, or long.
[[nodiscard]] inline bool is_bulk(const protocol::to_rivet_tunnel_message_kind& x) {
  if (const auto* start = std::get_if<protocol::to_rivet_response_start>(&x))
    return start->body && start->body->size() > short_message_bytes_max;
  if (const auto* said = std::get_if<protocol::to_rivet_web_socket_message>(&x))
    return said->data.size() > short_message_bytes_max;
  return std::holds_alternative<protocol::to_rivet_response_chunk>(x);
}

/// What a frame is, which decides what becomes of it when the connection drops.
enum class frame_class : std::uint8_t { ack, events };

class link_port {
public:
  virtual ~link_port() = default;

  /// Sends what is queued, then a close frame; on_final(cancelled) follows within the socket's close_limit.
  virtual void close() = 0;
  // Three ways to send, by what becomes of a message when the connection drops.

  /// Queues a frame of which its sender has one in flight, and which it says again on the next connection: it dies with
  /// `connection`, and on_written() follows once it is with the kernel. Never finds the queue full. @returns errc::link_lost
  /// when that connection is over, errc::not_in_version, ...
  virtual outcome<void> send_frame(
      frame_class what, epoch connection, const protocol::to_rivet& message) = 0;
  /// Queues a storage request of an instance for `connection`, with which it dies; nobody is told when it is written.
  /// @returns errc::link_lost, cancelled, queue_full (storage is told once there is room), not_in_version or malformed: nothing
  /// was queued.
  virtual outcome<void> send_for_connection(
      std::shared_ptr<const output_gate> gate,
      epoch connection,
      const protocol::to_rivet& request) = 0;
  /// Queues a tunnel message, connected or not: it moves to the next connection until the engine is known to have read
  /// it. @returns errc::queue_full at the bound: its waiter is told once there is room for it. After any failure nothing
  /// was queued, and `message` is as it was.
  virtual outcome<void> send_across_connections(
      tunnel_source from, protocol::to_rivet_tunnel_message&& message) = 0;

  /// Whether what is_bulk() may be queued: all of it together may take an eighth of the bound, so that all else has room
  /// beside it and waits behind no more, however much that is. @returns false: `who` is told once it may.
  [[nodiscard]] virtual bool has_room_for_bodies(const room_waiter& who) = 0;

  /// A WebSocket ping behind all that is queued; on_fence(id) when its pong is back. Dies with the connection.
  virtual void fence(epoch connection, std::uint64_t id) = 0;
  /// Messages to begin every later connection with; with `now` they go out on the present one too.
  virtual void greet(std::vector<protocol::to_rivet> first, bool now) = 0;
  /// Messages of that many, of that size, were dealt with.
  virtual void grant(std::size_t messages, std::size_t bytes) = 0;
};

}  // namespace nuncio

// Numbers the events of every actor, keeps them as long as they may be needed, and decides what to send on which connection.
// Pure; owned by the outbox actor. No event is sent twice on one connection; a generation gets one Stopped.
//
// Indexes start at 250 and go up by 251: the engine acks events only once an index exceeds the last
// acked one by more than 250, so every event but Stopped is acked at once if it was accepted
// (docs/protocol.md E).
#pragma once

#include <cstdint>
#include <memory>
#include <nuncio/detail/clock.hpp>
#include <nuncio/host/host_messages.hpp>
#include <nuncio/host_stats.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <optional>
#include <string>
#include <vector>

namespace nuncio {

struct outbox_options {
  /// The most events in one frame.
  std::size_t events_max = 512;
  /// The most bytes in one frame, unless one event alone is longer: ids may have any length, and a frame longer than the engine
  /// takes would hold up all events for ever.
  std::size_t frame_bytes_max = 1UL << 20U;
  /// Connected time after the fence during which a Stopped is still kept: a frame that was read may not be committed.
  duration stopped_grace = std::chrono::minutes{5};
  /// Heap for instances that are over. Above the limit the oldest fenced Stopped is dropped, then the oldest written one, then
  /// the oldest unsent one: the engine waits for it until it gives up the instance by itself. There is room for more than
  /// 100,000 that it has not read.
  std::size_t bytes_max = 64UL << 20U;
  /// A longer message of a Stopped is truncated.
  std::size_t message_bytes_max = 4096;
};

/// First value and step of event indexes; the index of a Stopped for an unknown generation.
inline constexpr std::int64_t event_index_first = 250;
inline constexpr std::int64_t event_index_step = 251;
inline constexpr std::int64_t orphan_event_index = std::int64_t{1} << 53;

class event_outbox {
public:
  explicit event_outbox(outbox_options options = {});
  ~event_outbox();
  event_outbox(event_outbox&&) noexcept;
  event_outbox& operator=(event_outbox&&) noexcept;

  // -- inputs from actors and ingress
  void handle_running(const actor_ref& who);
  void handle_intent(const actor_ref& who, protocol::actor_intent intent);
  void handle_alarm(const actor_ref& who, std::optional<std::int64_t> alarm_ms);
  /// Ends the generation; a second Stopped for it is ignored. Events that Stopped makes pointless are dropped.
  void handle_stopped(
      const actor_ref& who, protocol::stop_code code, std::optional<std::string> message);
  /// A Stop for an unknown generation: Stopped(OK) at orphan_event_index, unless one is kept.
  void handle_orphan_stop(const actor_ref& who);
  /// A newer generation than all up to `newest - 1` exists: their events no longer matter. Events of an older generation are
  /// ignored once a newer one has sent any.
  void handle_superseded(const actor_id& actor, std::uint32_t newest);

  /// Any of these inputs.
  void handle(const internal::outbox_input& what);

  // -- inputs from the link
  void handle_link_up(epoch connection, time_point now);
  void handle_link_down(time_point now);
  void handle_acked(const protocol::to_envoy_ack_events& acks);
  /// The frame of the last poll_transmit has been handed to the kernel.
  void handle_written(epoch connection);
  /// The pong of fence `id` (see poll_fence) came back.
  void handle_fence(epoch connection, std::uint64_t id, time_point now);
  void expire(time_point now);

  // -- outputs: after every input, poll all three until they return nothing
  /// The next frame, or none; one is in flight at a time. On a new connection kept events are sent first, in order.
  [[nodiscard]] std::optional<protocol::to_rivet_events> poll_transmit();
  /// The id of a fence to send after what was written, or none.
  [[nodiscard]] std::optional<std::uint64_t> poll_fence();
  [[nodiscard]] std::optional<time_point> poll_timeout() const;

  /// Whether the engine has acked any event since the process started: the condition for the Running rule.
  [[nodiscard]] bool engine_acks() const;
  [[nodiscard]] const outbox_stats& stats() const;
  [[nodiscard]] epoch connection() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace nuncio

// Commands (what the engine wants of an actor) and events (what became of it), with their
// checkpoints. Values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <nuncio/detail/stop_reason.hpp>
#include <nuncio/messages_kv.hpp>
#include <optional>
#include <variant>
#include <vector>

namespace nuncio {

constexpr auto wire_enum(stop_reason) {
  return wire::enumerate(
      "StopActorReason", "SLEEP_INTENT", "STOP_INTENT", "DESTROY", "GOING_AWAY", "LOST");
}

namespace protocol {

using wire::enumerate;
using wire::field;
using wire::newtype;
using wire::record;
using wire::since;
using wire::since_droppable;

enum class stop_code : std::uint8_t { ok, error };

constexpr auto wire_enum(stop_code) { return enumerate("StopCode", "OK", "ERROR"); }

struct actor_name {
  text metadata;

  static constexpr auto wire = record("ActorName", field("metadata", &actor_name::metadata));
  bool operator==(const actor_name&) const = default;
};

struct actor_config {
  text name;
  std::optional<text> key;
  std::int64_t create_ts = 0;
  std::optional<bytes> input;

  static constexpr auto wire = record(
      "ActorConfig",
      field("name", &actor_config::name),
      field("key", &actor_config::key),
      field("createTs", &actor_config::create_ts),
      field("input", &actor_config::input));
  bool operator==(const actor_config&) const = default;
};

struct actor_checkpoint {
  nuncio::actor_id actor_id;
  std::uint32_t generation = 0;
  std::int64_t index = 0;

  static constexpr auto wire = record(
      "ActorCheckpoint",
      field("actorId", &actor_checkpoint::actor_id),
      field("generation", &actor_checkpoint::generation),
      field("index", &actor_checkpoint::index));
  bool operator==(const actor_checkpoint&) const = default;
};

struct actor_intent_sleep {
  static constexpr auto wire = record("ActorIntentSleep");
  bool operator==(const actor_intent_sleep&) const = default;
};

struct actor_intent_stop {
  static constexpr auto wire = record("ActorIntentStop");
  bool operator==(const actor_intent_stop&) const = default;
};

using actor_intent = std::variant<actor_intent_sleep, actor_intent_stop>;

struct actor_state_running {
  static constexpr auto wire = record("ActorStateRunning");
  bool operator==(const actor_state_running&) const = default;
};

struct actor_state_stopped {
  stop_code code{};
  std::optional<text> message;

  static constexpr auto wire = record(
      "ActorStateStopped",
      field("code", &actor_state_stopped::code),
      field("message", &actor_state_stopped::message));
  bool operator==(const actor_state_stopped&) const = default;
};

using actor_state = std::variant<actor_state_running, actor_state_stopped>;

struct event_actor_intent {
  actor_intent intent;

  static constexpr auto wire =
      record("EventActorIntent", field("intent", &event_actor_intent::intent));
  bool operator==(const event_actor_intent&) const = default;
};

struct event_actor_state_update {
  actor_state state;

  static constexpr auto wire =
      record("EventActorStateUpdate", field("state", &event_actor_state_update::state));
  bool operator==(const event_actor_state_update&) const = default;
};

struct event_actor_set_alarm {
  std::optional<std::int64_t> alarm_ts;

  static constexpr auto wire =
      record("EventActorSetAlarm", field("alarmTs", &event_actor_set_alarm::alarm_ts));
  bool operator==(const event_actor_set_alarm&) const = default;
};

using event = std::variant<event_actor_intent, event_actor_state_update, event_actor_set_alarm>;

struct event_wrapper {
  actor_checkpoint checkpoint;
  event inner;

  static constexpr auto wire = record(
      "EventWrapper",
      field("checkpoint", &event_wrapper::checkpoint),
      field("inner", &event_wrapper::inner));
  bool operator==(const event_wrapper&) const = default;
};

struct hibernating_request {
  nuncio::gateway_id gateway_id;
  nuncio::request_id request_id;

  static constexpr auto wire = record(
      "HibernatingRequest",
      field("gatewayId", &hibernating_request::gateway_id),
      field("requestId", &hibernating_request::request_id));
  bool operator==(const hibernating_request&) const = default;
};

struct command_start_actor {
  actor_config config;
  std::vector<hibernating_request> hibernating_requests;
  std::optional<protocol::preloaded_kv> preloaded_kv;

  static constexpr auto wire = record(
      "CommandStartActor",
      field("config", &command_start_actor::config),
      field("hibernatingRequests", &command_start_actor::hibernating_requests),
      field("preloadedKv", &command_start_actor::preloaded_kv));
  bool operator==(const command_start_actor&) const = default;
};

using stop_actor_reason = stop_reason;

struct command_stop_actor {
  stop_actor_reason reason{};

  static constexpr auto wire =
      record("CommandStopActor", field("reason", &command_stop_actor::reason));
  bool operator==(const command_stop_actor&) const = default;
};

using command = std::variant<command_start_actor, command_stop_actor>;

struct command_wrapper {
  actor_checkpoint checkpoint;
  command inner;

  static constexpr auto wire = record(
      "CommandWrapper",
      field("checkpoint", &command_wrapper::checkpoint),
      field("inner", &command_wrapper::inner));
  bool operator==(const command_wrapper&) const = default;
};

}  // namespace protocol
}  // namespace nuncio

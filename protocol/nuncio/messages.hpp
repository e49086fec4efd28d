// The complete envoy protocol, versions 3 to 8: every message of both directions (docs/protocol.md,
// section B). Values; any thread. Each type is declared once; codec.hpp and json.hpp are derived
// from these declarations.
#pragma once

#include <array>
#include <cstdint>
#include <nuncio/messages_lifecycle.hpp>
#include <nuncio/messages_sqlite.hpp>
#include <nuncio/messages_tunnel.hpp>
#include <optional>
#include <variant>
#include <vector>

namespace nuncio::protocol {

using wire::enumerate;
using wire::field;
using wire::newtype;
using wire::record;
using wire::since;
using wire::since_droppable;

struct to_envoy_ping {
  std::int64_t ts = 0;

  static constexpr auto wire = record("ToEnvoyPing", field("ts", &to_envoy_ping::ts));
  bool operator==(const to_envoy_ping&) const = default;
};

struct to_rivet_metadata {
  std::optional<wire::map_of<text, actor_name>> prepopulate_actor_names;
  std::optional<text> metadata;

  static constexpr auto wire = record(
      "ToRivetMetadata",
      field("prepopulateActorNames", &to_rivet_metadata::prepopulate_actor_names),
      field("metadata", &to_rivet_metadata::metadata));
  bool operator==(const to_rivet_metadata&) const = default;
};

struct to_rivet_events {
  std::vector<event_wrapper> events;

  static constexpr auto wire = newtype("ToRivetEvents", &to_rivet_events::events);
  bool operator==(const to_rivet_events&) const = default;
};

struct to_rivet_ack_commands {
  std::vector<actor_checkpoint> last_command_checkpoints;

  static constexpr auto wire = record(
      "ToRivetAckCommands",
      field("lastCommandCheckpoints", &to_rivet_ack_commands::last_command_checkpoints));
  bool operator==(const to_rivet_ack_commands&) const = default;
};

struct to_rivet_stopping {
  static constexpr auto wire = record("ToRivetStopping");
  bool operator==(const to_rivet_stopping&) const = default;
};

struct to_rivet_pong {
  std::int64_t ts = 0;

  static constexpr auto wire = record("ToRivetPong", field("ts", &to_rivet_pong::ts));
  bool operator==(const to_rivet_pong&) const = default;
};

struct to_rivet_kv_request {
  nuncio::actor_id actor_id;
  std::uint32_t request_id = 0;
  kv_request_data data;

  static constexpr auto wire = record(
      "ToRivetKvRequest",
      field("actorId", &to_rivet_kv_request::actor_id),
      field("requestId", &to_rivet_kv_request::request_id),
      field("data", &to_rivet_kv_request::data));
  bool operator==(const to_rivet_kv_request&) const = default;
};

struct to_rivet_sqlite_get_pages_request {
  std::uint32_t request_id = 0;
  sqlite_get_pages_request data;

  static constexpr auto wire = record(
      "ToRivetSqliteGetPagesRequest",
      field("requestId", &to_rivet_sqlite_get_pages_request::request_id),
      field("data", &to_rivet_sqlite_get_pages_request::data));
  bool operator==(const to_rivet_sqlite_get_pages_request&) const = default;
};

struct to_rivet_sqlite_commit_request {
  std::uint32_t request_id = 0;
  sqlite_commit_request data;

  static constexpr auto wire = record(
      "ToRivetSqliteCommitRequest",
      field("requestId", &to_rivet_sqlite_commit_request::request_id),
      field("data", &to_rivet_sqlite_commit_request::data));
  bool operator==(const to_rivet_sqlite_commit_request&) const = default;
};

struct to_rivet_sqlite_commit_stage_begin_request {
  std::uint32_t request_id = 0;
  sqlite_commit_stage_begin_request data;

  static constexpr auto wire = record(
      "ToRivetSqliteCommitStageBeginRequest",
      since(7),
      field("requestId", &to_rivet_sqlite_commit_stage_begin_request::request_id),
      field("data", &to_rivet_sqlite_commit_stage_begin_request::data));
  bool operator==(const to_rivet_sqlite_commit_stage_begin_request&) const = default;
};

struct to_rivet_sqlite_commit_stage_segment_request {
  std::uint32_t request_id = 0;
  sqlite_commit_stage_segment_request data;

  static constexpr auto wire = record(
      "ToRivetSqliteCommitStageSegmentRequest",
      since(7),
      field("requestId", &to_rivet_sqlite_commit_stage_segment_request::request_id),
      field("data", &to_rivet_sqlite_commit_stage_segment_request::data));
  bool operator==(const to_rivet_sqlite_commit_stage_segment_request&) const = default;
};

struct to_rivet_sqlite_commit_finalize_request {
  std::uint32_t request_id = 0;
  sqlite_commit_finalize_request data;

  static constexpr auto wire = record(
      "ToRivetSqliteCommitFinalizeRequest",
      since(7),
      field("requestId", &to_rivet_sqlite_commit_finalize_request::request_id),
      field("data", &to_rivet_sqlite_commit_finalize_request::data));
  bool operator==(const to_rivet_sqlite_commit_finalize_request&) const = default;
};

struct to_rivet_sqlite_exec_request {
  std::uint32_t request_id = 0;
  sqlite_exec_request data;

  static constexpr auto wire = record(
      "ToRivetSqliteExecRequest",
      since(4),
      field("requestId", &to_rivet_sqlite_exec_request::request_id),
      field("data", &to_rivet_sqlite_exec_request::data));
  bool operator==(const to_rivet_sqlite_exec_request&) const = default;
};

struct to_rivet_sqlite_execute_request {
  std::uint32_t request_id = 0;
  sqlite_execute_request data;

  static constexpr auto wire = record(
      "ToRivetSqliteExecuteRequest",
      since(4),
      field("requestId", &to_rivet_sqlite_execute_request::request_id),
      field("data", &to_rivet_sqlite_execute_request::data));
  bool operator==(const to_rivet_sqlite_execute_request&) const = default;
};

struct to_rivet_sqlite_execute_batch_request {
  std::uint32_t request_id = 0;
  sqlite_execute_batch_request data;

  static constexpr auto wire = record(
      "ToRivetSqliteExecuteBatchRequest",
      since(6),
      field("requestId", &to_rivet_sqlite_execute_batch_request::request_id),
      field("data", &to_rivet_sqlite_execute_batch_request::data));
  bool operator==(const to_rivet_sqlite_execute_batch_request&) const = default;
};

using to_rivet = std::variant<
    to_rivet_metadata,
    to_rivet_events,
    to_rivet_ack_commands,
    to_rivet_stopping,
    to_rivet_pong,
    to_rivet_kv_request,
    to_rivet_tunnel_message,
    to_rivet_sqlite_get_pages_request,
    to_rivet_sqlite_commit_request,
    to_rivet_sqlite_commit_stage_begin_request,
    to_rivet_sqlite_commit_stage_segment_request,
    to_rivet_sqlite_commit_finalize_request,
    to_rivet_sqlite_exec_request,
    to_rivet_sqlite_execute_request,
    to_rivet_sqlite_execute_batch_request>;

struct protocol_metadata {
  std::int64_t envoy_lost_threshold = 0;
  std::int64_t actor_stop_threshold = 0;
  std::uint64_t max_response_payload_size = 0;

  static constexpr auto wire = record(
      "ProtocolMetadata",
      field("envoyLostThreshold", &protocol_metadata::envoy_lost_threshold),
      field("actorStopThreshold", &protocol_metadata::actor_stop_threshold),
      field("maxResponsePayloadSize", &protocol_metadata::max_response_payload_size));
  bool operator==(const protocol_metadata&) const = default;
};

struct to_envoy_init {
  protocol_metadata metadata;

  static constexpr auto wire = record("ToEnvoyInit", field("metadata", &to_envoy_init::metadata));
  bool operator==(const to_envoy_init&) const = default;
};

struct to_envoy_commands {
  std::vector<command_wrapper> commands;

  static constexpr auto wire = newtype("ToEnvoyCommands", &to_envoy_commands::commands);
  bool operator==(const to_envoy_commands&) const = default;
};

struct to_envoy_ack_events {
  std::vector<actor_checkpoint> last_event_checkpoints;

  static constexpr auto wire = record(
      "ToEnvoyAckEvents",
      field("lastEventCheckpoints", &to_envoy_ack_events::last_event_checkpoints));
  bool operator==(const to_envoy_ack_events&) const = default;
};

struct to_envoy_kv_response {
  std::uint32_t request_id = 0;
  kv_response_data data;

  static constexpr auto wire = record(
      "ToEnvoyKvResponse",
      field("requestId", &to_envoy_kv_response::request_id),
      field("data", &to_envoy_kv_response::data));
  bool operator==(const to_envoy_kv_response&) const = default;
};

struct to_envoy_sqlite_get_pages_response {
  std::uint32_t request_id = 0;
  sqlite_get_pages_response data;

  static constexpr auto wire = record(
      "ToEnvoySqliteGetPagesResponse",
      field("requestId", &to_envoy_sqlite_get_pages_response::request_id),
      field("data", &to_envoy_sqlite_get_pages_response::data));
  bool operator==(const to_envoy_sqlite_get_pages_response&) const = default;
};

struct to_envoy_sqlite_commit_response {
  std::uint32_t request_id = 0;
  sqlite_commit_response data;

  static constexpr auto wire = record(
      "ToEnvoySqliteCommitResponse",
      field("requestId", &to_envoy_sqlite_commit_response::request_id),
      field("data", &to_envoy_sqlite_commit_response::data));
  bool operator==(const to_envoy_sqlite_commit_response&) const = default;
};

struct to_envoy_sqlite_commit_stage_begin_response {
  std::uint32_t request_id = 0;
  sqlite_commit_stage_begin_response data;

  static constexpr auto wire = record(
      "ToEnvoySqliteCommitStageBeginResponse",
      since(7),
      field("requestId", &to_envoy_sqlite_commit_stage_begin_response::request_id),
      field("data", &to_envoy_sqlite_commit_stage_begin_response::data));
  bool operator==(const to_envoy_sqlite_commit_stage_begin_response&) const = default;
};

struct to_envoy_sqlite_commit_stage_segment_response {
  std::uint32_t request_id = 0;
  sqlite_commit_stage_segment_response data;

  static constexpr auto wire = record(
      "ToEnvoySqliteCommitStageSegmentResponse",
      since(7),
      field("requestId", &to_envoy_sqlite_commit_stage_segment_response::request_id),
      field("data", &to_envoy_sqlite_commit_stage_segment_response::data));
  bool operator==(const to_envoy_sqlite_commit_stage_segment_response&) const = default;
};

struct to_envoy_sqlite_commit_finalize_response {
  std::uint32_t request_id = 0;
  sqlite_commit_finalize_response data;

  static constexpr auto wire = record(
      "ToEnvoySqliteCommitFinalizeResponse",
      since(7),
      field("requestId", &to_envoy_sqlite_commit_finalize_response::request_id),
      field("data", &to_envoy_sqlite_commit_finalize_response::data));
  bool operator==(const to_envoy_sqlite_commit_finalize_response&) const = default;
};

struct to_envoy_sqlite_exec_response {
  std::uint32_t request_id = 0;
  sqlite_exec_response data;

  static constexpr auto wire = record(
      "ToEnvoySqliteExecResponse",
      since(4),
      field("requestId", &to_envoy_sqlite_exec_response::request_id),
      field("data", &to_envoy_sqlite_exec_response::data));
  bool operator==(const to_envoy_sqlite_exec_response&) const = default;
};

struct to_envoy_sqlite_execute_response {
  std::uint32_t request_id = 0;
  sqlite_execute_response data;

  static constexpr auto wire = record(
      "ToEnvoySqliteExecuteResponse",
      since(4),
      field("requestId", &to_envoy_sqlite_execute_response::request_id),
      field("data", &to_envoy_sqlite_execute_response::data));
  bool operator==(const to_envoy_sqlite_execute_response&) const = default;
};

struct to_envoy_sqlite_execute_batch_response {
  std::uint32_t request_id = 0;
  sqlite_execute_batch_response data;

  static constexpr auto wire = record(
      "ToEnvoySqliteExecuteBatchResponse",
      since(6),
      field("requestId", &to_envoy_sqlite_execute_batch_response::request_id),
      field("data", &to_envoy_sqlite_execute_batch_response::data));
  bool operator==(const to_envoy_sqlite_execute_batch_response&) const = default;
};

using to_envoy = std::variant<
    to_envoy_init,
    to_envoy_commands,
    to_envoy_ack_events,
    to_envoy_kv_response,
    to_envoy_tunnel_message,
    to_envoy_ping,
    to_envoy_sqlite_get_pages_response,
    to_envoy_sqlite_commit_response,
    to_envoy_sqlite_commit_stage_begin_response,
    to_envoy_sqlite_commit_stage_segment_response,
    to_envoy_sqlite_commit_finalize_response,
    to_envoy_sqlite_exec_response,
    to_envoy_sqlite_execute_response,
    to_envoy_sqlite_execute_batch_response>;

}  // namespace nuncio::protocol

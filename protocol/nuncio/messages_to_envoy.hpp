// Every message from the engine to a host. Values; any thread.
#pragma once

#include <cstdint>
#include <nuncio/messages_lifecycle.hpp>
#include <nuncio/messages_sqlite.hpp>
#include <nuncio/messages_tunnel.hpp>
#include <variant>
#include <vector>

namespace nuncio::protocol {

using wire::field;
using wire::newtype;
using wire::record;
using wire::since;

struct to_envoy_ping {
  std::int64_t ts = 0;

  static constexpr auto wire = record("ToEnvoyPing", field("ts", &to_envoy_ping::ts));
  bool operator==(const to_envoy_ping&) const = default;
};

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

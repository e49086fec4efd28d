// Every message from a host to the engine. Values; any thread.
#pragma once

#include <cstdint>
#include <nuncio/messages_lifecycle.hpp>
#include <nuncio/messages_sqlite.hpp>
#include <nuncio/messages_tunnel.hpp>
#include <optional>
#include <variant>
#include <vector>

namespace nuncio::protocol {

using wire::field;
using wire::newtype;
using wire::record;
using wire::since;

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

}  // namespace nuncio::protocol

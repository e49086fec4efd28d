// SQLite requests and responses: pages, staged commits, and statements that the engine executes.
// Values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <nuncio/bytes.hpp>
#include <nuncio/detail/wire.hpp>
#include <nuncio/ids.hpp>
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

struct sqlite_dirty_page {
  std::uint32_t pgno = 0;
  nuncio::bytes bytes;

  static constexpr auto wire = record(
      "SqliteDirtyPage",
      field("pgno", &sqlite_dirty_page::pgno),
      field("bytes", &sqlite_dirty_page::bytes));
  bool operator==(const sqlite_dirty_page&) const = default;
};

struct sqlite_fetched_page {
  std::uint32_t pgno = 0;
  std::optional<nuncio::bytes> bytes;

  static constexpr auto wire = record(
      "SqliteFetchedPage",
      field("pgno", &sqlite_fetched_page::pgno),
      field("bytes", &sqlite_fetched_page::bytes));
  bool operator==(const sqlite_fetched_page&) const = default;
};

struct sqlite_get_pages_request {
  nuncio::actor_id actor_id;
  std::vector<std::uint32_t> pgnos;
  std::optional<std::uint64_t> expected_generation;
  std::optional<std::uint64_t> expected_head_txid;

  static constexpr auto wire = record(
      "SqliteGetPagesRequest",
      field("actorId", &sqlite_get_pages_request::actor_id),
      field("pgnos", &sqlite_get_pages_request::pgnos),
      field("expectedGeneration", &sqlite_get_pages_request::expected_generation),
      field("expectedHeadTxid", &sqlite_get_pages_request::expected_head_txid));
  bool operator==(const sqlite_get_pages_request&) const = default;
};

struct sqlite_get_pages_ok {
  std::vector<sqlite_fetched_page> pages;
  std::optional<std::uint64_t> head_txid;

  static constexpr auto wire = record(
      "SqliteGetPagesOk",
      field("pages", &sqlite_get_pages_ok::pages),
      field("headTxid", &sqlite_get_pages_ok::head_txid, since_droppable(5)));
  bool operator==(const sqlite_get_pages_ok&) const = default;
};

struct sqlite_error_response {
  text group = "core";
  text code = "internal_error";
  text message;

  static constexpr auto wire = record(
      "SqliteErrorResponse",
      field("group", &sqlite_error_response::group, since_droppable(5)),
      field("code", &sqlite_error_response::code, since_droppable(5)),
      field("message", &sqlite_error_response::message));
  bool operator==(const sqlite_error_response&) const = default;
};

using sqlite_get_pages_response = std::variant<sqlite_get_pages_ok, sqlite_error_response>;

struct sqlite_commit_request {
  nuncio::actor_id actor_id;
  std::vector<sqlite_dirty_page> dirty_pages;
  std::uint32_t db_size_pages = 0;
  std::int64_t now_ms = 0;
  std::optional<std::uint64_t> expected_generation;
  std::optional<std::uint64_t> expected_head_txid;

  static constexpr auto wire = record(
      "SqliteCommitRequest",
      field("actorId", &sqlite_commit_request::actor_id),
      field("dirtyPages", &sqlite_commit_request::dirty_pages),
      field("dbSizePages", &sqlite_commit_request::db_size_pages),
      field("nowMs", &sqlite_commit_request::now_ms),
      field("expectedGeneration", &sqlite_commit_request::expected_generation),
      field("expectedHeadTxid", &sqlite_commit_request::expected_head_txid));
  bool operator==(const sqlite_commit_request&) const = default;
};

struct sqlite_commit_ok {
  std::optional<std::uint64_t> head_txid;

  static constexpr auto wire =
      record("SqliteCommitOk", field("headTxid", &sqlite_commit_ok::head_txid, since_droppable(5)));
  bool operator==(const sqlite_commit_ok&) const = default;
};

using sqlite_commit_response = std::variant<sqlite_commit_ok, sqlite_error_response>;

struct sqlite_commit_stage_begin_request {
  nuncio::actor_id actor_id;
  std::optional<std::uint64_t> expected_generation;
  std::optional<std::uint64_t> expected_head_txid;

  static constexpr auto wire = record(
      "SqliteCommitStageBeginRequest",
      field("actorId", &sqlite_commit_stage_begin_request::actor_id),
      field("expectedGeneration", &sqlite_commit_stage_begin_request::expected_generation),
      field("expectedHeadTxid", &sqlite_commit_stage_begin_request::expected_head_txid));
  bool operator==(const sqlite_commit_stage_begin_request&) const = default;
};

struct sqlite_commit_stage_begin_ok {
  std::uint64_t txid = 0;

  static constexpr auto wire =
      record("SqliteCommitStageBeginOk", field("txid", &sqlite_commit_stage_begin_ok::txid));
  bool operator==(const sqlite_commit_stage_begin_ok&) const = default;
};

using sqlite_commit_stage_begin_response =
    std::variant<sqlite_commit_stage_begin_ok, sqlite_error_response>;

struct sqlite_commit_stage_segment_request {
  nuncio::actor_id actor_id;
  std::optional<std::uint64_t> expected_generation;
  std::uint64_t txid = 0;
  std::uint32_t first_pgno = 0;
  std::vector<sqlite_dirty_page> dirty_pages;

  static constexpr auto wire = record(
      "SqliteCommitStageSegmentRequest",
      field("actorId", &sqlite_commit_stage_segment_request::actor_id),
      field("expectedGeneration", &sqlite_commit_stage_segment_request::expected_generation),
      field("txid", &sqlite_commit_stage_segment_request::txid),
      field("firstPgno", &sqlite_commit_stage_segment_request::first_pgno),
      field("dirtyPages", &sqlite_commit_stage_segment_request::dirty_pages));
  bool operator==(const sqlite_commit_stage_segment_request&) const = default;
};

struct sqlite_commit_stage_segment_ok {
  std::uint64_t staged_bytes = 0;

  static constexpr auto wire = record(
      "SqliteCommitStageSegmentOk",
      field("stagedBytes", &sqlite_commit_stage_segment_ok::staged_bytes));
  bool operator==(const sqlite_commit_stage_segment_ok&) const = default;
};

using sqlite_commit_stage_segment_response =
    std::variant<sqlite_commit_stage_segment_ok, sqlite_error_response>;

struct sqlite_commit_finalize_request {
  nuncio::actor_id actor_id;
  std::optional<std::uint64_t> expected_generation;
  std::uint64_t txid = 0;
  std::uint32_t new_db_size_pages = 0;
  std::int64_t now_ms = 0;
  std::vector<std::uint32_t> segment_first_pgnos;

  static constexpr auto wire = record(
      "SqliteCommitFinalizeRequest",
      field("actorId", &sqlite_commit_finalize_request::actor_id),
      field("expectedGeneration", &sqlite_commit_finalize_request::expected_generation),
      field("txid", &sqlite_commit_finalize_request::txid),
      field("newDbSizePages", &sqlite_commit_finalize_request::new_db_size_pages),
      field("nowMs", &sqlite_commit_finalize_request::now_ms),
      field("segmentFirstPgnos", &sqlite_commit_finalize_request::segment_first_pgnos));
  bool operator==(const sqlite_commit_finalize_request&) const = default;
};

struct sqlite_commit_finalize_ok {
  std::optional<std::uint64_t> head_txid;

  static constexpr auto wire =
      record("SqliteCommitFinalizeOk", field("headTxid", &sqlite_commit_finalize_ok::head_txid));
  bool operator==(const sqlite_commit_finalize_ok&) const = default;
};

using sqlite_commit_finalize_response =
    std::variant<sqlite_commit_finalize_ok, sqlite_error_response>;

struct sqlite_value_null {
  static constexpr auto wire = record("SqliteValueNull");
  bool operator==(const sqlite_value_null&) const = default;
};

struct sqlite_value_integer {
  std::int64_t value = 0;

  static constexpr auto wire =
      record("SqliteValueInteger", field("value", &sqlite_value_integer::value));
  bool operator==(const sqlite_value_integer&) const = default;
};

struct sqlite_value_float {
  std::array<std::uint8_t, 8> value{};

  static constexpr auto wire =
      record("SqliteValueFloat", field("value", &sqlite_value_float::value));
  bool operator==(const sqlite_value_float&) const = default;
};

struct sqlite_value_text {
  text value;

  static constexpr auto wire = record("SqliteValueText", field("value", &sqlite_value_text::value));
  bool operator==(const sqlite_value_text&) const = default;
};

struct sqlite_value_blob {
  bytes value;

  static constexpr auto wire = record("SqliteValueBlob", field("value", &sqlite_value_blob::value));
  bool operator==(const sqlite_value_blob&) const = default;
};

using sqlite_bind_param = std::variant<
    sqlite_value_null,
    sqlite_value_integer,
    sqlite_value_float,
    sqlite_value_text,
    sqlite_value_blob>;

using sqlite_column_value = std::variant<
    sqlite_value_null,
    sqlite_value_integer,
    sqlite_value_float,
    sqlite_value_text,
    sqlite_value_blob>;

struct sqlite_query_result {
  std::vector<text> columns;
  std::vector<std::vector<sqlite_column_value>> rows;

  static constexpr auto wire = record(
      "SqliteQueryResult",
      field("columns", &sqlite_query_result::columns),
      field("rows", &sqlite_query_result::rows));
  bool operator==(const sqlite_query_result&) const = default;
};

struct sqlite_execute_result {
  std::vector<text> columns;
  std::vector<std::vector<sqlite_column_value>> rows;
  std::int64_t changes = 0;
  std::optional<std::int64_t> last_insert_row_id;

  static constexpr auto wire = record(
      "SqliteExecuteResult",
      field("columns", &sqlite_execute_result::columns),
      field("rows", &sqlite_execute_result::rows),
      field("changes", &sqlite_execute_result::changes),
      field("lastInsertRowId", &sqlite_execute_result::last_insert_row_id));
  bool operator==(const sqlite_execute_result&) const = default;
};

struct sqlite_exec_request {
  text namespace_id;
  nuncio::actor_id actor_id;
  std::uint64_t generation = 0;
  text sql;

  static constexpr auto wire = record(
      "SqliteExecRequest",
      field("namespaceId", &sqlite_exec_request::namespace_id),
      field("actorId", &sqlite_exec_request::actor_id),
      field("generation", &sqlite_exec_request::generation),
      field("sql", &sqlite_exec_request::sql));
  bool operator==(const sqlite_exec_request&) const = default;
};

struct sqlite_execute_request {
  text namespace_id;
  nuncio::actor_id actor_id;
  std::uint64_t generation = 0;
  text sql;
  std::optional<std::vector<sqlite_bind_param>> params;

  static constexpr auto wire = record(
      "SqliteExecuteRequest",
      field("namespaceId", &sqlite_execute_request::namespace_id),
      field("actorId", &sqlite_execute_request::actor_id),
      field("generation", &sqlite_execute_request::generation),
      field("sql", &sqlite_execute_request::sql),
      field("params", &sqlite_execute_request::params));
  bool operator==(const sqlite_execute_request&) const = default;
};

struct sqlite_batch_statement {
  text sql;
  std::optional<std::vector<sqlite_bind_param>> params;

  static constexpr auto wire = record(
      "SqliteBatchStatement",
      field("sql", &sqlite_batch_statement::sql),
      field("params", &sqlite_batch_statement::params));
  bool operator==(const sqlite_batch_statement&) const = default;
};

struct sqlite_execute_batch_request {
  text namespace_id;
  nuncio::actor_id actor_id;
  std::uint64_t generation = 0;
  std::vector<sqlite_batch_statement> statements;

  static constexpr auto wire = record(
      "SqliteExecuteBatchRequest",
      field("namespaceId", &sqlite_execute_batch_request::namespace_id),
      field("actorId", &sqlite_execute_batch_request::actor_id),
      field("generation", &sqlite_execute_batch_request::generation),
      field("statements", &sqlite_execute_batch_request::statements));
  bool operator==(const sqlite_execute_batch_request&) const = default;
};

struct sqlite_exec_ok {
  sqlite_query_result result;

  static constexpr auto wire = record("SqliteExecOk", field("result", &sqlite_exec_ok::result));
  bool operator==(const sqlite_exec_ok&) const = default;
};

struct sqlite_execute_ok {
  sqlite_execute_result result;

  static constexpr auto wire =
      record("SqliteExecuteOk", field("result", &sqlite_execute_ok::result));
  bool operator==(const sqlite_execute_ok&) const = default;
};

struct sqlite_execute_batch_ok {
  std::vector<sqlite_execute_result> results;

  static constexpr auto wire =
      record("SqliteExecuteBatchOk", field("results", &sqlite_execute_batch_ok::results));
  bool operator==(const sqlite_execute_batch_ok&) const = default;
};

using sqlite_exec_response = std::variant<sqlite_exec_ok, sqlite_error_response>;

using sqlite_execute_response = std::variant<sqlite_execute_ok, sqlite_error_response>;

using sqlite_execute_batch_response = std::variant<sqlite_execute_batch_ok, sqlite_error_response>;

}  // namespace nuncio::protocol

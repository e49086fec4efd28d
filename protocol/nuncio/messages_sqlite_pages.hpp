// SQLite requests and responses about pages: what is fetched, committed, and committed in stages. Values; any thread.
#pragma once

#include <cstdint>
#include <nuncio/bytes.hpp>
#include <nuncio/detail/wire.hpp>
#include <nuncio/ids.hpp>
#include <optional>
#include <variant>
#include <vector>

namespace nuncio::protocol {

using wire::field;
using wire::record;
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

}  // namespace nuncio::protocol

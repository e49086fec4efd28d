// SQLite requests and responses about statements that the engine executes, and those about pages. Values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <nuncio/bytes.hpp>
#include <nuncio/detail/wire.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/messages_sqlite_pages.hpp>
#include <optional>
#include <variant>
#include <vector>

namespace nuncio::protocol {

using wire::field;
using wire::record;

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

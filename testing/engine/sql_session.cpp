// See sql_session.hpp.
#include "sql_session.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <chrono>
#include <cstring>
#include <nuncio/storage/prepared_statement.hpp>
#include <nuncio/storage/sql_wire.hpp>

#include "lossy_text.hpp"

namespace nuncio::testing::engine {

namespace {

using namespace protocol;

constexpr std::size_t bind_bytes_max = 131072;
constexpr std::int64_t statement_ms_max = 10000;

std::int64_t steady_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// No file is ever opened: the database that VACUUM attaches has no name.
int authorize(void*, int action, const char* name, const char*, const char*, const char*) {
  const bool attaches_file = action == SQLITE_ATTACH && (name == nullptr || *name != '\0');
  return attaches_file ? SQLITE_DENY : SQLITE_OK;
}

/// As the real engine shows it: text that is not UTF-8 is mended, and an empty blob is NULL.
sqlite_column_value shown(const sql_value& x) {
  if (const auto string = x.string()) return sqlite_value_text{text{lossy_text(*string)}};
  if (const auto blob = x.blob(); blob && blob->empty()) return sqlite_value_null{};
  return internal::to_wire(x);
}

std::vector<text> columns_of(const prepared_statement& s) {
  std::vector<text> out;
  for (const auto& name : s.columns()) out.emplace_back(lossy_text(name));
  return out;
}

std::vector<sqlite_column_value> row_of(const prepared_statement& s) {
  std::vector<sqlite_column_value> out;
  for (const auto& x : s.row()) out.push_back(shown(x));
  return out;
}

failure broken(sqlite3* db, std::string_view what) {
  return {errc::refused, fmt::format("failed to {}: {}", what, lossy_text(sqlite3_errmsg(db)))};
}

}  // namespace

outcome<std::unique_ptr<sql_session>> sql_session::open(const database& content) {
  sqlite3* db = nullptr;
  if (sqlite3_open(":memory:", &db) != SQLITE_OK) return failure{errc::internal, "no memory"};
  std::unique_ptr<sql_session> session{new sql_session{db}};
  session->head = content.head;
  const auto size = std::size_t{content.size_pages} * page_bytes;
  auto* image = static_cast<unsigned char*>(sqlite3_malloc64(std::max<std::size_t>(size, 1)));
  if (image == nullptr) return failure{errc::internal, "no memory"};
  std::memset(image, 0, size);
  for (const auto& [pgno, page] : content.pages)
    std::memcpy(image + std::size_t{pgno - 1} * page_bytes, page.data(), page_bytes);
  sqlite3_deserialize(
      db,
      "main",
      image,
      static_cast<sqlite3_int64>(size),
      static_cast<sqlite3_int64>(size),
      SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE);
  sqlite3_int64 size_max = std::int64_t{4} << 30;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_SIZE_LIMIT, &size_max);
  const auto* settings =
      "pragma page_size=4096; pragma journal_mode=memory; pragma synchronous=normal;"
      "pragma foreign_keys=on; pragma temp_store=memory; pragma schema_version";
  if (sqlite3_exec(db, settings, nullptr, nullptr, nullptr) != SQLITE_OK)
    return failure{
        errc::malformed,
        fmt::format(
            "failed to initialize sqlite worker: `PRAGMA journal_mode = DELETE;` failed with code "
            "{}: {}",
            sqlite3_errcode(db),
            sqlite3_errmsg(db))};
  sqlite3_set_authorizer(db, authorize, nullptr);
  return session;
}

sql_session::~sql_session() { sqlite3_close(db_); }

void sql_session::start_clock() {
  deadline_ = steady_ms() + statement_ms_max;
  sqlite3_progress_handler(
      db_,
      10000,
      [](void* me) { return steady_ms() > static_cast<sql_session*>(me)->deadline_ ? 1 : 0; },
      this);
}

outcome<sqlite_query_result> sql_session::exec(const text& script) {
  start_clock();
  sqlite_query_result out;
  auto rest = script.view();
  while (!rest.empty()) {
    prepared_statement s{db_, rest};
    if (s.failed()) return broken(db_, "prepare sqlite exec statement");
    rest = s.rest();
    if (s.empty()) continue;
    wrote_ = wrote_ || s.writes();
    auto columns = columns_of(s);
    std::vector<std::vector<sqlite_column_value>> rows;
    while (s.step()) rows.push_back(row_of(s));
    if (!s.done()) return broken(db_, "step sqlite exec statement");
    if (!columns.empty()) out = {std::move(columns), std::move(rows)};
  }
  return out;
}

outcome<sqlite_execute_result> sql_session::execute(
    const text& sql, const std::optional<std::vector<sqlite_bind_param>>& params) {
  start_clock();
  std::size_t bound = 0;
  std::vector<sql_value> values;
  for (const auto& p : params.value_or(std::vector<sqlite_bind_param>{})) {
    const auto& x = values.emplace_back(internal::from_wire(p, 0));
    if (const auto string = x.string()) bound += string->size();
    if (const auto blob = x.blob()) bound += blob->size();
  }
  if (bound > bind_bytes_max)
    return failure{
        errc::too_large,
        fmt::format(
            "remote sqlite bind params had {} bytes, exceeding limit {}", bound, bind_bytes_max)};
  // A zero byte ends it.
  prepared_statement s{db_, sql.view().substr(0, sql.view().find('\0'))};
  if (s.failed()) return broken(db_, "prepare sqlite execute statement");
  if (s.empty()) return sqlite_execute_result{};
  if (s.rest().find_first_not_of(" \t\r\n\f;") != std::string_view::npos)
    return failure{errc::invalid_argument, "sqlite execute only supports a single statement"};
  s.bind(values);
  if (s.failed()) return broken(db_, "bind sqlite parameter");
  wrote_ = wrote_ || s.writes();
  sqlite_execute_result out;
  out.columns = columns_of(s);
  while (s.step()) out.rows.push_back(row_of(s));
  if (!s.done()) return broken(db_, "step sqlite execute statement");
  out.changes = sqlite3_changes64(db_);
  out.last_insert_row_id = sqlite3_last_insert_rowid(db_);
  return out;
}

outcome<std::vector<sqlite_execute_result>> sql_session::execute_batch(
    const std::vector<sqlite_batch_statement>& statements) {
  const auto run = [&](const char* sql) {
    return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  };
  if (run("begin") != SQLITE_OK) return broken(db_, "begin remote sqlite batch");
  wrote_ = true;
  std::vector<sqlite_execute_result> out;
  for (const auto& s : statements) {
    auto result = execute(s.sql, s.params);
    if (!result) {
      run("rollback");
      return failure{
          result.error().code, "execute remote sqlite batch statement: " + result.error().message};
    }
    out.push_back(std::move(*result));
  }
  if (run("commit") != SQLITE_OK) {
    auto why = broken(db_, "commit remote sqlite batch");
    run("rollback");
    return why;
  }
  return out;
}

std::optional<sql_session::change> sql_session::take_change(const database& db) {
  if (!wrote_ || sqlite3_get_autocommit(db_) == 0) return std::nullopt;
  wrote_ = false;
  sqlite3_int64 size = 0;
  const auto* image = sqlite3_serialize(db_, "main", &size, SQLITE_SERIALIZE_NOCOPY);
  if (image == nullptr) return std::nullopt;
  change out;
  out.size_pages = static_cast<std::uint32_t>(static_cast<std::size_t>(size) / page_bytes);
  for (std::uint32_t pgno = 1; pgno <= out.size_pages; ++pgno) {
    const std::span<const std::uint8_t> now{image + std::size_t{pgno - 1} * page_bytes, page_bytes};
    const auto before = db.pages.find(pgno);
    if (before == db.pages.end() || std::memcmp(before->second.data(), now.data(), page_bytes) != 0)
      out.pages.emplace(pgno, bytes::copy_of(now));
  }
  if (out.pages.empty() && out.size_pages == db.size_pages) return std::nullopt;
  return out;
}

}  // namespace nuncio::testing::engine

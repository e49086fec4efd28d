// See sql_session.hpp.
#include "sql_session.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <bit>
#include <chrono>
#include <cstring>

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

class statement {
public:
  statement(sqlite3* db, std::string_view sql) {
    code_ = sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &handle_, &tail_);
  }

  statement(const statement&) = delete;
  statement& operator=(const statement&) = delete;

  ~statement() { sqlite3_finalize(handle_); }

  [[nodiscard]] bool prepared() const { return code_ == SQLITE_OK; }

  /// Only blanks and comments.
  [[nodiscard]] bool empty() const { return handle_ == nullptr; }

  [[nodiscard]] const char* tail() const { return tail_; }

  [[nodiscard]] bool writes() const { return sqlite3_stmt_readonly(handle_) == 0; }

  bool bind(int at, const sqlite_bind_param& x) {
    int code = SQLITE_OK;
    if (const auto* i = std::get_if<sqlite_value_integer>(&x)) {
      code = sqlite3_bind_int64(handle_, at, i->value);
    } else if (const auto* f = std::get_if<sqlite_value_float>(&x)) {
      std::uint64_t word = 0;
      for (const auto byte : f->value) word = word << 8U | byte;
      code = sqlite3_bind_double(handle_, at, std::bit_cast<double>(word));
    } else if (const auto* t = std::get_if<sqlite_value_text>(&x)) {
      const auto v = t->value.view();
      code = sqlite3_bind_text64(
          handle_, at, v.empty() ? "" : v.data(), v.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    } else if (const auto* b = std::get_if<sqlite_value_blob>(&x)) {
      code = b->value.empty()
                 ? sqlite3_bind_zeroblob(handle_, at, 0)
                 : sqlite3_bind_blob64(
                       handle_, at, b->value.data(), b->value.size(), SQLITE_TRANSIENT);
    } else {
      code = sqlite3_bind_null(handle_, at);
    }
    return code == SQLITE_OK;
  }

  int step() { return sqlite3_step(handle_); }

  [[nodiscard]] std::vector<text> columns() const {
    std::vector<text> out;
    out.reserve(static_cast<std::size_t>(sqlite3_column_count(handle_)));
    for (int i = 0; i < sqlite3_column_count(handle_); ++i)
      out.emplace_back(lossy_text(sqlite3_column_name(handle_, i)));
    return out;
  }

  [[nodiscard]] std::vector<sqlite_column_value> row() const {
    std::vector<sqlite_column_value> out;
    out.reserve(static_cast<std::size_t>(sqlite3_column_count(handle_)));
    for (int i = 0; i < sqlite3_column_count(handle_); ++i) out.push_back(value(i));
    return out;
  }

private:
  [[nodiscard]] sqlite_column_value value(int i) const {
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(handle_, i));
    switch (sqlite3_column_type(handle_, i)) {
      case SQLITE_INTEGER:
        return sqlite_value_integer{sqlite3_column_int64(handle_, i)};
      case SQLITE_FLOAT: {
        auto word = std::bit_cast<std::uint64_t>(sqlite3_column_double(handle_, i));
        sqlite_value_float out;
        for (auto at = out.value.rbegin(); at != out.value.rend(); ++at, word >>= 8U)
          *at = static_cast<std::uint8_t>(word);
        return out;
      }
      case SQLITE_TEXT: {
        const auto* x = reinterpret_cast<const char*>(sqlite3_column_text(handle_, i));
        return sqlite_value_text{text{lossy_text({x, size})}};
      }
      case SQLITE_BLOB: {
        // An empty blob reads as NULL on the real engine.
        if (size == 0) return sqlite_value_null{};
        const auto* x = static_cast<const std::uint8_t*>(sqlite3_column_blob(handle_, i));
        return sqlite_value_blob{bytes::copy_of({x, size})};
      }
      default:
        return sqlite_value_null{};
    }
  }

  sqlite3_stmt* handle_ = nullptr;
  const char* tail_ = nullptr;
  int code_ = SQLITE_OK;
};

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
  const std::string all = script.str();
  const char* at = all.c_str();
  while (*at != '\0') {
    statement s{db_, at};
    if (!s.prepared()) return broken(db_, "prepare sqlite exec statement");
    at = s.tail();
    if (s.empty()) continue;
    wrote_ = wrote_ || s.writes();
    auto columns = s.columns();
    std::vector<std::vector<sqlite_column_value>> rows;
    int code = 0;
    while ((code = s.step()) == SQLITE_ROW) rows.push_back(s.row());
    if (code != SQLITE_DONE) return broken(db_, "step sqlite exec statement");
    if (!columns.empty()) out = {std::move(columns), std::move(rows)};
  }
  return out;
}

outcome<sqlite_execute_result> sql_session::execute(
    const text& sql, const std::optional<std::vector<sqlite_bind_param>>& params) {
  start_clock();
  std::size_t bound = 0;
  for (const auto& p : params.value_or(std::vector<sqlite_bind_param>{})) {
    if (const auto* t = std::get_if<sqlite_value_text>(&p)) bound += t->value.size();
    if (const auto* b = std::get_if<sqlite_value_blob>(&p)) bound += b->value.size();
  }
  if (bound > bind_bytes_max)
    return failure{
        errc::too_large,
        fmt::format(
            "remote sqlite bind params had {} bytes, exceeding limit {}", bound, bind_bytes_max)};
  const std::string all = sql.str();
  statement s{db_, all};
  if (!s.prepared()) return broken(db_, "prepare sqlite execute statement");
  if (s.empty()) return sqlite_execute_result{};
  if (std::string_view{s.tail()}.find_first_not_of(" \t\r\n\f;") != std::string_view::npos)
    return failure{errc::invalid_argument, "sqlite execute only supports a single statement"};
  if (params)
    for (std::size_t i = 0; i < params->size(); ++i)
      if (!s.bind(static_cast<int>(i + 1), (*params)[i]))
        return broken(db_, "bind sqlite parameter");
  wrote_ = wrote_ || s.writes();
  sqlite_execute_result out;
  out.columns = s.columns();
  int code = 0;
  while ((code = s.step()) == SQLITE_ROW) out.rows.push_back(s.row());
  if (code != SQLITE_DONE) return broken(db_, "step sqlite execute statement");
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

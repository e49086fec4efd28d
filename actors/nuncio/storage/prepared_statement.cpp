// See prepared_statement.hpp.
#include <sqlite3.h>

#include <nuncio/storage/prepared_statement.hpp>
#include <nuncio/support/overloaded.hpp>

namespace nuncio {

prepared_statement::prepared_statement(sqlite3* db, std::string_view sql) {
  if (sql.empty()) sql = "";  // SQLite takes no null
  const char* tail = nullptr;
  code_ = sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &handle_, &tail);
  // SQLite stops reading at a zero byte.
  if (code_ == SQLITE_OK && tail != sql.data())
    rest_ = sql.substr(static_cast<std::size_t>(tail - sql.data()));
}

prepared_statement::~prepared_statement() { sqlite3_finalize(handle_); }

bool prepared_statement::failed() const {
  return code_ != SQLITE_OK && code_ != SQLITE_ROW && code_ != SQLITE_DONE;
}

bool prepared_statement::done() const { return code_ == SQLITE_DONE; }

bool prepared_statement::writes() const { return sqlite3_stmt_readonly(handle_) == 0; }

void prepared_statement::bind(int at, const sql_value& x) {
  if (failed()) return;
  code_ = std::visit(
      overloaded{
          [&](std::monostate) { return sqlite3_bind_null(handle_, at); },
          [&](std::int64_t v) { return sqlite3_bind_int64(handle_, at, v); },
          [&](double v) { return sqlite3_bind_double(handle_, at, v); },
          [&](const text& v) {
            return sqlite3_bind_text64(
                handle_, at, v.empty() ? "" : v.data(), v.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
          },
          [&](const bytes& v) {
            if (v.empty()) return sqlite3_bind_zeroblob(handle_, at, 0);
            return sqlite3_bind_blob64(handle_, at, v.data(), v.size(), SQLITE_TRANSIENT);
          }},
      x.content());
}

bool prepared_statement::step() {
  if (!failed() && !done()) code_ = sqlite3_step(handle_);
  return code_ == SQLITE_ROW;
}

std::vector<std::string> prepared_statement::columns() const {
  std::vector<std::string> out;
  const auto count = sqlite3_column_count(handle_);
  out.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) out.emplace_back(sqlite3_column_name(handle_, i));
  return out;
}

sql_value prepared_statement::at(int column) const {
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(handle_, column));
  switch (sqlite3_column_type(handle_, column)) {
    case SQLITE_INTEGER:
      return sqlite3_column_int64(handle_, column);
    case SQLITE_FLOAT:
      return sqlite3_column_double(handle_, column);
    case SQLITE_TEXT: {
      const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
      return std::string_view{data, size};
    }
    case SQLITE_BLOB: {
      const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(handle_, column));
      return bytes::copy_of({data, size});
    }
    default:
      return {};
  }
}

std::vector<sql_value> prepared_statement::row() const {
  std::vector<sql_value> out;
  const auto count = sqlite3_column_count(handle_);
  out.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) out.push_back(at(i));
  return out;
}

}  // namespace nuncio

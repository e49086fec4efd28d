// A prepared statement of SQLite, finalized at the end of its scope. The thread of its connection.
#pragma once

#include <nuncio/sql_value.hpp>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace nuncio {

/// The first failure sticks: what comes after it does nothing, and code() says what it was.
class prepared_statement {
public:
  /// Prepares the first statement of `sql`.
  prepared_statement(sqlite3* db, std::string_view sql);
  ~prepared_statement();
  prepared_statement(const prepared_statement&) = delete;
  prepared_statement& operator=(const prepared_statement&) = delete;

  /// Of SQLite, from the last call that did something.
  [[nodiscard]] int code() const { return code_; }

  [[nodiscard]] bool failed() const;

  /// Whether there were only blanks and comments.
  [[nodiscard]] bool empty() const { return handle_ == nullptr; }

  /// The part of `sql` that follows the statement; empty if a zero byte ends it.
  [[nodiscard]] std::string_view rest() const { return rest_; }

  /// Whether it may change the database.
  [[nodiscard]] bool writes() const;

  /// Binds a value to each '?', in order. Not after step().
  template <class Params>
  void bind(const Params& params) {
    int at = 0;
    for (const auto& x : params) bind(++at, x);
  }

  /// Runs it until its next row. @returns false if there is none
  bool step();

  /// Whether it has run to its end.
  [[nodiscard]] bool done() const;

  /// The names of its columns; empty if it has none.
  [[nodiscard]] std::vector<std::string> columns() const;

  /// A value of the row that step() has reached, by the column's number from 0.
  [[nodiscard]] sql_value at(int column) const;
  [[nodiscard]] std::vector<sql_value> row() const;

private:
  void bind(int at, const sql_value& x);

  sqlite3_stmt* handle_ = nullptr;
  std::string_view rest_;
  int code_ = 0;
};

}  // namespace nuncio

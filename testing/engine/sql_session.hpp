// One actor's database as a SQLite connection, for statements that the engine executes (docs/protocol.md H.2). The pages are
// the truth: a session loads them at its start and returns the changes of each commit. It compares all pages after each
// statement that writes, which is good enough for development. Engine thread; no files.
#pragma once

#include <map>
#include <memory>
#include <nuncio/messages.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <vector>

#include "stored_data.hpp"

struct sqlite3;

namespace nuncio::testing::engine {

class sql_session {
public:
  /// @returns errc::malformed with SQLite's text if the pages are not a database
  static outcome<std::unique_ptr<sql_session>> open(const database& db);

  sql_session(const sql_session&) = delete;
  sql_session& operator=(const sql_session&) = delete;
  ~sql_session();

  outcome<protocol::sqlite_query_result> exec(const text& script);
  outcome<protocol::sqlite_execute_result> execute(
      const text& sql, const std::optional<std::vector<protocol::sqlite_bind_param>>& params);
  outcome<std::vector<protocol::sqlite_execute_result>> execute_batch(
      const std::vector<protocol::sqlite_batch_statement>& statements);

  struct change {
    std::map<std::uint32_t, bytes> pages;
    std::uint32_t size_pages = 0;
  };

  /// The changes committed since the last call, relative to `db`; none while a transaction is open.
  std::optional<change> take_change(const database& db);

  /// The head that matches this session's content.
  std::uint64_t head = 0;

private:
  explicit sql_session(sqlite3* db) : db_(db) {}

  void start_clock();

  sqlite3* db_;
  bool wrote_ = false;
  std::int64_t deadline_ = 0;
};

}  // namespace nuncio::testing::engine

// An actor's SQLite database opened on its own thread: an ordinary sqlite3*. Its pages come from the engine and are cached, and
// its transactions are commits in the engine's store. Reading a cached page costs no message.
//
//   auto db = self->open_sqlite();  // in an actor that was served as detached; waits
//   if (!db) return self->quit(db.error());
//   db->execute("create table if not exists log (text)");
//   sqlite3_prepare_v2(db->get(), …);
//
// It blocks while it waits for the engine: at the first use of a page and at each commit. So it is refused in actors that share
// the scheduler's threads. A transaction is committed when the engine has it; otherwise its statement fails with SQLITE_IOERR
// and `why()`. If the connection is lost in between, it waits for the next one and asks whether the commit happened. If another
// instance has changed the database, or the outcome of a commit is unknown, the database is broken for good: end the actor; the
// next instance starts from the store.
//
// On the actor's own thread only, and not after the actor's end. One at a time; sql() is refused meanwhile.
#pragma once

#include <sqlite3.h>

#include <caf/expected.hpp>
#include <memory>
#include <nuncio/detail/sqlite_pages_options.hpp>
#include <nuncio/outcome.hpp>
#include <nuncio/sql_value.hpp>
#include <optional>
#include <string_view>
#include <vector>

namespace nuncio {

struct sqlite_options {
  /// The size of SQLite's own page cache (PRAGMA cache_size); at least 1024.
  std::size_t cache_bytes = 16UL << 20U;
  sqlite_pages_options pages{};
};

namespace internal {
struct sqlite_over;
}

class sqlite {
public:
  sqlite(sqlite&&) noexcept;
  sqlite& operator=(sqlite&&) noexcept;
  ~sqlite();

  /// Open, with journal_mode=MEMORY, locking_mode=EXCLUSIVE, temp_store=MEMORY; closed by this object. Don't change these
  /// settings or the page size.
  [[nodiscard]] sqlite3* get() const;

  operator sqlite3*() const { return get(); }

  /// Runs a script of any number of statements. @returns the rows of the last one that has columns
  caf::expected<sql_result> exec(std::string_view script);

  /// Runs one statement with a value for each '?'. @returns errc::invalid_argument if there are several statements
  template <class... Params>
  caf::expected<sql_result> execute(std::string_view sql, Params&&... params) {
    return run(sql, {sql_value{std::forward<Params>(params)}...});
  }

  caf::expected<sql_result> run(std::string_view sql, const std::vector<sql_value>& params);

  /// Why the last statement that failed with SQLITE_IOERR or SQLITE_FULL failed in the engine or the connection.
  [[nodiscard]] const std::optional<failure>& why() const;
  /// Whether it can't be used any more.
  [[nodiscard]] bool broken() const;
  [[nodiscard]] const sqlite_pages_stats& stats() const;

private:
  friend struct internal::sqlite_over;
  struct database;

  caf::expected<sql_result> run_first(
      std::string_view& rest, const std::vector<sql_value>& params, bool alone);

  explicit sqlite(std::unique_ptr<database> opened);
  std::unique_ptr<database> database_;
};

}  // namespace nuncio

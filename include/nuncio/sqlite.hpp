// An actor's SQLite database opened on its own thread: an ordinary sqlite3*, whose pages come from
// the engine and are kept, and whose transactions are commits in the engine's store. Reads of pages
// that are here cost no message.
//
//   auto db = self->open_sqlite();  // in an actor that was served as detached; waits
//   if (!db) return self->quit(db.error());
//   db->execute("create table if not exists log (text)");
//   sqlite3_prepare_v2(db->get(), …);
//
// It waits for the engine: at the first use of a page and at each commit. So it is refused in
// actors that share the scheduler's threads. A transaction is committed when the engine has it, or
// its statement fails with SQLITE_IOERR and `why()`; a lost connection in between is waited out and
// asked about. When another instance has changed the database, or what became of a commit can't be
// told, it is broken for good: end the actor, the next one starts from the store.
//
// On the actor's own thread only, and not beyond the actor. One at a time; sql() is refused
// meanwhile.
#pragma once

#include <sqlite3.h>

#include <caf/expected.hpp>
#include <memory>
#include <nuncio/detail/sqlite_pages.hpp>
#include <nuncio/outcome.hpp>
#include <nuncio/sql_value.hpp>
#include <optional>
#include <string_view>
#include <vector>

namespace nuncio {

struct sqlite_options {
  /// Of SQLite's own page cache (PRAGMA cache_size); from 1024.
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

  /// Opened, with journal_mode=MEMORY, locking_mode=EXCLUSIVE, temp_store=MEMORY; closed by this
  /// object. Of its settings leave these alone, and the page size.
  [[nodiscard]] sqlite3* get() const;

  operator sqlite3*() const { return get(); }

  /// Runs a script of any number of statements. @returns the rows of the last one that has columns
  caf::expected<sql_result> exec(std::string_view script);

  /// Runs one statement with a value for each '?'. @returns errc::invalid_argument if there are more
  template <class... Params>
  caf::expected<sql_result> execute(std::string_view sql, Params&&... params) {
    return run(sql, {sql_value{std::forward<Params>(params)}...});
  }

  caf::expected<sql_result> run(std::string_view sql, const std::vector<sql_value>& params);

  /// What the engine or the connection had against the last statement that failed with SQLITE_IOERR
  /// or SQLITE_FULL.
  [[nodiscard]] const std::optional<failure>& why() const;
  /// Whether nothing can be done with it any more.
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

// The VFS below nuncio::sqlite, and its C++ interface. sqlite_pages makes all decisions; this file waits and copies.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <nuncio/errors.hpp>
#include <nuncio/sqlite.hpp>
#include <nuncio/storage/prepared_statement.hpp>
#include <nuncio/storage/sqlite_over.hpp>
#include <nuncio/storage/sqlite_pages.hpp>
#include <nuncio/support/number_range.hpp>

namespace nuncio {

struct sqlite::database {
  database(internal::sqlite_over::store to, const sqlite_pages_options& options)
      : ask(std::move(to)), pages(options) {}

  ~database() {
    sqlite3_close_v2(handle);
    if (registered) sqlite3_vfs_unregister(&vfs);
  }

  database(const database&) = delete;
  database& operator=(const database&) = delete;

  /// Sends requests until the pages need nothing more.
  bool run() {
    while (auto call = pages.poll_transmit()) pages.handle_result(ask(std::move(*call)));
    return note(pages.take_outcome());
  }

  bool note(const outcome<void>& x) {
    if (!x) last = x.error();
    return x.ok();
  }

  internal::sqlite_over::store ask;
  sqlite_pages pages;
  std::optional<failure> last;
  std::string name;
  sqlite3_vfs vfs{};
  bool registered = false;
  sqlite3* handle = nullptr;
};

namespace {

constexpr auto page_bytes = static_cast<sqlite3_int64>(sqlite_pages::page_bytes);

// SQLite reserves space for it after its own part.
template <class Database>
struct page_file {
  sqlite3_file base;
  Database* db;
};

template <class Database>
struct methods {
  static Database& of(sqlite3_file* f) { return *reinterpret_cast<page_file<Database>*>(f)->db; }

  static int close(sqlite3_file*) { return SQLITE_OK; }

  // Missing parts of the file read as zeros, and SQLite is told.
  static int read(sqlite3_file* f, void* to, int amount, sqlite3_int64 at) {
    auto& db = of(f);
    auto* out = static_cast<std::uint8_t*>(to);
    while (amount > 0) {
      const auto number = static_cast<std::uint32_t>(at / page_bytes) + 1;
      const auto offset = static_cast<std::size_t>(at % page_bytes);
      if (number > db.pages.size()) {
        std::memset(out, 0, static_cast<std::size_t>(amount));
        return SQLITE_IOERR_SHORT_READ;
      }
      auto page = db.pages.find(number);
      if (!page) {
        db.pages.begin_fetch(number);
        if (!db.run()) return SQLITE_IOERR_READ;
        page = db.pages.find(number);
        if (!page) return SQLITE_IOERR_READ;
      }
      const auto n = std::min(static_cast<std::size_t>(amount), sqlite_pages::page_bytes - offset);
      std::memcpy(out, page->data() + offset, n);
      out += n;
      at += static_cast<sqlite3_int64>(n);
      amount -= static_cast<int>(n);
    }
    return SQLITE_OK;
  }

  static int write(sqlite3_file* f, const void* from, int amount, sqlite3_int64 at) {
    auto& db = of(f);
    if (amount != page_bytes || at % page_bytes != 0) {
      db.last = failure{errc::invalid_argument, "the engine's store has pages of 4096 bytes only"};
      return SQLITE_IOERR_WRITE;
    }
    const auto* bytes = static_cast<const std::uint8_t*>(from);
    const auto written = db.pages.write(
        static_cast<std::uint32_t>(at / page_bytes) + 1, {bytes, static_cast<std::size_t>(amount)});
    if (db.note(written)) return SQLITE_OK;
    return written.error().code == errc::too_large ? SQLITE_FULL : SQLITE_IOERR_WRITE;
  }

  static int truncate(sqlite3_file* f, sqlite3_int64 size) {
    of(f).pages.truncate(static_cast<std::uint32_t>((size + page_bytes - 1) / page_bytes));
    return SQLITE_OK;
  }

  // The commit: SQLite has written the transaction's changes and asks to make them durable.
  static int sync(sqlite3_file* f, int) {
    auto& db = of(f);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    db.pages.begin_commit(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
    return db.run() ? SQLITE_OK : SQLITE_IOERR_FSYNC;
  }

  static int size(sqlite3_file* f, sqlite3_int64* out) {
    *out = of(f).pages.size() * page_bytes;
    return SQLITE_OK;
  }

  static int lock(sqlite3_file*, int) { return SQLITE_OK; }

  static int check_lock(sqlite3_file*, int* out) {
    *out = 0;
    return SQLITE_OK;
  }

  // Called in place of sync if that is switched off.
  static int control(sqlite3_file* f, int what, void*) {
    return what == SQLITE_FCNTL_SYNC ? sync(f, 0) : SQLITE_NOTFOUND;
  }

  static int sector_size(sqlite3_file*) { return static_cast<int>(page_bytes); }

  static int characteristics(sqlite3_file*) {
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE | SQLITE_IOCAP_SAFE_APPEND | SQLITE_IOCAP_SEQUENTIAL |
           SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN;
  }

  static constexpr sqlite3_io_methods table = {
      1,
      close,
      read,
      write,
      truncate,
      sync,
      size,
      lock,
      lock,
      check_lock,
      control,
      sector_size,
      characteristics,
      nullptr,
      nullptr,
      nullptr,
      nullptr,
      nullptr,
      nullptr};

  // -- the VFS: one file, no journals, no temporary files
  static int open(sqlite3_vfs* vfs, const char*, sqlite3_file* f, int flags, int* out_flags) {
    f->pMethods = nullptr;
    if ((flags & SQLITE_OPEN_MAIN_DB) == 0) return SQLITE_CANTOPEN;
    auto* file = reinterpret_cast<page_file<Database>*>(f);
    file->db = static_cast<Database*>(vfs->pAppData);
    file->base.pMethods = &table;
    if (out_flags != nullptr) *out_flags = flags;
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs*, const char*, int) { return SQLITE_OK; }

  static int access(sqlite3_vfs*, const char*, int, int* out) {
    *out = 0;
    return SQLITE_OK;
  }

  static int full_path(sqlite3_vfs*, const char* path, int size, char* out) {
    sqlite3_snprintf(size, out, "%s", path);
    return SQLITE_OK;
  }
};

// For opening, and for every statement that SQLite prepares or runs.
storage_failure sql_failure(sqlite3* db, const std::optional<failure>& last, int code) {
  const auto kind = code & 0xff;
  if (last && (kind == SQLITE_IOERR || kind == SQLITE_FULL))
    return {last->code, last->message, false, {}};
  return {
      errc::refused,
      fmt::format("SQLite: {}", db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db)),
      false,
      {}};
}

outcome<void> check_numbers(const sqlite_options& o) {
  // The pages of one answer must fit into a frame, and SQLite counts its cache in 31 bits of KiB.
  constexpr double answer_pages_max = 4096, cache_max = 1e12;
  return check_ranges(
      {count_range("cache_bytes", o.cache_bytes, 1024, cache_max),
       count_range("pages.clean_bytes_max", o.pages.clean_bytes_max, 0, many),
       count_range(
           "pages.dirty_bytes_max", o.pages.dirty_bytes_max, sqlite_pages::page_bytes, many),
       count_range("pages.open_pages", o.pages.open_pages, 1, answer_pages_max),
       count_range("pages.jump_pages", o.pages.jump_pages, 1, answer_pages_max),
       count_range("pages.sequence_pages_max", o.pages.sequence_pages_max, 1, answer_pages_max),
       count_range("pages.attempts_max", o.pages.attempts_max, 0, 1000)},
      "open_sqlite: ");
}

}  // namespace

sqlite::sqlite(std::unique_ptr<database> opened) : database_(std::move(opened)) {}

sqlite::sqlite(sqlite&&) noexcept = default;

sqlite& sqlite::operator=(sqlite&&) noexcept = default;

sqlite::~sqlite() = default;

caf::expected<sqlite> internal::sqlite_over::open(store pages, const sqlite_options& options) {
  if (auto good = check_numbers(options); !good)
    return make_error(storage_failure{good.error().code, good.error().message, false, {}});
  using database = sqlite::database;
  using vfs_methods = methods<database>;
  auto made = std::make_unique<database>(std::move(pages), options.pages);
  auto& db = *made;
  const auto failed = [&](int code) { return make_error(sql_failure(db.handle, db.last, code)); };
  db.pages.begin_open();
  if (!db.run()) return failed(SQLITE_IOERR);
  auto* system = sqlite3_vfs_find(nullptr);
  if (system == nullptr) return failed(SQLITE_ERROR);
  static std::atomic<std::uint64_t> next = 0;
  db.name = fmt::format("nuncio-{}", ++next);
  // Time, randomness and errors come from the operating system.
  db.vfs = *system;
  db.vfs.iVersion = 1;
  db.vfs.szOsFile = sizeof(page_file<database>);
  db.vfs.mxPathname = 64;
  db.vfs.pNext = nullptr;
  db.vfs.zName = db.name.c_str();
  db.vfs.pAppData = &db;
  db.vfs.xOpen = vfs_methods::open;
  db.vfs.xDelete = vfs_methods::remove;
  db.vfs.xAccess = vfs_methods::access;
  db.vfs.xFullPathname = vfs_methods::full_path;
  if (const auto code = sqlite3_vfs_register(&db.vfs, 0); code != SQLITE_OK) return failed(code);
  db.registered = true;
  // Without locks SQLite does not offer a write-ahead log, which would need other files.
  constexpr int flags = SQLITE_OPEN_URI | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                        SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
  if (const auto code = sqlite3_open_v2("file:actor?nolock=1", &db.handle, flags, db.name.c_str());
      code != SQLITE_OK)
    return failed(code);
  sqlite3_extended_result_codes(db.handle, 1);
  const auto settings = fmt::format(
      "pragma locking_mode = exclusive; pragma journal_mode = memory; pragma temp_store = memory; "
      "pragma page_size = {}; pragma cache_size = -{}",
      sqlite_pages::page_bytes,
      options.cache_bytes / 1024);
  if (const auto code = sqlite3_exec(db.handle, settings.c_str(), nullptr, nullptr, nullptr);
      code != SQLITE_OK)
    return failed(code);
  return sqlite{std::move(made)};
}

sqlite3* sqlite::get() const { return database_->handle; }

caf::expected<sql_result> sqlite::exec(std::string_view script) {
  sql_result last;
  while (!script.empty()) {
    auto result = run_first(script, {}, false);
    if (!result) return std::move(result.error());
    if (!result->columns.empty()) last = std::move(*result);
  }
  return last;
}

caf::expected<sql_result> sqlite::run(std::string_view sql, const std::vector<sql_value>& params) {
  return run_first(sql, params, true);
}

// Runs the first statement of `rest` and advances past it; with `alone` it fails if there are more.
caf::expected<sql_result> sqlite::run_first(
    std::string_view& rest, const std::vector<sql_value>& params, bool alone) {
  auto& db = *database_;
  prepared_statement statement{db.handle, rest};
  const auto failed = [&] { return make_error(sql_failure(db.handle, db.last, statement.code())); };
  if (statement.failed()) return failed();
  rest = statement.rest();
  if (alone && rest.find_first_not_of(" \t\r\n\f;") != std::string_view::npos)
    return make_error(storage_failure{
        errc::invalid_argument,
        "SQLite: a single statement was expected; exec() runs a script",
        false,
        {}});
  sql_result out;
  if (statement.empty()) return out;
  statement.bind(params);
  if (statement.failed()) return failed();
  out.columns = statement.columns();
  while (statement.step()) out.rows.push_back(statement.row());
  if (!statement.done()) return failed();
  out.changes = sqlite3_changes(db.handle);
  out.last_insert_row_id = sqlite3_last_insert_rowid(db.handle);
  return out;
}

const std::optional<failure>& sqlite::why() const { return database_->last; }

bool sqlite::broken() const { return database_->pages.broken().has_value(); }

const sqlite_pages_stats& sqlite::stats() const { return database_->pages.stats(); }

}  // namespace nuncio

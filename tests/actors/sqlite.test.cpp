// The VFS: SQLite itself over a model of the engine's pages.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <nuncio/errors.hpp>
#include <nuncio/sqlite.hpp>
#include <nuncio/storage/sqlite_over.hpp>

#include "support/page_store.hpp"

namespace nuncio::test::sqlite_test {
namespace {

struct fixture {
  store engine;
  std::size_t asked = 0;
  std::function<std::optional<storage_result>(const storage_call&)> fault;

  sqlite open(const sqlite_options& options = {}) {
    auto got = internal::sqlite_over::open(
        [this](const storage_call& call) {
          ++asked;
          if (fault)
            if (auto with = fault(call)) return *with;
          return engine(call);
        },
        options);
    if (!got) FAIL(storage_failure_of(got.error()).value_or(storage_failure{}).message);
    return std::move(*got);
  }
};

sql_result must(caf::expected<sql_result> x) {
  if (!x) FAIL(storage_failure_of(x.error()).value_or(storage_failure{}).message);
  return std::move(*x);
}

std::string error_of(const caf::expected<sql_result>& x) {
  REQUIRE_FALSE(x);
  const auto why = storage_failure_of(x.error());
  REQUIRE(why.has_value());
  return fmt::format("{}: {}", to_string(why->code), why->message);
}

std::int64_t number(sqlite& db, std::string_view sql) {
  const auto got = must(db.execute(sql));
  return got.rows.at(0).at(0).integer().value_or(-1);
}

}  // namespace

TEST_CASE_FIXTURE(fixture, "a table survives closing and opening; one transaction is one commit") {
  {
    auto db = open();
    must(db.execute("create table t (a integer primary key, b text)"));
    CHECK(engine.head == 1);
    const auto before = asked;
    must(db.execute("insert into t values (?, ?)", 1, "one"));
    CHECK(asked == before + 1);
    CHECK(engine.head == 2);
    REQUIRE(db.exec(
        "begin; insert into t values (2, 'two'); insert into t values (3, 'three'); commit"));
    CHECK(engine.head == 3);
    CHECK(db.stats().commits == 3);
  }
  auto db = open();
  const auto rows = must(db.execute("select a, b from t order by a"));
  REQUIRE(rows.rows.size() == 3);
  CHECK(rows.columns == std::vector<std::string>{"a", "b"});
  CHECK(rows.at(2, "b").string() == "three");
  CHECK(rows.at(0, "a").integer() == 1);
  CHECK(rows.at(0, "none").is_null());
  CHECK(rows.at(9, "a").is_null());
  CHECK(number(db, "select count(*) from t") == 3);
  REQUIRE(must(db.execute("pragma integrity_check")).rows.at(0).at(0).string() == "ok");
}

TEST_CASE_FIXTURE(fixture, "a cached page read costs no message") {
  auto db = open();
  REQUIRE(
      db.exec("create table t (a integer primary key, b blob); insert into t values (1, "
              "randomblob(20000))"));
  number(db, "select sum(length(b)) from t");
  const auto before = asked;
  for (int i = 0; i < 1000; ++i) CHECK(number(db, "select length(b) from t where a = 1") == 20000);
  CHECK(asked == before);
}

TEST_CASE_FIXTURE(fixture, "values of every kind go in and come back") {
  auto db = open();
  must(db.execute("create table t (a, b, c, d, e, f)"));
  const bytes blob{std::vector<std::uint8_t>{0, 1, 255}};
  must(db.execute(
      "insert into t values (?, ?, ?, ?, ?, ?)",
      nullptr,
      INT64_MIN,
      1.5,
      std::string{"a\0b", 3},
      blob,
      bytes{}));
  const auto row = must(db.execute("select * from t")).rows.at(0);
  CHECK(row[0].is_null());
  CHECK(row[1].integer() == INT64_MIN);
  CHECK(row[2].real() == 1.5);
  CHECK(row[3].string() == std::string_view{"a\0b", 3});
  CHECK(row[4].blob() == blob);
  CHECK(row[5].blob().has_value());
  const auto done =
      must(db.execute("insert into t (a) values (?), (?)", std::optional<int>{}, std::optional{7}));
  CHECK(done.changes == 2);
  CHECK(done.last_insert_row_id == 3);
}

TEST_CASE_FIXTURE(fixture, "errors are SQLite's, and leave the database as it was") {
  auto db = open();
  CHECK(error_of(db.execute("select * from nowhere")) == "refused: SQLite: no such table: nowhere");
  must(db.execute("create table t (a unique)"));
  must(db.execute("insert into t values (1)"));
  CHECK(
      error_of(db.execute("insert into t values (1)")) ==
      "refused: SQLite: UNIQUE constraint failed: t.a");
  CHECK(error_of(db.execute("select ?", 1, 2)).find("range") != std::string::npos);
  const auto scripted = db.exec("insert into t values (2); nonsense");
  REQUIRE_FALSE(scripted);
  CHECK(number(db, "select count(*) from t") == 2);
  CHECK_FALSE(db.broken());
  CHECK(must(db.execute("  -- nothing")).rows.empty());
}

TEST_CASE_FIXTURE(
    fixture,
    "a script gives the rows of its last statement that has columns; one statement is one") {
  auto db = open();
  const auto last = must(db.exec(
      "create table t (a); insert into t values (7); select a from t; delete from t; -- end\n"));
  CHECK(last.columns == std::vector<std::string>{"a"});
  CHECK(last.rows.at(0).at(0).integer() == 7);
  CHECK(number(db, "select count(*) from t") == 0);
  CHECK(must(db.exec("")).columns.empty());
  CHECK(must(db.exec(std::string_view{"insert into t values (1);\0garbage", 33})).columns.empty());
  CHECK(error_of(db.execute("insert into t values (2); insert into t values (3)"))
            .starts_with("invalid_argument: SQLite: a single statement was expected"));
  CHECK(number(db, "select count(*) from t") == 1);
  CHECK(must(db.execute("insert into t values (2) ; ")).changes == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "a rolled back transaction sends nothing, also after it has spilled out of SQLite's cache") {
  auto db = open({.cache_bytes = 100 * 1024});
  REQUIRE(db.exec("create table t (a integer primary key, b blob)"));
  for (int i = 0; i < 100; ++i) must(db.execute("insert into t values (?, randomblob(3000))", i));
  const auto head = engine.head;
  const auto sum = number(db, "select sum(unicode(hex(b))) from t");
  REQUIRE(db.exec("begin; update t set b = randomblob(3000)"));
  CHECK(must(db.execute("select count(*) from t")).rows.size() == 1);
  REQUIRE(db.exec("rollback"));
  CHECK(engine.head == head);
  CHECK(number(db, "select sum(unicode(hex(b))) from t") == sum);
  CHECK(must(db.execute("pragma integrity_check")).rows.at(0).at(0).string() == "ok");
}

TEST_CASE_FIXTURE(
    fixture,
    "a transaction of more than 320 pages is staged, and is there whole when opened again") {
  {
    auto db = open();
    REQUIRE(db.exec("create table t (a integer primary key, b blob)"));
    REQUIRE(
        db.exec("with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000) "
                "insert into t select i, randomblob(4000) from n"));
    CHECK(db.stats().staged == 1);
    CHECK(engine.head == 2);
  }
  auto db = open({.cache_bytes = 64 * 1024, .pages = {.clean_bytes_max = 64 * 4096}});
  CHECK(number(db, "select count(*) from t") == 1000);
  CHECK(number(db, "select sum(length(b)) from t") == 4'000'000);
  CHECK(must(db.execute("pragma integrity_check")).rows.at(0).at(0).string() == "ok");
  CHECK(db.stats().fetches < 200);  // read ahead: 1000 pages and more, twice
}

TEST_CASE_FIXTURE(fixture, "a database that shrinks is smaller in the store") {
  auto db = open();
  REQUIRE(db.exec("create table t (b blob); insert into t values (zeroblob(2000000))"));
  const auto big = engine.size;
  REQUIRE(db.exec("delete from t; vacuum"));
  CHECK(engine.size < big / 10);
  CHECK(must(db.execute("pragma integrity_check")).rows.at(0).at(0).string() == "ok");
  REQUIRE(db.exec("insert into t values (zeroblob(1000000))"));
  CHECK(number(db, "select length(b) from t") == 1'000'000);
}

TEST_CASE_FIXTURE(
    fixture, "a commit whose answer is lost happens once, and the statement succeeds") {
  auto db = open();
  must(db.execute("create table t (a)"));
  bool once = true;
  fault = [&](const storage_call& call) -> std::optional<storage_result> {
    if (!std::holds_alternative<protocol::sqlite_commit_request>(call) ||
        !std::exchange(once, false))
      return {};
    static_cast<void>(engine(call));
    return storage_failure{errc::link_lost, "cut", true, {}};
  };
  must(db.execute("insert into t values (1)"));
  CHECK(engine.head == 2);
  CHECK(number(db, "select count(*) from t") == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "a commit that did not leave fails its statement, is rolled back, and the database goes on") {
  auto db = open();
  REQUIRE(db.exec("create table t (a); insert into t values (1)"));
  fault = [](const storage_call&) -> std::optional<storage_result> {
    return storage_failure{errc::queue_full, "full", false, {}};
  };
  CHECK(
      error_of(db.execute("insert into t values (2)")) ==
      "queue_full: full; the transaction is not committed");
  fault = nullptr;
  CHECK(number(db, "select count(*) from t") == 1);
  must(db.execute("insert into t values (3)"));
  CHECK(number(db, "select sum(a) from t") == 4);
  CHECK_FALSE(db.broken());
}

TEST_CASE_FIXTURE(fixture, "another writer's commit breaks it for good, with a text that says so") {
  auto db = open();
  REQUIRE(db.exec("create table t (a); insert into t values (1)"));
  ++*engine.head;
  CHECK(
      error_of(db.execute("insert into t values (2)")).find("someone else has changed") !=
      std::string::npos);
  CHECK(db.broken());
  CHECK(
      error_of(db.execute("insert into t values (2)")).find("someone else has changed") !=
      std::string::npos);
  REQUIRE(db.why().has_value());
}

TEST_CASE_FIXTURE(
    fixture, "a store that can't be read fails the opening, and a page later on its statement") {
  REQUIRE(open().exec("create table t (b blob); insert into t values (zeroblob(400000))"));
  {
    auto db = open({.cache_bytes = 16 * 1024, .pages = {.clean_bytes_max = 16 * 4096}});
    fault = [](const storage_call&) -> std::optional<storage_result> {
      return storage_failure{errc::timed_out, "no answer in time", false, {}};
    };
    CHECK(error_of(db.execute("select hex(b) from t")) == "timed_out: no answer in time");
    fault = nullptr;
    CHECK(must(db.execute("select length(hex(b)) from t")).rows.at(0).at(0).integer() == 800'000);
    fault = [](const storage_call&) -> std::optional<storage_result> {
      return storage_failure{errc::cancelled, "this instance was ended", false, {}};
    };
  }
  const auto got =
      internal::sqlite_over::open([&](const storage_call& call) { return *fault(call); });
  REQUIRE_FALSE(got);
  CHECK(got.error() == errc::cancelled);
}

TEST_CASE_FIXTURE(
    fixture, "settings that would need other files are refused; synchronous=off still commits") {
  auto db = open();
  must(db.execute("create table t (a)"));
  CHECK(must(db.execute("pragma journal_mode = wal")).rows.at(0).at(0).string() != "wal");
  REQUIRE(db.exec("pragma synchronous = off"));
  const auto head = *engine.head;
  must(db.execute("insert into t values (1)"));
  CHECK(*engine.head == head + 1);
  CHECK(number(db, "select count(*) from t") == 1);
  // Sorting and temporary tables stay in memory.
  REQUIRE(db.exec("create temp table u as select randomblob(1000) as x from t"));
  CHECK(number(db, "select count(*) from (select x from u order by x)") == 1);
}

TEST_CASE_FIXTURE(fixture, "several databases at once, each with pages of its own") {
  fixture other;
  auto a = open();
  auto b = other.open();
  must(a.execute("create table t (a)"));
  must(b.execute("create table u (a)"));
  CHECK_FALSE(a.execute("select * from u"));
  auto moved = std::move(a);
  CHECK(number(moved, "select count(*) from t") == 0);
}

}  // namespace nuncio::test::sqlite_test

// The engine's storage answers are cut off, broken or lost: reads are repeated, writes say whether they may have happened, and
// the local SQLite's commits happen once.
#include <fmt/format.h>

#include "command_judges.hpp"
#include "fixture.hpp"

namespace nuncio::e2e {
namespace {

using namespace protocol;

struct answers_case : hosted_pool {
  explicit answers_case(const case_setup& setup = {}) : hosted_pool(setup) {}

  // Asks with this fate for the first answer of its kind.
  template <class Answer>
  client_reply ask(fate what, const std::string& id, std::string_view path, std::string body = {}) {
    proxy->judge_to_host(at_first(what, is_kind<Answer, to_envoy>));
    auto out = client.post(id, path, std::move(body));
    proxy->judge_to_host({});
    return out;
  }
};

struct impatient_answers : answers_case {
  impatient_answers() : answers_case({.storage_timeout = 700ms}) {}
};

constexpr fate lost_with_connection[] = {fate::cut_before, fate::cut_inside, fate::spoil};

}  // namespace

TEST_SUITE_BEGIN("storage_answers");

TEST_CASE_FIXTURE(
    answers_case,
    "KV: a lost answer to a read repeats it, to a write says that it may have happened") {
  const auto id = client.create_running("store");
  int n = 0;
  std::uint64_t retried = 0;
  for (const auto how : lost_with_connection) {
    CAPTURE(static_cast<int>(how));
    const auto value = std::to_string(++n);
    const auto put = ask<to_envoy_kv_response>(how, id, "/put?k", value);
    CHECK(put.status == 500);
    CHECK(
        put.body ==
        "link_lost maybe: KvPut: the connection ended before the engine answered; it may have been "
        "written");
    // The engine had it: its answer was on the way.
    const auto got = ask<to_envoy_kv_response>(how, id, "/get?k");
    CHECK(got.status == 200);
    CHECK(got.body == value);
    CHECK(ask<to_envoy_kv_response>(how, id, "/list").body == fmt::format("k={}\n", value));
    CHECK(host->stats().storage.retried == (retried += 2));
    CHECK(ask<to_envoy_kv_response>(how, id, "/erase?none").body.starts_with("link_lost maybe: "));
  }
  CHECK(host->stats().storage.uncertain == 6);
  // One that arrives, with the connection's end behind it, is taken.
  CHECK(ask<to_envoy_kv_response>(fate::cut_after, id, "/put?k", "last").body == "done");
  CHECK(client.get(id, "/get?k").body == "last");
  CHECK(host->stats().storage.strays == 0);
  CHECK(host->factory_calls() == 0);  // it is not counted
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(
    impatient_answers,
    "an answer that never comes: timed out, a write with its doubt, a read without") {
  const auto id = client.create_running("store");
  CHECK(client.post(id, "/exec", "create table t (a)").status == 200);
  CHECK(ask<to_envoy_kv_response>(fate::swallow, id, "/put?k", "1")
            .body.starts_with("timed_out maybe: KvPut"));
  CHECK(
      ask<to_envoy_kv_response>(fate::swallow, id, "/get?k").body.starts_with("timed_out: KvGet"));
  CHECK(ask<to_envoy_sqlite_execute_response>(fate::swallow, id, "/sql", "select 1")
            .body.starts_with("timed_out: SqliteExecute"));
  CHECK(ask<to_envoy_sqlite_execute_response>(fate::swallow, id, "/sql", "insert into t values (1)")
            .body.starts_with("timed_out maybe: SqliteExecute"));
  CHECK(ask<to_envoy_sqlite_exec_response>(fate::swallow, id, "/exec", "insert into t values (2)")
            .body.starts_with("timed_out maybe: SqliteExec"));
  CHECK(host->stats().storage.timed_out == 5);
  CHECK(host->stats().storage.open == 0);
  // Both went through, each once, and the actor goes on.
  CHECK(client.get(id, "/get?k").body == "1");
  CHECK(client.post(id, "/sql", "select a from t order by a").body == "a\n1\n2");
  CHECK(proxy->records().size() == 1);
}

TEST_CASE_FIXTURE(
    answers_case, "SQL by the engine: a lost answer repeats a SELECT, and never an INSERT") {
  const auto id = client.create_running("store");
  CHECK(client.post(id, "/exec", "create table t (a)").status == 200);
  int rows = 0;
  for (const auto how : lost_with_connection) {
    CAPTURE(static_cast<int>(how));
    CHECK(ask<to_envoy_sqlite_execute_response>(how, id, "/sql", "insert into t values (1)")
              .body.starts_with("link_lost maybe: SqliteExecute"));
    CHECK(
        ask<to_envoy_sqlite_execute_response>(how, id, "/sql", "select count(*) as n from t")
            .body == fmt::format("n\n{}", ++rows));
    CHECK(ask<to_envoy_sqlite_exec_response>(how, id, "/exec", "insert into t values (2)")
              .body.starts_with("link_lost maybe: SqliteExec"));
    CHECK(ask<to_envoy_sqlite_execute_batch_response>(
              how, id, "/batch", "insert into t values (3)\ninsert into t values (4)")
              .body.starts_with("link_lost maybe: SqliteExecuteBatch"));
    rows += 3;
    CHECK(
        client.post(id, "/sql", "select count(*) as n from t").body == fmt::format("n\n{}", rows));
  }
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(
    answers_case,
    "the local SQLite: a lost answer at each step of a commit, and it is there once") {
  const auto id = client.create_running("sqlite");
  CHECK(client.post(id, "/exec", "create table t (a, b)").body == "done");
  int rows = 0;
  const auto insert = [&]<class Answer>(Answer, fate how, const std::string& blob) {
    const auto connections = proxy->records().size();
    CHECK(ask<Answer>(how, id, "/sql", fmt::format("insert into t values (1, {})", blob))
              .body.empty());
    CHECK(proxy->records().size() > connections);
    CHECK(
        client.post(id, "/sql", "select count(*) as n from t").body ==
        fmt::format("n\n{}", ++rows));
  };
  for (const auto how : {fate::cut_before, fate::cut_inside, fate::spoil, fate::cut_after}) {
    CAPTURE(static_cast<int>(how));
    insert(to_envoy_sqlite_commit_response{}, how, "1");
    insert(to_envoy_sqlite_commit_stage_begin_response{}, how, "zeroblob(2000000)");
    insert(to_envoy_sqlite_commit_stage_segment_response{}, how, "zeroblob(2000000)");
    insert(to_envoy_sqlite_commit_finalize_response{}, how, "zeroblob(2000000)");
  }
  CHECK(client.post(id, "/sql", "pragma integrity_check").body.ends_with("'ok'"));
  // Pages that are read for the first time.
  for (const auto how : lost_with_connection) {
    must(client.sleep(id));
    CHECK(client.await_sleeping(id).sleeping);
    CHECK(
        ask<to_envoy_sqlite_get_pages_response>(how, id, "/sql", "select count(*) as n from t")
            .body == fmt::format("n\n{}", rows));
  }
  CHECK(backlog_drains());
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

// The engine refuses storage requests (docs/protocol.md H.1 to H.3): the actor learns which request, the engine's own text, and
// whether something may have been written; its data and other actors go on. Our host sends no request that would be refused, so
// its requests are changed on the way.
#include <fmt/format.h>

#include <algorithm>

#include "fixture.hpp"

namespace nuncio::e2e {
namespace {

using namespace protocol;
using kv_message = to_rivet_kv_request;
using get_pages = to_rivet_sqlite_get_pages_request;
using commit = to_rivet_sqlite_commit_request;
using stage_begin = to_rivet_sqlite_commit_stage_begin_request;
using stage_segment = to_rivet_sqlite_commit_stage_segment_request;
using finalize = to_rivet_sqlite_commit_finalize_request;
using sql_exec = to_rivet_sqlite_exec_request;
using sql_execute = to_rivet_sqlite_execute_request;
using sql_batch = to_rivet_sqlite_execute_batch_request;

/// Changes what messages of one kind ask for.
template <class Message, class Change>
std::function<bool(to_rivet&)> of_each(Change change) {
  return [change](to_rivet& m) {
    auto* x = std::get_if<Message>(&m);
    if (x == nullptr) return false;
    change(x->data);
    return true;
  };
}

bytes page_filled(std::size_t size) { return bytes{std::vector<std::uint8_t>(size)}; }

struct errors_case : hosted_pool {
  explicit errors_case(const case_setup& setup = {}) : hosted_pool(setup) {}

  /// Asks while what the host says is changed on its way.
  client_reply ask(
      const std::function<bool(to_rivet&)>& change,
      const std::string& id,
      std::string_view path,
      std::string body = {}) {
    proxy->rewrite_to_engine(change);
    auto out = client.post(id, path, std::move(body));
    proxy->rewrite_to_engine({});
    return out;
  }

  /// A local SQLite with a table of `rows` rows, a page each.
  [[nodiscard]] std::string with_table(int rows) const {
    auto id = client.create_running("sqlite");
    CHECK(
        client
            .post(
                id,
                "/exec",
                fmt::format(
                    "create table t (b); with recursive n(i) as (select 1 union all select i + 1 "
                    "from n where i < {}) insert into t select zeroblob(4000) from n",
                    rows))
            .body == "done");
    return id;
  }

  [[nodiscard]] std::string rows_of(const std::string& id) const {
    return client.post(id, "/sql", "select count(*), sum(length(b)) from t").body.substr(23);
  }

  void restart(const std::string& id) const {
    must(client.sleep(id));
    CHECK(client.await_sleeping(id).sleeping);
  }

  [[nodiscard]] std::string integrity(const std::string& id) const {
    return client.post(id, "/sql", "pragma integrity_check").body;
  }
};

constexpr std::string_view whole = "integrity_check\n'ok'";
constexpr std::string_view not_written = "; the transaction is not committed";
constexpr std::string_view by_another =
    "refused: someone else has changed this database; this instance can't use it any more: ";

}  // namespace

TEST_SUITE_BEGIN("storage_errors");

TEST_CASE_FIXTURE(
    errors_case,
    "KV: the engine's refusals are reported with its text, a write as uncertain, and nothing is "
    "changed") {
  const auto id = client.create_running("store");
  const auto other = client.create_running("store");
  CHECK(client.post(id, "/put?k", "1").body == "done");
  const auto refused = [&]<class Request, class Change>(
                           const Request&, Change change, std::string_view path) {
    return ask(
               [change](to_rivet& m) {
                 auto* kv = std::get_if<kv_message>(&m);
                 if (kv == nullptr) return false;
                 auto* x = std::get_if<Request>(&kv->data);
                 if (x != nullptr) change(*x);
                 return x != nullptr;
               },
               id,
               path,
               "2")
        .body;
  };
  const bytes long_key{std::string(2047, 'k')};
  const auto too_many = [](auto& x) { x.keys.resize(129, x.keys.front()); };
  const auto too_long = [&](auto& x) { x.keys.front() = long_key; };
  CHECK(
      refused(kv_get_request{}, too_many, "/get?k") ==
      "refused: KvGet: the engine refused it: a maximum of 128 keys is allowed");
  CHECK(
      refused(kv_get_request{}, too_long, "/get?k") ==
      "refused: KvGet: the engine refused it: key is too long (max 2048 bytes)");
  CHECK(
      refused(
          kv_list_request{},
          [&](kv_list_request& x) { x.query = kv_list_prefix_query{long_key}; },
          "/list") ==
      "refused: KvList: the engine refused it: prefix key is too long (max 2048 bytes)");
  constexpr std::string_view doubt = "; some of it may have been written";
  const auto put_refused =
      fmt::format("refused maybe: KvPut: the engine refused it: transaction failed{}", doubt);
  CHECK(refused(kv_put_request{}, too_long, "/put?k") == put_refused);
  CHECK(
      refused(
          kv_put_request{},
          [](kv_put_request& x) {
            x.keys.resize(129, x.keys.front());
            x.values.resize(129, x.values.front());
          },
          "/put?k") == put_refused);
  CHECK(
      refused(
          kv_put_request{}, [](kv_put_request& x) { x.values.emplace_back("3"); }, "/put?k") ==
      put_refused);
  CHECK(
      refused(
          kv_put_request{},
          [](kv_put_request& x) { x.values.front() = page_filled(131'073); },
          "/put?k") == put_refused);
  CHECK(
      refused(kv_delete_request{}, too_many, "/erase?k") ==
      fmt::format(
          "refused maybe: KvDelete: the engine refused it: a maximum of 128 keys is allowed{}",
          doubt));
  CHECK(
      refused(kv_delete_request{}, too_long, "/erase?k") ==
      fmt::format(
          "refused maybe: KvDelete: the engine refused it: key is too long (max 2048 bytes){}",
          doubt));
  const auto readdressed = [&](std::string_view to, std::string_view path) {
    return ask(
               [to = actor_id{to}](to_rivet& m) {
                 auto* kv = std::get_if<kv_message>(&m);
                 if (kv != nullptr) kv->actor_id = to;
                 return kv != nullptr;
               },
               id,
               path,
               "2")
        .body;
  };
  const auto malformed = readdressed("nonsense", "/get?k");
  CHECK(malformed.starts_with("refused: KvGet: the engine refused it: "));
  CHECK(malformed.find("unsupported ID version") != std::string::npos);
  CHECK(readdressed("nonsense", "/put?k").starts_with("refused maybe: KvPut: "));
  // Nothing of all that was written, and the connection is the first.
  CHECK(client.get(id, "/list").body == "k=1\n");
  CHECK(client.post(id, "/put?k", "2").body == "done");
  CHECK(client.get(id, "/get?k").body == "2");
  CHECK(client.post(other, "/put?k", "3").body == "done");
  CHECK(client.get(other, "/list").body == "k=3\n");
  CHECK(host->stats().storage.refused == 11);
  CHECK(proxy->records().size() == 1);
}

TEST_CASE_FIXTURE(
    errors_case,
    "SQL by the engine: another namespace or generation is refused, and so is invalid SQL; a batch "
    "is undone") {
  const auto id = client.create_running("store");
  const auto other = client.create_running("store");
  CHECK(client.post(id, "/exec", "create table t (a integer primary key)").status == 200);
  CHECK(client.post(id, "/sql", "insert into t values (1)").status == 200);
  const auto elsewhere = [](auto& x) { x.namespace_id = text{"nowhere"}; };
  const auto later = [](auto& x) { ++x.generation; };
  const auto never = [](auto& x) { x.generation = 0; };
  const auto all = [&]<class Change>(const Change& change) {
    CHECK(
        ask(of_each<sql_execute>(change), id, "/sql", "insert into t values (2)").body ==
        "refused: SqliteExecute: the engine refused it: core/internal_error: actor does not exist");
    CHECK(
        ask(of_each<sql_execute>(change), id, "/sql", "select a from t").body ==
        "refused: SqliteExecute: the engine refused it: core/internal_error: actor does not exist");
    CHECK(
        ask(of_each<sql_exec>(change), id, "/exec", "insert into t values (2)").body ==
        "refused maybe: SqliteExec: the engine refused it: core/internal_error: actor does not "
        "exist; some of it may have been written");
    CHECK(
        ask(of_each<sql_batch>(change), id, "/batch", "insert into t values (2)").body ==
        "refused: SqliteExecuteBatch: the engine refused it: core/internal_error: actor does not "
        "exist");
  };
  all(elsewhere);
  all(later);
  all(never);
  const auto says = [&](std::string_view path, std::string sql, std::string_view what) {
    const auto got = client.post(id, path, std::move(sql));
    CAPTURE(got.body);
    CHECK(got.status == 500);
    CHECK(got.body.starts_with("refused"));
    CHECK(got.body.find("the engine refused it: core/internal_error: ") != std::string::npos);
    CHECK(got.body.find(what) != std::string::npos);
  };
  says("/sql", "selct 1", "failed to prepare sqlite execute statement: ");
  says("/sql", "selct 1", R"(near "selct": syntax error)");
  says("/sql", "select 1; select 2", "sqlite execute only supports a single statement");
  says("/sql", "insert into t values (1)", "UNIQUE constraint failed: t.a");
  says("/spare", "", "column index out of range");
  says("/exec", "insert into nowhere values (1)", "no such table: nowhere");
  says("/batch", "insert into t values (2)\nselct 1", "execute remote sqlite batch statement: ");
  says("/batch", "insert into t values (2)\ninsert into t values (1)", "UNIQUE constraint failed");
  CHECK(client.post(id, "/sql", "select a from t").body == "a\n1");
  // A parameter above the limit, which is checked here too.
  CHECK(
      ask(of_each<sql_execute>([](sqlite_execute_request& x) {
            x.params = {sqlite_value_blob{page_filled(131'073)}};
          }),
          id,
          "/bind?1")
          .body ==
      "refused: SqliteExecute: the engine refused it: core/internal_error: remote "
      "sqlite bind params had 131073 bytes, exceeding limit 131072");
  CHECK(
      client.post(id, "/batch", "insert into t values (2)\ninsert into t values (3)").body ==
      "1 1 ");
  CHECK(client.post(id, "/sql", "select a from t").body == "a\n1\n2\n3");
  CHECK(client.post(other, "/sql", "select 1 as n").body == "n\n1");
  CHECK(client.post(id, "/sql", "pragma integrity_check").body == whole);
  CHECK(proxy->records().size() == 1);
}

TEST_CASE_FIXTURE(
    errors_case,
    "the local SQLite: a commit that is refused fails its statement, nothing of it shows, and the "
    "next one works") {
  const auto id = with_table(1);
  const auto other = with_table(1);
  int rows = 1;
  const auto refused = [&](const std::function<bool(to_rivet&)>& change, std::string_view code) {
    CAPTURE(code);
    const auto got = ask(change, id, "/sql", "insert into t values (zeroblob(4000))");
    CHECK(got.status == 500);
    CHECK(got.body.starts_with(
        fmt::format("refused: SqliteCommit: the engine refused it: {}: ", code)));
    CHECK(got.body.ends_with(not_written));
    CHECK(rows_of(id) == fmt::format("\n{}|{}", rows, rows * 4000));
    ++rows;
    CHECK(client.post(id, "/sql", "insert into t values (zeroblob(4000))").body.empty());
    CHECK(rows_of(id) == fmt::format("\n{}|{}", rows, rows * 4000));
  };
  using request = sqlite_commit_request;
  const auto change = [](auto f) { return of_each<commit>(f); };
  refused(change([](request& x) { x.dirty_pages.front().pgno = 0; }), "core/internal_error");
  refused(
      change([](request& x) { x.dirty_pages.front().bytes = page_filled(4095); }),
      "core/internal_error");
  refused(
      change([](request& x) { x.dirty_pages.push_back(x.dirty_pages.front()); }),
      "core/internal_error");
  refused(change([](request& x) { ++*x.expected_generation; }), "core/internal_error");
  refused(change([](request& x) { x.expected_generation.reset(); }), "sqlite/invalid_request");
  refused(change([](request& x) { x.actor_id = actor_id{"nonsense"}; }), "core/internal_error");
  refused(
      change([](request& x) {
        x.dirty_pages.clear();
        for (std::uint32_t i = 1; i <= 321; ++i) x.dirty_pages.push_back({i, page_filled(4096)});
      }),
      "depot/commit_too_large");
  // An error that tells nothing, once: the head is asked for, and the commit made again.
  const auto once = [done = std::make_shared<std::atomic<bool>>(false)](request& x) {
    if (!done->exchange(true)) x.dirty_pages.front().pgno = 0;
  };
  CHECK(
      ask(of_each<commit>(once), id, "/sql", "insert into t values (zeroblob(4000))").body.empty());
  ++rows;
  CHECK(rows_of(id) == fmt::format("\n{}|{}", rows, rows * 4000));
  CHECK(integrity(id) == whole);
  restart(id);
  CHECK(integrity(id) == whole);
  CHECK(rows_of(id) == fmt::format("\n{}|{}", rows, rows * 4000));
  CHECK(rows_of(other) == "\n1|4000");
  CHECK(proxy->records().size() == 1);
}

TEST_CASE_FIXTURE(
    errors_case,
    "the local SQLite: a staged commit that is refused at any step, and the next one works") {
  const auto id = with_table(1);
  int rows = 1;
  const auto insert = std::string{"insert into t values (zeroblob(2000000))"};
  const auto refused = [&](const std::function<bool(to_rivet&)>& change,
                           std::string_view request,
                           std::string_view code) {
    CAPTURE(request);
    CAPTURE(code);
    const auto got = ask(change, id, "/sql", insert);
    CHECK(got.status == 500);
    CHECK(got.body.starts_with(
        fmt::format("refused: Sqlite{}: the engine refused it: {}: ", request, code)));
    CHECK(got.body.ends_with(not_written));
    CHECK(
        client.post(id, "/sql", "select count(*) as n from t").body == fmt::format("n\n{}", rows));
  };
  const auto works = [&] {
    CHECK(client.post(id, "/sql", insert).body.empty());
    CHECK(
        client.post(id, "/sql", "select count(*) as n from t").body ==
        fmt::format("n\n{}", ++rows));
  };
  using segment = sqlite_commit_stage_segment_request;
  const auto change = [](auto f) { return of_each<stage_segment>(f); };
  constexpr auto invalid = "depot/stage_segment_invalid";
  refused(
      of_each<stage_begin>([](auto& x) { ++*x.expected_generation; }),
      "CommitStageBegin",
      "core/internal_error");
  works();
  refused(change([](segment& x) { ++x.first_pgno; }), "CommitStageSegment", invalid);
  refused(change([](segment& x) { x.dirty_pages.clear(); }), "CommitStageSegment", invalid);
  refused(
      change([](segment& x) { x.dirty_pages.back().pgno = x.first_pgno + 320; }),
      "CommitStageSegment",
      invalid);
  works();
  refused(
      change([](segment& x) { x.dirty_pages.front().bytes = page_filled(100); }),
      "CommitStageSegment",
      "core/internal_error");
  refused(
      change([](segment& x) { x.dirty_pages[1] = x.dirty_pages[0]; }),
      "CommitStageSegment",
      "core/internal_error");
  works();
  using last = sqlite_commit_finalize_request;
  refused(
      of_each<finalize>([](last& x) { x.segment_first_pgnos.front() += 64; }),
      "CommitFinalize",
      "depot/stage_not_found");
  refused(
      of_each<finalize>([](last& x) { x.segment_first_pgnos.pop_back(); }),
      "CommitFinalize",
      invalid);
  refused(
      of_each<finalize>([](last& x) { ++*x.expected_generation; }),
      "CommitFinalize",
      "core/internal_error");
  works();
  CHECK(integrity(id) == whole);
  restart(id);
  CHECK(integrity(id) == whole);
  CHECK(client.post(id, "/sql", "select count(*) as n from t").body == fmt::format("n\n{}", rows));
}

TEST_CASE_FIXTURE(
    errors_case,
    "the local SQLite: a head that is not the engine's breaks the instance, says so, and the next "
    "start goes on") {
  const auto id = with_table(40);
  const auto other = with_table(1);
  int rows = 40;
  const auto broken = [&](const std::function<bool(to_rivet&)>& change,
                          std::string_view request,
                          std::string_view sql) {
    CAPTURE(request);
    const auto said = fmt::format(
        "{}Sqlite{}: the engine refused it: depot/head_fence_mismatch: ", by_another, request);
    const auto got = ask(change, id, "/sql", std::string{sql});
    CHECK(got.status == 500);
    CHECK(got.body.starts_with(said));
    // For good: it says the same again, and the engine is not asked.
    const auto before = host->stats().storage.requests;
    CHECK(client.post(id, "/sql", "insert into t values (1)").body.starts_with(said));
    CHECK(host->stats().storage.requests == before);
    CHECK(client.get(id, "/stats").status == 200);
    restart(id);
    CHECK(rows_of(id) == fmt::format("\n{}|{}", rows, rows * 4000));
    CHECK(integrity(id) == whole);
    CHECK(client.post(id, "/sql", "insert into t values (zeroblob(4000))").body.empty());
    ++rows;
  };
  const auto ahead = [](auto& x) { ++*x.expected_head_txid; };
  const auto next = [](auto& x) { ++x.txid; };
  constexpr auto small = "insert into t values (zeroblob(4000))";
  constexpr auto large = "insert into t values (zeroblob(2000000))";
  broken(of_each<commit>(ahead), "Commit", small);
  broken(of_each<stage_begin>(ahead), "CommitStageBegin", large);
  broken(of_each<stage_segment>(next), "CommitStageSegment", large);
  broken(of_each<finalize>(next), "CommitFinalize", large);
  restart(id);
  CHECK(client.get(id, "/stats").status == 200);  // the first pages are here
  broken(
      of_each<get_pages>([](sqlite_get_pages_request& x) {
        if (x.expected_head_txid) ++*x.expected_head_txid;
      }),
      "GetPages",
      "select count(*) from t");
  CHECK(rows_of(other) == "\n1|4000");
  CHECK(proxy->records().size() == 1);
}

TEST_CASE_FIXTURE(
    errors_case,
    "the local SQLite: pages that are refused fail the statement that reads them, and can be read "
    "afterwards") {
  const auto id = with_table(60);
  restart(id);
  CHECK(client.get(id, "/stats").status == 200);  // the first pages are here
  const auto refused = [&](auto change, std::string_view why) {
    CAPTURE(why);
    const auto got =
        ask(of_each<get_pages>(change), id, "/sql", "select count(*), sum(length(b)) from t");
    CHECK(got.status == 500);
    CHECK(got.body.starts_with(
        fmt::format("refused: SqliteGetPages: the engine refused it: {}", why)));
  };
  using request = sqlite_get_pages_request;
  refused([](request& x) { x.pgnos.front() = 0; }, "core/internal_error: ");
  refused(
      [](request& x) { ++*x.expected_generation; }, "core/internal_error: actor does not exist");
  refused([](request& x) { x.expected_generation.reset(); }, "sqlite/invalid_request: ");
  refused([](request& x) { x.pgnos.assign(8193, 1); }, "sqlite/invalid_request: ");
  refused([](request& x) { x.actor_id = actor_id{"nonsense"}; }, "core/internal_error: ");
  CHECK(rows_of(id) == "\n60|240000");
  CHECK(client.post(id, "/sql", "insert into t values (zeroblob(4000))").body.empty());
  CHECK(integrity(id) == whole);
  // Opening, when the instance starts: that instance ends, and the next one opens it.
  restart(id);
  std::atomic<int> spoilt = 0;
  proxy->rewrite_to_engine([&](to_rivet& m) {
    auto* x = std::get_if<get_pages>(&m);
    if (x == nullptr || spoilt++ != 0) return false;
    x->data.pgnos.front() = 0;
    return true;
  });
  CHECK(await([&] {
    const auto got = client.request(id, "POST", "/sql", "select count(*) as n from t");
    return got && got->status == 200 && got->body == "n\n61";
  }));
  proxy->rewrite_to_engine({});
  CHECK(spoilt >= 2);
  CHECK(integrity(id) == whole);
  CHECK(proxy->records().size() == 1);
}

TEST_CASE_FIXTURE(
    errors_case,
    "the local SQLite: when another has really written its database, the next commit or read says "
    "so, and no page is lost") {
  const auto id = with_table(40);
  const auto other = client.create_running("store");
  const std::string insert = "insert into t values (zeroblob(4000))";
  // The engine does not ask who hosts an actor: another's SQL is sent there instead.
  const auto meddle = [&](std::uint64_t generation) {
    return ask(
        of_each<sql_execute>([&](sqlite_execute_request& x) {
          x.actor_id = actor_id{id};
          x.generation = generation;
        }),
        other,
        "/sql",
        insert);
  };
  const auto said = [](std::string_view request) {
    return fmt::format(
        "{}Sqlite{}: the engine refused it: depot/head_fence_mismatch: ", by_another, request);
  };
  CHECK(rows_of(id) == "\n40|160000");
  CHECK(meddle(1).status == 200);
  CHECK(rows_of(id) == "\n40|160000");  // from here, of before
  CHECK(client.post(id, "/sql", insert).body.starts_with(said("Commit")));
  restart(id);
  CHECK(client.get(id, "/stats").status == 200);  // the first pages are here
  CHECK(meddle(2).status == 200);
  CHECK(client.post(id, "/sql", "select count(*) from t").body.starts_with(said("GetPages")));
  restart(id);
  CHECK(rows_of(id) == "\n42|168000");
  CHECK(integrity(id) == whole);
  CHECK(client.post(id, "/sql", insert).body.empty());
  CHECK(client.post(other, "/sql", "select count(*) as n from sqlite_schema").body == "n\n0");
}

TEST_CASE_FIXTURE(
    errors_case,
    "a session of the engine's that is older than a commit of the local SQLite: one of them is "
    "refused, and no row is lost") {
  const auto id = client.create_running("two doors");
  const auto other = client.create_running("store");
  const std::string insert = "insert into t values (1)", count = "select count(*) as n from t";
  CHECK(client.post(id, "/sql", "create table t (a)").status == 200);
  CHECK(client.post(id, "/open").body == "open");
  CHECK(client.post(id, "/local", insert).body.empty());
  // The actor's own sql() is refused here, so another's is sent to its session.
  const auto got =
      ask(of_each<sql_execute>([&](sqlite_execute_request& x) {
            x.actor_id = actor_id{id};
            x.generation = 1;
          }),
          other,
          "/sql",
          insert);
  // The real engine's session goes by what it has read; the dev engine's begins anew, and its write counts.
  const bool written = got.status == 200;
  CHECK(written == (kind_under_test() == engine_kind::dev));
  CAPTURE(got.body);
  if (!written) CHECK(got.body.find("head fence mismatch") != std::string::npos);
  const auto next = client.post(id, "/local", insert).body;
  CHECK((written ? next.starts_with(by_another) : next.empty()));
  restart(id);
  CHECK(client.post(id, "/sql", count).body == "n\n2");
  CHECK(client.post(id, "/sql", "pragma integrity_check").body == whole);
  CHECK(client.post(id, "/open").body == "open");
  CHECK(client.post(id, "/local", insert).body.empty());
  CHECK(client.post(id, "/local", count).body == "n\n3");
}

TEST_CASE_FIXTURE(
    errors_case,
    "one actor through both interfaces: conflicts are refused here, and either sees what the other "
    "wrote") {
  const auto id = client.create_running("two doors");
  const auto local = [&](std::string sql) {
    return client.post(id, "/local", std::move(sql)).body;
  };
  const auto remote = [&](std::string sql) { return client.post(id, "/sql", std::move(sql)).body; };
  const std::string insert = "insert into t values (1)", count = "select count(*) as n from t";
  CHECK(client.post(id, "/open").body == "open");
  CHECK(local("create table t (a)").empty());
  CHECK(local(insert).empty());
  CHECK(remote(count).starts_with("refused: sql() while open_sqlite()'s database is open"));
  CHECK(client.post(id, "/close").body == "closed");
  CHECK(remote(count) == "n\n1");
  CHECK(client.post(id, "/sql", insert).status == 200);
  CHECK(client.post(id, "/open").body == "open");
  CHECK(local(count) == "n\n2");
  CHECK(client.post(id, "/close").body == "closed");
  CHECK(remote(count) == "n\n2");  // nothing was committed meanwhile
  CHECK(client.post(id, "/open").body == "open");
  CHECK(local(insert).empty());
  CHECK(client.post(id, "/close").body == "closed");
  CHECK(remote(count).starts_with("refused: sql() after a commit of open_sqlite()'s database"));
  CHECK(client.post(id, "/open").body == "open");
  CHECK(local(insert).empty());
  CHECK(local("pragma integrity_check") == whole);
  restart(id);
  CHECK(remote(count) == "n\n4");
  CHECK(client.post(id, "/sql", insert).status == 200);
  CHECK(remote("pragma integrity_check") == whole);
  CHECK(proxy->records().size() == 1);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

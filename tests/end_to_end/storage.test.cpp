// KV, SQL by the engine and the local SQLite over the engine's pages, under every kind of interruption.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <atomic>

#include "fixture.hpp"
#include "process.hpp"
#include "storage_actors.hpp"

namespace nuncio::e2e {

namespace {

/// `what` becomes of the first of those that `seen` counts.
template <class T>
auto first(std::atomic<int>& seen, fate what) {
  return [&seen, what](const auto& message) {
    return std::holds_alternative<T>(message) && seen++ == 0 ? what : fate::pass;
  };
}

std::string put(
    const hosted_pool& x, const std::string& id, const std::string& key, std::string value) {
  return x.client.post(id, "/put?" + key, std::move(value)).body;
}

}  // namespace

TEST_SUITE_BEGIN("storage");

TEST_CASE("KV: put values are there: get, list in order, erase, drop") {
  hosted_pool x;
  const auto id = x.client.create_running("store");
  CHECK(x.client.get(id, "/get?k").status == 404);
  CHECK(put(x, id, "b", "2") == "done");
  CHECK(put(x, id, "a", "1") == "done");
  CHECK(put(x, id, "c/1", "") == "done");
  CHECK(x.client.get(id, "/get?a").body == "1");
  CHECK(x.client.get(id, "/get?c/1").status == 200);
  CHECK(x.client.get(id, "/list").body == "a=1\nb=2\nc/1=\n");
  CHECK(x.client.get(id, "/list?c/").body == "c/1=\n");
  CHECK(x.client.post(id, "/erase?a").body == "done");
  CHECK(x.client.post(id, "/erase?none").body == "done");
  CHECK(x.client.get(id, "/list").body == "b=2\nc/1=\n");
  CHECK(x.client.post(id, "/drop").body == "done");
  CHECK(x.client.get(id, "/list").body.empty());
}

TEST_CASE(
    "KV: the largest key, value and batch that pass here pass there; one more byte is refused "
    "here") {
  hosted_pool x;
  const auto id = x.client.create_running("store");
  CHECK(put(x, id, std::string(2045, 'k'), std::string(131'072, 'v')) == "done");
  CHECK(x.client.get(id, "/get?" + std::string(2045, 'k')).body.size() == 131'072);
  CHECK(x.client.post(id, "/zeros?2045").body == "done");
  CHECK(x.client.post(id, "/largest?999424").body == "done");
  CHECK(
      x.client.post(id, "/largest?999425").body.starts_with("too_large: one put of 999425 bytes"));
  CHECK(
      put(x, id, std::string(2046, 'k'), "v") ==
      "too_large: a key of 2047 bytes: at most 2046; it was not sent");
  CHECK(
      put(x, id, "k", std::string(131'073, 'v')) ==
      "too_large: a value of 131073 bytes: at most 131072; it was not sent");
}

TEST_CASE("KV: a thousand puts of one turn are eight requests, and all are answered") {
  hosted_pool x;
  const auto id = x.client.create_running("store");
  std::atomic<int> requests = 0;
  x.proxy->judge_to_engine([&](const protocol::to_rivet& m) {
    if (std::holds_alternative<protocol::to_rivet_kv_request>(m)) ++requests;
    return fate::pass;
  });
  CHECK(x.client.post(id, "/many?1000").body == "1000 ");
  CHECK(requests == 8);
}

TEST_CASE(
    "KV: a cut with requests in flight: the read is repeated, the write says that it may have "
    "happened") {
  hosted_pool x;
  const auto id = x.client.create_running("store");
  CHECK(put(x, id, "k", "1") == "done");
  std::atomic<int> seen = 0;
  x.proxy->judge_to_engine(first<protocol::to_rivet_kv_request>(seen, fate::cut_after));
  const auto got = x.client.get(id, "/get?k");
  CHECK(got.status == 200);
  CHECK(got.body == "1");
  CHECK(seen == 2);
  x.proxy->judge_to_engine({});

  // A write that the engine never gets, then one whose answer never comes back.
  const auto written = [&] {
    const auto reply = x.client.post(id, "/put?k", "2");
    CHECK(reply.status == 500);
    CHECK(
        reply.body ==
        "link_lost maybe: KvPut: the connection ended before the engine answered; it may have been "
        "written");
    return x.client.get(id, "/get?k").body;
  };
  seen = 0;
  x.proxy->judge_to_engine(first<protocol::to_rivet_kv_request>(seen, fate::cut_before));
  CHECK(written() == "1");
  x.proxy->judge_to_engine({});
  seen = 0;
  x.proxy->judge_to_host(first<protocol::to_envoy_kv_response>(seen, fate::cut_before));
  CHECK(written() == "2");
  CHECK(x.host->stats().storage.retried == 1);
  CHECK(x.host->stats().storage.uncertain == 2);
  CHECK(x.backlog_drains());
}

TEST_CASE("KV: requests while the link is down wait for the next connection") {
  hosted_pool x;
  const auto id = x.client.create_running("store");
  std::atomic<int> seen = 0;
  x.proxy->judge_to_engine([&](const protocol::to_rivet& m) {
    return std::holds_alternative<protocol::to_rivet_kv_request>(m) && seen++ == 0
               ? fate::cut_before
               : fate::pass;
  });
  const auto first = x.client.post(id, "/put?k", "1");
  CHECK(first.status == 500);  // it had been handed to the link
  CHECK(put(x, id, "k", "2") == "done");
  CHECK(x.client.get(id, "/get?k").body == "2");
}

TEST_CASE("KV: values written before an actor quit are there for the next generation") {
  hosted_pool x;
  const auto id = x.client.create_running("store");
  for (int i = 0; i < 5; ++i) {
    x.client.post(id, "/put-quit?k", std::to_string(i));
    CHECK(x.client.get(id, "/get?k").body == std::to_string(i));
  }
  CHECK(x.backlog_drains());
}

TEST_CASE("KV: a destroyed actor's data is gone") {
  hosted_pool x;
  const auto id = x.client.create_running("store", "same key");
  CHECK(put(x, id, "k", "1") == "done");
  must(x.client.destroy(id));
  const auto next = x.client.create_running("store", "same key");
  CHECK(x.client.get(next, "/get?k").status == 404);
}

TEST_CASE("SQL by the engine: script, statement, parameters of every kind, batch, errors") {
  hosted_pool x;
  const auto id = x.client.create_running("store");
  CHECK(
      x.client
          .post(
              id,
              "/exec",
              "create table t (a integer primary key, b); insert into t values (1, 'x'); select * "
              "from t")
          .body == "a|b\n1|'x'");
  CHECK(x.client.post(id, "/sql", "insert into t values (2, 2.5)").status == 200);
  CHECK(x.client.post(id, "/sql", "select b, a from t order by a").body == "b|a\n'x'|1\n2.5|2");
  const auto params = x.client.post(id, "/params").body;
  CHECK(params.substr(params.find('\n')) == "\nnull|-7|1.5|'text'|x00ff");
  CHECK(
      x.client.post(id, "/batch", "insert into t values (3, 3)\nupdate t set b = 0").body ==
      "1 3 ");
  const auto bad =
      x.client.post(id, "/batch", "insert into t values (4, 4)\ninsert into t values (4, 5)");
  CHECK(bad.status == 500);
  CHECK(bad.body.starts_with("refused: SqliteExecuteBatch: the engine refused it"));
  CHECK(bad.body.find("UNIQUE constraint failed") != std::string::npos);
  CHECK(x.client.post(id, "/sql", "select count(*) from t").body.ends_with("\n3"));
  CHECK(
      x.client.post(id, "/sql", "select * from nowhere").body.find("no such table: nowhere") !=
      std::string::npos);
  CHECK(x.client.post(id, "/exec", "insert into t values (9, 9); nonsense")
            .body.starts_with("refused maybe: SqliteExec"));
}

TEST_CASE(
    "SQL by the engine: a cut repeats a SELECT, and of an INSERT says that it may have happened") {
  hosted_pool x;
  const auto id = x.client.create_running("store");
  CHECK(x.client.post(id, "/exec", "create table t (a)").status == 200);
  std::atomic<int> seen = 0;
  x.proxy->judge_to_engine(first<protocol::to_rivet_sqlite_execute_request>(seen, fate::cut_after));
  CHECK(x.client.post(id, "/sql", "select count(*) as n from t").body == "n\n0");
  seen = 0;
  CHECK(x.client.post(id, "/sql", "insert into t values (1)")
            .body.starts_with("link_lost maybe: SqliteExecute"));
}

TEST_CASE("SQL by the engine: an older protocol version reports what it lacks") {
  hosted_pool three{{.protocol_version = 3}};
  const auto a = three.client.create_running("store");
  CHECK(put(three, a, "k", "1") == "done");
  CHECK(three.client.post(a, "/sql", "select 1").body.starts_with("not_in_version: SqliteExecute"));
  hosted_pool five{{.protocol_version = 5}};
  const auto b = five.client.create_running("store");
  CHECK(five.client.post(b, "/sql", "select 1").status == 200);
  CHECK(five.client.post(b, "/batch", "select 1")
            .body.starts_with("not_in_version: SqliteExecuteBatch"));
}

TEST_CASE("the local SQLite is refused where it would block others") {
  hosted_pool x;
  const auto id = x.client.create_running("store");
  CHECK(
      x.client.get(id, "/open").body ==
      "refused: open_sqlite: it waits for the engine, which an actor on the scheduler's shared "
      "threads must not; "
      "serve this one as detached");
}

TEST_CASE("the local SQLite: tables survive sleep, and cached reads send no request") {
  hosted_pool x;
  const auto id = x.client.create_running("sqlite");
  CHECK(
      x.client
          .post(
              id,
              "/exec",
              "create table t (a integer primary key, b); insert into t values (1, 'one')")
          .body == "done");
  CHECK(x.client.post(id, "/sql", "select * from t").body == "a|b\n1|'one'");
  const auto before = x.host->stats().storage.requests;
  for (int i = 0; i < 10; ++i)
    CHECK(x.client.post(id, "/sql", "select b from t where a = 1").body == "b\n'one'");
  CHECK(x.host->stats().storage.requests == before);
  CHECK(x.client.get(id, "/again")
            .body.starts_with("refused: open_sqlite: the database is already open"));
  CHECK(x.client.get(id, "/remote").body.starts_with("refused: sql() while open_sqlite()"));
  must(x.client.sleep(id));
  CHECK(x.client.await_sleeping(id).sleeping);
  CHECK(x.client.post(id, "/sql", "select * from t").body == "a|b\n1|'one'");
  CHECK(x.client.post(id, "/sql", "pragma integrity_check").body.ends_with("'ok'"));
  CHECK(x.backlog_drains());
}

TEST_CASE(
    "the local SQLite: a transaction of thousands of pages is staged, and is there after sleep") {
  hosted_pool x;
  const auto id = x.client.create_running("sqlite");
  const auto fill = [&](int n) {
    return x.client.post(
        id,
        "/exec",
        "create table if not exists t (b); with recursive n(i) as (select 1 union all select i + 1 "
        "from n where i < " +
            std::to_string(n) + ") insert into t select randomblob(4000) from n");
  };
  CHECK(fill(2000).body == "done");
  CHECK(fill(700).body == "done");
  CHECK(x.client.get(id, "/stats").body.find("staged 2") != std::string::npos);
  must(x.client.sleep(id));
  CHECK(x.client.await_sleeping(id).sleeping);
  CHECK(x.client.post(id, "/sql", "select count(*), sum(length(b)) from t")
            .body.ends_with("\n2700|10800000"));
  CHECK(x.client.post(id, "/sql", "pragma integrity_check").body.ends_with("'ok'"));
}

TEST_CASE("the local SQLite: a cut at each step of a commit, and it is there once") {
  hosted_pool x;
  const auto id = x.client.create_running("sqlite");
  CHECK(x.client.post(id, "/exec", "create table t (a, b)").body == "done");
  const auto count = [&] { return x.client.post(id, "/sql", "select count(*) as n from t").body; };
  int rows = 0;
  const auto insert = [&](const std::function<fate(const protocol::to_rivet&)>& judge,
                          const std::string& blob) {
    x.proxy->judge_to_engine(judge);
    CHECK(x.client.post(id, "/sql", "insert into t values (1, " + blob + ")").body == "");
    CHECK(count() == "n\n" + std::to_string(++rows));
  };
  using namespace protocol;
  for (const auto end : {fate::cut_before, fate::cut_after}) {
    const auto once = [end]<class T>(T) {
      return [end, seen = std::make_shared<std::atomic<int>>(0)](const to_rivet& m) {
        return std::holds_alternative<T>(m) && (*seen)++ == 0 ? end : fate::pass;
      };
    };
    insert(once(to_rivet_sqlite_commit_request{}), "1");
    insert(once(to_rivet_sqlite_commit_stage_begin_request{}), "zeroblob(2000000)");
    insert(once(to_rivet_sqlite_commit_stage_segment_request{}), "zeroblob(2000000)");
    insert(once(to_rivet_sqlite_commit_finalize_request{}), "zeroblob(2000000)");
  }
  CHECK(x.client.post(id, "/sql", "pragma integrity_check").body.ends_with("'ok'"));
}

TEST_CASE(
    "the local SQLite: a host that dies in the middle of a commit leaves the old head, and the "
    "next one continues") {
  const auto pool = new_pool();
  auto first = std::make_unique<hosted_pool>(case_setup{.pool = pool});
  const auto id = first->client.create_running("sqlite");
  CHECK(
      first->client.post(id, "/exec", "create table t (a); insert into t values (1)").body ==
      "done");
  std::atomic<bool> reached = false;
  first->proxy->judge_to_engine([&](const protocol::to_rivet& m) {
    if (!std::holds_alternative<protocol::to_rivet_sqlite_commit_finalize_request>(m))
      return fate::pass;
    reached = true;
    return fate::swallow;
  });
  std::thread client{[&] {
    static_cast<void>(
        first->client.request(id, "POST", "/sql", "insert into t values (zeroblob(3000000))"));
  }};
  CHECK(await([&] { return reached.load(); }));
  first->host->abort();
  hosted_pool second{{.pool = pool}};
  client.join();
  CHECK(await(
      [&] {
        const auto got = second.client.request(id, "POST", "/sql", "select count(*) as n from t");
        return got && got->status == 200 && (got->body == "n\n1" || got->body == "n\n2");
      },
      60s));
  // A staged commit of the one that died stands in nobody's way.
  CHECK(second.client.post(id, "/sql", "insert into t values (zeroblob(2500000))").status == 200);
  CHECK(second.client.post(id, "/sql", "pragma integrity_check").body.ends_with("'ok'"));
}

TEST_CASE(
    "a persistent actor's state is there after sleep, a crash, a cut and its own end, in either "
    "store") {
  hosted_pool x;
  for (const auto* name : {"tally", "sql tally"}) {
    CAPTURE(name);
    const auto id = x.client.create_running(name);
    const auto pad = std::string{name} == "tally" ? "900000" : "3000000";
    CHECK(x.client.post(id, "/up").body == "new 1 0 1");
    must(x.client.sleep(id));
    CHECK(x.client.await_sleeping(id).sleeping);
    CHECK(x.client.post(id, "/up").body == "2 0 2");
    CHECK(x.client.post(id, "/save").body == "2 0 2");
    CHECK(x.client.post(id, "/throw").status == 500);
    CHECK(x.client.await_sleeping(id).sleeping);
    CHECK(x.client.post(id, "/pad", pad).body == fmt::format("2 {} 3", pad));
    must(x.client.sleep(id));
    CHECK(x.client.await_sleeping(id).sleeping);
    CHECK(x.client.post(id, "/up").body == fmt::format("3 {} 4", pad));
    // The save before sleep is cut off on its way, and made again.
    x.proxy->judge_to_engine([seen = 0](const protocol::to_rivet& m) mutable {
      const auto* kv = std::get_if<protocol::to_rivet_kv_request>(&m);
      const bool saves =
          (kv != nullptr && std::holds_alternative<protocol::kv_put_request>(kv->data)) ||
          std::holds_alternative<protocol::to_rivet_sqlite_execute_batch_request>(m);
      return saves && seen++ == 0 ? fate::cut_before : fate::pass;
    });
    must(x.client.sleep(id));
    CHECK(x.client.await_sleeping(id, 30s).sleeping);
    CHECK(x.client.post(id, "/up").body == fmt::format("4 {} 5", pad));
    CHECK(x.client.post(id, "/quit").status == 500);
    CHECK(x.client.post(id, "/up").body == fmt::format("5 {} 6", pad));
  }
  CHECK(x.backlog_drains());
}

TEST_CASE(
    "a persistent state that can't be saved leaves the stored one, and keeps its actor awake until "
    "it is stopped") {
  hosted_pool x;
  for (const auto* name : {"gauge", "sql gauge"}) {
    CAPTURE(name);
    const auto id = x.client.create_running(name);
    CHECK(x.client.post(id, "/set", "5").body == "5 1");
    CHECK(x.client.post(id, "/save").body == "saved");
    CHECK(x.client.post(id, "/nan").body == "nan 1");
    CHECK(x.client.post(id, "/save").status == 500);
    CHECK(x.client.post(id, "/sleep").body == "nan 1");
    CHECK(x.client.post(id, "/").body == "nan 1");
    must(x.client.sleep(id));
    CHECK(x.client.await_sleeping(id).sleeping);
    CHECK(await([&] {
      const auto got = x.client.request(id, "POST", "/", "");
      return got && got->status == 200 && got->body.starts_with("5 ");
    }));
  }
  CHECK(x.backlog_drains());
}

TEST_CASE("a persistent state that can't be read is kept, and its actor answers 500") {
  hosted_pool x;
  for (const auto* name : {"gauge", "sql gauge"}) {
    CAPTURE(name);
    measured_is_unreadable = false;
    const auto id = x.client.create_running(name);
    CHECK(x.client.post(id, "/set", "5").body == "5 1");
    CHECK(x.client.post(id, "/save").body == "saved");
    measured_is_unreadable = true;
    must(x.client.sleep(id));
    CHECK(x.client.await_sleeping(id).sleeping);
    for (int i = 0; i < 3; ++i) {
      const auto got = x.client.post(id, "/set", "6");
      CHECK(got.status == 500);
      CHECK(
          got.body ==
          "the stored state of this actor can't be read; it is kept, and the host's log says "
          "why\n");
    }
    must(x.client.sleep(id));
    CHECK(x.client.await_sleeping(id).sleeping);
    measured_is_unreadable = false;
    CHECK(x.client.post(id, "/").body == "5 3");
  }
  CHECK(x.backlog_drains());
}

TEST_CASE("kill -9 while writing: what was acknowledged is there, in KV and in the local SQLite") {
  auto& engine = shared_engine();
  const pool_client client{engine, new_pool()};
  const auto pool = client.options().pool;
  std::optional<process> host;
  host.emplace(std::vector<std::string>{"/proc/self/exe", "host", engine.endpoint(), pool});
  REQUIRE(host->await_line("ready"));
  const auto keys = client.create_running("store");
  const auto rows = client.create_running("sqlite");
  CHECK(client.post(rows, "/exec", "create table t (a integer primary key)").body == "done");
  std::atomic<int> put = 0, inserted = 0;
  std::atomic<bool> over = false;
  const auto write = [&](std::atomic<int>& done, const std::string& id, auto path, auto body) {
    return std::thread{[&, id, path, body] {
      for (int i = 1; !over; ++i) {
        const auto got = client.request(id, "POST", path(i), body(i));
        if (!got || got->status != 200) return;
        done = i;
      }
    }};
  };
  auto a = write(
      put,
      keys,
      [](int i) { return fmt::format("/put?{:06}", i); },
      [](int) { return std::string{"v"}; });
  auto b = write(
      inserted,
      rows,
      [](int) { return std::string{"/sql"}; },
      [](int i) { return fmt::format("insert into t values ({})", i); });
  CHECK(await([&] { return put > 50 && inserted > 50; }, 60s));
  host->signal(SIGKILL);
  over = true;
  CHECK(host->await_exit().has_value());
  const auto acknowledged_puts = put.load(), acknowledged_rows = inserted.load();
  host.emplace(std::vector<std::string>{"/proc/self/exe", "host", engine.endpoint(), pool});
  REQUIRE(host->await_line("ready"));
  a.join();
  b.join();
  // The engine needs up to half a minute to see that the first host is lost.
  const auto asked = [&](const std::string& id,
                         std::string_view method,
                         const std::string& path,
                         const std::string& body) {
    std::string out;
    CHECK(await(
        [&] {
          const auto got = client.request(id, std::string{method}, path, body);
          if (got && got->status == 200) out = got->body;
          return !out.empty();
        },
        90s));
    return out;
  };
  const auto found = asked(keys, "GET", "/list", "");
  const auto lines = std::count(found.begin(), found.end(), '\n');
  CHECK(lines >= acknowledged_puts);
  const auto count = asked(rows, "POST", "/sql", "select count(*), max(a) from t");
  const auto n = std::stoi(count.substr(count.find('\n') + 1));
  CHECK(n >= acknowledged_rows);
  CHECK(count.ends_with(fmt::format("\n{}|{}", n, n)));
  CHECK(asked(rows, "POST", "/sql", "pragma integrity_check").ends_with("'ok'"));
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

// The engine goes away, comes back, or comes late.
#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <functional>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "fixture.hpp"

namespace nuncio::e2e {

namespace engine_life_cases {

constexpr int rows = 20;

// Of the n-th write: long enough to be cut in two.
std::string value_of(int n) {
  return std::string(1500, static_cast<char>('a' + n % 26)) + std::to_string(n);
}

int number_at(std::string_view x) {
  int n = -1;
  std::from_chars(x.data(), x.data() + x.size(), n);
  return n;
}

std::vector<std::string> lines_of(std::string_view x) {
  std::vector<std::string> out;
  for (; !x.empty(); x.remove_prefix(std::min(x.find('\n') + 1, x.size()))) {
    const auto line = x.substr(0, x.find('\n'));
    out.emplace_back(line);
    if (line.size() == x.size()) break;
  }
  return out;
}

// Writes one thing after the other and keeps what its actor said was done. One thread at a time.
struct writer {
  const pool_client* client;
  const char* actor;
  std::string id;
  int last = 0;  // that was tried
  std::set<int> done;

  [[nodiscard]] bool keys() const { return std::string_view{actor} == "store"; }

  void write(std::atomic<int>& count) {
    while (true) {
      const int n = ++last;
      const auto reply =
          keys() ? client->request(id, "POST", fmt::format("/put?k{}", n), value_of(n))
                 : client->request(
                       id,
                       "POST",
                       "/sql",
                       fmt::format(
                           "with recursive c(x) as (select 1 union all select x + 1 from c where x "
                           "< {}) insert into t select {}, x, '{}' from c",
                           rows,
                           n,
                           value_of(n)));
      if (!reply || reply->status != 200) return;
      done.insert(n);
      ++count;
    }
  }

  // What is stored: the number of each write of which all is there; 0 for one of which a part is.
  [[nodiscard]] std::set<int> stored() const {
    std::set<int> out;
    if (keys()) {
      for (const auto& line : lines_of(client->get(id, "/list?k").body)) {
        const auto n = number_at(std::string_view{line}.substr(1));
        out.insert(line == fmt::format("k{}={}", n, value_of(n)) ? n : 0);
      }
      return out;
    }
    const auto found =
        client->post(id, "/sql", "select n, count(distinct x), min(s), max(s) from t group by n");
    CHECK(found.status == 200);
    auto lines = lines_of(found.body);
    if (!lines.empty()) lines.erase(lines.begin());  // names
    for (const auto& line : lines) {
      const auto n = number_at(line);
      out.insert(line == fmt::format("{}|{}|'{}'|'{}'", n, rows, value_of(n), value_of(n)) ? n : 0);
    }
    CHECK(client->post(id, "/sql", "pragma integrity_check").body.ends_with("'ok'"));
    return out;
  }
};

}  // namespace engine_life_cases

TEST_SUITE_BEGIN("engine_life");

TEST_CASE(
    "the engine is killed with -9 and restarted: actors keep their state, nothing runs twice") {
  engine_under_test engine{{.keep_data = true}};
  hosted_pool x{engine, {}};
  const auto counter = x.client.create_running("counter");
  const auto bench = x.client.create_running("bench");
  x.client.post(counter, "/request/increment");
  const auto instance = x.client.get(bench, "/request/instance").body;
  for (int i = 0; i < 2; ++i) {
    CAPTURE(i);
    engine.kill();
    engine.restart();
    REQUIRE(await([&] { return x.proxy->last().barrier && !x.proxy->last().ended; }));
    CHECK(x.client.get(bench, "/request/instance").body == instance);
  }
  CHECK(x.client.post(counter, "/request/increment").body == "2");
  CHECK(x.client.get(bench, "/request/instance").header("x-starts") == "1");
  CHECK(x.host->factory_calls() == 2);
  CHECK(x.client.create_running("counter").size() > 0);
  CHECK(x.backlog_drains());
}

TEST_CASE(
    "an engine that goes away in good order is met again at once; actors stay what they are") {
  engine_under_test engine{{.keep_data = true}};
  hosted_pool x{engine, {}};
  const auto id = x.client.create_running("probe");
  CHECK(x.client.post(id, "/increment").body == "1");
  const auto connections = x.proxy->records().size();
  engine.stop();
  engine.restart();
  REQUIRE(
      await([&] { return x.proxy->records().size() > connections && x.proxy->last().barrier; }));
  const auto log = x.host->log();
  INFO(log);
  const auto said = log.find("the engine is restarting (ws.going_away");
  REQUIRE(said != std::string::npos);
  const auto wait = log.find("retry_ms=", said);
  REQUIRE(wait != std::string::npos);
  CHECK(std::stoi(log.substr(wait + 9)) < 100);
  CHECK(x.client.post(id, "/increment").body == "2");
  CHECK(x.client.get(id, "/generation").body == "1");
  CHECK(x.host->factory_calls() == 1);
}

TEST_CASE(
    "an engine that comes back without its data is given its pool again, and new actors live "
    "there") {
  engine_under_test engine;  // the dev engine keeps nothing then, not even pools; the real one all
  hosted_pool x{engine, {}};
  CHECK(x.client.create_running("counter").size() > 0);
  const auto connections = x.proxy->records().size();
  engine.stop();
  engine.restart();
  INFO("the host's log:\n" << x.host->log());
  REQUIRE(await(
      [&] { return x.proxy->records().size() > connections && x.proxy->last().barrier; }, 30s));
  const auto id = x.client.create_running("counter");
  CHECK(x.client.post(id, "/request/increment").body == "1");
}

TEST_CASE(
    "4.3: an engine killed with -9 between any two writes has what it said was stored, whole") {
  using engine_life_cases::writer;
  engine_under_test engine{{.keep_data = true, .apart = true}};
  hosted_pool x{engine, {}};
  std::vector<writer> writers;
  for (const auto* actor : {"store", "store", "sqlite"})
    writers.push_back({&x.client, actor, x.client.create_running(actor), 0, {}});
  // The second has its SQL run by the engine, the third has a database of its own over the engine's pages.
  writers[1].actor = "sql";
  for (auto& w : writers)
    if (!w.keys()) REQUIRE(x.client.post(w.id, "/sql", "create table t(n, x, s)").status == 200);
  for (const int moment : {1, 10, 25, 60}) {
    CAPTURE(moment);
    std::atomic<int> count = 0;
    std::vector<std::thread> threads;
    threads.reserve(writers.size());
    for (auto& w : writers) threads.emplace_back([&] { w.write(count); });
    const bool reached = await([&] { return count >= moment; });
    engine.kill();
    for (auto& t : threads) t.join();
    CHECK(reached);
    engine.restart();
    REQUIRE(await([&] { return x.proxy->last().barrier && !x.proxy->last().ended; }));
    for (auto& w : writers) {
      CAPTURE(w.actor);
      const auto stored = w.stored();
      CHECK_FALSE(stored.contains(0));
      for (const auto n : w.done) CHECK(stored.contains(n));
      for (const auto n : stored) CHECK((w.done.contains(n) || n <= w.last));
      // Whether the one that was under way is there is known now.
      w.done = stored;
    }
  }
  CHECK(x.host->factory_calls_repeated() == 0);
}

TEST_CASE("commands unacked when the engine is killed are replayed, and run once") {
  engine_under_test engine{{.keep_data = true}};
  hosted_pool x{engine, {}};
  x.proxy->lose_acks(true);
  const auto live = x.client.create_running("bench");
  const auto gone = x.client.create_running("bench");
  must(x.client.destroy(gone));
  engine.kill();
  engine.restart();
  REQUIRE(await([&] { return x.proxy->last().barrier && !x.proxy->last().ended; }));
  CHECK(x.proxy->last().starts == 2);
  CHECK(x.proxy->last().stops == 1);
  CHECK(x.client.get(live, "/request/instance").header("x-starts") == "1");
  CHECK(x.client.get(gone, "/request/instance").status == 404);
  CHECK(x.host->factory_calls() == 2);
  x.proxy->lose_acks(false);
  CHECK(x.backlog_drains());
}

TEST_CASE("an engine that is not there at first: the host waits and becomes ready") {
  engine_under_test engine{{.keep_data = true}};
  engine.kill();
  const auto pool = new_pool();
  test_host host{{.endpoint = engine.endpoint(), .pool = pool}};
  CHECK_FALSE(host.await_ready(1s));
  CHECK_FALSE(host.await_end(0ms).has_value());
  CHECK(host.log().find("trying again") != std::string::npos);
  engine.restart();
  const auto ready = host.await_ready(
      90s);  // after a kill -9 the real engine may refuse new pools with 500 for half a minute
  INFO(host.log());
  REQUIRE(ready);
  const pool_client client{engine, pool};
  CHECK(client.get(client.create_running("counter"), "/request/count").body == "0");
  host.abort();
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

// The engine goes away, comes back, or comes late.
#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "probed_pool.hpp"
#include "raw_client.hpp"

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

// Key -> the write that it is of; 0 for one that is there in part.
using content = std::map<int, int>;

// Writes one thing after the other, and knows what must be there. One thread at a time.
struct writer {
  const pool_client* client;
  const char* actor;
  std::string id;
  int last = 0;           // that was tried
  content before, after;  // that write: what must be there without it, and with it

  [[nodiscard]] bool keys() const { return std::string_view{actor} == "store"; }

  // Of four writes two are of a key of their own, one overwrites the one before, and one erases the first.
  [[nodiscard]] std::optional<client_reply> carry_out(int n) const {
    const int kind = n % 4;
    const int key = kind == 0 ? n - 3 : kind == 3 ? n - 1 : n;
    const auto post = [&](const std::string& path, const std::string& body) {
      const auto reply = client->request(id, "POST", path, body);
      return reply ? std::optional{*reply} : std::nullopt;
    };
    if (keys() && kind == 0) return post(fmt::format("/erase?k{}", key), "");
    if (keys()) return post(fmt::format("/put?k{}", key), value_of(n));
    if (kind == 0) return post("/sql", fmt::format("delete from t where k = {}", key));
    return post(
        "/sql",
        fmt::format(
            "with recursive c(x) as (select 1 union all select x + 1 from c where x < {}) "
            "insert or replace into t select {}, x, {}, '{}' from c",
            rows,
            key,
            n,
            value_of(n)));
  }

  static void apply(int n, content& to) {
    if (n % 4 == 0)
      to.erase(n - 3);
    else
      to[n % 4 == 3 ? n - 1 : n] = n;
  }

  void write(std::atomic<int>& count) {
    while (true) {
      before = after;
      apply(++last, after);
      const auto reply = carry_out(last);
      if (!reply || reply->status != 200) return;
      ++count;
    }
  }

  [[nodiscard]] content stored() const {
    content out;
    if (keys()) {
      for (const auto& line : lines_of(client->get(id, "/list?k").body)) {
        const auto key = number_at(std::string_view{line}.substr(1));
        const auto value = line.substr(std::min(line.find('=') + 1, line.size()));
        const auto n =
            number_at(std::string_view{value}.substr(std::min<std::size_t>(value.size(), 1500)));
        out[key] = n > 0 && value == value_of(n) ? n : 0;
      }
      return out;
    }
    const auto found = client->post(
        id, "/sql", "select k, n, count(distinct x), min(s), max(s) from t group by k, n");
    CHECK(found.status == 200);
    auto lines = lines_of(found.body);
    if (!lines.empty()) lines.erase(lines.begin());  // names
    for (const auto& line : lines) {
      const auto key = number_at(line);
      const auto n = number_at(std::string_view{line}.substr(line.find('|') + 1));
      const auto whole = fmt::format("{}|{}|{}|'{}'|'{}'", key, n, rows, value_of(n), value_of(n));
      // Rows of two writes under one key are parts of both.
      out[key] = line == whole && !out.contains(key) ? n : 0;
    }
    CHECK(client->post(id, "/sql", "pragma integrity_check").body.ends_with("'ok'"));
    return out;
  }
};

// The gateways that the host hears of.
struct gateways_heard {
  std::mutex mutex;
  std::set<fixed4> all;

  explicit gateways_heard(wire_proxy& proxy) {
    proxy.judge_to_host([this](const protocol::to_envoy& x) {
      const std::lock_guard guard{mutex};
      if (const auto* tunnelled = std::get_if<protocol::to_envoy_tunnel_message>(&x))
        all.insert(tunnelled->message_id.gateway_id.value);
      return fate::pass;
    });
  }

  std::set<fixed4> take() {
    const std::lock_guard guard{mutex};
    return std::exchange(all, {});
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

TEST_CASE("an engine that goes away in good order is dialled again at once; actors are unchanged") {
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
    "an engine that comes back without its data gets its pool again, and new actors run there") {
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
    "4.3: an engine killed with -9 amid writes has everything that it confirmed, and nothing "
    "else") {
  using engine_life_cases::writer;
  engine_under_test engine{{.keep_data = true, .apart = true}};
  hosted_pool x{engine, {}};
  std::vector<writer> writers;
  for (const auto* actor : {"store", "store", "sqlite"})
    writers.push_back({&x.client, actor, x.client.create_running(actor), 0, {}, {}});
  // The second has its SQL run by the engine, the third has a database of its own over the engine's pages.
  writers[1].actor = "sql";
  for (auto& w : writers)
    if (!w.keys())
      REQUIRE(
          x.client.post(w.id, "/sql", "create table t(k, x, n, s, primary key(k, x))").status ==
          200);
  for (const int moment : {1, 2, 3, 5, 8, 13, 21, 34}) {
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
      // The last write was under way: whether it is there is known now.
      CHECK((stored == w.before || stored == w.after));
      w.before = w.after = stored;
    }
  }
  CHECK(x.host->factory_calls_repeated() == 0);
}

TEST_CASE(
    "I13 backpressure: all clients of an engine that is killed with -9 come back at once, and all "
    "are served") {
  engine_setup setup{.keep_data = true};
  std::string waiting = "/request/slow?ms=600000", again = "/request/slow?ms=2000";
  SUBCASE("requests that wait for their answers") {}
  SUBCASE("responses that are streamed") {
    setup.streaming = true;
    waiting = again = "/request/events?count=1000000&ms=100";
  }
  engine_under_test engine{setup};
  constexpr std::size_t n = 16;
  probed_pool x{engine, {.requests_max = n}};
  engine_life_cases::gateways_heard gateways{*x.proxy};
  const auto ask = [&](const std::string& path) {
    std::vector<raw_client> out;
    for (std::size_t i = 0; i < n; ++i) {
      out.emplace_back(engine.port());
      out.back().send(request_head("POST", x.target(path), "content-length: 0\r\n"));
    }
    return out;
  };
  const auto echo = [&] {
    std::vector<socket_client> out;
    for (std::size_t i = 0; i < n; ++i) {
      out.push_back(x.open("echo"));
      CHECK(out.back().send("one"));
      CHECK(out.back().text() == "one");
    }
    return out;
  };
  for (std::uint64_t round = 1; round <= 2; ++round) {
    CAPTURE(round);
    // A gateway outlives a cut, and no engine.
    static_cast<void>(x.info());
    auto before = gateways.take();
    x.proxy->cut_and_await();
    static_cast<void>(x.info());
    for (const auto& each : gateways.take()) CHECK(before.contains(each));
    auto clients = ask(waiting);
    auto sockets = echo();
    REQUIRE(await([&] { return x.host->stats().ingress.requests_open == n; }));
    engine.kill();
    // Until then clients that read go on to be heard of.
    REQUIRE(await([&] { return x.proxy->last().ended; }));
    before.merge(gateways.take());
    clients.clear();
    sockets.clear();
    engine.restart();
    REQUIRE(await([&] { return x.proxy->last().barrier && !x.proxy->last().ended; }));
    clients = ask(again);
    for (auto& each : clients) {
      CHECK(each.await("\r\n\r\n"));
      CHECK(each.status() == 200);
    }
    sockets = echo();
    CHECK(x.host->stats().ingress.requests_rejected == 0);
    CHECK(x.host->stats().ingress.clients_doubted == n * round);
    const auto after = gateways.take();
    CHECK_FALSE(after.empty());
    for (const auto& each : after) CHECK_FALSE(before.contains(each));
    clients.clear();
    sockets.clear();
    CHECK(await([&] { return x.host->stats().ingress.requests_open == 0; }));
  }
  CHECK(x.host->factory_calls() == 1);
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

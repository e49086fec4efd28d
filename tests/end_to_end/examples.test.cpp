// The examples, run as programs like a user would, against either engine.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <nuncio/testing/socket_client.hpp>

#include "fixture.hpp"
#include "process.hpp"

namespace nuncio::e2e {

namespace {

using json = nlohmann::json;

struct example {
  explicit example(const std::string& program, const engine_under_test& on = shared_engine())
      : engine(on),
        client(on, new_pool()),
        host({
            fmt::format("{}/example_{}", NUNCIO_EXAMPLES, program),
            "--endpoint=" + on.endpoint(),
            "--pool=" + client.options().pool,
        }) {}

  // The pool exists once the host has made it, and takes actors once it is connected.
  std::string create(const std::string& name, const std::string& key = {}) {
    CHECK(await([&] {
      const auto keys = client.envoys();
      return keys && !keys->empty();
    }));
    return client.create_running(name, key);
  }

  // Until its instance is over: what a client says before that the real engine may lose (docs/protocol.md M).
  void put_to_sleep(const std::string& id) {
    must(client.sleep(id));
    CHECK(await([&] {
      const auto listed =
          must(client.call({.target = "/envoys?namespace=default&name=" + client.options().pool}));
      const auto all = json::parse(listed.body).at("envoys");
      return all.size() == 1 && all[0].at("slots") == 0;
    }));
  }

  socket_client open(const std::string& id, std::string_view query) {
    return socket_client{engine.port(), fmt::format("/gateway/{}/websocket/?{}", id, query)};
  }

  const engine_under_test& engine;
  pool_client client;
  process host;
};

}  // namespace

TEST_SUITE_BEGIN("examples");

TEST_CASE("chat: everyone gets every message, through sleep, and a newcomer gets the history") {
  example x{"chat"};
  const auto id = x.create("room");
  auto ann = x.open(id, "name=ann");
  auto bob = x.open(id, "name=bob");
  CHECK(ann.send("hello"));
  CHECK(ann.text() == "ann: hello");
  CHECK(bob.text() == "ann: hello");
  x.put_to_sleep(id);
  CHECK(bob.send("still here"));
  CHECK(bob.text() == "bob: still here");
  CHECK(ann.text() == "bob: still here");
  auto eve = x.open(id, "name=eve");
  CHECK(eve.text() == "ann: hello");
  CHECK(eve.text() == "bob: still here");
  CHECK(x.client.get(id, "/request/history").body == "ann: hello\nbob: still here\n");
}

TEST_CASE("leaderboard: each player's best, through sleep") {
  example x{"leaderboard"};
  const auto id = x.create("leaderboard");
  CHECK(x.client.post(id, "/request/score?player=ann&points=10").body == "10");
  CHECK(x.client.post(id, "/request/score?player=bob&points=30").body == "30");
  CHECK(x.client.post(id, "/request/score?player=ann&points=5").body == "10");
  CHECK(x.client.post(id, "/request/score?player=a%27b&points=20").body == "20");
  CHECK(x.client.post(id, "/request/score?player=ann").status == 400);
  must(x.client.sleep(id));
  CHECK(x.client.await_sleeping(id).sleeping);
  CHECK(
      x.client.get(id, "/request/top?n=2").body ==
      R"([{"player":"bob","points":30},{"player":"a'b","points":20}])");
}

TEST_CASE("match: hundreds of players get every tick") {
  example x{"match"};
  const auto id = x.create("match");
  // The real engine's gateway does not keep up with 200 of them on two cores.
  const std::size_t n = kind_under_test() == engine_kind::rivet ? 40 : 200;
  std::vector<socket_client> players;
  std::vector<std::uint64_t> last(n, 0), heard(n, 0);
  std::size_t missed = 0, full = 0;
  int position = 0;
  // Reads what has come for one of them.
  const auto read = [&](std::size_t i, std::chrono::milliseconds limit) {
    while (const auto got = players[i].receive(limit)) {
      const auto state = json::parse(got->data);
      const std::uint64_t tick = state["tick"];
      if (last[i] != 0 && tick != last[i] + 1) ++missed;
      last[i] = tick;
      ++heard[i];
      if (i == 0 && state["players"].size() == n) ++full;
      for (const auto& each : state["players"])
        if (each["name"] == "p0") position = each["at"];
      limit = std::chrono::milliseconds{0};
    }
  };
  while (players.size() < n) {
    players.push_back(x.open(id, fmt::format("name=p{}", players.size())));
    REQUIRE(players.back().http_status() == 101);
    for (std::size_t i = 0; i < players.size(); ++i) read(i, 0ms);
  }
  CHECK(players.front().send("right"));
  CHECK(await(
      [&] {
        for (std::size_t i = 0; i < n; ++i) read(i, 0ms);
        return full >= 20;
      },
      60s));
  CHECK(missed == 0);
  CHECK(position > 0);
  CHECK(std::count(heard.begin(), heard.end(), 0U) == 0);
  CHECK(x.client.get(id, "/request/").body.starts_with(fmt::format("{} players", n)));
  players.clear();
  CHECK(await([&] { return x.client.get(id, "/request/").body.starts_with("0 players"); }));
}

TEST_CASE("cron: a sleeping job is woken for each run, and none is counted twice") {
  example x{"cron"};
  const auto id = x.create("job");
  CHECK(x.client.post(id, "/request/every?seconds=soon").status == 400);
  CHECK(x.client.post(id, "/request/every?seconds=1").body.starts_with("0 runs"));
  CHECK(await([&] { return x.client.view(id).sleeping; }));
  CHECK(await([&] { return std::stoi(x.client.get(id, "/request/").body) >= 3; }));
  CHECK(x.client.post(id, "/request/never").status == 200);
  const auto runs = std::stoi(x.client.get(id, "/request/").body);
  std::this_thread::sleep_for(2500ms);  // what must not happen has nothing to wait for
  CHECK(std::stoi(x.client.get(id, "/request/").body) == runs);
}

TEST_CASE("stream: events as they happen, and a body as fast as it is read") {
  engine_under_test engine{{.streaming = true}};
  example x{"stream", engine};
  const auto id = x.create("news");
  std::string expected;
  for (int i = 1; i <= 200'000; ++i) expected += fmt::format("{}\n", i);
  CHECK((x.client.get(id, "/request/count?to=200000").body == expected));
  // A listener that leaves after a while has heard what was told meanwhile.
  std::thread listens{[&] {
    static_cast<void>(x.client.call(
        {.target = fmt::format("/gateway/{}/request/events", id),
         .timeout = std::chrono::milliseconds{2000}}));
  }};
  CHECK(await([&] { return x.client.post(id, "/request/tell", "news").body == "1 listen"; }));
  listens.join();
  CHECK(await([&] { return x.client.post(id, "/request/tell", "news").body == "0 listen"; }));
}

TEST_CASE("embed: the application's actors and engine actors talk to each other") {
  example x{"embed"};
  const auto ann = x.create("player", "ann");
  const auto whistle = x.create("whistle");
  CHECK(x.client.post(ann, "/").body == "1");
  CHECK(x.client.post(ann, "/").body == "2");
  CHECK(x.client.get(whistle, "/?who=ann").body == "ann sits out");
  CHECK(x.client.get(whistle, "/?who=bob").body == "bob does not play here");
  CHECK(await([&] { return x.client.get(ann, "/").body == "ann 2\nfouls 1\n"; }));
  x.host.signal(SIGTERM);
  CHECK(x.host.await_exit() == 0);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

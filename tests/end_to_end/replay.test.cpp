// Commands that the engine repeats after lost acks never run again, and are acked until its store is empty.
#include <future>
#include <nuncio/testing/socket_client.hpp>

#include "fixture.hpp"

namespace nuncio::e2e {

TEST_SUITE_BEGIN("replay");

TEST_CASE("Start replay on a live actor leaves it alone: state intact, one start") {
  hosted_pool x;
  x.proxy->lose_acks(true);
  const auto counter = x.client.create_running("counter");
  const auto bench = x.client.create_running("bench");
  x.client.post(counter, "/request/increment");
  const auto instance = x.client.get(bench, "/request/instance").body;

  const auto replay = x.proxy->cut_and_await();
  CHECK(replay.starts == 2);
  CHECK(replay.replayed == 2);

  CHECK(x.client.post(counter, "/request/increment").body == "2");
  const auto after = x.client.get(bench, "/request/instance");
  CHECK(after.body == instance);
  CHECK(after.header("x-starts") == "1");
  CHECK(x.host->factory_calls() == 2);
  CHECK(await([&] { return x.host->stats().ledger.duplicates == 2; }));
  x.proxy->lose_acks(false);
  CHECK(x.backlog_drains());
}

TEST_CASE("Start replay on a live actor leaves its request in flight alone") {
  hosted_pool x;
  x.proxy->lose_acks(true);
  const auto id = x.client.create_running("probe");
  auto slow = std::async(std::launch::async, [&] { return x.client.get(id, "/hold"); });
  REQUIRE(await([&] { return x.host->stats().ingress.requests_open == 1; }));
  const auto replay = x.proxy->cut_and_await();
  CHECK(replay.replayed == 1);
  CHECK(x.host->release(id));
  const auto reply = slow.get();
  CHECK(reply.status == 200);
  CHECK(reply.header("x-generation") == "1");
  CHECK(x.host->factory_calls() == 1);
}

TEST_CASE("Start and Stop replay of a stopped actor: nothing starts, both are acked") {
  hosted_pool x;
  x.proxy->lose_acks(true);
  const auto gone = x.client.create_running("counter");
  const auto live = x.client.create_running("counter");
  must(x.client.destroy(gone));

  const auto replay = x.proxy->cut_and_await();
  CHECK(replay.starts == 2);
  CHECK(replay.stops == 1);
  CHECK(x.client.get(live, "/request/count").status == 200);
  CHECK(x.client.get(gone, "/request/count").status == 404);
  CHECK(x.host->factory_calls() == 2);
  CHECK(x.host->stats().ingress.stops == 1);

  x.proxy->lose_acks(false);
  CHECK(x.backlog_drains());
  CHECK(x.host->factory_calls() == 2);
}

TEST_CASE("Stop replay of a sleeping actor: it sleeps on and wakes once") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  x.proxy->lose_acks(true);
  must(x.client.sleep(id));
  CHECK(x.client.await_sleeping(id).sleeping);
  const auto replay = x.proxy->cut_and_await();
  CHECK(replay.stops == 1);
  CHECK(x.client.view(id).sleeping);
  x.proxy->lose_acks(false);
  CHECK(x.client.get(id, "/generation").body == "2");
  CHECK(x.host->factory_calls() == 2);
  CHECK(x.backlog_drains());
}

TEST_CASE("the same Starts replayed on ten connections run once") {
  hosted_pool x;
  x.proxy->lose_acks(true);
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(x.client.create_running("bench"));
  for (std::uint64_t i = 1; i <= 10; ++i) {
    CHECK(x.proxy->cut_and_await().replayed == 5);
    // Before the next cut, which may destroy what the host has not read yet.
    CHECK(await([&] { return x.host->stats().ledger.duplicates == 5 * i; }));
  }
  CHECK(x.host->factory_calls() == 5);
  for (const auto& id : ids) CHECK(x.client.get(id, "/request/instance").header("x-starts") == "1");
  x.proxy->lose_acks(false);
  CHECK(x.backlog_drains());
}

TEST_CASE("cut after the delivery of a Start, before its ack: run once") {
  hosted_pool x;
  x.proxy->judge_to_engine([cuts = 0](const protocol::to_rivet& m) mutable {
    return std::holds_alternative<protocol::to_rivet_ack_commands>(m) && cuts++ < 3
               ? fate::cut_before
               : fate::pass;
  });
  const auto id = x.client.create_running("bench");
  REQUIRE(x.proxy->await_barrier(4));
  CHECK(x.client.get(id, "/request/instance").header("x-starts") == "1");
  CHECK(x.host->factory_calls() == 1);
  CHECK(x.host->stats().ledger.duplicates == 3);  // one with each connection
  CHECK(x.backlog_drains());
}

TEST_CASE("the engine's backlog drains to 0: a last reconnect replays nothing") {
  hosted_pool x;
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(x.client.create_running("counter"));
  for (int i = 0; i < 6; ++i) must(x.client.destroy(ids[static_cast<std::size_t>(i)]));
  CHECK(x.backlog_drains());
  CHECK(x.proxy->last().replayed == 0);
}

TEST_CASE(
    "I3 no resurrection: Start and Stop replayed long after they were forgotten are acked, and the "
    "actor sleeps on and wakes with its data") {
  hosted_pool x{{.forget_after = 2s}};
  const auto id = x.client.create_running("outside");
  CHECK(must(x.client.request(id, "PUT", "/request/kv?key=a", "kept")).status == 200);
  x.proxy->lose_acks(true);
  const auto other = x.client.create_running("counter");
  must(x.client.sleep(id));
  CHECK(x.client.await_sleeping(id).sleeping);
  must(x.client.destroy(other));
  REQUIRE(await([&] { return x.host->stats().ledger.forgotten == 2; }));
  CHECK(x.host->stats().ledger.entries == 0);
  const auto said = x.host->stats().outbox.stopped;

  const auto replay = x.proxy->cut_and_await();
  CHECK(replay.starts == 1);  // the first Start was acked
  CHECK(replay.stops == 2);
  REQUIRE(await([&] { return x.host->stats().ledger.expired == 3; }));
  x.proxy->lose_acks(false);
  CHECK(x.backlog_drains());
  CHECK(x.host->stats().outbox.stopped == said);
  CHECK(x.host->factory_calls() == 2);
  CHECK(x.client.view(id).sleeping);
  CHECK(x.client.get(other, "/request/count").status == 404);
  CHECK(x.client.get(id, "/request/info").body.find("\"generation\":2") != std::string::npos);
  CHECK(x.client.get(id, "/request/kv?key=a").body == "kept");
  CHECK(x.host->factory_calls() == 3);
}

TEST_CASE(
    "while actors sleep and are forgotten, one connection carries sockets, requests and downloads "
    "without a gap") {
  hosted_pool x{{.forget_after = 500ms}};
  const auto awake = x.client.create_running("outside");
  socket_client echo{x.engine.port(), "/gateway/" + awake + "/websocket/echo"};
  REQUIRE(echo.http_status() == 101);
  auto events = std::async(
      std::launch::async, [&] { return x.client.get(awake, "/request/events?count=40&ms=100"); });
  for (std::uint64_t i = 1; i <= 6; ++i) {
    const auto sleeper = x.client.create_running("counter");
    CHECK(x.client.post(sleeper, "/request/increment").body == "1");
    must(x.client.sleep(sleeper));
    CHECK(x.client.await_sleeping(sleeper).sleeping);
    REQUIRE(await([&] { return x.host->stats().ledger.forgotten == i; }));
    const auto n = std::to_string(i);
    REQUIRE(echo.send(n));
    CHECK(echo.text() == n);
    CHECK(x.client.post(awake, "/request/sink", n).status == 200);
  }
  const auto all = events.get();
  CHECK(all.status == 200);
  CHECK(all.body.find("39") != std::string::npos);
  CHECK_FALSE(echo.close_code());
  CHECK(x.host->stats().link.connections == 1);
  CHECK(x.proxy->records().size() == 1);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

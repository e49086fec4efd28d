// Messages longer than the host, or the engine, accepts: each costs only its own call.
#include <algorithm>
#include <string>
#include <vector>

#include "probed_pool.hpp"

namespace nuncio::e2e {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

case_setup small_messages() {
  case_setup out;
  out.message_bytes_max = mib;
  return out;
}

// Somebody else on the same host, with an open WebSocket and a state in memory.
struct neighbour {
  explicit neighbour(probed_pool& at)
      : pool(at),
        id(at.client.create_running("counter")),
        other(at.client.create_running("outside")),
        echo(at.open(other, "echo")) {
    count();
  }

  // Each call is the next: what was in memory is still there, and the WebSocket is the same.
  void count() {
    const auto n = std::to_string(++calls);
    CHECK(pool.client.post(id, "/request/increment").body == n);
    CHECK(echo.send(n));
    CHECK(echo.text() == n);
  }

  void check_untroubled() {
    count();
    CHECK(pool.host->stats().link.connections == 1);
    CHECK(pool.host->stats().link.bad_frames == 0);
  }

  probed_pool& pool;
  std::string id;
  std::string other;
  socket_client echo;
  int calls = 0;
};

struct small_pool : probed_pool {
  small_pool() : probed_pool(small_messages()) {}
};

}  // namespace

TEST_SUITE_BEGIN("frames");

TEST_CASE_FIXTURE(
    small_pool, "1.2: a list that is longer than the host accepts fails alone, once") {
  neighbour other{*this};
  const std::string value(128 * 1024, 'v');
  for (int i = 0; i < 12; ++i)
    REQUIRE(
        must(client.request(id, "PUT", fmt::format("/request/kv?key=k{}", i), value)).status ==
        200);
  const auto all = client.get(id, "/request/kv?prefix=k");
  CHECK(all.status == 500);
  CHECK(all.body.find("KvList: the engine's answer is larger than this host accepts") == 0);
  other.check_untroubled();
  CHECK(host->stats().storage.too_long == 1);
  CHECK(host->stats().storage.retried == 0);
  const auto page = client.get(id, "/request/kv?prefix=k&limit=4");
  CHECK(page.status == 200);
  CHECK(page.body.size() > 4 * value.size());
}

TEST_CASE_FIXTURE(small_pool, "1.2: rows that are longer than the host accepts fail alone") {
  neighbour other{*this};
  const auto all = client.post(id, "/request/sql", "select hex(zeroblob(700000))");
  CHECK(all.status == 500);
  CHECK(all.body.find("the engine's answer is larger than this host accepts") != std::string::npos);
  other.check_untroubled();
  CHECK(client.post(id, "/request/sql", "select 7").body == R"({"columns":["7"],"rows":[[7]]})");
}

TEST_CASE_FIXTURE(
    small_pool,
    "1.2: a client whose message is longer than the host accepts gets 1009, and no other client") {
  neighbour other{*this};
  for (const auto* path : {"echo", "hibernate"}) {
    auto client_socket = open(path);
    REQUIRE(client_socket.send("first"));
    CHECK(client_socket.receive());
    REQUIRE(client_socket.send(std::string(2 * mib, 'x'), true));
    CHECK(client_socket.await_close() == 1009);
    other.check_untroubled();
  }
  CHECK(await([&] { return host->stats().ingress.sockets_open == 1; }));
}

TEST_CASE(
    "1.2: a client's longest message arrives, and an answer that is too long ends that client") {
  probed_pool pool{case_setup{}};
  neighbour other{pool};
  for (const std::size_t size : {32 * mib - 16, 32 * mib}) {
    auto socket = pool.open("echo");
    REQUIRE(socket.send(std::string(size, 'x'), true));
    CHECK(socket.await_close() == 1009);
    CHECK(socket.close_reason() == "too long to echo");  // so it was delivered
    other.check_untroubled();
  }
}

TEST_CASE("1.2: a replay longer than any message is accepted, and runs each actor once") {
  probed_pool pool{small_messages()};
  neighbour other{pool};
  pool.proxy->lose_acks(true);
  constexpr int count = 12;
  std::vector<std::string> ids;
  for (int i = 0; i < count; ++i)
    ids.push_back(
        must(pool.client.create({.name = "bench", .input = std::string(400'000, 'i')})).id);
  const auto answers = [&](const std::string& actor) {
    return pool.client.get(actor, "/request/instance").header("x-starts") == "1";
  };
  CHECK(std::all_of(ids.begin(), ids.end(), answers));
  const auto again = pool.proxy->cut_and_await();
  CHECK(again.replayed == count);
  CHECK(std::all_of(ids.begin(), ids.end(), answers));
  other.count();
  pool.proxy->lose_acks(false);
  CHECK(pool.backlog_drains());
  CHECK(pool.host->stats().link.bad_frames == 0);
  CHECK(pool.host->factory_calls_repeated() == 0);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

// Client WebSockets: a cut at every step, floods, clients that read nothing, actors that sleep under them.
#include <fmt/format.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "probed_pool.hpp"
#include "raw_client.hpp"
#include "tunnel_judges.hpp"

namespace nuncio::e2e {
namespace {

using json = nlohmann::json;
using namespace protocol;

struct socket_case : probed_pool {
  bool await_open(std::uint64_t n) {
    return await([&] { return host->stats().ingress.sockets_open == n; });
  }
};

// The number that a message was, whether it came back as it was or from a hibernating socket.
int number_of(const testing::client_message& frame) {
  const auto x = json::parse(frame.data);
  return x.is_object() ? std::stoi(x["text"].get<std::string>()) : x.get<int>();
}

// A WebSocket that says 1 to 40 around one cut. What comes back comes once and in order, to the last or to a close.
struct counted {
  std::string of;
  socket_client socket;
  int seen = 0;

  [[nodiscard]] bool over() const { return seen == 40 || socket.close_code(); }

  // Until it is over or nothing has come for `limit`.
  void read(std::chrono::milliseconds limit) {
    CAPTURE(of);
    while (!over()) {
      const auto got = socket.receive(limit);
      if (!got) return;
      const int n = number_of(*got);
      REQUIRE(n > seen);
      seen = n;
    }
  }
};

counted count_through(socket_case& x, const cut_step& step, std::string_view path) {
  const auto connections = x.proxy->records().size();
  x.proxy->judge_to_engine(step.to_engine);
  x.proxy->judge_to_host(step.to_host);
  counted out{fmt::format("{}, {}", path, step.name), x.open(path)};
  CAPTURE(out.of);
  REQUIRE(out.socket.http_status() == 101);
  for (int i = 1; i <= 20; ++i) CHECK(out.socket.send(std::to_string(i)));
  CHECK(x.proxy->await_barrier(connections + 1));
  x.proxy->judge_to_engine({});
  x.proxy->judge_to_host({});
  for (int i = 21; i <= 40; ++i) static_cast<void>(out.socket.send(std::to_string(i)));
  out.read(500ms);
  return out;
}

}  // namespace

TEST_SUITE_BEGIN("withstand_sockets");

TEST_CASE_FIXTURE(socket_case, "a cut at every step of a WebSocket") {
  const std::vector<cut_step> steps{
      {"after its open", {}, nth<to_envoy_web_socket_open>(1, fate::cut_after)},
      {"after the accept", nth<to_rivet_web_socket_open>(1, fate::cut_after)},
      {"after the client's fifth", {}, nth<to_envoy_web_socket_message>(5, fate::cut_after)},
      {"before the client's fifth", {}, nth<to_envoy_web_socket_message>(5, fate::cut_before)},
      {"after the actor's fifth", nth<to_rivet_web_socket_message>(5, fate::cut_after)},
      {"before the actor's fifth", nth<to_rivet_web_socket_message>(5, fate::cut_before)},
  };
  std::vector<counted> all;
  for (const auto* path : {"echo", "hibernate"})
    for (const auto& step : steps) all.push_back(count_through(*this, step, path));
  // The real engine closes only after 30 s what a client said while the host was away.
  for (auto& each : all) {
    CAPTURE(each.of);
    each.read(40s);
    CHECK(each.over());
    if (each.seen != 40) CHECK(each.socket.close_code() == 1011);
    each.socket.drop();
  }
  CHECK(await_open(0));
  CHECK(host->factory_calls() == 1);
  CHECK(info()["sockets"] == 0);
}

TEST_CASE_FIXTURE(socket_case, "a cut with a WebSocket's close on its way") {
  for (const auto* path : {"echo", "hibernate"}) {
    CAPTURE(path);
    const auto connections = proxy->records().size();
    auto socket = open(path);
    CHECK(socket.send("1"));
    CHECK(socket.receive());
    proxy->judge_to_host(nth<to_envoy_web_socket_close>(1, fate::cut_after));
    CHECK(socket.close(4001, "enough"));
    CHECK(proxy->await_barrier(connections + 1));
    CHECK(await_open(0));
    proxy->judge_to_host({});
    auto next = open(path);
    CHECK(next.send("1"));
    CHECK(next.receive());
    next.drop();
    CHECK(await_open(0));
  }
  CHECK(host->factory_calls() == 1);
}

// Neither engine tells of it afterwards (docs/protocol.md M): such a WebSocket goes with its actor's instance.
TEST_CASE_FIXTURE(socket_case, "a client that leaves while the host is away") {
  auto socket = open("echo");
  CHECK(socket.send("1"));
  CHECK(socket.text() == "1");
  CHECK(await_open(1));
  const auto connections = proxy->records().size();
  proxy->refuse(true);
  proxy->cut();
  CHECK(await([&] { return proxy->last().ended; }));
  socket.drop();
  proxy->refuse(false);
  CHECK(proxy->await_barrier(connections + 1));
  auto next = open("echo");
  CHECK(next.send("2"));
  CHECK(next.text() == "2");
  must(client.sleep(id));
  CHECK(next.await_close().has_value());
  CHECK(await_open(0));
  CHECK(await([&] { return host->stats().ingress.instances == 0; }));
  CHECK(info()["sockets"] == 0);
}

TEST_CASE_FIXTURE(socket_case, "an actor that is put to sleep with WebSockets and a request open") {
  auto plain = open("echo");
  auto stays = open("hibernate");
  CHECK(plain.send("x"));
  CHECK(plain.text() == "x");
  CHECK(stays.send("1"));
  CHECK(stays.receive());
  std::atomic<int> status = 0;
  std::thread slow{[&] {
    if (const auto reply = client.request(id, "POST", "/request/slow?ms=700"))
      status = reply->status;
  }};
  CHECK(await([&] { return host->stats().ingress.requests_open == 1; }));
  CHECK(client.post(id, "/request/sleep").status == 200);
  CHECK(stays.send("2"));
  slow.join();
  CHECK(status == 200);
  CHECK(plain.await_close().has_value());
  CHECK(plain.close_reason() == "actor.stopped");
  const auto got = stays.receive();
  REQUIRE(got);
  CHECK(json::parse(got->data)["n"] == 2);
  CHECK(await([&] { return info()["generation"] == 2; }));
  CHECK(info()["sockets"] == 1);
}

TEST_CASE_FIXTURE(socket_case, "an actor that is destroyed while it sleeps under its WebSocket") {
  auto socket = open("hibernate");
  CHECK(socket.send("1"));
  CHECK(socket.receive());
  CHECK(client.post(id, "/request/sleep").status == 200);
  CHECK(await([&] { return host->stats().ingress.instances == 0; }));
  must(client.destroy(id));
  CHECK(client.view(id).destroyed);
  CHECK(client.request(id, "GET", "/request/info")->status == 404);
  CHECK(socket.send("2"));
  CHECK(socket.await_close() == 1011);
  CHECK(socket.close_reason().starts_with("actor.not_found"));
  CHECK(host->factory_calls() == 1);
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(socket_case, "a WebSocket that floods is closed with 1008, and no other") {
  const auto mill = client.create_running("blocker");
  const auto doorman = client.create_running("doorman");
  auto floods = open(mill, "wait");
  auto other = open(mill, "echo");
  CHECK(other.send("before"));
  CHECK(other.text() == "before");
  SUBCASE("many") {
    for (int i = 0; i < 1100; ++i) static_cast<void>(floods.send("x"));
  }
  SUBCASE("large") {
    const std::string large(1U << 20U, 'x');
    for (int i = 0; i < 6; ++i) static_cast<void>(floods.send(large));
  }
  CHECK(other.send("during"));
  CHECK(await([&] { return host->stats().ingress.sockets_flooded == 1; }));
  // What it let in: the bound, the one in its handler, and what the other said.
  CHECK(host->stats().ingress.socket_messages <= 1024 + 3);
  CHECK(client.post(doorman, "/open").status == 200);
  CHECK(other.text() == "during");
  CHECK(floods.await_close() == 1008);
  CHECK(other.send("after"));
  CHECK(other.text() == "after");
  CHECK(host->stats().ingress.sockets_flooded == 1);
}

TEST_CASE_FIXTURE(
    socket_case,
    "a WebSocket whose messages pile up in the host is closed with 1013, and no other") {
  auto piles = open("echo");
  auto other = open("echo");
  for (auto* each : {&piles, &other}) {
    CHECK(each->send("1"));
    CHECK(each->text() == "1");
  }
  // The engine takes nothing of the host for now, however much it would buffer for clients that read nothing.
  proxy->stall_towards_engine(true);
  const std::string large(1U << 20U, 'x');
  for (int i = 0; i < 24; ++i) CHECK(piles.send(large));
  CHECK(other.send("2"));
  CHECK(await_open(1));
  proxy->stall_towards_engine(false);
  CHECK(other.text() == "2");
  CHECK(piles.await_close() == 1013);
  CHECK(other.send("3"));
  CHECK(other.text() == "3");
}

TEST_CASE_FIXTURE(socket_case, "a client that reads nothing while its actor broadcasts") {
  const auto mill = client.create_running("blocker");
  raw_client reads_nothing{engine.port(), 4096};
  CHECK(reads_nothing.send(upgrade_head(fmt::format("/gateway/{}/websocket/echo", mill))));
  CHECK(reads_nothing.await("\r\n\r\n"));
  auto reads = open(mill, "echo");
  CHECK(reads.send("x"));
  CHECK(reads.text() == "x");
  CHECK(await_open(2));
  for (int i = 0; i < 32; ++i) {
    CHECK(client.post(mill, "/broadcast?bytes=1000000").status == 200);
    const auto got = reads.receive();
    REQUIRE(got);
    CHECK(got->data.size() == 1'000'000);
    CHECK(host->stats().link.outbound_bytes <= 17U << 20U);
  }
  reads_nothing.drop();
  CHECK(await_open(1));
  CHECK(reads.send("y"));
  CHECK(reads.text() == "y");
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

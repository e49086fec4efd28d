// WebSockets of clients, against the probe of docs/probe.md: echoing ones, and hibernating ones that outlive their actor.
#include <fmt/format.h>

#include <atomic>
#include <deque>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>

#include "probed_pool.hpp"
#include "process.hpp"
#include "raw_client.hpp"
#include "socket_crowd.hpp"
#include "tunnel_judges.hpp"

namespace nuncio::e2e {

namespace {

using json = nlohmann::json;
using std::chrono::steady_clock;

/// The closes of clients that reach the host, in order: code and reason.
class closes_heard {
public:
  explicit closes_heard(wire_proxy& proxy) {
    proxy.judge_to_host([notes = notes_](const protocol::to_envoy& m) {
      if (const auto* close = tunnel_kind<protocol::to_envoy_web_socket_close>(m)) {
        const std::lock_guard guard{notes->mutex};
        notes->closes.push_back(fmt::format(
            "{} {}", close->code.value_or(0), close->reason ? close->reason->str() : "(none)"));
      }
      return fate::pass;
    });
  }

  /// Waits for the next one, or says "(nothing)".
  [[nodiscard]] std::string next() const {
    std::string out = "(nothing)";
    static_cast<void>(await([&] {
      const std::lock_guard guard{notes_->mutex};
      if (notes_->closes.empty()) return false;
      out = std::move(notes_->closes.front());
      notes_->closes.pop_front();
      return true;
    }));
    return out;
  }

private:
  struct notes {
    std::mutex mutex;
    std::deque<std::string> closes;
  };

  std::shared_ptr<notes> notes_ = std::make_shared<notes>();
};

struct sockets : probed_pool {
  using probed_pool::probed_pool;

  /// One that has been heard, and answered.
  raw_client open_raw(std::string_view kind) {
    raw_client one{engine.port()};
    CHECK(one.send(upgrade_head(target(fmt::format("/websocket/{}", kind)))));
    REQUIRE(one.await("\r\n\r\n"));
    CHECK(one.send(client_frame(0x81, "said")));
    REQUIRE(one.await("said"));
    return one;
  }

  bool await_sockets(std::size_t n) {
    return await([&] { return info()["sockets"] == n; });
  }

  // Until the instance is over: until then the engine gives it what clients say.
  void put_to_sleep() {
    CHECK(client.post(id, "/request/sleep").status == 200);
    CHECK(await([&] { return host->stats().ingress.instances == 0; }));
  }
};

// "n generation text" of what a hibernating socket answers.
std::string answer(socket_client& from, std::chrono::milliseconds limit = 30s) {
  const auto got = from.receive(limit);
  if (!got) return fmt::format("closed {} {}", from.close_code().value_or(0), from.close_reason());
  const auto x = json::parse(got->data, nullptr, false);
  if (!x.is_object()) return got->data;
  return fmt::format(
      "{} {} {}", x["n"].get<int>(), x["generation"].get<int>(), x["text"].get<std::string>());
}

// Bytes of a process that are in memory.
std::size_t resident(pid_t pid) {
  std::ifstream in{fmt::format("/proc/{}/status", pid)};
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("VmRSS:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

}  // namespace

TEST_SUITE_BEGIN("sockets");

TEST_CASE_FIXTURE(sockets, "text and binary messages of any size, in order, both ways") {
  auto socket = open("echo");
  REQUIRE(socket.http_status() == 101);
  for (const std::string& text :
       {std::string{},
        std::string{"hello"},
        std::string{"gr\u00fc\u00dfe"},
        std::string(2'000'000, 'x')}) {
    CHECK(socket.send(text));
    const auto got = socket.receive();
    REQUIRE(got);
    CHECK((got->data == text));
    CHECK(!got->binary);
  }
  const std::string raw{"\0\xff\xfe\x01", 4};
  CHECK(socket.send(raw, true));
  const auto got = socket.receive();
  REQUIRE(got);
  CHECK(got->binary);
  CHECK(got->data == raw);
  for (int i = 0; i < 500; ++i) REQUIRE(socket.send(std::to_string(i)));
  for (int i = 0; i < 500; ++i) REQUIRE(socket.text() == std::to_string(i));
}

TEST_CASE_FIXTURE(
    sockets, "close codes: the client's ends its socket here, ours reaches the client") {
  auto one = open("echo");
  auto two = open("echo");
  CHECK(one.send("x"));
  CHECK(two.send("x"));
  CHECK(one.text() == "x");
  CHECK(two.text() == "x");
  CHECK(await_sockets(2));
  CHECK(one.close(4001, "enough"));
  CHECK(await_sockets(1));
  CHECK(two.close(1000));
  CHECK(await_sockets(0));
  auto refused = open("nothing-of-the-kind");
  CHECK(refused.http_status() == 101);
  CHECK(refused.await_close() == 4004);
  CAPTURE(refused.close_reason());
  CHECK(refused.close_reason() == "no such WebSocket");
}

TEST_CASE_FIXTURE(
    sockets, "a client's close is answered with its own code and reason, and the host gets them") {
  const closes_heard heard{*proxy};
  const std::pair<std::string, std::string> closes[] = {
      {"\x0f\xa1"
       "bye",
       "4001 bye"},
      {"\x03\xe9"
       "away",
       "1001 away"},
      {std::string{"\x03\xe8", 2}, "1000 "},
      {"", "1000 (none)"}};  // no code: answered without one
  for (const auto* kind : {"echo", "hibernate"})
    for (const auto& close : closes) {
      const auto& payload = close.first;
      const auto& told = close.second;
      CAPTURE(kind);
      CAPTURE(told);
      auto one = open_raw(kind);
      CHECK(one.send(client_frame(0x88, payload)));
      CHECK(one.await_end());
      const auto answer = std::string{'\x88', static_cast<char>(payload.size())} + payload;
      CHECK(one.received().ends_with(answer));
      CHECK(heard.next() == told);
    }
}

TEST_CASE_FIXTURE(
    sockets, "a client that breaks the protocol is told so and ended, and the host is notified") {
  using namespace std::string_literals;
  const closes_heard heard{*proxy};
  const auto ends = [&](const std::string& frame, std::string_view answer) {
    auto one = open_raw("echo");
    CHECK(one.send(frame));
    CHECK(one.await_end());
    CHECK(one.received().find(answer) != std::string::npos);
    return heard.next();
  };
  // Codes that nobody may close with.
  for (const auto code : {0, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 5000, 65535}) {
    CAPTURE(code);
    CHECK(
        ends(
            close_frame(static_cast<std::uint16_t>(code), "x"),
            "\x88\x14\x03\xeaProtocol violation") == "1002 Protocol violation");
  }
  for (const auto& frame : {
           client_frame(0x88, "\x03"),                 // a close of one byte
           close_frame(1000, "\xff\xfe"),              // a reason that is not UTF-8
           "\x81\x01x"s,                               // not masked
           client_frame(0xc1, "x"),                    // a reserved bit
           client_frame(0x83, "x"),                    // an unknown kind
           client_frame(0x81, "\xff\xfe"),             // a text that is not UTF-8
           client_frame(0x09, "x"),                    // a ping in parts
           client_frame(0x80, "x"),                    // goes on with nothing
           client_frame(0x89, std::string(126, 'p')),  // a ping that is too long
       }) {
    CAPTURE(frame);
    CHECK(
        ends(
            frame,
            "\x88\x34\x03\xf3"
            "core.internal_error#") == "1011 ws.downstream_closed");
  }
}

TEST_CASE_FIXTURE(sockets, "what a client sends right after its upgrade arrives, in order") {
  for (const auto* kind : {"echo", "hibernate"}) {
    CAPTURE(kind);
    raw_client one{engine.port()};
    CHECK(one.send(
        upgrade_head(target(fmt::format("/websocket/{}", kind))) + client_frame(0x81, "first") +
        client_frame(0x81, "second")));
    CHECK(one.await("first"));
    CHECK(one.await("second"));
    CHECK(one.send(client_frame(0x81, "third")));
    CHECK(one.await("third"));
  }
}

TEST_CASE_FIXTURE(sockets, "a client that vanishes is noticed, and nobody else") {
  auto stays = open("echo");
  auto goes = open("echo");
  CHECK(goes.send("x"));
  CHECK(goes.text() == "x");
  CHECK(await_sockets(2));
  goes.drop();
  CHECK(await_sockets(1));
  CHECK(stays.send("still here"));
  CHECK(stays.text() == "still here");
}

TEST_CASE_FIXTURE(sockets, "sockets that do not hibernate end with their actor") {
  SUBCASE("crash") {
    auto socket = open("echo");
    CHECK(socket.send("x"));
    CHECK(socket.text() == "x");
    CHECK(client.post(id, "/request/crash").status == 500);
    CHECK(socket.await_close().has_value());
    CHECK(socket.close_reason() == "actor.stopped");
  }
  SUBCASE("sleep") {
    auto socket = open("echo");
    CHECK(socket.send("x"));
    CHECK(socket.text() == "x");
    put_to_sleep();
    CHECK(socket.await_close().has_value());
    CHECK(socket.close_reason() == "actor.stopped");
  }
  SUBCASE("destroy") {
    auto socket = open("echo");
    CHECK(socket.send("x"));
    CHECK(socket.text() == "x");
    CHECK(client.post(id, "/request/destroy").status == 200);
    CHECK(socket.await_close().has_value());
    CHECK(socket.close_reason() == "actor.stopped");
  }
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(
    sockets,
    "a hibernating socket goes on after sleep, a crash and a cut, with what its actor kept for "
    "it") {
  auto socket = open("hibernate");
  auto other = open("hibernate");
  CHECK(socket.send("a"));
  CHECK(answer(socket) == "1 1 a");
  put_to_sleep();
  CHECK(socket.send("b"));
  CHECK(answer(socket) == "2 2 b");
  CHECK(other.send("of another"));
  CHECK(answer(other) == "1 2 of another");
  CHECK(client.post(id, "/request/crash").status == 500);
  CHECK(client.await_sleeping(id).sleeping);
  CHECK(socket.send("c"));
  CHECK(answer(socket) == "3 3 c");
  proxy->cut_and_await();
  CHECK(socket.send("d"));
  CHECK(answer(socket) == "4 3 d");
  CHECK(other.send("e"));
  CHECK(answer(other) == "2 3 e");
  CHECK(await_sockets(2));
  CHECK(socket.close(1000));
  CHECK(await_sockets(1));
  CHECK(backlog_drains());
}

// As the real engine does at times to one that was opened just before its actor slept (docs/protocol.md M).
TEST_CASE_FIXTURE(sockets, "a hibernating socket that the engine does not list yet goes on") {
  auto socket = open("hibernate");
  auto other = open("hibernate");
  CHECK(socket.send("a"));
  CHECK(answer(socket) == "1 1 a");
  CHECK(other.send("b"));
  CHECK(answer(other) == "1 1 b");
  std::atomic<std::size_t> listed = 99;
  std::size_t keep = 0;
  SUBCASE("none is listed") {}
  SUBCASE("another is listed") { keep = 1; }
  proxy->rewrite_to_host([&](protocol::to_envoy& m) {
    auto* const batch = std::get_if<protocol::to_envoy_commands>(&m);
    if (batch == nullptr) return false;
    for (auto& each : batch->commands)
      if (auto* const start = std::get_if<protocol::command_start_actor>(&each.inner)) {
        auto& all = start->hibernating_requests;
        listed = all.size();
        all.resize(std::min(all.size(), keep));
      }
    return true;
  });
  put_to_sleep();
  CHECK(other.send("c"));
  CHECK(answer(other) == "2 2 c");
  CHECK(listed != 99);
  CHECK(socket.send("d"));
  CHECK(answer(socket) == "2 2 d");
  CHECK(await_sockets(2));
  put_to_sleep();
  CHECK(socket.send("e"));
  CHECK(answer(socket) == "3 3 e");
  proxy->rewrite_to_host({});
  CHECK(socket.close(1000));
  CHECK(other.close(1000));
  CHECK(await_sockets(0));
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(
    sockets, "a hibernating socket's messages around sleeps are all handled, once and in order") {
  auto socket = open("hibernate");
  int sent = 0, seen = 0;
  int generation = 0;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 20; ++i) CHECK(socket.send(std::to_string(++sent)));
    CHECK(client.post(id, "/request/sleep").status == 200);
    for (int i = 0; i < 20; ++i) CHECK(socket.send(std::to_string(++sent)));
    while (seen < sent) {
      const auto got = socket.receive(40s);
      REQUIRE(got);
      const auto x = json::parse(got->data);
      ++seen;
      CHECK(x["n"] == seen);
      CHECK(x["text"] == std::to_string(seen));
      CHECK(x["generation"] >= generation);
      generation = x["generation"];
    }
  }
  CHECK(await([&] { return info()["generation"] >= 2; }));
}

TEST_CASE_FIXTURE(
    sockets,
    "a hibernating socket's messages around cuts: none comes twice, and a lost one ends it") {
  auto socket = open("hibernate");
  int said = 0;
  const auto say = [&] {
    CHECK(socket.send(std::to_string(++said)));
    return fmt::format("{0} 1 {0}", said);
  };
  const auto settled = [&] { return host->stats().link.outbound_bytes == 0; };
  for (int i = 0; i < 25; ++i) {
    const auto want = say();
    CHECK(answer(socket) == want);
  }
  // With nothing on its way nothing is lost.
  CHECK(await(settled));
  proxy->cut_and_await();
  for (int i = 0; i < 25; ++i) {
    const auto want = say();
    CHECK(answer(socket) == want);
  }
  // An answer that is cut off is not sent again: its client might have it twice.
  CHECK(await(settled));
  proxy->judge_to_engine(nth<protocol::to_rivet_web_socket_message>(1, fate::cut_before));
  static_cast<void>(say());
  REQUIRE(proxy->await_barrier(3));
  proxy->judge_to_engine({});
  const auto next = say();
  CHECK(answer(socket) == next);
  // Nor does the engine send again what it lost on its way to us: the host sees that it is missing.
  CHECK(await(settled));
  proxy->judge_to_host(nth<protocol::to_envoy_web_socket_message>(1, fate::cut_before));
  static_cast<void>(say());
  REQUIRE(proxy->await_barrier(4));
  proxy->judge_to_host({});
  static_cast<void>(say());
  CHECK_FALSE(socket.receive(20s));
  CHECK(socket.close_code() == 1011);
  CHECK(socket.close_reason() == "a message of this WebSocket was lost");
  CHECK(info()["generation"] == 1);
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(sockets, "a client that closes while its actor sleeps: the actor is notified") {
  auto socket = open("hibernate");
  CHECK(socket.send("a"));
  CHECK(answer(socket) == "1 1 a");
  put_to_sleep();
  CHECK(socket.close(4002, "bye"));
  CHECK(await_sockets(0));
  CHECK(info()["generation"] == 2);
  CHECK(client.post(id, "/request/sleep").status == 200);
  CHECK(client.await_sleeping(id).sleeping);
}

TEST_CASE_FIXTURE(
    sockets, "a client that vanishes while its actor sleeps wakes no actor, and is forgotten") {
  auto socket = open("hibernate");
  CHECK(socket.send("a"));
  CHECK(answer(socket) == "1 1 a");
  put_to_sleep();
  socket.drop();
  // The engine may list it once more before it has noticed.
  CHECK(await(
      [&] {
        if (info()["sockets"] == 0) return true;
        put_to_sleep();
        return false;
      },
      120s));
}

TEST_CASE("a streaming gateway's WebSockets are the same") {
  engine_under_test streaming{{.streaming = true}};
  sockets x{streaming, {}};
  auto echo = x.open("echo");
  for (int i = 0; i < 100; ++i) REQUIRE(echo.send(std::to_string(i)));
  for (int i = 0; i < 100; ++i) REQUIRE(echo.text() == std::to_string(i));
  CHECK(echo.send(std::string(1'000'000, 'x')));
  CHECK(echo.text().size() == 1'000'000);
  auto sleeper = x.open("hibernate");
  CHECK(sleeper.send("a"));
  CHECK(answer(sleeper) == "1 1 a");
  x.put_to_sleep();
  CHECK(sleeper.send("b"));
  CHECK(answer(sleeper) == "2 2 b");
  CHECK(sleeper.close(1000));
}

TEST_CASE("thousands of open WebSockets on one host") {
  socket_crowd crowd;  // first, so that its limit of open files is that of the others too
  const bool dev = kind_under_test() == engine_kind::dev;
  engine_under_test engine{{.crowded = true}};
  const auto pool = new_pool();
  process host{serve_command(engine.endpoint(), pool)};
  REQUIRE(host.await_line("ready"));
  const pool_client client{engine, pool};
  const auto id = client.create_running("probe");
  INFO("the host's log:\n" << host.log());
  // On a machine that is too busy for the pings of this many the host renews its connection, and a request may be lost.
  const testing::client impatient{{.endpoint = engine.endpoint(), .pool = pool, .timeout = 10s}};
  const auto await_sockets = [&](std::size_t n) {
    return await(
        [&] {
          const auto reply = impatient.request(id, "GET", "/request/info");
          return reply && reply->status == 200 && json::parse(reply->body)["sockets"] == n;
        },
        60s);
  };
  // The real engine takes more than ten milliseconds of a processor to open one, and with 500 on a busy machine it does
  // nothing else for so long that the host gives it up.
  const char* const wanted = std::getenv("NUNCIO_E2E_SOCKETS");
  const auto n = std::min<std::size_t>(
      wanted != nullptr ? std::stoul(wanted)
      : dev             ? 10'000
                        : 100,
      crowd.most());
  // An actor with nothing but hibernating WebSockets falls asleep under them, and its waking takes the real engine as long
  // as opening them all: the host gives up an engine that is silent for so long.
  socket_client awake{engine.port(), fmt::format("/gateway/{}/websocket/echo", id)};
  CHECK(await_sockets(1));
  const auto resident_before = resident(host.pid());
  const auto path = fmt::format("/gateway/{}/websocket/hibernate", id);
  const auto before = steady_clock::now();
  // With many at once the real engine has no time for the host's pings.
  REQUIRE(crowd.open(engine.port(), path, n, dev ? 32 : 8) == n);
  CHECK(await_sockets(n + 1));
  const auto opened = steady_clock::now();
  const auto resident_after = resident(host.pid());
  CHECK(crowd.ask_all(dev ? 32 : 8) == n);
  const auto asked = steady_clock::now();
  MESSAGE(fmt::format(
      "open at once: {}, after {:.1f} s, {:.2f} KiB of the host's memory each; all have echoed "
      "after {:.1f} s",
      n,
      std::chrono::duration<double>(opened - before).count(),
      (static_cast<double>(resident_after) - static_cast<double>(resident_before)) / 1024 /
          static_cast<double>(n),
      std::chrono::duration<double>(asked - opened).count()));
  // Through a sleep of their actor, whose end closes the one that does not hibernate.
  CHECK(client.post(id, "/request/sleep").status == 200);
  CHECK(awake.await_close(60s).has_value());
  const auto asleep = steady_clock::now();
  CHECK(crowd.ask_all(dev ? n : 8) == n);
  const auto woken = steady_clock::now();
  CHECK(await_sockets(n));
  MESSAGE(fmt::format(
      "asleep after {:.1f} s; all have echoed again after {:.1f} s",
      std::chrono::duration<double>(asleep - asked).count(),
      std::chrono::duration<double>(woken - asleep).count()));
  // The real engine gives up telling of a close that takes it too long, as of a thousand at once.
  const auto stay = dev || n < 500 ? 0 : n - 500;
  while (crowd.size() > stay) {
    crowd.drop(dev ? n : 100);
    CHECK(await_sockets(crowd.size()));
  }
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

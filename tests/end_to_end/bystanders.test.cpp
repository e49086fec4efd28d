// Whatever one actor, one client or the host itself does costs nobody else: a case for each act that takes seconds. See
// bystanders.hpp; longer acts are in bystanders_all.test.cpp.
#include "bystanders.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <nuncio/codec.hpp>
#include <nuncio/testing/socket_client.hpp>

#include "process.hpp"
#include "raw_client.hpp"
#include "socket_crowd.hpp"

namespace nuncio::e2e {
namespace {

constexpr std::size_t mebibyte = 1UL << 20U;

std::string in_gateway(const std::string& id, std::string_view path) {
  return fmt::format("/gateway/{}{}", id, path);
}

// Whatever comes of it, soon.
void try_to(const bystanders& b, const std::string& id, std::string_view path) {
  static_cast<void>(
      b.client.call({.target = in_gateway(id, path), .timeout = std::chrono::milliseconds{500}}));
}

// What the engine has told a host through a proxy, to be said again.
class commands_seen {
public:
  explicit commands_seen(wire_proxy& proxy) : proxy_(proxy) {
    proxy_.judge_to_host([this](const protocol::to_envoy& m) {
      if (const auto* of = std::get_if<protocol::to_envoy_commands>(&m)) {
        const std::lock_guard guard{mutex_};
        all_.insert(all_.end(), of->commands.begin(), of->commands.end());
      }
      return fate::pass;
    });
  }

  ~commands_seen() { proxy_.judge_to_host({}); }

  commands_seen(const commands_seen&) = delete;
  commands_seen& operator=(const commands_seen&) = delete;

  [[nodiscard]] std::vector<protocol::command_wrapper> of(
      const std::vector<std::string>& actors) const {
    const std::lock_guard guard{mutex_};
    std::vector<protocol::command_wrapper> out;
    for (const auto& x : all_)
      for (const auto& id : actors)
        if (x.checkpoint.actor_id.view() == id) out.push_back(x);
    return out;
  }

  void say(std::vector<protocol::command_wrapper> what) {
    auto frame =
        protocol::encode(protocol::to_envoy{protocol::to_envoy_commands{std::move(what)}}, 8);
    REQUIRE(frame);
    proxy_.send_to_host(std::move(*frame));
  }

private:
  wire_proxy& proxy_;
  mutable std::mutex mutex_;
  std::vector<protocol::command_wrapper> all_;
};

}  // namespace

TEST_SUITE_BEGIN("bystanders");

TEST_CASE_TEMPLATE(
    "1.1, 3.2, 3.4: commands, however often they come, and a reconnect cost nobody else",
    Gateway,
    buffered,
    streaming) {
  wire_proxy proxy{Gateway::engine().port()};
  bystanders b{
      Gateway::engine(),
      Gateway::name,
      {.endpoint = proxy.endpoint(), .pool = new_pool(), .stall_limit = 1s, .forget_after = 1s}};
  commands_seen commands{proxy};

  std::vector<std::string> flies;
  b.during("1.1: actors start, sleep and are destroyed, one by one", [&] {
    flies.push_back(must(b.client.create({.name = "mayfly"})).id);
    CHECK(b.client.post(flies.back(), "/sleep").status == 200);
    must(b.client.destroy(flies.back()));
  });
  CHECK(await([&] { return b.host.stats().ledger.gone == 0; }));
  const auto before = b.host.stats();
  CHECK(before.ledger.forgotten >= flies.size());
  b.during(
      "1.1: the engine says again what is forgotten",
      [&] {
        commands.say(commands.of(flies));
        CHECK(await(
            [&] { return b.host.stats().ledger.expired - before.ledger.expired >= flies.size(); }));
      },
      {.lasts = 0ms});
  CHECK(b.host.stats().ingress.actors_started == before.ingress.actors_started);

  const auto live = b.client.create_running("probe"), gone = b.client.create_running("probe");
  must(b.client.destroy(gone));
  const std::string instance{b.client.get(live, "/n").header("x-instance")};
  const auto further = b.host.stats().ledger.further_starts;
  b.during(
      "3.2: 100 more Starts of a generation that lives or lived",
      [&] {
        for (const auto& who : {live, gone}) {
          auto again = commands.of({who});
          REQUIRE(!again.empty());
          again.resize(1);
          for (int i = 0; i < 50; ++i) {
            again[0].checkpoint.index = 10 + i;
            commands.say(again);
          }
        }
        CHECK(await([&] { return b.host.stats().ledger.further_starts == further + 100; }));
      },
      {.lasts = 0ms});
  CHECK(b.client.get(live, "/n").header("x-instance") == instance);
  CHECK(b.host.factory_calls() == 2);

  std::vector<std::string> dozers;
  std::vector<socket_client> clients;
  for (int i = 0; i < 5; ++i) {
    dozers.push_back(b.client.create_running("dozer"));
    auto& client = clients.emplace_back(b.engine.port(), in_gateway(dozers.back(), "/websocket"));
    REQUIRE(client.send("x"));
    REQUIRE(client.text() == "x");
  }
  const auto connections = proxy.records().size();
  const auto counted = b.host.stats().link.connections;
  proxy.refuse(true);
  proxy.cut();
  REQUIRE(await([&] { return proxy.last().ended; }));
  for (auto& x : clients) x.drop();
  proxy.refuse(false);
  REQUIRE(proxy.await_barrier(connections + 1));
  REQUIRE(await([&] { return b.host.stats().link.connections == counted + 1; }));
  b.during(
      "3.4: clients have left within a reconnect",
      [&] {
        for (const auto& id : dozers) CHECK(b.client.await_sleeping(id).sleeping);
      },
      {.lasts = 0ms});
}

TEST_CASE_TEMPLATE(
    "3.6, 6: an actor that misbehaves costs nobody else", Gateway, buffered, streaming) {
  auto& b = Gateway::of_run();
  const auto id = b.client.create_running("crook");
  b.during("3.6: an actor throws in every handler", [&] {
    CHECK(b.client.get(id, "/throw").status >= 500);
    socket_client client{b.engine.port(), in_gateway(id, "/websocket")};
    CHECK(client.send("throw"));
    CHECK(client.await_close(10s) == 1000);
  });
  // What reaches the instance that the last message has ended is answered with 503.
  REQUIRE(await([&] { return b.client.get(id, "/").status == 200; }));
  b.during("3.6: an actor blocks a thread of the pool for a second", [&] {
    CHECK(b.client.get(id, "/block?ms=1000").status == 200);
  });
  b.during("6: lengths that lie, statuses 100 to 199, 1 MB of headers", [&] {
    for (const auto* path :
         {"/lie?length=5",
          "/lie?length=0",
          "/status?is=100",
          "/status?is=101",
          "/status?is=199",
          "/headers?bytes=1000000"})
      try_to(b, id, path);
  });
  must(b.client.destroy(id));
  const auto fails = must(b.client.create({.name = "thrower"})).id;
  b.during("3.6: an actor's start fails, and clients ask for it", [&] { try_to(b, fails, "/"); });
  // The real engine forgets a DELETE that comes while it starts an actor that then fails, which for what has asked it does
  // again and again: its call is not answered, another one is.
  const testing::client impatient{{.endpoint = b.engine.endpoint(), .pool = b.pool, .timeout = 2s}};
  CHECK(await([&] { return static_cast<bool>(impatient.destroy(fails)); }, 60s));
}

TEST_CASE_TEMPLATE(
    "1.2: what is longer than the host takes, or the engine, costs nobody else",
    Gateway,
    buffered,
    streaming) {
  auto& b = Gateway::of_run();
  const auto id = b.client.create_running("store");
  const auto put = [&, value = std::string(131'072, 'v')](std::size_t i) {
    const auto done = b.client.request(id, "POST", fmt::format("/put?{}", i), value);
    CHECK((done && done->status == 200));
  };
  side_by_side(208, 8, put);
  // 364 MB pass through the one connection, and whoever asks meanwhile waits behind two answers at a time.
  b.during(
      "1.2: an actor reads 26 MB fourteen times at once, again and again",
      [&] {
        side_by_side(14, 14, [&](std::size_t) {
          const auto got = b.client.call(
              {.target = in_gateway(id, "/count?"), .timeout = std::chrono::minutes{2}});
          const auto said =
              got ? fmt::format("{} {}", got->status, got->body) : to_string(got.error());
          CHECK(said == "200 208");
        });
      },
      {.silence = 8s});  // 364 MB on the one connection
  side_by_side(62, 8, [&](std::size_t i) { put(208 + i); });
  const auto too_large = [](const client_reply& x) {
    return x.status == 500 && x.body.find("too_large") != std::string::npos;
  };
  // Tens of megabytes pass through the one connection: what follows them waits for as long as that takes.
  b.during(
      "1.2: a KV list of 34 MiB, again and again",
      [&] { CHECK(too_large(b.client.get(id, "/list?"))); },
      {.silence = 1s});
  b.during(
      "1.2: an SQL statement returns 40 MB",
      [&] {
        CHECK(too_large(b.client.post(
            id,
            "/sql",
            "with recursive c(x) as (select 1 union all select x + 1 from c where x < 310) "
            "select x, hex(zeroblob(65536)) from c")));
      },
      {.lasts = 0ms, .silence = 1s});
  b.during("1.2: an actor puts 40 MB in one call, and binds as much", [&] {
    CHECK(b.client.post(id, "/largest?40000000").status == 500);
    CHECK(b.client.post(id, "/bind?40000000").status == 500);
  });
  must(b.client.destroy(id));

  const auto echo = b.client.create_running("outside");
  const std::string message(32 * mebibyte - 8, 'm');
  b.during(
      "1.2: a client's message of 32 MiB less 8 bytes",
      [&] {
        socket_client client{b.engine.port(), in_gateway(echo, "/websocket/echo")};
        CHECK(client.send(message));
        CHECK(client.await_close(10s) == 1009);
      },
      {.silence = 1s});
  must(b.client.destroy(echo));
}

TEST_CASE_TEMPLATE(
    "2.1, 2.2, 2.3: clients that say much, or leave, cost nobody else",
    Gateway,
    buffered,
    streaming) {
  auto& b = Gateway::of_run();
  // The real engine takes its time with each, and passes on some hundred messages of one client a second.
  const bool dev = kind_under_test() == engine_kind::dev;
  const std::size_t flooding = dev ? 250 : 50;
  const std::size_t many = dev ? 100 : 10;
  const int burst = dev ? 1500 : 100;
  const int unread = dev ? 50 : 10;
  const auto sleeper = b.client.create_running("outside");
  socket_crowd crowd;
  REQUIRE(
      crowd.open(b.engine.port(), in_gateway(sleeper, "/websocket/hibernate"), many, 10) == many);

  const auto slow = b.client.create_running("sluggard");
  std::vector<std::optional<raw_client>> clients(flooding);
  const auto frame = client_frame(0x82, std::string(4096, 'f'));
  // As fast as the engine takes it: that alone takes all of two cores.
  b.during(
      fmt::format("2.1: {} clients flood an actor of 20 ms a message", flooding),
      [&] {
        for (auto& x : clients) {
          if (x && x->send(frame, 5ms)) continue;
          x.emplace(b.engine.port());
          if (!x->send(upgrade_head(in_gateway(slow, "/websocket"))) || !x->await("\r\n\r\n", 1s))
            x.reset();
        }
      },
      {.silence = 1s});
  clients.clear();

  const auto id = b.client.create_running("outside");
  b.during(
      fmt::format("2.1: {} clients do not read what is written for them bit by bit", unread),
      [&] {
        const auto events =
            request_head("GET", in_gateway(id, "/request/events?ms=0&count=100000"));
        std::vector<raw_client> readers;
        for (int i = 0; i < unread; ++i)
          CHECK(readers.emplace_back(b.engine.port(), 4096).send(events));
        for (auto& x : readers) CHECK(x.await("data: 0\n"));
        // Their actor is there for those who read.
        for (int i = 0; i < unread; ++i) CHECK(b.client.get(id, "/request/info").status == 200);
      },
      {.lasts = 0ms, .silence = 1s});
  b.during(
      fmt::format("2.1: {} WebSockets are opened, and their clients vanish", many),
      [&] {
        socket_crowd others;
        CHECK(others.open(b.engine.port(), in_gateway(id, "/websocket/echo"), many, 10) == many);
        others.drop(many);
      },
      {.lasts = 0ms});

  socket_client client{b.engine.port(), in_gateway(id, "/websocket/hibernate")};
  REQUIRE(client.send("first"));
  REQUIRE(client.receive());
  b.during(
      fmt::format("2.2: {} small messages to an actor that wakes", burst),
      [&] {
        put_to_sleep(b, id);
        for (int i = 0; i < burst; ++i) CHECK(client.send("12345"));
        int answered = 0;
        while (answered < burst && client.receive()) ++answered;
        CHECK(answered == burst);
      },
      {.lasts = 0ms});
  CHECK(client.close(1000));

  b.during(
      fmt::format("2.3: {} hibernating clients leave while their actor sleeps", many),
      [&] {
        put_to_sleep(b, sleeper);
        crowd.drop(many);
        CHECK(await_none_open(b, sleeper));
      },
      {.lasts = 0ms});
  must(b.client.destroy(sleeper));
  must(b.client.destroy(id));
}

TEST_CASE_TEMPLATE(
    "2.1: an actor that tells its clients much costs nobody else", Gateway, buffered, streaming) {
  auto& b = Gateway::of_run();
  const auto id = b.client.create_running("crier");
  constexpr std::size_t listeners = 50, size = 2'000'000;
  std::deque<socket_client> clients;
  for (std::size_t i = 0; i < listeners; ++i) {
    auto& x = clients.emplace_back(b.engine.port(), in_gateway(id, "/websocket"));
    REQUIRE(
        x.text() == "welcome");  // the real engine's 101 does not say that the actor knows of it
  }
  // More than the link's queue holds, to clients that read; each has its own bound of 8 MiB.
  b.during(
      "2.1: an actor tells 50 clients 2 MB, and again before they have it",
      [&] {
        for (int i = 0; i < 2; ++i) REQUIRE(clients.front().send(std::to_string(size)));
        side_by_side(listeners, 8, [&](std::size_t i) {
          for (int n = 0; n < 2; ++n) {
            const auto got = clients[i].receive(60s);
            INFO(
                "client ",
                i,
                ", message ",
                n,
                ", closed with ",
                clients[i].close_code().value_or(0));
            CHECK((got && got->data.size() == size));
          }
        });
      },
      {.lasts = 0ms, .silence = 5s});
  clients.clear();
  must(b.client.destroy(id));
}

TEST_CASE_TEMPLATE(
    "3.3, 3.5: actors and hosts that end costs nobody else", Gateway, buffered, streaming) {
  auto& b = Gateway::of_run();
  const auto id = b.client.create_running("crook");
  std::atomic<bool> over = false;
  std::atomic<int> refused = 0;
  std::vector<std::thread> others;
  for (int i = 0; i < 3; ++i)
    others.emplace_back([&] {
      while (!over) {
        const auto reply = b.client.request(id, "GET", "/");
        if (!reply || reply->status != 200) ++refused;
      }
    });
  b.during("3.3: an actor sleeps while others ask for it", [&] {
    const auto slept = b.client.request(id, "POST", "/sleep");
    CHECK((slept && slept->status == 200));
  });
  over = true;
  for (auto& x : others) x.join();
  CHECK(refused == 0);
  // A streaming gateway asks nobody else what it had sent when an actor quits: here nobody asks.
  b.during("3.3: an actor quits before its answer, again and again", [&] {
    const auto quit = b.client.get(id, "/quit");
    CHECK(quit.status == 500);
    CHECK(quit.body == "the actor ended before it answered\n");
    CHECK(b.client.await_sleeping(id).sleeping);
  });
  must(b.client.destroy(id));

  process second{serve_command(b.engine.endpoint(), b.pool)};
  REQUIRE(second.await_line("ready"));
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(b.client.create_running("bench"));
  b.during(
      "3.5: another host of the pool ends by SIGTERM",
      [&] {
        second.signal(SIGTERM);
        CHECK(second.await_exit() == 0);
        for (const auto& x : ids) CHECK(b.client.get(x, "/request/instance").status == 200);
      },
      {.lasts = 0ms});
  CHECK(second.log().find(" cut=0") != std::string::npos);
  for (const auto& x : ids) must(b.client.destroy(x));
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

// Bodies that go bit by bit: a cut of the host's connection at every step, clients that leave, actors that end.
#include <fmt/format.h>

#include <atomic>
#include <future>
#include <nlohmann/json.hpp>

#include "probed_pool.hpp"
#include "raw_client.hpp"
#include "tunnel_judges.hpp"

namespace nuncio::e2e {
namespace {

using json = nlohmann::json;
using namespace protocol;

struct bodies : probed_pool {
  explicit bodies(engine_under_test& on) : probed_pool(on, {.stall_limit = 1s}) {}

  bool await_open(std::uint64_t n) {
    return await([&] { return host->stats().ingress.requests_open == n; });
  }

  // Whatever has been: nothing is left open, and the actor answers as the same instance.
  void check_calm(std::uint64_t generation = 1) {
    INFO("the host's log:\n" << host->log());
    CHECK(await_open(0));
    const auto now = client.get(id, "/request/info").body;
    CAPTURE(now);
    CHECK(now.find(fmt::format("\"generation\":{},", generation)) != std::string::npos);
    CHECK(now.find(fmt::format("\"starts\":{},", generation)) != std::string::npos);
    // This one.
    CHECK(now.find("\"requests\":1,") != std::string::npos);
  }
};

struct streaming_bodies : bodies {
  streaming_bodies() : bodies(shared_streaming_engine()) {}

  // More than the window, for an actor that takes 200 kB a second: it is in the middle for long.
  std::string slow_upload =
      request_head("POST", target("/request/sink?read=200000"), "content-length: 1500000\r\n") +
      counting(1'500'000);
};

// Of the crash itself. A busy engine may judge the end before the answer that left ahead of it (docs/protocol.md).
void check_crashed(const client_reply& reply) {
  CAPTURE(reply.body);
  const bool overtaken = kind_under_test() == engine_kind::rivet &&
                         reply.error_code() == "guard.actor_stopped_while_waiting";
  CHECK((reply.status == 500 || overtaken));
}

struct buffered_bodies : bodies {
  buffered_bodies() : bodies(shared_engine()) {}
};

std::string events(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += fmt::format("id: {}\ndata: {}\n\n", i, i);
  return out;
}

const auto finishes = [](const auto& chunk) { return chunk.finish; };

// One exchange for each step, cut there. What was on its way is lost in either direction, and neither engine sends it
// again: a client that would wait for ever gives up, as clients do.
void check_cuts(
    streaming_bodies& x,
    const std::vector<cut_step>& steps,
    client_call what,
    const std::string& want) {
  what.timeout = 1500ms;
  for (const auto& step : steps) {
    CAPTURE(std::string{step.name});
    const auto connections = x.proxy->records().size();
    x.proxy->judge_to_engine(step.to_engine);
    x.proxy->judge_to_host(step.to_host);
    const auto reply = x.client.call(what);
    CHECK(x.proxy->await_barrier(connections + 1));
    x.proxy->judge_to_engine({});
    x.proxy->judge_to_host({});
    if (reply && reply->status == 200)
      CHECK((reply->body == want));
    else if (reply)
      CHECK(reply->status >= 400);
    x.check_calm();
  }
}

std::vector<cut_step> upload_steps() {
  return {
      {"after RequestStart", {}, nth<to_envoy_request_start>(1, fate::cut_after)},
      {"after the fifth chunk", {}, nth<to_envoy_request_chunk>(5, fate::cut_after)},
      {"after credit", nth<to_rivet_request_body_window_update>(1, fate::cut_after)},
      {"after the last chunk", {}, nth<to_envoy_request_chunk>(1, fate::cut_after, finishes)},
      {"after ResponseStart", nth<to_rivet_response_start>(1, fate::cut_after)},
  };
}

}  // namespace

TEST_SUITE_BEGIN("withstand");

TEST_CASE_FIXTURE(streaming_bodies, "a cut at every step of an upload that its handler reads") {
  const auto body = counting(2'000'000);
  const auto want = client.post(id, "/request/sink", body).body;
  CHECK(json::parse(want)["bytes"] == body.size());
  check_cuts(
      *this,
      upload_steps(),
      {.method = "POST", .target = target("/request/sink"), .body = body},
      want);
}

TEST_CASE_FIXTURE(streaming_bodies, "a cut at every step of an upload that comes whole") {
  const auto bench = client.create_running("bench");
  const auto instance = client.get(bench, "/request/instance").body;
  const auto body = counting(2'000'000);
  auto steps = upload_steps();
  check_cuts(
      *this,
      steps,
      {.method = "POST", .target = "/gateway/" + bench + "/request/bench", .body = body},
      body);
  CHECK(client.get(bench, "/request/instance").body == instance);
}

TEST_CASE_FIXTURE(streaming_bodies, "a cut at every step of a download") {
  const auto body = counting(3'000'000);
  check_cuts(
      *this,
      {
          {"after RequestStart", {}, nth<to_envoy_request_start>(1, fate::cut_after)},
          {"after ResponseStart", nth<to_rivet_response_start>(1, fate::cut_after)},
          {"after the fifth chunk", nth<to_rivet_response_chunk>(5, fate::cut_after)},
          {"before credit", {}, nth<to_envoy_response_body_window_update>(1, fate::cut_before)},
          {"after credit", {}, nth<to_envoy_response_body_window_update>(1, fate::cut_after)},
      },
      {.method = "GET", .target = target("/request/stream?bytes=3000000")},
      body);
  // One that needs no credit, so that its end is written whatever has been.
  check_cuts(
      *this,
      {
          {"before the last chunk", nth<to_rivet_response_chunk>(1, fate::cut_before, finishes)},
          {"after the last chunk", nth<to_rivet_response_chunk>(1, fate::cut_after, finishes)},
      },
      {.method = "GET", .target = target("/request/stream?bytes=900000")},
      body.substr(0, 900'000));
}

// Events half a second apart, so that all but the one at the cut are confirmed.
TEST_CASE_FIXTURE(
    streaming_bodies, "1.5: a part of a response that a cut kept from the gateway comes again") {
  proxy->judge_to_engine(nth<to_rivet_response_chunk>(2, fate::cut_before));
  const auto reply = client.get(id, "/request/events?count=5&ms=500");
  CHECK(proxy->records().size() == 2);
  CHECK(reply.status == 200);
  CHECK(reply.body == events(5));
  check_calm();
}

TEST_CASE_FIXTURE(
    streaming_bodies,
    "1.5: a part of a response that the gateway had read before a cut ends its exchange, and no "
    "other") {
  raw_client cut_short{engine.port()};
  auto beside =
      std::async(std::launch::async, [&] { return client.get(id, "/request/slow?ms=2000"); });
  CHECK(await_open(1));
  auto socket = open("echo");
  CHECK(socket.send("before"));
  CHECK(socket.text() == "before");
  // Behind it nothing passes, so that the host does not learn that it was read.
  proxy->judge_to_engine(
      [this, second = nth<to_rivet_response_chunk>(2, fate::cut_after)](const to_rivet& m) mutable {
        if (second(m) != fate::pass) proxy->stall_towards_engine(true);
        return fate::pass;
      });
  CHECK(cut_short.send(request_head("GET", target("/request/events?count=5&ms=500"))));
  CHECK(cut_short.await("data: 1\n"));
  proxy->cut();
  proxy->stall_towards_engine(false);
  CHECK(cut_short.await_end());
  const auto& got = cut_short.received();
  CAPTURE(got);
  CHECK(got.find("data: 2\n") == std::string::npos);
  CHECK(!got.ends_with("\r\n0\r\n\r\n"));
  CHECK(beside.get().body == "at last\n");
  CHECK(socket.send("after"));
  CHECK(socket.text() == "after");
  check_calm();
}

TEST_CASE_FIXTURE(
    streaming_bodies, "a client that leaves while the host is away, in the middle of a download") {
  raw_client leaves{engine.port()};
  CHECK(leaves.send(request_head("GET", target("/request/stream?bytes=25000000"))));
  CHECK(leaves.await("\r\n\r\n"));
  CHECK(await_open(1));
  proxy->refuse(true);
  proxy->cut();
  CHECK(await([&] { return proxy->last().ended; }));
  leaves.drop();
  proxy->refuse(false);
  check_calm();
}

TEST_CASE_FIXTURE(streaming_bodies, "a client that leaves in the middle of an upload or download") {
  SUBCASE("upload") {
    raw_client leaves{engine.port()};
    CHECK(leaves.send(slow_upload));
    CHECK(await_open(1));
    leaves.drop();
  }
  SUBCASE("download") {
    raw_client leaves{engine.port()};
    CHECK(leaves.send(request_head("GET", target("/request/stream?bytes=25000000"))));
    CHECK(leaves.await("\r\n\r\n"));
    CHECK(await_open(1));
    leaves.drop();
  }
  check_calm();
}

// This gateway tells nobody that a client has left.
TEST_CASE_FIXTURE(buffered_bodies, "a client of the buffered gateway that leaves") {
  const auto before = host->stats().ingress.requests;
  {
    raw_client leaves{engine.port()};
    CHECK(
        leaves.send(request_head("POST", target("/request/sink"), "content-length: 3000000\r\n")));
    CHECK(leaves.send(counting(500'000)));
  }
  CHECK(info()["requests"] == 1);
  CHECK(host->stats().ingress.requests == before + 1);
  raw_client leaves{engine.port()};
  CHECK(leaves.send(request_head("POST", target("/request/slow?ms=500"), "content-length: 0\r\n")));
  CHECK(await_open(1));
  leaves.drop();
  check_calm();
}

TEST_CASE_FIXTURE(
    streaming_bodies, "an actor that crashes in the middle of an upload or download") {
  raw_client waits{engine.port()};
  SUBCASE("upload") {
    CHECK(waits.send(slow_upload));
    CHECK(await_open(1));
    check_crashed(client.post(id, "/request/crash"));
    CHECK(waits.await("\r\n\r\n"));
    CHECK(waits.status() >= 500);
  }
  SUBCASE("download") {
    CHECK(waits.send(request_head("GET", target("/request/events?count=1000&ms=50"))));
    CHECK(waits.await("data: 1\n"));
    check_crashed(client.post(id, "/request/crash"));
    CHECK(waits.await_end());
    CHECK(waits.received().find("data: 999\n") == std::string::npos);
    CHECK_FALSE(waits.received().ends_with("\r\n0\r\n\r\n"));
  }
  CHECK(client.await_sleeping(id).sleeping);
  check_calm(2);
}

TEST_CASE_FIXTURE(streaming_bodies, "a request whose client leaves at once") {
  const auto before = host->stats().ingress.requests;
  SUBCASE("the abort follows its start") {
    for (int i = 0; i < 20; ++i) {
      raw_client leaves{engine.port()};
      CHECK(leaves.send(
          request_head("POST", target("/request/slow?ms=60000"), "content-length: 0\r\n")));
      if (i % 2 != 0) CHECK(await([&] { return host->stats().ingress.requests_open != 0; }));
    }
    check_calm();
    return;
  }
  SUBCASE("the abort overtakes its start") {
    std::atomic<bool> released = false, held = false;
    proxy->judge_to_host([&](const to_envoy& m) {
      if (tunnel_kind<to_envoy_request_start>(m) != nullptr && !held.exchange(true))
        return fate::hold;
      if (tunnel_kind<to_envoy_request_abort>(m) == nullptr) return fate::pass;
      released = true;
      return fate::release;
    });
    raw_client leaves{engine.port()};
    CHECK(leaves.send(
        request_head("POST", target("/request/slow?ms=60000"), "content-length: 0\r\n")));
    CHECK(await([&] { return held.load(); }));
    leaves.drop();
    CHECK(await([&] { return released.load(); }));
    check_calm();
    // Never handed to the actor: the one request is that for its info.
    CHECK(host->stats().ingress.requests == before + 1);
  }
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

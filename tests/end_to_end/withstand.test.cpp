// Streaming bodies: a cut of the host's connection at every step, clients that leave, actors that end.
#include <fmt/format.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <nuncio/tunnel/http_exchange.hpp>

#include "probed_pool.hpp"
#include "raw_client.hpp"
#include "tunnel_judges.hpp"

namespace nuncio::e2e {
namespace {

using json = nlohmann::json;
using namespace protocol;

struct bodies : probed_pool {
  explicit bodies(engine_under_test& on, std::chrono::milliseconds stall_limit = 1s)
      : probed_pool(on, {.stall_limit = stall_limit}) {}

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
  std::string slow_upload = request_head(
                                "POST",
                                target("/request/sink?read=200000"),
                                "content-length: 1500000\r\nconnection: close\r\n") +
                            counting(1'500'000);
};

// Whose host gives nothing up: what a step loses is lost for as long as its client waits.
struct patient_bodies : bodies {
  patient_bodies() : bodies(shared_streaming_engine(), 5min) {}
};

// Without headers.
client_reply reply_of(const raw_client& x) {
  const auto& got = x.received();
  const auto head_end = got.find("\r\n\r\n");
  return {x.status(), {}, head_end == got.npos ? std::string{} : got.substr(head_end + 4)};
}

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

// An upload whose client says more only when nothing is on its way and the engine is known to have read all that the host
// said: so it is known what a cut loses, and what is said twice.
class paced_upload {
public:
  paced_upload(bodies& x, std::string_view path, std::string body)
      : x_(x), body_(std::move(body)), client_(x.engine.port()) {
    x_.proxy->judge_to_host(counting_judge({}));
    CHECK(client_.send(request_head(
        "POST", path, fmt::format("content-length: {}\r\nconnection: close\r\n", body_.size()))));
    CHECK(x_.await_open(1));
  }

  ~paced_upload() { x_.proxy->judge_to_host({}); }

  paced_upload(const paced_upload&) = delete;
  paced_upload& operator=(const paced_upload&) = delete;

  // Sends the body up to there.
  void send_to(std::size_t end) {
    CHECK(client_.send(std::string_view{body_}.substr(sent_, end - sent_)));
    sent_ = end;
  }

  // All that was sent has come.
  void await_come() {
    CHECK(await([&] { return *passed_ == sent_; }));
  }

  // And nothing else is on its way.
  void await_rest() {
    await_come();
    CHECK(await([&] { return x_.host->stats().link.outbound_bytes == 0; }));
  }

  void judge_to_host(std::function<fate(const to_envoy&)> then) {
    x_.proxy->judge_to_host(counting_judge(std::move(then)));
  }

  // "no answer" if none comes within `limit`: the gateway itself waits five minutes.
  std::string seen(std::string_view want, std::chrono::milliseconds limit = 20s) {
    if (!client_.await("\r\n\r\n", limit)) return "no answer";
    CHECK(client_.await_end());
    const auto reply = reply_of(client_);
    if (reply.status == 200) return reply.body == want ? "whole" : "something else";
    return fmt::format("{} {}", reply.status, reply.error_code());
  }

private:
  std::function<fate(const to_envoy&)> counting_judge(std::function<fate(const to_envoy&)> then) {
    return [passed = passed_, then = std::move(then)](const to_envoy& m) {
      if (const auto* chunk = tunnel_kind<to_envoy_request_chunk>(m)) *passed += chunk->body.size();
      return then ? then(m) : fate::pass;
    };
  }

  bodies& x_;
  std::string body_;
  raw_client client_;
  std::size_t sent_ = 0;
  std::shared_ptr<std::atomic<std::size_t>> passed_ = std::make_shared<std::atomic<std::size_t>>(0);
};

// When half a window has been read there is credit, of which shorter uploads have none.
constexpr std::size_t half_window = http_window_bytes / 2;
constexpr std::size_t short_upload = 400'000;
constexpr std::size_t long_upload = half_window + 50'000;

struct upload_step {
  const char* name;
  std::size_t size;
  std::size_t before;  // so many bytes have come when it begins
  std::size_t during;  // up to there they are sent before the cut
  cut_step
      at;  // before a message, or behind it: the engine has read it, and the host does not learn that
  std::string sees;
};

const auto any_body = [](const auto& chunk) { return !chunk.body.empty(); };

std::vector<upload_step> upload_steps() {
  const auto credit = [](fate how) { return nth<to_rivet_request_body_window_update>(1, how); };
  const auto answer = [](fate how) { return nth<to_rivet_response_start>(1, how); };
  const std::size_t some = 300'000;
  return {
      // With nothing on its way.
      {"before the body", short_upload, 0, 0, {}, "whole"},
      {"in the middle", short_upload, some, some, {}, "whole"},
      // The host sees that one is missing, and gives the request up.
      {"a chunk",
       short_upload,
       some,
       some + 100,
       {"", {}, nth<to_envoy_request_chunk>(1, fate::cut_before, any_body)},
       "503 guard.tunnel_request_aborted"},
      // It says so again, which the engine takes for the first time. (Of one that comes as the connection ends the real engine
      // now reads it, now does not.)
      {"credit",
       long_upload,
       half_window - 100,
       half_window,
       {"", credit(fate::cut_before)},
       "whole"},
      // Nobody says it again, and the host waits for it.
      {"the last chunk",
       short_upload,
       some,
       short_upload,
       {"", {}, nth<to_envoy_request_chunk>(1, fate::cut_before, finishes)},
       "no answer"},
      {"the answer", short_upload, some, short_upload, {"", answer(fate::cut_before)}, "whole"},
      {"the answer, read",
       short_upload,
       some,
       short_upload,
       {"", answer(fate::cut_after)},
       "whole"},
  };
}

// @param answer  to an upload of so many bytes
template <class Answer>
void check_cuts_of_uploads(bodies& x, const std::string& path, Answer answer) {
  for (const auto& step : upload_steps()) {
    CAPTURE(std::string{step.name});
    const auto want = answer(step.size);
    const auto connections = x.proxy->records().size();
    std::string seen;
    {
      paced_upload upload{x, path, counting(step.size)};
      upload.send_to(step.before);
      upload.await_rest();
      if (step.at.to_host) upload.judge_to_host(step.at.to_host);
      x.proxy->judge_to_engine(step.at.to_engine);
      if (!step.at.to_host && !step.at.to_engine) x.proxy->cut();
      upload.send_to(step.during);
      CHECK(x.proxy->await_barrier(connections + 1));
      x.proxy->judge_to_engine({});
      upload.judge_to_host({});
      upload.send_to(step.size);
      seen = upload.seen(want, step.sees == "no answer" ? 1s : 20s);
    }
    CHECK(seen == step.sees);
    x.check_calm();
  }
}

struct download_step {
  const char* name;
  std::function<fate(const to_rivet&)> at;
  std::size_t events;
  bool whole;
};

constexpr std::string_view body_end = "\r\n0\r\n\r\n";

std::size_t occurrences(std::string_view of, std::string_view what) {
  std::size_t n = 0;
  for (auto at = of.find(what); at != of.npos; at = of.find(what, at + what.size())) ++n;
  return n;
}

}  // namespace

TEST_SUITE_BEGIN("withstand");

TEST_CASE_FIXTURE(patient_bodies, "a cut at every step of an upload that its handler reads") {
  check_cuts_of_uploads(*this, target("/request/sink"), [&](std::size_t size) {
    auto answer = client.post(id, "/request/sink", counting(size)).body;
    CHECK(json::parse(answer)["bytes"] == size);
    return answer;
  });
}

TEST_CASE_FIXTURE(patient_bodies, "a cut at every step of an upload that comes whole") {
  const auto bench = client.create_running("bench");
  const auto instance = client.get(bench, "/request/instance").body;
  check_cuts_of_uploads(*this, "/gateway/" + bench + "/request/bench", counting);
  CHECK(client.get(bench, "/request/instance").body == instance);
}

// Events half a second apart, so that all but the one at the cut are confirmed.
TEST_CASE_FIXTURE(streaming_bodies, "a cut at every step of a download") {
  const auto start = [](fate how) { return nth<to_rivet_response_start>(1, how); };
  const auto end = [](fate how) { return nth<to_rivet_response_chunk>(1, how, finishes); };
  const std::vector<download_step> steps{
      {"its head", start(fate::cut_before), 3, true},
      {"its end", end(fate::cut_before), 3, true},
      {"its end, read", end(fate::cut_after), 3, true},
  };
  for (const auto& step : steps) {
    CAPTURE(std::string{step.name});
    const auto connections = proxy->records().size();
    proxy->judge_to_engine(step.at);
    raw_client asks{engine.port()};
    CHECK(asks.send(
        request_head("GET", target("/request/events?count=3&ms=500"), "connection: close\r\n")));
    CHECK(proxy->await_barrier(connections + 1));
    proxy->judge_to_engine({});
    CHECK(asks.await_end());
    CAPTURE(asks.received());
    CHECK(asks.status() == 200);
    CHECK(occurrences(asks.received(), "data: ") == step.events);
    CHECK(asks.received().ends_with(body_end) == step.whole);
    check_calm();
  }
}

// Events half a second apart, so that all but the one at the cut are confirmed.
TEST_CASE_FIXTURE(
    streaming_bodies, "1.5: a part of a response that a cut kept from the gateway is sent again") {
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
    CHECK(waits.await_end());
    check_crashed(reply_of(waits));
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

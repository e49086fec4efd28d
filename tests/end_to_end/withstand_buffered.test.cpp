// HTTP through the buffered gateway, which takes bodies whole and does not report that a client has left: a cut at every step,
// clients that leave, actors that end with requests open, a host that stops.
#include <fmt/format.h>

#include <atomic>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>

#include "command_judges.hpp"
#include "life_actors.hpp"
#include "probed_pool.hpp"
#include "raw_client.hpp"
#include "tunnel_judges.hpp"

namespace nuncio::e2e {
namespace {

using namespace protocol;

constexpr std::size_t mebibyte = 1U << 20U;

// One call beside the case.
class call_beside {
public:
  call_beside(const hosted_pool& x, client_call what)
      : client_(
            {.endpoint = x.engine.endpoint(),
             .pool = x.pool,
             .timeout = 60s,
             .give_up = &gives_up_}),
        reply_(std::async(
            std::launch::async, [this, what = std::move(what)] { return client_.call(what); })) {}

  ~call_beside() { gives_up_ = true; }

  call_beside(const call_beside&) = delete;
  call_beside& operator=(const call_beside&) = delete;

  [[nodiscard]] bool is_open() const { return reply_.wait_for(0s) == std::future_status::timeout; }

  // Who would wait for ever gives up after `limit`, as clients do: errc::cancelled.
  outcome<client_reply> end(std::chrono::milliseconds limit = 30s) {
    if (reply_.wait_for(limit) == std::future_status::timeout) gives_up_ = true;
    return reply_.get();
  }

private:
  std::atomic<bool> gives_up_ = false;
  testing::client client_;
  std::future<outcome<client_reply>> reply_;
};

// Where to cut, and whether the host has the request by then: what it has, it answers.
struct request_step {
  cut_step at;
  bool reaches;
};

struct buffered_case : probed_pool {
  // What must not notice anything.
  std::string other = client.create_running("outside");

  bool await_open(std::uint64_t n) {
    return await([&] { return host->stats().ingress.requests_open == n; });
  }

  // Of all that clients have asked. What is open may be what has been answered just now.
  [[nodiscard]] std::uint64_t requests() const { return host->stats().ingress.requests; }

  bool await_requests(std::uint64_t n) {
    return await([&] { return requests() == n; });
  }

  [[nodiscard]] call_beside post(
      const std::string& to, std::string_view path, std::string body = {}) const {
    return {
        *this,
        {.method = "POST",
         .target = fmt::format("/gateway/{}{}", to, path),
         .body = std::move(body)}};
  }

  // Of one that was open during a cut, or whose actor ended: 200 and what its actor says. `next` is what it may say as
  // well: a busy engine may judge an end before the answer that left ahead of it, and repeats the request.
  static void check_said(
      call_beside& call, std::string_view want, std::optional<std::string_view> next = {}) {
    const auto reply = call.end();
    REQUIRE(reply.ok());
    CAPTURE(reply->body);
    CHECK(reply->status == 200);
    CHECK((reply->body == want || (next && reply->body == *next)));
  }

  // Nothing is left open, and both probes are what they were.
  void check_calm() {
    CHECK(await_open(0));
    for (const auto& each : {id, other}) {
      const auto now = info_of(client, each);
      CHECK(now["generation"] == 1);
      CHECK(now["starts"] == 1);
      CHECK(now["requests"] == 1);
    }
    CHECK(client.view(id).error.empty());
  }

  // One exchange for each step, cut there, with another actor's request open.
  void check_cuts(
      const std::vector<request_step>& steps, const client_call& what, const std::string& want) {
    for (const auto& step : steps) {
      CAPTURE(std::string{step.at.name});
      const auto before = requests();
      auto beside = post(other, "/request/slow?ms=300");
      CHECK(await_requests(before + 1));
      const auto connections = proxy->records().size();
      proxy->judge_to_engine(step.at.to_engine);
      proxy->judge_to_host(step.at.to_host);
      call_beside asks{*this, what};
      CHECK(proxy->await_barrier(connections + 1));
      proxy->judge_to_engine({});
      proxy->judge_to_host({});
      // Neither engine sends again what it lost on its way, nor says so before its own limit of minutes.
      const auto reply = asks.end(step.reaches ? 30s : 500ms);
      CHECK(proxy->records().size() == connections + 1);
      if (step.reaches) REQUIRE(reply.ok());
      if (reply) {
        CHECK(reply->status == 200);
        CHECK((reply->body == want));
      } else {
        CHECK(reply.error().code == errc::cancelled);
      }
      CHECK(requests() == before + 1 + (reply ? 1 : 0));
      check_said(beside, "at last\n");
      check_calm();
    }
  }
};

// Of the exchange whose path begins so, and whose response is as large: not the one beside it.
std::vector<request_step> exchange_steps(std::string_view path) {
  const auto start = [=](fate what) {
    return nth<to_envoy_request_start>(1, what, [path = std::string{path}](const auto& x) {
      return x.path.view().starts_with(path);
    });
  };
  const auto response = [](fate what) {
    return nth<to_rivet_response_start>(
        1, what, [](const auto& x) { return x.body && x.body->size() == mebibyte; });
  };
  return {
      {{"before RequestStart", {}, start(fate::cut_before)}, false},
      {{"inside RequestStart", {}, start(fate::cut_inside)}, false},
      {{"after RequestStart", {}, start(fate::cut_after)}, true},
      {{"before ResponseStart", response(fate::cut_before)}, true},
      {{"inside ResponseStart", response(fate::cut_inside)}, true},
      {{"after ResponseStart", response(fate::cut_after)}, true},
  };
}

}  // namespace

TEST_SUITE_BEGIN("withstand_buffered");

TEST_CASE_FIXTURE(buffered_case, "a cut at every step of a GET of 1 MiB that is streamed") {
  check_cuts(
      exchange_steps("/request/stream"),
      {.method = "GET", .target = target(fmt::format("/request/stream?bytes={}", mebibyte))},
      counting(mebibyte));
  CHECK(host->stats().ingress.actors_started == 2);
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(buffered_case, "a cut at every step of a POST of 1 MiB that is echoed") {
  const auto bench = client.create_running("bench");
  const auto instance = client.get(bench, "/request/instance").body;
  const auto body = counting(mebibyte);
  check_cuts(
      exchange_steps("/request/bench"),
      {.method = "POST", .target = "/gateway/" + bench + "/request/bench", .body = body},
      body);
  CHECK(client.get(bench, "/request/instance").body == instance);
  CHECK(host->stats().ingress.actors_started == 3);
  CHECK(backlog_drains());
}

// The gateway asks the next generation what this one has not begun.
TEST_CASE_FIXTURE(
    buffered_case,
    "a cut at every step of the abort that an actor's crash leaves: asked again, once") {
  const std::vector<cut_step> steps{
      {"before the abort", nth<to_rivet_response_abort>(1, fate::cut_before)},
      {"inside the abort", nth<to_rivet_response_abort>(1, fate::cut_inside)},
      {"after the abort", nth<to_rivet_response_abort>(1, fate::cut_after)},
  };
  for (const auto& step : steps) {
    CAPTURE(std::string{step.name});
    const auto gate = client.create_running("gate");
    const auto before = requests();
    auto crashes = post(gate, "/wait-throw");
    CHECK(await_requests(before + 1));
    auto waits = post(gate, "/", counting(mebibyte));
    CHECK(await_requests(before + 2));
    const auto connections = proxy->records().size();
    proxy->judge_to_engine(step.to_engine);
    let_go(gate);
    CHECK(proxy->await_barrier(connections + 1));
    proxy->judge_to_engine({});
    const auto crashed = crashes.end();
    REQUIRE(crashed.ok());
    CHECK(crashed->status == 500);
    CHECK(crashed->body.starts_with("an internal error occurred (error_id "));
    check_said(waits, "2");
    CHECK(requests() == before + 3);
    CHECK(proxy->records().size() == connections + 1);
    check_calm();
  }
  CHECK(host->stats().ingress.actors_started == 2 + 2 * steps.size());
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(
    buffered_case, "an actor that is put to sleep or destroyed under its requests, with a cut") {
  const auto gate = client.create_running("gate");
  auto handled = post(gate, "/wait");
  CHECK(await_requests(1));
  auto waits = post(gate, "/", counting(mebibyte));
  CHECK(await_requests(2));
  std::future<bool> destroyed;
  SUBCASE("sleep") { must(client.sleep(gate)); }
  SUBCASE("destroy") {
    destroyed = std::async(std::launch::async, [&] { return client.destroy(gate).ok(); });
  }
  CHECK(await([&] { return host->stats().ingress.stops == 1; }));
  proxy->cut_and_await();
  auto late = post(gate, "/");
  CHECK((handled.is_open() && waits.is_open()));
  let_go(gate);
  const auto next = kind_under_test() == engine_kind::rivet && !destroyed.valid()
                        ? std::optional{"2"}
                        : std::nullopt;
  check_said(handled, "1", next);
  check_said(waits, "1", next);
  if (destroyed.valid()) {
    CHECK(destroyed.get());
    const auto refused = late.end();
    REQUIRE(refused.ok());
    CAPTURE(refused->body);
    const auto said = fmt::format("{} {}", refused->status, refused->error_code());
    CAPTURE(said);
    // The real gateway may still have been waiting for the actor; it looks for it once more if it was not yet.
    const auto waited = kind_under_test() == engine_kind::rivet &&
                        said == "400 actor.destroyed_while_waiting_for_ready";
    CHECK((waited || said == "404 actor.not_found"));
    CHECK(host->stats().ingress.actors_started == 3);
  } else {
    check_said(late, "2");
    CHECK(host->stats().ingress.actors_started == 4);
  }
  check_calm();
  CHECK(backlog_drains());
}

TEST_CASE_FIXTURE(
    buffered_case,
    "a host that is stopped with requests open: it answers what it has, another host the rest") {
  const auto gate = client.create_running("gate");
  auto handled = post(gate, "/wait");
  CHECK(await_requests(1));
  auto waits = post(gate, "/", counting(mebibyte));
  CHECK(await_requests(2));
  test_host second{{.endpoint = engine.endpoint(), .pool = pool}};
  REQUIRE(second.await_ready());
  std::thread stops{[&] { host->stop(); }};
  CHECK(await([&] { return host->stats().ingress.stops != 0; }));
  auto late = post(gate, "/");
  CHECK((handled.is_open() && waits.is_open()));
  let_go(gate);
  const auto next = kind_under_test() == engine_kind::rivet ? std::optional{"2"} : std::nullopt;
  check_said(handled, "1", next);
  check_said(waits, "1", next);
  check_said(late, "2");
  stops.join();
  CHECK(host->await_end().has_value());
  CHECK(host->stats().ingress.actors_started == 3);
  CHECK(info()["generation"] == 2);
  CHECK(second.factory_calls_repeated() == 0);
  second.abort();
}

TEST_CASE_FIXTURE(
    buffered_case, "clients that leave in the middle, of their bodies or while the host is away") {
  const auto before = requests();
  SUBCASE("an upload") {
    raw_client leaves{engine.port()};
    CHECK(leaves.send(request_head(
        "POST", target("/request/sink"), fmt::format("content-length: {}\r\n", mebibyte))));
    CHECK(leaves.send(counting(mebibyte / 2)));
    proxy->cut_and_await();
    leaves.drop();
    check_calm();
    // Those of check_calm(): that of the client never left the gateway.
    CHECK(requests() == before + 2);
  }
  SUBCASE("a download") {
    raw_client leaves{engine.port(), 4096};
    CHECK(leaves.send(request_head("GET", target("/request/stream?bytes=16000000"))));
    CHECK(leaves.await("\r\n\r\n"));
    leaves.drop();
    check_calm();
  }
  SUBCASE("a request in its handler") {
    const auto gate = client.create_running("gate");
    raw_client leaves{engine.port()};
    CHECK(leaves.send(
        request_head("POST", fmt::format("/gateway/{}/wait", gate), "content-length: 0\r\n")));
    CHECK(await_open(1));
    const auto connections = proxy->records().size();
    proxy->refuse(true);
    proxy->cut();
    CHECK(await([&] { return proxy->last().ended; }));
    leaves.drop();
    let_go(gate);
    CHECK(await_open(0));
    proxy->refuse(false);
    CHECK(proxy->await_barrier(connections + 1));
    check_calm();
    CHECK(client.get(gate, "/").body == "1");
  }
  CHECK(backlog_drains());
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

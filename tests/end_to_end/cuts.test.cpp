// The connection is cut under load: no actor is lost, every request that arrives is answered.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <mutex>
#include <unordered_set>

#include "fixture.hpp"

namespace nuncio::e2e {
namespace {

using clock = std::chrono::steady_clock;

// The requests that arrived at the host's end of the wire, by their paths.
class arrived {
public:
  explicit arrived(wire_proxy& proxy) : proxy_(proxy) {
    proxy_.judge_to_host([this](const protocol::to_envoy& x) {
      if (const auto* message = std::get_if<protocol::to_envoy_tunnel_message>(&x))
        if (const auto* start =
                std::get_if<protocol::to_envoy_request_start>(&message->message_kind)) {
          const std::lock_guard guard{mutex_};
          paths_.emplace(start->path.view());
        }
      return fate::pass;
    });
  }

  ~arrived() { proxy_.judge_to_host({}); }

  arrived(const arrived&) = delete;
  arrived& operator=(const arrived&) = delete;

  std::size_t size() const {
    const std::lock_guard guard{mutex_};
    return paths_.size();
  }

  bool contains(const std::string& path) const {
    const std::lock_guard guard{mutex_};
    return paths_.contains(path);
  }

private:
  wire_proxy& proxy_;
  mutable std::mutex mutex_;
  std::unordered_set<std::string> paths_;
};

// Clients that ask in turn, at `per_second` together, until told to end. Each request has a path of its own.
class load {
public:
  struct failed_request {
    std::string path, why;
  };

  load(
      const testing::client& client,
      std::vector<std::string> ids,
      unsigned per_second,
      unsigned clients) {
    for (unsigned i = 0; i < clients; ++i)
      threads_.emplace_back([this,
                             &client,
                             ids,
                             i,
                             gap = std::chrono::microseconds{1'000'000} * clients / per_second] {
        auto next = clock::now();
        for (auto n = i; !over_; ++n) {
          std::this_thread::sleep_until(next);
          next = std::max(next + gap, clock::now());
          const auto path = fmt::format("/request/bench?client={}&n={}", i, n);
          const auto reply = client.request(ids[n % ids.size()], "POST", path, "x");
          ++asked;
          if (!reply)
            note({path, reply.error().message});
          else if (reply->status != 200)
            note({path, fmt::format("status {}: {}", reply->status, reply->body)});
          else
            ++answered;
        }
      });
  }

  ~load() { end(); }

  load(const load&) = delete;
  load& operator=(const load&) = delete;

  void end() {
    over_ = true;
    for (auto& x : threads_)
      if (x.joinable()) x.join();
  }

  std::atomic<std::uint64_t> asked = 0, answered = 0;

  std::vector<failed_request> failed() {
    const std::lock_guard guard{mutex_};
    return failed_;
  }

private:
  void note(failed_request x) {
    const std::lock_guard guard{mutex_};
    failed_.push_back(std::move(x));
  }

  std::atomic<bool> over_ = false;
  std::mutex mutex_;
  std::vector<failed_request> failed_;
  std::vector<std::thread> threads_;
};

}  // namespace

TEST_SUITE_BEGIN("cuts");

TEST_CASE(
    "six cuts under 200 requests/s: no actor lost, back at the first dial, every request that "
    "arrives is answered") {
  hosted_pool x;
  std::vector<std::string> ids, instances;
  for (int i = 0; i < 8; ++i) ids.push_back(x.client.create_running("bench"));
  for (const auto& id : ids) instances.push_back(x.client.get(id, "/request/instance").body);

  // Less patient than the idle timeout: a request that the engine lost would be waited for until the actors, which have
  // nothing to do meanwhile, have gone to sleep.
  const testing::client impatient{
      {.endpoint = x.engine.endpoint(), .pool = x.pool, .timeout = 20s}};
  const arrived at_host{*x.proxy};
  load requests{impatient, ids, 200, 16};
  for (int i = 0; i < 6; ++i) {
    // Spread over the better part of the minute, and with traffic before each.
    const auto answered = requests.answered.load();
    std::this_thread::sleep_for(8s);
    REQUIRE(await([&] { return requests.answered >= answered + 200; }, 60s));
    const auto dials = x.host->stats().link.dials;
    const auto connections = x.proxy->records().size();
    x.proxy->cut_towards_engine();
    REQUIRE(x.proxy->await_barrier(connections + 1));
    CHECK(x.host->stats().link.dials == dials + 1);
  }
  const auto answered = requests.answered.load();
  REQUIRE(await([&] { return requests.answered >= answered + 200; }, 60s));
  requests.end();

  CHECK(await([&] { return x.host->stats().ingress.requests_open == 0; }));
  const auto stats = x.host->stats();
  CHECK(
      stats.responses + stats.ingress.requests_replaced + stats.ingress.requests_aborted >=
      stats.ingress.requests);
  // An engine loses a request now and then that it forwards in the moment of a cut: its gateway waits five minutes for an
  // answer to what was never on the wire (the real one 13 of 1,809 on a busy machine). Nothing that a host could do. What was
  // on the wire is answered, also if the engine had read the answer, but not handled it, when the connection ended.
  INFO("the host's log:\n" << x.host->log());
  const auto failed = requests.failed();
  for (const auto& [path, why] : failed) {
    CHECK_MESSAGE(!at_host.contains(path), path << ": " << why);
    MESSAGE(path << ": " << why);
  }
  CHECK(at_host.size() >= requests.answered);
  CHECK(failed.size() <= requests.asked / 20);
  MESSAGE("asked " << requests.asked.load() << ", answered " << requests.answered.load());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto after = x.client.get(ids[i], "/request/instance");
    CHECK(after.body == instances[i]);
    CHECK(after.header("x-starts") == "1");
    CHECK(x.client.view(ids[i]).error.empty());
  }
  CHECK(x.host->factory_calls() == ids.size());
  CHECK(x.backlog_drains());
}

TEST_CASE("a cut while a request is in flight: answered on the new connection") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  auto slow = std::async(std::launch::async, [&] { return x.client.get(id, "/hold"); });
  REQUIRE(await([&] { return x.host->stats().ingress.requests_open == 1; }));
  CHECK(x.proxy->cut_and_await().barrier);
  CHECK(slow.wait_for(0s) == std::future_status::timeout);
  CHECK(x.host->release(id));
  const auto reply = slow.get();
  CHECK(reply.status == 200);
  CHECK(reply.header("x-generation") == "1");
  CHECK(x.host->stats().ingress.requests == 1);
}

TEST_CASE("a response that was given while the connection was down reaches the client") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  auto slow = std::async(std::launch::async, [&] { return x.client.get(id, "/hold"); });
  REQUIRE(await([&] { return x.host->stats().ingress.requests_open == 1; }));
  x.proxy->refuse(true);
  x.proxy->cut();
  REQUIRE(await([&] { return x.proxy->last().ended; }));
  CHECK(x.host->release(id));
  REQUIRE(await([&] { return x.host->stats().responses == 1; }));
  x.proxy->refuse(false);
  const auto reply = slow.get();
  CHECK(reply.status == 200);
  CHECK(reply.header("x-generation") == "1");
}

TEST_CASE("a request made while the connection is down is answered after it") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  x.client.post(id, "/increment");
  x.proxy->refuse(true);
  x.proxy->cut();
  REQUIRE(await([&] { return x.proxy->last().ended; }));
  auto waiting = std::async(std::launch::async, [&] { return x.client.get(id, "/n"); });
  CHECK(waiting.wait_for(1s) == std::future_status::timeout);
  x.proxy->refuse(false);
  const auto reply = waiting.get();
  CHECK(reply.status == 200);
  CHECK(reply.body == "1");
}

TEST_CASE("an undecodable frame ends the connection, not the actors") {
  hosted_pool x;
  const auto id = x.client.create_running("counter");
  x.client.post(id, "/request/increment");
  const auto before = x.proxy->records().size();
  x.proxy->inject_garbage();
  REQUIRE(x.proxy->await_barrier(before + 1));
  CHECK(x.host->stats().link.bad_frames == 1);
  CHECK(x.client.post(id, "/request/increment").body == "2");
  CHECK(x.host->factory_calls() == 1);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

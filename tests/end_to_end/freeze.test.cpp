// A host process that is stopped and continued: whatever the engine decided meanwhile, no instance runs twice.
#include <signal.h>

#include <algorithm>

#include "fixture.hpp"
#include "process.hpp"

namespace nuncio::e2e {
namespace {

// One actor of a host that freezes. Its answers name the instance that gave them: once a later instance has spoken, an
// earlier one must not.
struct watched {
  void see(const client_reply& reply) {
    if (reply.status != 200) return;
    CHECK(reply.header("x-starts") == "1");
    if (!instances.empty() && instances.back() == reply.body) return;
    CHECK(std::find(instances.begin(), instances.end(), reply.body) == instances.end());
    instances.push_back(reply.body);
  }

  std::string id;
  std::vector<std::string> instances;
};

struct frozen_pool {
  explicit frozen_pool(std::chrono::seconds length_)
      : length(length_),
        pool(new_pool()),
        client(shared_engine(), pool),
        host(serve_command(shared_engine().endpoint(), pool)) {
    if (!host.await_line("ready")) FAIL("the host did not become ready:\n" << host.log());
    for (auto& a : actors) {
      a.id = client.create_running("bench");
      a.see(client.get(a.id, "/request/instance"));
    }
  }

  bool all_answer() {
    bool all = true;
    for (auto& a : actors) {
      const auto reply = client.request(a.id, "GET", "/request/instance");
      if (reply) a.see(*reply);
      all = all && reply && reply->status == 200;
    }
    return all;
  }

  std::chrono::seconds length;
  std::string pool;
  pool_client client;
  process host;
  watched actors[3];
};

}  // namespace

TEST_SUITE_BEGIN("freeze");

TEST_CASE(
    "a host frozen for 20 s and one frozen for 40 s recover; a second host takes over; nothing "
    "runs twice") {
  frozen_pool short_one{20s}, long_one{40s}, moved{25s};
  const auto from = std::chrono::steady_clock::now();
  short_one.host.signal(SIGSTOP);
  long_one.host.signal(SIGSTOP);
  moved.host.signal(SIGSTOP);
  // Beside the frozen host of this pool another one appears, to which the engine may give the actors.
  process heir{serve_command(shared_engine().endpoint(), moved.pool)};
  REQUIRE(heir.await_line("ready"));

  std::this_thread::sleep_until(from + 20s);
  short_one.host.signal(SIGCONT);
  INFO(short_one.host.log());
  CHECK(await([&] { return short_one.all_answer(); }, 40s));
  CHECK(short_one.all_answer());

  // The engine judges a silent host between 15 and 30 s after its last sign; then the heir serves.
  CHECK(await([&] { return moved.all_answer(); }, 60s));
  for (const auto& a : moved.actors) CHECK(a.instances.size() == 2);
  moved.host.signal(SIGCONT);
  for (int i = 0; i < 20; ++i) {
    CHECK(moved.all_answer());
    std::this_thread::sleep_for(50ms);
  }
  for (const auto& a : moved.actors) CHECK(a.instances.size() == 2);

  std::this_thread::sleep_until(from + 40s);
  long_one.host.signal(SIGCONT);
  INFO(long_one.host.log());
  CHECK(await([&] { return long_one.all_answer(); }, 40s));
  CHECK(long_one.all_answer());
  // After 40 s the engine has given every instance up: what answers is a later one.
  for (const auto& a : long_one.actors) CHECK(a.instances.size() == 2);
  for (auto* pool : {&short_one, &long_one, &moved})
    for (const auto& a : pool->actors) CHECK_FALSE(pool->client.view(a.id).destroyed);
}

TEST_CASE(
    "a connection that is down for longer than the lease: the instances end, the next generation "
    "answers") {
  hosted_pool x;
  const auto id = x.client.create_running("bench");
  const auto before = x.client.get(id, "/request/instance").body;
  x.proxy->refuse(true);
  x.proxy->cut();
  CHECK(await([&] { return x.host->stats().ingress.instances == 0; }, 20s));
  CHECK(x.host->stats().link.leases_ended == 1);
  x.proxy->refuse(false);
  REQUIRE(await([&] { return x.proxy->last().barrier && !x.proxy->last().ended; }));
  const auto after = x.client.get(id, "/request/instance");
  CHECK(after.status == 200);
  CHECK(after.body != before);
  CHECK(after.header("x-starts") == "1");
  CHECK(x.host->factory_calls() == 2);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

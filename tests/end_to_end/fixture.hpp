// The common setup of most cases: a pool of their own on the shared engine, a client for it, and a host in this process behind
// a proxy that can cut and swallow. And waiting: `await` checks until a condition holds.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <nuncio/testing/client.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine_under_test.hpp"
#include "test_host.hpp"
#include "wire_proxy.hpp"

namespace nuncio::e2e {

using namespace std::chrono_literals;
using testing::actor_view;
using testing::client_call;
using testing::client_reply;
using testing::socket_client;

/// A pool name that no other case uses.
std::string new_pool();

/// `nuncio serve` for this engine and pool, and `more`: the command line of a process.
std::vector<std::string> serve_command(
    const std::string& endpoint,
    const std::string& pool,
    const std::vector<std::string>& more = {});

/// What the probe streams: byte i is i modulo 251.
std::string counting(std::size_t size);

/// Asks `holds` until it does, or for `limit`. For what the engine alone knows, which has nothing to wait on.
template <class Condition>
bool await(Condition&& holds, std::chrono::milliseconds limit = 20s) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(20ms);
  }
  return true;
}

/// The reply, or the case fails with the reason.
client_reply must(const outcome<client_reply>& x);
actor_view must(const outcome<actor_view>& x);
void must(const outcome<void>& x);

/// What an engine says of one pool, and what cases ask of it.
class pool_client : public testing::client {
public:
  explicit pool_client(
      const engine_under_test& engine, std::string pool, std::string namespace_name = "default");

  /// Creates an actor and waits until the engine has it running; returns its id.
  [[nodiscard]] std::string create_running(
      const std::string& name, const std::string& key = {}) const;
  client_reply get(const std::string& id, std::string_view path) const;
  client_reply post(const std::string& id, std::string_view path, std::string body = {}) const;
  /// Waits until the engine says that the actor sleeps.
  actor_view await_sleeping(const std::string& id, std::chrono::milliseconds limit = 20s) const;

  [[nodiscard]] actor_view view(const std::string& id) const {
    return must(testing::client::get(id));
  }
};

struct case_setup {
  std::uint16_t protocol_version = 8;
  std::size_t requests_max = 256;
  std::string pool{};
  std::chrono::milliseconds stall_limit{5min};
  std::chrono::milliseconds stop_grace{15s};
  std::chrono::milliseconds forget_after{10min};  ///< the ledger, an actor that is gone
  std::chrono::milliseconds storage_timeout{30s};
  std::chrono::milliseconds ping_after{4000};
  std::chrono::milliseconds hangup_after{9000};
  std::optional<std::size_t> message_bytes_max{};
};

/// Engine, pool, proxy, host, client; ready.
class hosted_pool {
public:
  explicit hosted_pool(const case_setup& setup = {});
  hosted_pool(engine_under_test& engine, const case_setup& setup);
  ~hosted_pool();
  hosted_pool(const hosted_pool&) = delete;
  hosted_pool& operator=(const hosted_pool&) = delete;

  /// Reconnects until the engine re-sends nothing, at most a few times (an ack may be under way): "it holds 0".
  [[nodiscard]] bool backlog_drains();

  engine_under_test& engine;
  std::string pool;
  pool_client client;
  std::unique_ptr<wire_proxy> proxy;
  std::unique_ptr<test_host> host;
};

/// Leaves a case that one engine cannot run; the reason shows in the table.
#define E2E_SKIP(reason)              \
  do {                                \
    ::nuncio::e2e::note_skip(reason); \
    return;                           \
  } while (false)
void note_skip(std::string reason);
std::string take_skip();

/// The cells of a line of results.
std::vector<std::string> tab_separated(std::string_view line);

/// What the hosts and engines of the running case said, for when it fails.
std::string take_logs();
/// Adds what a host has said, and the engine of its pool.
void keep_log(const std::string& pool, const test_host& host, const engine_under_test& engine);

}  // namespace nuncio::e2e

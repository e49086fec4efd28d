// A host in this process with its own actor system, serving the sample actors, and `probe`, which makes an actor's mistakes on
// request. CAF is used in test_host.cpp only. Any thread.
//
// probe: GET /n, POST /increment, /quit, /quit-unanswered, /throw, /fail, /sleep, /destroy, GET /slow?ms=N,
// GET /hold (answered at release()), GET /big?bytes=N, POST /digest, GET /generation, GET /calls (how often this process ran /big). Every answer carries
// x-generation and x-instance. Told to stop, it answers what is open first. A std::string from another CAF actor is answered
// with the actor's id.
//
// outside: the probe of `nuncio serve` (docs/probe.md).
//
// blocker (a function) and blocking room (a class), both detached: GET /wait blocks its thread until `doorman`, which is
// not, has had a POST /; GET /thread names the thread. The function also takes WebSockets: it echoes, on /websocket/wait
// after the same wait, and POST /broadcast?bytes=N sends all of them as much.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nuncio/connection/connection_policy.hpp>
#include <nuncio/host/counters.hpp>
#include <nuncio/outcome.hpp>
#include <nuncio/tls_options.hpp>
#include <nuncio/token_source.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace caf {
class actor_system;
}

namespace nuncio {
class host;
}

namespace nuncio::e2e {

struct host_setup {
  std::string endpoint;
  std::string pool;
  std::string namespace_name = "default";
  std::string envoy_key{};
  std::uint16_t protocol_version = 8;  ///< 0: as the engine says
  std::size_t requests_max = 256;
  std::size_t links = 1;
  std::chrono::milliseconds drain_timeout{std::chrono::seconds{10}};
  std::chrono::milliseconds stall_limit{std::chrono::minutes{5}};
  std::chrono::milliseconds stop_grace{std::chrono::seconds{15}};
  std::chrono::milliseconds forget_after{std::chrono::minutes{10}};  ///< of the ledger
  std::chrono::milliseconds storage_timeout{std::chrono::seconds{30}};
  std::chrono::milliseconds ping_after{4000};    ///< of the link: without a PONG, one is asked for
  std::chrono::milliseconds hangup_after{9000};  ///< and the connection is given up
  std::optional<std::size_t> message_bytes_max{};  ///< of the link
  tls_options tls{};
  std::string token{};
  token_source token_from{};
  connection_policy_options policy{};
  std::function<void(std::string_view message)>
      on_log{};  ///< on the thread that logs, which waits for it
};

/// A host of the same actors as the whole of a process, to be killed: prints "ready" and runs until then.
int run_host(const std::string& endpoint, const std::string& pool);
/// A host that gets two signals before it waits for any, as the whole of a process.
int run_signalled_host(const std::string& endpoint, const std::string& pool);

class test_host {
public:
  explicit test_host(host_setup setup);
  ~test_host();
  test_host(const test_host&) = delete;
  test_host& operator=(const test_host&) = delete;

  /// The first replay barrier has passed.
  bool await_ready(std::chrono::milliseconds limit = std::chrono::seconds{20}) const;
  [[nodiscard]] std::optional<failure> await_end(
      std::chrono::milliseconds limit = std::chrono::seconds{20}) const;
  void stop();
  void abort();

  /// Has the actor `id`, a probe, answer all that it holds. False if it has held nothing here.
  bool release(const std::string& id);

  /// For cases that are CAF applications themselves.
  [[nodiscard]] host& application_host();
  [[nodiscard]] caf::actor_system& system();

  /// With all that a client has been answered for.
  [[nodiscard]] host_stats stats() const;
  [[nodiscard]] std::string envoy_key() const;
  /// Factory calls, and those beyond the first for one (actor, generation): more than 0 is the bug of all bugs.
  [[nodiscard]] std::uint64_t factory_calls() const;
  [[nodiscard]] std::uint64_t factory_calls_repeated() const;
  /// Has the sample actors believe that a factory was called once more.
  void count_factory_call(const std::string& id, std::uint32_t generation);
  /// The host's log, for a failed case.
  [[nodiscard]] std::string log() const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace nuncio::e2e

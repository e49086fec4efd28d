// An engine inside a test's process: the engine's side of the envoy protocol, its HTTP API and its gateway on one port, with
// faults on demand. It needs nothing installed, prints nothing, and is for development and tests, not for production.
//
//   nuncio::testing::dev_engine engine;
//   auto endpoint = engine.start();  // outcome: "http://127.0.0.1:41897"
//   nuncio::host host{system, {.endpoint = *endpoint}};
//   engine.inject(*nuncio::testing::parse_fault("lose-acks:count=3"));
//
// `nuncio engine` is the same engine as a program (docs/dev_engine.md).
//
// Thread: one thread of its own does all the work; every member may be called from any other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nuncio/outcome.hpp>
#include <nuncio/testing/engine_limits.hpp>
#include <nuncio/testing/fault.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace nuncio::testing {

/// The defaults suit a test: any free port of this machine, everything in memory.
struct dev_engine_options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  ///< 0 picks one
  std::string data{};      ///< folder for all data, kept through kill(); empty: memory only
  bool streaming = false;  ///< the streaming gateway instead of the buffered one
  std::uint16_t reported_protocol_version = 8;  ///< what GET /metadata says
  std::vector<std::string>
      pools{};                  ///< of the namespace "default", from the start; hosts create theirs
  std::vector<fault> faults{};  ///< active from the start
  engine_limits limits{};
  /// Called when the engine itself fails at something, such as writing its folder; on its thread. Empty: not reported.
  std::function<void(std::string_view)> on_trouble{};
  std::uint64_t seed = 0;  ///< for random faults and for ids; 0: random
};

/// Counters since the start; totals over all envoys.
struct dev_engine_stats {
  std::uint64_t connections = 0;          ///< envoy connections accepted
  std::uint64_t connections_refused = 0;  ///< closed for a bad URL, an unknown pool, ...
  std::uint64_t evictions = 0;            ///< closed because the same key connected again
  std::uint64_t timeouts = 0;             ///< closed for missing Pongs
  std::uint64_t connected = 0;            ///< envoys connected now
  std::uint64_t commands_issued = 0;      ///< distinct commands
  std::uint64_t deliveries = 0;           ///< commands written, including replays and duplicates
  std::uint64_t replays = 0;              ///< commands written again on a later connection
  std::uint64_t replay_frames = 0;
  std::uint64_t acks = 0;            ///< checkpoints in acks that were applied
  std::uint64_t ack_frames = 0;      ///< acks that arrived
  std::uint64_t acks_lost = 0;       ///< ack frames ignored by a fault
  std::uint64_t commands_left = 0;   ///< unacked commands in the store now
  std::uint64_t events = 0;          ///< events that arrived
  std::uint64_t events_ignored = 0;  ///< because of their index, generation or sender
  std::uint64_t event_acks = 0;
  std::uint64_t frames_ignored = 0;  ///< undecodable frames
  std::uint64_t actors = 0;          ///< not destroyed
  std::uint64_t actors_running = 0;
  std::uint64_t actors_sleeping = 0;
  std::uint64_t actors_lost = 0;  ///< judged lost, in total
  std::uint64_t start_timeouts = 0;
  std::uint64_t destroyed = 0;
  std::uint64_t http_requests = 0;   ///< gateway requests from clients
  std::uint64_t http_attempts = 0;   ///< RequestStarts sent
  std::uint64_t http_retries = 0;    ///< of those, second and later ones
  std::uint64_t http_responses = 0;  ///< answered by an actor
  std::uint64_t http_failed = 0;     ///< answered by the gateway with an error
  std::uint64_t sockets = 0;         ///< client WebSockets through the gateway
  std::uint64_t body_bytes_max = 0;  ///< peak of the bytes kept of bodies that come in parts
  std::uint64_t faults = 0;          ///< effects of faults

  bool operator==(const dev_engine_stats&) const = default;
};

class dev_engine {
public:
  explicit dev_engine(dev_engine_options options = {});
  dev_engine(const dev_engine&) = delete;
  dev_engine& operator=(const dev_engine&) = delete;
  /// Calls stop(), unless that was done.
  ~dev_engine();

  /// Returns once it listens and serves. May be called again after stop() or kill(): the port is the same, and so is the data
  /// if there is a data folder.
  /// @returns endpoint(), or errc::unreachable (port taken) | invalid_argument (address) | internal (data folder)
  outcome<std::string> start();

  /// Ends in good order: envoys get 1011 ws.going_away and a moment to say goodbye, then the port closes.
  void stop();

  /// Ends at once: connections are reset, nothing is flushed, as after kill -9.
  void kill();

  [[nodiscard]] bool running() const;
  [[nodiscard]] std::uint16_t port() const;
  /// "http://ADDRESS:PORT", for a host and a client; the port is known from start() on.
  [[nodiscard]] std::string endpoint() const;

  [[nodiscard]] dev_engine_stats stats() const;

  /// Injects a fault from now on; docs/dev_engine.md describes each.
  void inject(const fault& f);
  /// Ends all faults; what was held back is written.
  void clear_faults();

private:
  struct implementation;
  std::unique_ptr<implementation> implementation_;
};

}  // namespace nuncio::testing

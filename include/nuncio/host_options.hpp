// The options of a host: where the engine is, how the host identifies itself, and its limits. Values, which the thread that
// makes the host passes in; start() names an option that is out of range.
//
//   nuncio::host_options options{.endpoint = "https://engine.example", .pool = "game"};
//   options.token_from = nuncio::token_from_environment();
//   options.waiting.socket_bytes_max = 1UL << 20U;
//
// See docs/connection.md and docs/reliability.md for their effects.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <nuncio/detail/clock.hpp>
#include <nuncio/log.hpp>
#include <nuncio/outcome.hpp>
#include <nuncio/tls_options.hpp>
#include <nuncio/token_source.hpp>
#include <string>
#include <vector>

namespace nuncio {

/// The addresses of a name, as text (IPv6 without brackets), best first. Any thread; may block.
/// @returns errc::not_found when there are none
using name_resolver = std::function<outcome<std::vector<std::string>>(const std::string& name)>;

/// The WebSocket to the engine.
struct websocket_options {
  std::string thread_name = "nuncio-link";  ///< the first 15 characters are used

  std::chrono::milliseconds connect_limit{
      5000};  ///< from connect() to on_open, whatever the peer does
  std::chrono::milliseconds close_limit{
      2000};  ///< from close() to on_gone: flush, close frame, the peer's close frame
  std::chrono::milliseconds ping_after{
      4000};  ///< a PING is sent after this long without a PONG; 0: never
  std::chrono::milliseconds hangup_after{
      9000};  ///< the connection is lost after this long without a PONG; 0: never. Not while a frame is arriving
  /// For a longer inbound message the owner is asked what to do with it; at least `long_message_head_bytes`. The default fits
  /// the longest message that the engine's gateway accepts from a client (docs/protocol.md G.6), with its envelope.
  std::size_t message_bytes_max = (std::size_t{32} << 20) + 1024;
  std::size_t fragment_bytes =
      std::size_t{256} << 10;  ///< outbound frames are at most this large; 0: whole messages

  /// Whether a target may use TLS. This loads the system's certificate authorities (0.7 MB), which libwebsockets 4.1.6 does not
  /// free if several objects exist at once.
  bool tls = true;
  tls_options trust{};

  bool proxy_from_environment = true;  ///< read at connect(): see proxy.hpp

  /// Resolves the name of a host or its proxy; empty: the system's resolver. If a name has several addresses, the first that
  /// answers is used (address_race.hpp).
  name_resolver resolver{};
};

/// When to dial again, and how long a connection may take to become usable.
struct connection_policy_options {
  duration first_delay = std::chrono::milliseconds{100};
  duration delay_max = std::chrono::milliseconds{1600};
  /// The delay when a retry can only help after somebody has acted (unknown namespace): longer, without a limit on tries.
  duration slow_delay = std::chrono::seconds{5};
  /// How long a connection must have been live before earlier failures are forgotten. So an engine that breaks each connection
  /// right after its first Ping is not dialled faster than one that breaks it before.
  duration proven_after = std::chrono::seconds{10};
  /// From the upgrade to Init, and then from the last message to the first Ping. Engines send both at once (docs/protocol.md
  /// C.3). Doubles with each failure in a row, since dialling a busy engine again only makes it busier.
  duration first_words_limit = std::chrono::seconds{5};
  duration first_words_limit_max = std::chrono::seconds{20};
  /// The most that may arrive between Init and the first Ping, as stored: commands wait here for the engine's clock. A replay
  /// holds the inputs of all actors whose Start is not acked (docs/protocol.md C.3).
  std::size_t replay_bytes_max = 256UL << 20U;
  std::uint64_t seed = 0;
};

/// When this host ends its actors, before the engine gives them to another host.
struct lease_options {
  /// Safety margin before the engine's envoyLostThreshold.
  duration margin = std::chrono::seconds{2};
  /// How long an actor may take to end after its outputs were cut.
  duration end_limit = std::chrono::seconds{2};
};

/// What is remembered of commands, so that none runs twice.
struct ledger_options {
  /// Heap that entries may take, in bytes.
  std::size_t bytes_max = 64UL << 20U;
  /// How long the entry of a gone actor is kept after its last command and its end. A Start is not run if it was created before
  /// a forgotten one. So the engine's clocks may differ, or be set back, by forget_after less start_limit without a new Start
  /// being refused. Must not be below start_limit, or Starts that take long to arrive are refused.
  duration forget_after = std::chrono::minutes{10};
  /// The engine gives up a Start after 30 s without Running (docs/protocol.md F.3). Ours ends 2 s earlier, and must not end
  /// later than the engine's. A Start from equally far in the future is not run either, since its age is unknown.
  duration start_limit = std::chrono::seconds{28};
  /// An entry is kept this long even at bytes_max: the engine's whole start limit.
  duration keep_min = std::chrono::seconds{30};
  /// The envoy key may have belonged to an earlier process, and the engine may stop what that process ran. Set by the host.
  bool key_had_a_past = false;
};

/// Requests to storage, and their answers.
struct storage_limits {
  /// From request to answer. The engine has no limit of its own; half a minute matches its other timeouts.
  duration timeout = std::chrono::seconds{30};
  /// How long an instance's writes may wait for their answers after it is down: at most host_limits::response_grace (10 s),
  /// after which Stopped is sent.
  duration end_grace = std::chrono::seconds{9};
  /// Requests without an answer, and their bytes; above it errc::queue_full.
  std::size_t actor_requests_max = 4096;
  std::size_t actor_bytes_max = 32UL << 20U;
  std::size_t host_requests_max = 65536;
  std::size_t host_bytes_max = 256UL << 20U;
  /// Answers that one actor has not handled, plus the longest possible answers to its requests under way: two of the maximum
  /// size, and some short ones. Above it requests wait.
  std::size_t actor_answer_bytes_max = 72UL << 20U;
  /// For all actors together, beyond their own reserved shares.
  std::size_t host_answer_bytes_max = 1UL << 30U;
  /// What each actor always gets: more than the longest KV value.
  std::size_t answer_bytes_reserved = 256UL << 10U;
};

/// Messages of clients on WebSockets that their actors have not handled yet.
struct waiting_limits {
  /// For one WebSocket; a single message may be longer.
  std::size_t socket_bytes_max = 4UL << 20U;
  /// For all WebSockets of one actor, beyond their reserved shares.
  std::size_t actor_bytes_max = 64UL << 20U;
  /// For all WebSockets of one link of the host, beyond their reserved shares.
  std::size_t host_bytes_max = 256UL << 20U;
  /// What each WebSocket may always keep.
  std::size_t socket_bytes_reserved = 8UL << 10U;
};

/// All options of a host.
struct host_options {
  std::string endpoint = "http://127.0.0.1:6420";  ///< of the engine: http, https, ws or wss
  std::string namespace_name = "default";          ///< must exist
  std::string pool = "default";                    ///< created if it is missing
  std::string token{};                             ///< empty: none
  /// Instead of `token`: read at the start, and again if the engine refuses the last token.
  token_source token_from{};
  tls_options tls{};  ///< for link and HTTP client alike
  /// Names this host to the engine. Empty (right for everything but tests): random for each host, since an engine would mistake
  /// a new process under an old key for the old one (docs/protocol.md C.5).
  std::string envoy_key{};
  /// Links to the engine, each with its own envoy key and ingress; the engine spreads actors over them. Use more than one where
  /// a single ingress is not enough. With a fixed `envoy_key` they are named KEY-1, KEY-2, ...
  std::size_t links = 1;
  std::uint32_t actors_version =
      1;  ///< of the hosted code; the engine places actors on the highest connected version
  /// 3 to 8, but not 7; 0: the newest that the engine supports too, which the host asks it for.
  std::uint16_t protocol_version = 0;
  std::chrono::milliseconds drain_timeout{
      std::chrono::seconds{30}};  ///< how long stop() gives actors to sleep or move
  std::chrono::milliseconds stop_grace{
      std::chrono::seconds{15}};  ///< from stop_command to the actor's forced end
  std::size_t requests_max =
      256;  ///< HTTP requests that one actor may have waiting or open; above it 503
  /// A client that takes nothing of its response for this long, or whose request body stops arriving, is given up. This also
  /// ends exchanges whose messages were lost in a cut. A client that was open through a reconnect and has sent nothing since
  /// keeps its actor awake for this long.
  std::chrono::milliseconds stall_limit{std::chrono::minutes{5}};
  /// If there is no room for a request, another request of the same actor or host ends with 408: the one whose body has been
  /// silent longest, if it has been silent for this long. A request held up by its handler or the link does not count. Clients
  /// that were open through a cut go first.
  std::chrono::milliseconds upload_patience = std::chrono::seconds{10};
  /// Messages of clients on WebSockets that may wait for their actors.
  waiting_limits waiting{};
  storage_limits storage{};
  ledger_options ledger{};
  websocket_options socket{};
  lease_options lease{};
  connection_policy_options policy{};
  log_sink log{};  ///< called from any thread; empty: silent
  std::function<void()>
      on_ready{};  ///< the first replay barrier has passed; called on a thread of the host, must not block
};

}  // namespace nuncio

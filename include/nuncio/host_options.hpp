// What a host is told when it is made: where the engine is, who it is towards it, and its bounds. Values, which
// the thread that makes the host gives away; start() names an option that is out of its range.
//
//   nuncio::host_options options{.endpoint = "https://engine.example", .pool = "game"};
//   options.token_from = nuncio::token_from_environment();
//   options.waiting.socket_bytes_max = 1UL << 20U;
//
// docs/connection.md and docs/reliability.md say what follows from them.
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
  std::string thread_name = "nuncio-link";  ///< at most 15 characters count

  std::chrono::milliseconds connect_limit{
      5000};  ///< from connect() to on_open, whatever the peer does
  std::chrono::milliseconds close_limit{
      2000};  ///< from close() to on_gone: flush, close frame, the peer's answer
  std::chrono::milliseconds ping_after{
      4000};  ///< without a PONG for so long, a PING goes out; 0: never
  std::chrono::milliseconds hangup_after{
      9000};  ///< without a PONG for so long, the connection is lost; 0: never. Not while the rest of a frame comes
  /// Of a longer inbound message the owner is asked what becomes of it; at least `long_message_head_bytes`. The default
  /// takes the longest message that the engine's gateway lets a client send (docs/protocol.md G.6), with what is around it.
  std::size_t message_bytes_max = (std::size_t{32} << 20) + 1024;
  std::size_t fragment_bytes = std::size_t{256}
                               << 10;  ///< outbound messages go in frames of at most this; 0: whole

  /// Whether a target may ask for TLS. It loads the system's authorities (0.7 MB), which libwebsockets 4.1.6 does not
  /// free when several objects live at once.
  bool tls = true;
  tls_options trust{};

  bool proxy_from_environment = true;  ///< read at connect(): see proxy.hpp

  /// Gives the addresses of a host's, or its proxy's, name; empty: the system's. A name with several is connected to at the
  /// first that answers (address_race.hpp).
  name_resolver resolver{};
};

/// When to dial again, and how long a connection may take to be of use.
struct connection_policy_options {
  duration first_delay = std::chrono::milliseconds{100};
  duration delay_max = std::chrono::milliseconds{1600};
  /// Where retrying can help only after somebody acted (unknown namespace): slower, and still for ever.
  duration slow_delay = std::chrono::seconds{5};
  /// For how long a connection must have been live before those that failed before it are forgotten: an engine that
  /// breaks each one right after its first Ping is not dialled faster than one that breaks it before.
  duration proven_after = std::chrono::seconds{10};
  /// From the upgrade to Init, and then from what came last to the first Ping. Engines say both at once (docs/protocol.md
  /// C.3); twice as long with each failure in a row, since one that is busy only gets busier by being dialled again.
  duration first_words_limit = std::chrono::seconds{5};
  duration first_words_limit_max = std::chrono::seconds{20};
  /// What may come between Init and the first Ping, as it is kept: commands wait here for the engine's clock. A replay
  /// holds the inputs of all actors whose Start is not acked (docs/protocol.md C.3).
  std::size_t replay_bytes_max = 256UL << 20U;
  std::uint64_t seed = 0;
};

/// How long before the engine gives its actors to others this host ends them.
struct lease_options {
  /// Safety before the engine's envoyLostThreshold.
  duration margin = std::chrono::seconds{2};
  /// What an actor gets to end after its outputs were cut.
  duration end_limit = std::chrono::seconds{2};
};

/// What is remembered of commands, so that none is run twice.
struct ledger_options {
  /// Heap that entries may take, in bytes.
  std::size_t bytes_max = 64UL << 20U;
  /// How long a gone actor's entry is kept after its last command and its end. No Start is run that
  /// was created before one that is forgotten: so far, less start_limit, may the engine's clocks lie
  /// apart, or be set back, without a new Start being refused. Not below start_limit, or Starts that
  /// take long to arrive are refused.
  duration forget_after = std::chrono::minutes{10};
  /// The engine gives a Start up after 30 s without Running (docs/protocol.md F.3); ours ends 2 s
  /// earlier, and may not end later than the engine's. One that comes from as far in the future is not run either: its age can't be told.
  duration start_limit = std::chrono::seconds{28};
  /// At bytes_max too, an entry is kept this long: the engine's whole start limit.
  duration keep_min = std::chrono::seconds{30};
  /// The envoy key may have been an earlier process's: the engine may stop what that process ran.
  /// Set by the host.
  bool key_had_a_past = false;
};

/// Requests to storage, and their answers.
struct storage_limits {
  /// From asking to the answer. The engine names no limit of its own; half a minute is what the
  /// rest of it waits for.
  duration timeout = std::chrono::seconds{30};
  /// How long what an instance has written may still wait for its answers once the instance is
  /// down: at most ingress_options::response_grace (10 s), at whose end Stopped is said.
  duration end_grace = std::chrono::seconds{9};
  /// Requests without an answer, and their bytes; above it errc::queue_full.
  std::size_t actor_requests_max = 4096;
  std::size_t actor_bytes_max = 32UL << 20U;
  std::size_t host_requests_max = 65536;
  std::size_t host_bytes_max = 256UL << 20U;
  /// Answers that one actor has not dealt with, and the longest that what was sent may have: two of the longest that there are,
  /// and short ones beside them. Above it requests wait.
  std::size_t actor_answer_bytes_max = 72UL << 20U;
  /// Of all actors, beyond the shares that are their own.
  std::size_t host_answer_bytes_max = 1UL << 30U;
  /// What each actor may have in any case: a value of KV as long as there is, and more.
  std::size_t answer_bytes_reserved = 256UL << 10U;
};

/// What clients have said on WebSockets and their actors have not heard yet.
struct waiting_limits {
  /// Of one WebSocket; a single message may be longer.
  std::size_t socket_bytes_max = 4UL << 20U;
  /// Of all WebSockets of one actor, beyond the shares that are their own.
  std::size_t actor_bytes_max = 64UL << 20U;
  /// Of all WebSockets of one link of the host, beyond the shares that are their own.
  std::size_t host_bytes_max = 256UL << 20U;
  /// What each WebSocket may always keep.
  std::size_t socket_bytes_reserved = 8UL << 10U;
};

/// All of it.
struct host_options {
  std::string endpoint = "http://127.0.0.1:6420";  ///< of the engine: http, https, ws or wss
  std::string namespace_name = "default";          ///< must exist
  std::string pool = "default";                    ///< created if it is missing
  std::string token{};                             ///< empty: none
  /// Instead of `token`: read at the start, and again when the engine refuses the last one.
  token_source token_from{};
  tls_options tls{};  ///< for link and HTTP client alike
  /// Names this host towards the engine. Empty (right for all but tests): random for each host,
  /// since an engine would take a new process under an old key for the old one (docs/protocol.md
  /// C.5).
  std::string envoy_key{};
  /// Links to the engine, each under an envoy key, with an ingress, of its own; the engine spreads
  /// actors over them. More than one where a single ingress is not enough. Under a fixed
  /// `envoy_key` they are named KEY-1, KEY-2, ...
  std::size_t links = 1;
  std::uint32_t actors_version =
      1;  ///< of the hosted code; the engine places actors on the highest connected one
  /// 3 to 8, but not 7; 0: the newest that the engine speaks too, which it is asked for.
  std::uint16_t protocol_version = 0;
  std::chrono::milliseconds drain_timeout{
      std::chrono::seconds{30}};  ///< what stop() gives actors to sleep or move
  std::chrono::milliseconds stop_grace{
      std::chrono::seconds{15}};  ///< from stop_command to the actor's forced end
  std::size_t requests_max =
      256;  ///< HTTP requests that one actor may have waiting or open; above it 503
  /// A client that takes nothing of its response for so long, or whose request's body stops coming, is given up. What
  /// a cut has lost on its way ends so too. A client that was open through a reconnect and says nothing keeps its actor
  /// awake for so long.
  std::chrono::milliseconds stall_limit{std::chrono::minutes{5}};
  /// Where a request finds no room, that of an actor's or of the host's requests is ended with 408 of whose body nothing has
  /// come for longest, if for so long; not one that its handler or the link holds up. Before it, who was open through a cut.
  std::chrono::milliseconds upload_patience{std::chrono::seconds{10}};
  /// What clients may have said on WebSockets before their actors hear it.
  waiting_limits waiting{};
  storage_limits storage{};
  ledger_options ledger{};
  websocket_options socket{};
  lease_options lease{};
  connection_policy_options policy{};
  log_sink log{};  ///< called from any thread; empty: silent
  std::function<void()>
      on_ready{};  ///< the first replay barrier has passed; on a thread of the host, must not block
};

}  // namespace nuncio

// Decides when to dial the engine again and when to stop trying, and tracks the phase of a connection: opening, replaying,
// live, and how long each may take. Pure; the link thread drives it. Must never wait so long that the engine gives our actors
// to another host.
#pragma once

#include <cstdint>
#include <nuncio/detail/clock.hpp>
#include <nuncio/host_options.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>

namespace nuncio {

/// Why a connection (attempt) ended, as far as the decision needs it.
struct connection_end {
  enum class kind : std::uint8_t {
    unreachable,   ///< no TCP, no name, refused, handshake not completed
    tls_failed,    ///< certificate or TLS handshake
    http_refused,  ///< an HTTP status instead of the upgrade
    bad_target,    ///< the URL can't be dialled
    closed,        ///< close frame: `code` and `reason`
    lost,          ///< TCP ended or liveness ping failed
    protocol,  ///< the engine sent something that does not decode, or too much before its first Ping
    silent,    ///< the engine did not send its first messages in time
    lease,     ///< our lease ended
  } what;
  int http_status = 0;
  std::uint16_t code = 0;
  std::string reason{};  ///< of a close frame: "group.code#ray"
  std::string said{};    ///< `reason` for display, if that differs: it may repeat our token
};

/// What to do after a connection ended.
struct reconnect_decision {
  enum class kind : std::uint8_t {
    retry,
    ask,  ///< the engine refused the token or the protocol version, or has no such pool: our terms may be outdated; then
          ///< handle_terms
    evicted,
    refused,
  } what;
  duration after{};       ///< with retry
  std::string message{};  ///< what to log; if refused, it names the setting to change
  bool news =
      true;  ///< worth a log line: one of the first in a row, or another reason than the last
};

class connection_policy {
public:
  explicit connection_policy(connection_policy_options options = {});

  /// A dial begins; returns the number of the new connection, counted from 1.
  epoch handle_dial();
  void handle_open(time_point now);
  /// The engine's Init on this connection. False if it came twice: a protocol error.
  bool handle_init(time_point now);
  /// A Ping. True for the first after Init: the replay barrier has passed.
  bool handle_ping(time_point now);
  /// Any other message, with its size as stored. @returns why it may not come now: before Init, or too much before the first
  /// Ping
  outcome<void> handle_message(std::size_t bytes, time_point now);
  /// Part of a message has arrived, or received messages wait for us.
  void handle_progress(time_point now);
  /// The deadline for the engine's next message; none if nothing is awaited, or the lease covers it.
  [[nodiscard]] std::optional<time_point> poll_timeout() const;
  /// What has not arrived by then, for a person.
  [[nodiscard]] std::string awaited() const;
  reconnect_decision handle_end(const connection_end& why, time_point now);
  /// The answer to `ask`.
  /// @param changed  the token or version differs from the refused one
  /// @param renewable  the token comes from a source that may change it
  reconnect_decision handle_terms(bool changed, bool renewable);
  /// There was no answer to `ask`, and asking again may help.
  reconnect_decision handle_no_terms(std::string_view why);

  /// Whether reaching the last Init or first Ping is worth a log line: the connection is one of the first in a row, or the one
  /// before it did not get so far.
  [[nodiscard]] bool reached_is_news() const { return reached_is_news_; }

  /// Whether the last ended connection was established: the engine had sent Init.
  [[nodiscard]] bool was_connected() const;

  [[nodiscard]] epoch connection() const { return connection_; }

  /// Connections that ended since the last one that was live for `proven_after`.
  [[nodiscard]] unsigned failures() const { return failures_; }

private:
  enum class phase : std::uint8_t { down, dialling, open, replaying, live };
  enum class refused_term : std::uint8_t { token, parameters, pool };

  [[nodiscard]] duration first_words_limit() const;
  [[nodiscard]] bool is_news() const;
  void reach(phase x);
  duration jittered(duration x);
  duration next_delay();

  connection_policy_options options_;
  std::mt19937_64 random_;
  epoch connection_ = 0;
  phase phase_ = phase::down;
  unsigned failures_ = 0;
  phase last_reached_ = phase::down;  // by the previous connection
  bool reached_is_news_ = true;
  bool was_live_ = false;
  time_point live_at_{};
  time_point heard_at_{};         // while open or replaying
  std::size_t replay_bytes_ = 0;  // received since Init, while replaying
  // With `ask`: what was refused, and the text for it.
  refused_term refused_ = refused_term::parameters;
  std::string refusal_;
  std::pair<connection_end::kind, std::string> cause_;  // of the last end, with the engine's code
  bool news_ = true;
};

/// "group.code" of a close reason "group.code#ray".
std::string_view close_code_of(std::string_view reason);

}  // namespace nuncio

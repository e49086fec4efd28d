// When to dial the engine again, when to stop trying, and where in a connection we are: opening,
// replaying, live. Pure; the link thread drives it. Must never wait so long that the engine gives
// our actors away.
#pragma once

#include <cstdint>
#include <nuncio/clock.hpp>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace nuncio {

/// Why a connection (attempt) ended, as far as the decision needs it.
struct connection_end {
  enum class kind : std::uint8_t {
    unreachable,   ///< no TCP, no name, refused, handshake never ended
    tls_failed,    ///< certificate or TLS handshake
    http_refused,  ///< an HTTP status instead of the upgrade
    bad_target,    ///< the URL can't be dialled
    closed,        ///< close frame: `code` and `reason`
    lost,          ///< TCP ended or liveness ping failed
    protocol,      ///< the engine sent something that does not decode
    lease,         ///< our lease ended
  } what;
  int http_status = 0;
  std::uint16_t code = 0;
  std::string reason{};  ///< of a close frame: "group.code#ray"
};

/// What to do after a connection ended.
struct reconnect_decision {
  enum class kind : std::uint8_t {
    retry,
    ask,  ///< the engine refused the token or the protocol version: what is known of them may be outdated; then handle_terms
    evicted,
    refused,
  } what;
  duration after{};       ///< with retry
  std::string message{};  ///< what to log; with refused it names the setting to change
};

struct connection_policy_options {
  duration first_delay = std::chrono::milliseconds{100};
  duration delay_max = std::chrono::milliseconds{1600};
  /// Where retrying can help only after somebody acted (unknown pool): slower, and still for ever.
  duration slow_delay = std::chrono::seconds{5};
  std::uint64_t seed = 0;
};

class connection_policy {
public:
  explicit connection_policy(connection_policy_options options = {});

  /// A dial begins; returns the number of the new connection, counted from 1.
  epoch handle_dial();
  void handle_open();
  /// The engine's Init on this connection. False when it came twice: a protocol error.
  bool handle_init();
  /// A Ping. True when it is the first after Init: the replay barrier has passed, the backoff
  /// starts anew.
  bool handle_ping();
  /// Whether any other message may come now: only after Init.
  [[nodiscard]] bool expects_messages() const;
  reconnect_decision handle_end(const connection_end& why);
  /// The answer to `ask`.
  /// @param changed  token or version are others than those that were refused
  /// @param renewable  the token comes from where somebody may put another one
  reconnect_decision handle_terms(bool changed, bool renewable);
  /// There was no answer to `ask`, and it may help to ask again.
  reconnect_decision handle_no_terms(std::string_view why);

  [[nodiscard]] epoch connection() const { return connection_; }

  /// Tries since the last replay barrier.
  [[nodiscard]] unsigned failures() const { return failures_; }

private:
  enum class phase : std::uint8_t { down, dialling, open, replaying, live };

  duration jittered(duration x);
  duration next_delay();

  connection_policy_options options_;
  std::mt19937_64 random_;
  epoch connection_ = 0;
  phase phase_ = phase::down;
  unsigned failures_ = 0;
  bool was_live_ = false;
  // With `ask`: what was refused.
  bool token_refused_ = false;
  std::string refusal_;
};

/// "group.code" of a close reason "group.code#ray".
std::string_view close_code_of(std::string_view reason);

}  // namespace nuncio

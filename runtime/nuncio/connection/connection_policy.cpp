// See connection_policy.hpp: the delays, and the meaning of each kind of end (docs/protocol.md C.2).
#include <algorithm>
#include <array>
#include <limits>
#include <nuncio/connection/connection_policy.hpp>
#include <nuncio/connection/dial_terms.hpp>

namespace nuncio {
namespace {

using end = connection_end::kind;
using decision = reconnect_decision::kind;

struct refusal {
  std::string_view reason;
  std::string_view advice;
};

constexpr std::array refusals{
    refusal{
        "guard.websocket_not_supported",
        "the engine accepts no WebSocket at that path: check the path of host_options::endpoint"},
};

// The engine's code for an unsupported protocol version, and for other bad parameters.
constexpr std::string_view bad_parameters = "ws.invalid_request";

std::string bad_parameters_advice() {
  return "the engine refuses the connection's parameters: check host_options::envoy_key (3 to 128 "
         "of "
         "A-Z a-z 0-9 _ -), host_options::protocol_version (" +
         spoken_protocol_versions() +
         "), host_options::actors_version (a number) and host_options::pool (at most 128 "
         "characters)";
}

bool refuses_token(std::string_view code) {
  return code.starts_with("auth.") || code.ends_with(".forbidden") ||
         code.ends_with(".unauthorized");
}

std::string quoted(const connection_end& why) {
  const auto& words = why.said.empty() ? why.reason : why.said;
  return words.empty() ? std::string{} : " (" + words + ")";
}

}  // namespace

std::string_view close_code_of(std::string_view reason) {
  return reason.substr(0, reason.find('#'));
}

connection_policy::connection_policy(connection_policy_options options)
    : options_(options), random_(options.seed) {}

epoch connection_policy::handle_dial() {
  phase_ = phase::dialling;
  return ++connection_;
}

void connection_policy::handle_open(time_point now) {
  phase_ = phase::open;
  heard_at_ = now;
}

bool connection_policy::handle_init(time_point now) {
  if (phase_ != phase::open) return false;
  reach(phase::replaying);
  heard_at_ = now;
  replay_bytes_ = 0;
  return true;
}

bool connection_policy::handle_ping(time_point now) {
  if (phase_ != phase::replaying) return false;
  reach(phase::live);
  live_at_ = now;
  was_live_ = true;
  return true;
}

void connection_policy::reach(phase x) {
  phase_ = x;
  reached_is_news_ = x > last_reached_ || is_news();
}

bool connection_policy::is_news() const { return failures_ <= 3 || failures_ % 20 == 0; }

bool connection_policy::was_connected() const { return last_reached_ >= phase::replaying; }

outcome<void> connection_policy::handle_message(std::size_t bytes, time_point now) {
  if (phase_ == phase::live) return {};
  if (phase_ != phase::replaying) return failure{errc::refused, "came before Init"};
  heard_at_ = now;
  replay_bytes_ += bytes;
  if (replay_bytes_ <= options_.replay_bytes_max) return {};
  return failure{
      errc::too_large,
      "exceeded the limit for messages before the first Ping, the " +
          std::to_string(options_.replay_bytes_max) + " bytes of replay_bytes_max"};
}

void connection_policy::handle_progress(time_point now) { heard_at_ = now; }

std::optional<time_point> connection_policy::poll_timeout() const {
  if (phase_ != phase::open && phase_ != phase::replaying) return std::nullopt;
  return heard_at_ + first_words_limit();
}

std::string connection_policy::awaited() const {
  using std::chrono::milliseconds;
  const auto limit = std::chrono::duration_cast<milliseconds>(first_words_limit());
  return std::string{phase_ == phase::open ? "no Init" : "no first Ping"} + " came within " +
         std::to_string(limit.count()) + " ms";
}

duration connection_policy::first_words_limit() const {
  auto limit = options_.first_words_limit;
  for (auto i = 0U; i < failures_ && limit < options_.first_words_limit_max; ++i) limit *= 2;
  return std::min(limit, options_.first_words_limit_max);
}

duration connection_policy::jittered(duration x) {
  std::uniform_int_distribution<std::int64_t> percent{70, 130};
  return x / 100 * percent(random_);
}

duration connection_policy::next_delay() {
  const auto doublings = std::min(failures_, 16U);
  return jittered(
      std::min(options_.first_delay * (std::int64_t{1} << doublings), options_.delay_max));
}

reconnect_decision connection_policy::handle_end(const connection_end& why, time_point now) {
  if (phase_ == phase::live && now - live_at_ >= options_.proven_after) failures_ = 0;
  const bool first = failures_ == 0;
  last_reached_ = std::exchange(phase_, phase::down);
  const auto retry = [&](std::string message) {
    return reconnect_decision{decision::retry, next_delay(), std::move(message)};
  };
  const auto retry_slowly = [&](std::string message) {
    return reconnect_decision{decision::retry, jittered(options_.slow_delay), std::move(message)};
  };
  const auto refused = [](std::string message) {
    return reconnect_decision{decision::refused, {}, std::move(message)};
  };
  const auto ask = [&](refused_term what, std::string message) {
    refused_ = what;
    refusal_ = message;
    return reconnect_decision{decision::ask, {}, std::move(message)};
  };
  const auto decide = [&]() -> reconnect_decision {
    switch (why.what) {
      case end::unreachable:
        return retry("nobody answers at host_options::endpoint" + quoted(why));
      case end::tls_failed:
        return (was_live_ ? retry(std::string{}) : retry_slowly(std::string{}));
      case end::http_refused: {
        const auto status = "HTTP status " + std::to_string(why.http_status);
        if (why.http_status == 401 || why.http_status == 403)
          return ask(
              refused_term::token,
              status + ": the engine does not accept the token: check host_options::token");
        const bool passing = why.http_status >= 500 || why.http_status == 408 ||
                             why.http_status == 425 || why.http_status == 429 ||
                             why.http_status == 0;
        // An endpoint that has worked is right: something in front of the engine is being changed.
        if (passing || was_live_) return retry(status + " instead of a WebSocket" + quoted(why));
        return refused(
            status + " instead of a WebSocket: check host and path of host_options::endpoint");
      }
      case end::bad_target:
        return refused(
            "the engine's address can't be dialled: check host_options::endpoint" + quoted(why));
      case end::lost:
        return retry("connection lost" + quoted(why));
      case end::protocol:
        return retry("the engine broke the protocol" + quoted(why));
      case end::silent:
        return retry("the engine accepted the connection but sends nothing" + quoted(why));
      case end::lease:
        return retry("the lease ended");
      case end::closed:
        break;
    }
    const auto code = close_code_of(why.reason);
    if (code == "ws.eviction")
      return {decision::evicted, {}, "another host connected with this envoy key" + quoted(why)};
    if (refuses_token(code))
      return ask(
          refused_term::token,
          "the engine does not accept the token: check host_options::token" + quoted(why));
    if (code == bad_parameters)
      return ask(refused_term::parameters, bad_parameters_advice() + quoted(why));
    for (const auto& x : refusals)
      if (code == x.reason) return refused(std::string{x.advice} + quoted(why));
    // Somebody may still create it: in its first second an engine has no namespace at all.
    if (code == "namespace.not_found")
      return retry_slowly(
          "the engine has no such namespace: create it or check host_options::namespace_name" +
          quoted(why));
    // The engine was restarted: the handler of `ask` creates the pool.
    if (code == "ws.no_runner_config")
      return ask(
          refused_term::pool,
          "the engine has no such pool: check host_options::pool" + quoted(why));
    if (code == "ws.going_away" && first) {
      std::uniform_int_distribution<std::int64_t> ms{0, 50};
      return {
          decision::retry,
          std::chrono::milliseconds{ms(random_)},
          "the engine is restarting" + quoted(why)};
    }
    return retry("closed with " + std::to_string(why.code) + quoted(why));
  };
  auto result = decide();
  if (why.what == end::tls_failed)
    result.message =
        "no TLS with the engine: check host_options::endpoint (http or https) and the certificate" +
        quoted(why);
  if (failures_ != std::numeric_limits<unsigned>::max()) ++failures_;
  std::pair cause{why.what, std::string{close_code_of(why.reason)}};
  result.news = news_ = cause != cause_ || is_news();
  cause_ = std::move(cause);
  return result;
}

reconnect_decision connection_policy::handle_terms(bool changed, bool renewable) {
  if (changed)
    return {
        decision::retry,
        next_delay(),
        refusal_ + "; trying again with the current settings",
        news_};
  if (refused_ == refused_term::pool)
    return {
        decision::retry,
        failures_ <= 2 ? next_delay() : jittered(options_.slow_delay),
        refusal_ + "; trying again after the request to create it",
        news_};
  // A token that has worked may be renewed at its source; one that never did is a wrong setting.
  if (refused_ == refused_term::token && renewable && was_live_)
    return {
        decision::retry,
        jittered(options_.slow_delay),
        refusal_ + "; waiting for another token",
        news_};
  return {decision::refused, {}, refusal_};
}

reconnect_decision connection_policy::handle_no_terms(std::string_view why) {
  return {
      decision::retry,
      next_delay(),
      refusal_ + "; asking the engine again (" + std::string{why} + ")",
      news_};
}

}  // namespace nuncio

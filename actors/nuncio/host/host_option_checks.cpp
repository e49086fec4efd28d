// See host_option_checks.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nuncio/host/host_option_checks.hpp>
#include <nuncio/host/ingress.hpp>
#include <nuncio/storage/storage_requests.hpp>
#include <nuncio/support/number_range.hpp>
#include <nuncio/support/time_range.hpp>

namespace nuncio {

using namespace std::chrono_literals;

namespace {

// The engine gives up an actor that is not Running this long after its allocation (docs/protocol.md F.3).
constexpr auto engine_start_limit = 30s;

}  // namespace

outcome<void> check_key(std::string_view key) {
  const auto good = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
  };
  if (key.size() >= 3 && key.size() <= 128 && std::all_of(key.begin(), key.end(), good)) return {};
  return failure{
      errc::invalid_argument,
      fmt::format("envoy_key '{}': must be 3 to 128 of letters, digits, '-' and '_'", key)};
}

outcome<void> check_numbers(const host_options& o) {
  return check_ranges(
      {count_range("links", o.links, 1, links_max),
       time_range("drain_timeout", o.drain_timeout, 0, day_ms),
       time_range("stop_grace", o.stop_grace, 0, day_ms),
       count_range("requests_max", o.requests_max, 1, many),
       time_range("stall_limit", o.stall_limit, 1, day_ms),
       time_range("upload_patience", o.upload_patience, 1, day_ms),
       count_range("waiting.socket_bytes_max", o.waiting.socket_bytes_max, 1, many),
       count_range("waiting.actor_bytes_max", o.waiting.actor_bytes_max, 0, many),
       count_range("waiting.host_bytes_max", o.waiting.host_bytes_max, 0, many),
       count_range("waiting.socket_bytes_reserved", o.waiting.socket_bytes_reserved, 0, UINT32_MAX),
       time_range("storage.timeout", o.storage.timeout, 1, day_ms),
       time_range(
           "storage.end_grace", o.storage.end_grace, 0, ms_of(ingress_options{}.response_grace)),
       count_range("storage.actor_requests_max", o.storage.actor_requests_max, 1, many),
       count_range("storage.actor_bytes_max", o.storage.actor_bytes_max, 1, many),
       count_range("storage.host_requests_max", o.storage.host_requests_max, 1, many),
       count_range("storage.host_bytes_max", o.storage.host_bytes_max, 1, many),
       // The longest answer must fit besides the answers that an actor has handled but not reported yet; otherwise its next
       // request would wait for ever.
       count_range(
           "storage.actor_answer_bytes_max",
           o.storage.actor_answer_bytes_max,
           answer_bytes_longest + answer_overhead + answer_bytes_untold_max,
           many),
       // An actor that keeps as much as it may, and awaits the longest answer, must leave as much to others.
       count_range(
           "storage.host_answer_bytes_max",
           o.storage.host_answer_bytes_max,
           2 * (static_cast<double>(o.storage.actor_answer_bytes_max) + answer_bytes_longest +
                answer_overhead),
           many),
       // Answers that silent actors have not reported must not use the shared room.
       count_range(
           "storage.answer_bytes_reserved",
           o.storage.answer_bytes_reserved,
           answer_bytes_untold_max,
           UINT32_MAX),
       count_range("ledger.bytes_max", o.ledger.bytes_max, 1, many),
       time_range("ledger.forget_after", o.ledger.forget_after, 0, day_ms),
       time_range("ledger.start_limit", o.ledger.start_limit, 1, ms_of(engine_start_limit)),
       time_range("ledger.keep_min", o.ledger.keep_min, 0, day_ms),
       time_range("socket.connect_limit", o.socket.connect_limit, 1, day_ms),
       time_range("socket.close_limit", o.socket.close_limit, 0, day_ms),
       time_range("socket.ping_after", o.socket.ping_after, 0, day_ms),
       time_range("socket.hangup_after", o.socket.hangup_after, 0, day_ms),
       count_range("socket.message_bytes_max", o.socket.message_bytes_max, 1024, many),
       count_range("socket.fragment_bytes", o.socket.fragment_bytes, 0, many),
       time_range("lease.margin", o.lease.margin, 0, day_ms),
       time_range("lease.end_limit", o.lease.end_limit, 0, day_ms),
       time_range("policy.first_delay", o.policy.first_delay, 1, day_ms),
       time_range("policy.delay_max", o.policy.delay_max, ms_of(o.policy.first_delay), day_ms),
       time_range("policy.slow_delay", o.policy.slow_delay, 1, day_ms),
       time_range("policy.proven_after", o.policy.proven_after, 0, day_ms),
       time_range("policy.first_words_limit", o.policy.first_words_limit, 1, day_ms),
       time_range(
           "policy.first_words_limit_max",
           o.policy.first_words_limit_max,
           ms_of(o.policy.first_words_limit),
           day_ms),
       count_range("policy.replay_bytes_max", o.policy.replay_bytes_max, 1, many)});
}

outcome<void> check(const serve_options& o) {
  if (o.name.empty())
    return failure{errc::invalid_argument, "serve: the name of an actor must not be empty"};
  return check_ranges(
      {time_range("idle_timeout", o.idle_timeout, 0, day_ms),
       time_range("request_timeout", o.request_timeout, 0, day_ms),
       count_range("requests_max", o.requests_max, 0, many),
       count_range("socket_waiting_bytes_max", o.socket_waiting_bytes_max, 0, many),
       count_range("socket_unsent_bytes_max", o.socket_unsent_bytes_max, 1, many)},
      fmt::format("serve '{}': ", o.name));
}

}  // namespace nuncio

// See link_machine.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nuncio/codec.hpp>
#include <nuncio/connection/link_machine.hpp>
#include <nuncio/connection/wire_limits.hpp>
#include <nuncio/parts.hpp>
#include <nuncio/token_source.hpp>
#include <utility>
#include <vector>

namespace nuncio {
namespace {

using namespace std::chrono_literals;

// The engine handles what it has read within a second (see outbound_queue); a slow one answers the ping before that later.
constexpr duration close_wait = 3s;

// The size of a message while it waits: commands share the memory of their frame.
std::size_t kept_bytes(const protocol::to_envoy& message, std::size_t encoded) {
  const auto* commands = std::get_if<protocol::to_envoy_commands>(&message);
  return encoded + (commands != nullptr
                        ? commands->commands.capacity() * sizeof(protocol::command_wrapper)
                        : 0);
}

}  // namespace

link_machine::link_machine(link_machine_options options, std::function<void()> wake)
    : options_(std::move(options)),
      intake_(options_.outbound, std::move(wake)),
      credit_(options_.inbound),
      policy_(options_.policy),
      lease_(options_.lease),
      queue_(intake_, options_.outbound.headroom, options_.log) {}

std::optional<link_output::any> link_machine::poll_output() {
  if (next_ != outputs_.size()) return std::move(outputs_[next_++]);
  outputs_.clear();  // and keeps its memory
  next_ = 0;
  if (!intake_.room().due()) return std::nullopt;
  for (const auto& who : intake_.room().poll_told()) emit(link_output::room{who});
  return poll_output();
}

// -- how the connection begins and ends -------------------------------------------

void link_machine::handle_start(dial_terms terms) {
  terms_ = std::move(terms);
  dial();
}

void link_machine::dial() {
  policy_.handle_dial();
  ++counters_.dials;
  queue_.handle_dial(policy_.connection(), terms_.protocol_version);
  end_reason_.reset();
  emit(link_output::dial{terms_});
}

void link_machine::handle_open(time_point now) {
  policy_.handle_open(now);
  ++counters_.connections;
  queue_.handle_open();
  emit(link_output::up{policy_.connection()});
  emit(link_output::request_write{});
}

// Ends the connection with a reset; handle_gone() follows, with our reason instead of the socket's.
void link_machine::end_connection(connection_end why) {
  if (end_reason_) return;
  end_reason_ = std::move(why);
  emit(link_output::reset{end_reason_->reason});
}

void link_machine::handle_gone(connection_end why, time_point now) {
  if (over_) return;
  handle_batch_end(now);
  batch_ = {};  // of a long message that ends here
  const auto old = policy_.connection();
  queue_.handle_gone();
  if (end_reason_) why = *std::exchange(end_reason_, std::nullopt);
  // The peer's close reason may repeat what was sent to it.
  why.said = without_token(why.reason, terms_.token);
  paused_ = false;
  close_at_.reset();
  if (closing_) return finish({errc::cancelled, "closed"});
  const auto decision = policy_.handle_end(why, now);
  using what = reconnect_decision::kind;
  if (decision.what == what::retry || decision.what == what::ask)
    emit(link_output::down{old, decision.message, decision.after});
  if (decision.what == what::ask) {
    asking_ = true;
    return emit(link_output::ask{});
  }
  apply(decision, now);
}

void link_machine::handle_renewed(outcome<dial_terms> terms, time_point now) {
  if (!std::exchange(asking_, false) || over_) return;
  if (!terms) {
    if (terms.error().code == errc::refused) return finish(terms.error());
    return apply(policy_.handle_no_terms(terms.error().message), now);
  }
  const auto changed = *terms != terms_;
  terms_ = std::move(*terms);
  apply(policy_.handle_terms(changed, options_.token_renewable), now);
}

// Logged at once, and then only now and then: an engine may refuse us, or break accepted connections, for hours.
void link_machine::apply(const reconnect_decision& decision, time_point now) {
  if (decision.what == reconnect_decision::kind::evicted)
    return finish(
        {errc::evicted, decision.message + "; this host's key was " + options_.envoy_key});
  if (decision.what == reconnect_decision::kind::refused)
    return finish({errc::refused, decision.message});
  if (decision.news)
    log_connection(
        log_level::warning,
        policy_.was_connected() ? "lost the engine; trying again"
                                : "no connection to the engine; trying again",
        {{"reason", decision.message},
         {"retry_ms",
          fmt::to_string(std::chrono::ceil<std::chrono::milliseconds>(decision.after).count())},
         {"failures", fmt::to_string(policy_.failures())}});
  dial_at_ = now + decision.after;
}

void link_machine::handle_close(time_point now) {
  if (over_ || std::exchange(closing_, true)) return;
  if (up()) {
    close_at_ = now + close_wait;
    return emit(link_output::request_write{});
  }
  if (dial_at_ || asking_) return finish({errc::cancelled, "closed"});
  emit(link_output::reset{"closed"});
}

// What the engine has not handled when the connection ends is lost with it.
void link_machine::close_if_handled(time_point now) {
  if (!close_at_ || (now < *close_at_ && !queue_.all_handled())) return;
  close_at_.reset();
  emit(link_output::close_socket{});
}

void link_machine::finish(failure why) {
  over_ = true;
  dial_at_.reset();
  handle_end();
  emit(link_output::over{std::move(why)});
}

// Waiting messages hold the gates of instances, which hold the link.
void link_machine::handle_end() { queue_.handle_end(); }

void link_machine::log_reached(std::string_view what) {
  if (policy_.reached_is_news()) log_connection(log_level::info, what);
}

// Logs both ends of the connection, and `more`.
void link_machine::log_connection(
    log_level level, std::string_view what, std::initializer_list<log_field> more) {
  if (!options_.log) return;
  std::vector<log_field> fields{
      {"endpoint", options_.endpoint},
      {"pool", options_.pool},
      {"envoy_key", options_.envoy_key},
      {"protocol_version", fmt::to_string(terms_.protocol_version)}};
  fields.insert(fields.end(), more.begin(), more.end());
  options_.log(level, what, fields);
}

// -- inbound ----------------------------------------------------------------------

void link_machine::handle_message(protocol::to_envoy message, arrival at) {
  if (end_reason_) return;
  received_before_ = at.received;
  counters_.bytes_in += at.bytes;
  ++counters_.messages_in;
  const auto* ping = std::get_if<protocol::to_envoy_ping>(&message);
  const auto as_it_came = ping != nullptr ? ping->ts : 0;
  keep_in_range(message);
  if (const auto* init = std::get_if<protocol::to_envoy_init>(&message)) {
    if (!policy_.handle_init(at.now)) return refuse_frame("a second Init", at.bytes);
    lease_.handle_init(std::chrono::milliseconds{init->metadata.envoy_lost_threshold});
    log_reached("connected to the engine");
  } else if (auto good = policy_.handle_message(kept_bytes(message, at.bytes), at.now); !good) {
    return refuse_frame(
        fmt::format("{} {}", protocol::name_of(message), good.error().message), at.bytes);
  } else if (ping != nullptr) {
    if (policy_.handle_ping(at.now)) log_reached("ready");
    lease_.handle_ping(ping->ts, at.now);
    queue_.handle_ping(as_it_came);
    emit(link_output::request_write{});
  }
  batch_.bytes += at.bytes;
  batch_.messages.push_back(std::move(message));
}

bool link_machine::handle_long_message(outcome<protocol::to_envoy> known, arrival at) {
  if (end_reason_) return false;
  const std::string name{known ? protocol::name_of(*known) : "a message of an unknown kind"};
  const auto refuse = [&](std::string_view why) {
    handle_bad_frame(fmt::format("{} {}", name, why), at.bytes);
    return false;
  };
  if (!known || std::holds_alternative<protocol::to_envoy_init>(*known) ||
      std::holds_alternative<protocol::to_envoy_ping>(*known))
    return refuse(fmt::format("is longer than {} bytes", options_.inbound_message_bytes_max));
  auto& head = *known;
  if (auto good = policy_.handle_message(0, at.now); !good) return refuse(good.error().message);
  if (std::holds_alternative<protocol::to_envoy_commands>(head)) return true;
  ++counters_.messages_in;
  ++counters_.too_long;
  if (std::holds_alternative<protocol::to_envoy_ack_events>(head))
    log_to(
        options_.log,
        log_level::warning,
        "a message of the engine is too large and was skipped",
        {{"message", name}, {"bytes_max", fmt::to_string(options_.inbound_message_bytes_max)}});
  handle_batch_end(at.now);  // the messages that came before it
  batch_.too_long = std::move(head);
  return false;
}

void link_machine::handle_part(protocol::to_envoy_commands some, bool last, arrival at) {
  if (end_reason_) return;
  if (last) ++counters_.messages_in;
  counters_.bytes_in += at.bytes;
  batch_.bytes += at.bytes;
  const auto good = policy_.handle_message(at.bytes, at.now);
  if (!some.commands.empty()) {
    protocol::to_envoy message{std::move(some)};
    keep_in_range(message);
    batch_.messages.push_back(std::move(message));
  }
  if (!good) refuse_frame(good.error().message, at.bytes);
}

void link_machine::handle_bad_frame(std::string_view why, std::size_t bytes) {
  if (end_reason_) return;
  counters_.bytes_in += bytes;
  ++counters_.messages_in;
  refuse_frame(why, bytes);
}

void link_machine::refuse_frame(std::string_view why, std::size_t bytes) {
  ++counters_.bad_frames;
  log_to(
      options_.log,
      log_level::error,
      "the engine sent a frame that is not a message; renewing the connection",
      {{"reason", std::string{why}}, {"bytes", fmt::to_string(bytes)}});
  end_connection({connection_end::kind::protocol, 0, 0, std::string{why}});
}

void link_machine::handle_batch_end(time_point now) {
  if (batch_.messages.empty() && !batch_.too_long) return;
  batch_.connection = policy_.connection();
  batch_.term = queue_.term();
  batch_.received = now;
  const auto too_much = credit_.handle_handed_over(batch_.messages.size(), batch_.bytes);
  emit(link_output::inbound{std::exchange(batch_, {})});
  if (paused_ || !too_much) return;
  paused_ = true;
  ++counters_.reading_paused;
  emit(link_output::set_reading{false});
}

void link_machine::resume_if_granted() {
  if (!paused_ || !credit_.may_resume()) return;
  paused_ = false;
  emit(link_output::set_reading{true});
}

void link_machine::handle_pong(std::uint64_t number, time_point now) {
  if (const auto id = queue_.handle_pong(number, now))
    emit(link_output::fence{policy_.connection(), *id});
  emit(link_output::request_write{});
}

// -- outbound ---------------------------------------------------------------------

std::optional<outbound_frame> link_machine::poll_frame(time_point now) {
  if (!check_lease(now) || end_reason_) return std::nullopt;
  auto next = queue_.poll_frame(now);
  if (!next) close_if_handled(now);
  return next;
}

void link_machine::handle_written(std::optional<frame_class> reported, std::size_t bytes) {
  ++counters_.frames_out;
  counters_.bytes_out += bytes;
  if (reported) emit(link_output::written{policy_.connection(), *reported});
}

// -- time, and other threads ------------------------------------------------------

void link_machine::handle_wake() {
  resume_if_granted();
  if (up() && !over_) emit(link_output::request_write{});
}

// I14: nothing is sent once the lease has ended, however long this process was frozen.
bool link_machine::check_lease(time_point now) {
  if (!lease_.ended(now)) return true;
  lease_.handle_ended();
  ++counters_.leases_ended;
  queue_.handle_lease_ended();
  handle_batch_end(now);
  log_to(
      options_.log,
      log_level::error,
      "the lease ended: no Ping from the engine for too long; all actors are ended");
  emit(link_output::lease_ended{});
  if (up()) end_connection({connection_end::kind::lease, 0, 0, "lease ended"});
  return false;
}

void link_machine::expire(time_point now, std::uint64_t received) {
  if (over_) return;
  check_lease(now);
  if (dial_at_ && now >= *dial_at_) {
    dial_at_.reset();
    dial();
  }
  if (up() && queue_.expire(now)) emit(link_output::request_write{});
  close_if_handled(now);
  check_first_words(now, received);
}

void link_machine::check_first_words(time_point now, std::uint64_t received) {
  const auto due = policy_.poll_timeout();
  if (!due || now < *due || end_reason_) return;
  // A long replay may be under way, or wait for us.
  if (std::exchange(received_before_, received) != received || paused_)
    return policy_.handle_progress(now);
  log_to(
      options_.log,
      log_level::error,
      "the engine is silent; renewing the connection",
      {{"reason", policy_.awaited()}});
  end_connection({connection_end::kind::silent, 0, 0, policy_.awaited()});
}

std::optional<time_point> link_machine::poll_timeout() const {
  if (over_) return std::nullopt;
  auto next = dial_at_;
  const auto earlier = [&](std::optional<time_point> t) {
    if (t) next = next ? std::min(*next, *t) : t;
  };
  earlier(lease_.end());
  if (up() && !end_reason_) {
    earlier(policy_.poll_timeout());
    earlier(queue_.poll_timeout());
    earlier(close_at_);
  }
  return next;
}

link_stats link_machine::stats() const {
  const auto& c = counters_;
  return {
      .dials = c.dials,
      .connections = c.connections,
      .messages_in = c.messages_in,
      .bytes_in = c.bytes_in,
      .frames_out = c.frames_out,
      .bytes_out = c.bytes_out,
      .pongs = queue_.stats().pongs,
      .outbound_bytes = intake_.room().used(),
      .discarded = queue_.stats().discarded,
      .moved = queue_.stats().moved,
      .bad_frames = c.bad_frames,
      .too_long = c.too_long,
      .leases_ended = c.leases_ended,
      .reading_paused = c.reading_paused};
}

}  // namespace nuncio

// See host_machine.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <nuncio/commands/event_outbox.hpp>
#include <nuncio/hex.hpp>
#include <nuncio/host/host_machine.hpp>
#include <nuncio/support/overloaded.hpp>
#include <nuncio/support/time_range.hpp>

namespace nuncio {

using lifecycle::input;

namespace {

constexpr duration drain_log_interval = std::chrono::seconds{1};

}  // namespace

host_machine::host_machine(host_machine_options options)
    : core_(options.limits, std::move(options.link), std::move(options.log)),
      commands_(core_, instances_, std::move(options.on_judged)),
      instances_(core_, std::move(options.roster), commands_, requests_, sockets_),
      requests_(core_, instances_),
      sockets_(core_, instances_),
      greeting_(std::move(options.greeting)) {
  core_.link->greet(greeting_, false);
}

host_machine::~host_machine() {
  requests_.clear();  // first: they are counted in their instances
  instances_.clear();
  sockets_.clear();
}

// -- from the link ----------------------------------------------------------------

void host_machine::handle_inbound(inbound_batch& batch, time_point now) {
  core_.now = now;
  if (batch.term != core_.term) {
    core_.term = batch.term;
    core_.own_gate = std::make_shared<const output_gate>(core_.term);
  }
  if (batch.too_long) handle_too_long(*batch.too_long);
  for (auto& message : batch.messages) handle_message(message);
  core_.link->grant(batch.messages.size(), batch.bytes);
}

void host_machine::handle_message(protocol::to_envoy& message) {
  if (auto* tunnel = std::get_if<protocol::to_envoy_tunnel_message>(&message))
    handle_tunnel(*tunnel);
  else if (auto* commands = std::get_if<protocol::to_envoy_commands>(&message))
    commands_.handle_commands(*commands);
  else if (const auto* ping = std::get_if<protocol::to_envoy_ping>(&message))
    handle_ping(ping->ts);
  else if (const auto* acks = std::get_if<protocol::to_envoy_ack_events>(&message))
    handle_acked_events(*acks);
  else if (const auto* init = std::get_if<protocol::to_envoy_init>(&message))
    core_.limits.http.response_bytes_max = init->metadata.max_response_payload_size;
}

void host_machine::handle_tunnel(protocol::to_envoy_tunnel_message& message) {
  const auto& id = message.message_id;
  core_.gateways.handle_heard(id.gateway_id);
  auto& kind = message.message_kind;
  if (auto* start = std::get_if<protocol::to_envoy_request_start>(&kind))
    return requests_.handle_start(id, *start);
  if (const auto* abort = std::get_if<protocol::to_envoy_request_abort>(&kind))
    return requests_.handle_abort({id.gateway_id, id.request_id}, abort->reason);
  if (auto* open = std::get_if<protocol::to_envoy_web_socket_open>(&kind))
    return sockets_.handle_open(id, *open);
  if (sockets_.handle(id, kind) || requests_.handle(id, kind)) return;
  sockets_.handle_absent(id, kind);  // over, or never ours
}

// A message that the link could not accept: its head tells whom to inform. If it ends something, that still ends.
void host_machine::handle_too_long(const protocol::to_envoy& head) {
  const auto* tunnel = std::get_if<protocol::to_envoy_tunnel_message>(&head);
  if (tunnel == nullptr) return;
  const auto& id = tunnel->message_id;
  const exchange_id exchange{id.gateway_id, id.request_id};
  core_.gateways.handle_heard(exchange.gateway);
  ++core_.stats.too_long;
  core_.limiter.log(
      core_.now,
      log_level::warning,
      "a message for an actor is larger than this host accepts",
      {{"gateway", to_hex(exchange.gateway.value)}, {"request", to_hex(exchange.request.value)}});
  std::visit(
      overloaded{
          [&](const protocol::to_envoy_request_start&) { requests_.handle_long_start(id); },
          [&](const protocol::to_envoy_request_chunk&) { requests_.handle_long_chunk(exchange); },
          [&](const protocol::to_envoy_request_abort& x) {
            requests_.handle_abort(exchange, x.reason);
          },
          [&](const protocol::to_envoy_web_socket_open& x) {
            sockets_.handle_long_open(exchange, x.actor_id);
          },
          [&](const protocol::to_envoy_web_socket_message&) { sockets_.handle_long_message(id); },
          [&](const protocol::to_envoy_web_socket_close& x) { sockets_.handle_close(exchange, x); },
          [](const auto&) {}},
      tunnel->message_kind);
}

void host_machine::handle_acked_events(const protocol::to_envoy_ack_events& acks) {
  if (!acks.last_event_checkpoints.empty()) instances_.handle_engine_acks();
  for (const auto& at : acks.last_event_checkpoints)
    if (at.index >= event_index_first)
      instances_.apply({at.actor_id, at.generation}, input::accepted);
  core_.say(acks);
}

void host_machine::handle_ping(engine_ms ts) {
  given_up_ = false;
  commands_.handle_ping(ts);
  if (std::exchange(barrier_passed_, true)) return;
  ++core_.stats.barriers;
  // I14: not earlier, or queued writes of an instance that the replay ends would still be sent.
  core_.out.push_back(host_output::storage_up{commands_.connection()});
  if (!std::exchange(ready_, true)) core_.out.push_back(host_output::ready{});
}

void host_machine::handle_link_up(epoch connection, time_point now) {
  flush(now);  // commands processed on the last connection are not acked on this one
  commands_.handle_up(connection);
  barrier_passed_ = false;
  core_.gateways.handle_up(now);
  requests_.handle_up();
  sockets_.handle_up();
}

void host_machine::handle_link_down(time_point now) {
  core_.now = now;
  commands_.handle_down();
  requests_.handle_down();
}

void host_machine::handle_room(time_point now) {
  core_.now = now;
  requests_.handle_room();
}

void host_machine::handle_lease_ended(time_point now) {
  core_.now = now;
  given_up_ = true;
  commands_.handle_lease_ended();
  instances_.apply_to_all(input::lease_ended, "the engine was silent for too long");
}

void host_machine::handle_link_over(const failure& why, time_point now) {
  core_.now = now;
  if (std::exchange(over_, true)) return;
  instances_.apply_to_all(input::evicted, why.message);
  core_.out.push_back(host_output::link_over{why});
  const auto outbox_asked = drain_asked_;
  flush(now);
  if (outbox_asked) core_.out.push_back(host_output::done{});
}

// -- from the driver of the instances ---------------------------------------------

spawn_verdict host_machine::handle_spawned(const actor_ref& who, time_point now) {
  core_.now = now;
  return instances_.handle_spawned(who);
}

void host_machine::handle(const internal::instance_started& what, time_point now) {
  core_.now = now;
  instances_.apply(what.who, input::started);
}

void host_machine::handle(const internal::sleep_called& what, time_point now) {
  core_.now = now;
  instances_.apply(what.who, input::sleep_called);
}

void host_machine::handle(const internal::destroy_called& what, time_point now) {
  core_.now = now;
  instances_.apply(what.who, input::destroy_called);
}

void host_machine::handle(const internal::alarm_called& what, time_point now) {
  core_.now = now;
  instances_.handle_alarm(what);
}

void host_machine::handle(const internal::instance_active& what, time_point now) {
  core_.now = now;
  instances_.handle_active(what);
}

void host_machine::handle(const internal::instance_down& what, time_point now) {
  core_.now = now;
  instances_.handle_down(what);
}

void host_machine::handle(const internal::storage_done& what, time_point now) {
  core_.now = now;
  instances_.handle_stored(what);
}

void host_machine::handle(const internal::attempt_done& what, time_point now) {
  core_.now = now;
  requests_.handle(what);
}

void host_machine::handle(internal::response_waits& what, time_point now) {
  core_.now = now;
  requests_.handle(what);
}

void host_machine::handle(const internal::response_begun& what, time_point now) {
  core_.now = now;
  requests_.handle(what);
}

void host_machine::handle(const internal::upload_untouched& what, time_point now) {
  core_.now = now;
  requests_.handle(what.what);
}

void host_machine::handle(const internal::socket_accepted& what, time_point now) {
  core_.now = now;
  sockets_.handle(what);
}

void host_machine::handle(const internal::socket_over& what, time_point now) {
  core_.now = now;
  sockets_.handle(what);
}

void host_machine::handle(const internal::sockets_restored& what, time_point now) {
  core_.now = now;
  sockets_.handle(what);
}

// -- drain ------------------------------------------------------------------------

void host_machine::handle_drain(time_point deadline, time_point now) {
  core_.now = now;
  if (core_.draining) {
    drain_deadline_ = std::min(drain_deadline_, deadline);
    return;
  }
  core_.draining = true;
  drain_deadline_ = deadline;
  drain_log_at_ = now + drain_log_interval;
  auto greeting = greeting_;
  greeting.emplace_back(protocol::to_rivet_stopping{});
  core_.link->greet(std::move(greeting), true);
  log_to(core_.log, log_level::info, "draining", {{"actors", fmt::to_string(instances_.actors())}});
  instances_.handle_drain();
}

void host_machine::check_drained() {
  if (!core_.draining || instances_.actors() != 0) return;
  // An engine that has given up this host has already ended everything that it could be told about.
  if (given_up_ && !over_) core_.link->close();
  if (std::exchange(drain_asked_, true)) return;
  const auto& ended = instances_.drained();
  log_to(
      core_.log,
      log_level::info,
      "drained",
      {{"slept", fmt::to_string(ended.slept)},
       {"moved", fmt::to_string(ended.moved)},
       {"cut", fmt::to_string(ended.cut)}});
  if (over_)  // nothing to inform
    core_.out.push_back(host_output::done{});
  else
    core_.out.push_back(host_output::drain_outbox{});
}

void host_machine::handle_outbox_drained() { core_.link->close(); }  // handle_link_over follows

void host_machine::log_drain() {
  if (core_.now < drain_log_at_ || instances_.actors() == 0) return;
  drain_log_at_ = core_.now + drain_log_interval;
  const auto left =
      std::chrono::ceil<std::chrono::seconds>(std::max(drain_deadline_ - core_.now, duration{}));
  log_to(
      core_.log,
      log_level::info,
      "draining",
      {{"actors", fmt::to_string(instances_.actors())},
       {"seconds_left", fmt::to_string(left.count())}});
}

// -- outputs and time -------------------------------------------------------------

std::optional<host_output::any> host_machine::poll_output() {
  if (core_.out.empty()) return std::nullopt;
  std::optional<host_output::any> next{std::move(core_.out.front())};
  core_.out.pop_front();
  return next;
}

void host_machine::expire(time_point now) {
  core_.now = now;
  instances_.expire();
  requests_.expire();
  sockets_.expire();
  commands_.expire();
  if (!core_.draining) return;
  log_drain();
  if (now >= drain_deadline_)
    instances_.apply_to_all(input::deadline, "the host's drain deadline has passed");
  // Events that the outbox could not send by now, because the engine is away, are not waited for.
  if (drain_asked_ && !over_ && now >= later(drain_deadline_, core_.limits.end_limit))
    core_.link->close();
}

void host_machine::flush(time_point now) {
  core_.now = now;
  hand_on();
  check_drained();
  const auto used = sockets_.bytes_waiting() + requests_.room().bytes() + instances_.start_bytes();
  if (release_.handle_used(used, now)) core_.out.push_back(host_output::release_memory{});
  set_timeout();
}

void host_machine::hand_on() {
  commands_.flush();
  if (!core_.said.empty())
    core_.out.push_back(internal::outbox_batch{std::exchange(core_.said, {})});
}

void host_machine::set_timeout() {
  auto next = earlier(instances_.poll_timeout(), requests_.poll_timeout());
  next = earlier(next, sockets_.poll_timeout());
  next = earlier(next, commands_.poll_timeout());
  next = earlier(next, release_.poll_timeout());
  if (core_.draining && !over_) {
    const auto close_at = later(drain_deadline_, core_.limits.end_limit);
    if (instances_.actors() != 0 && drain_deadline_ > core_.now)
      next = earlier(next, std::min(drain_deadline_, drain_log_at_));
    else if (close_at > core_.now)
      next = earlier(next, close_at);
  }
  timeout_ = next;
}

// -- lookups ----------------------------------------------------------------------

std::optional<instance_number> host_machine::find_keyed(
    std::string_view name, const actor_key& key) const {
  const auto* const x = instances_.find_keyed(name, key);
  if (x == nullptr || !x->can_be_found()) return std::nullopt;
  return x->number;
}

std::optional<instance_number> host_machine::find_id(const actor_id& id) {
  const auto* const x = instances_.oldest(id);
  if (x == nullptr || !x->can_be_found()) return std::nullopt;
  return x->number;
}

const ingress_stats& host_machine::stats() {
  core_.stats.requests_open = requests_.size();
  core_.stats.sockets_open = sockets_.size();
  core_.stats.socket_bytes_waiting = sockets_.bytes_waiting();
  return core_.stats;
}

}  // namespace nuncio

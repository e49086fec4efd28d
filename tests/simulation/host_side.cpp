// See host_side.hpp.
#include "simulation/host_side.hpp"

#include <fmt/format.h>

namespace nuncio::simulation {

using lifecycle::state;

host_side::host_side(host_surroundings x)
    : time_(x.time),
      random_(x.random),
      watch_(x.watch),
      ledger_options_(x.ledger),
      limits_(x.limits),
      link_(std::make_shared<link_side>(x.time, x.random, x.watch, *this, std::move(x.wire))) {}

column host_side::column_now(const judged_command& x) {
  const auto* const newest = machine().newest(x.at.actor_id);
  if (newest == nullptr) return x.known ? column::gone : column::unknown;
  return newest != machine().oldest(x.at.actor_id) ? column::queued : column_of(newest->state);
}

void host_side::handle_judged(const judged_command& x) {
  const auto* const start = std::get_if<protocol::command_start_actor>(&x.command);
  const auto* const stop = std::get_if<protocol::command_stop_actor>(&x.command);
  unjudged_.erase({{x.at.actor_id, x.at.generation}, x.at.index});
  const auto r = x.what == verdict::duplicate    ? row::duplicate
                 : x.what == verdict::superseded ? row::superseded
                 : x.what == verdict::expired    ? row::expired
                 : start != nullptr              ? row::fresh_start
                                                 : row::fresh_stop;
  const auto where = column_now(x);
  watch_.handle_judged(r, where, x.at, connection_);
  const actor_ref who{x.at.actor_id, x.at.generation};
  if (x.what != verdict::superseded) check_recorded(who, x.at.index);
  touched_[who.actor] = time_.now();
  if (x.what == verdict::expired) return watch_.handle_refused(who);
  if (r != row::fresh_start && r != row::fresh_stop) return;
  ++fresh_;
  known_.insert(who.actor);
  watch_.handle_dispatched(x.at);
  if (stop != nullptr && stop->reason == protocol::stop_actor_reason::lost) watch_.handle_lost(who);
  // At once, and not behind failures of an earlier generation.
  const auto first = where == column::unknown && who.generation == 1;
  if (first && start != nullptr && start->config.name != "known") watch_.handle_hopeless(who);
}

command_observer host_side::observer() {
  return [this](const judged_command& x) { handle_judged(x); };
}

void host_side::show(const inbound_batch& batch) {
  for (const auto& message : batch.messages) {
    if (const auto* commands = std::get_if<protocol::to_envoy_commands>(&message))
      for (const auto& x : commands->commands) {
        watch_.handle_delivered(x.checkpoint);
        unjudged_.insert({{x.checkpoint.actor_id, x.checkpoint.generation}, x.checkpoint.index});
      }
    if (const auto* acks = std::get_if<protocol::to_envoy_ack_events>(&message))
      engine_acks_ = engine_acks_ || !acks->last_event_checkpoints.empty();
    if (std::holds_alternative<protocol::to_envoy_ping>(message)) barrier_passed_ = true;
  }
}

void host_side::handle_up(epoch connection) {
  connection_ = connection;
  barrier_passed_ = false;
  unjudged_.clear();
}

void host_side::check_carried_out() {
  if (machine().stats().dispatched != fresh_)
    throw violated("I1 fresh only", "a command was carried out that was not judged fresh");
  check_judged();
  for (const auto& id : known_) {
    const auto* const oldest = machine().oldest(id);
    const auto* const newest = machine().newest(id);
    if (oldest != nullptr) check_wait(*oldest, true);
    if (newest != oldest) check_wait(*newest, false);
  }
}

// A replay before the first Ping may wait for that; nothing waits longer.
void host_side::check_judged() const {
  if (!barrier_passed_ || unjudged_.empty()) return;
  const auto& [who, index] = *unjudged_.begin();
  throw violated(
      "I5 acks complete",
      fmt::format("{}:{}#{} was delivered and not judged", who.actor.str(), who.generation, index));
}

// Whoever waits is waited for, by somebody else or until a limit.
void host_side::check_wait(const instance& x, bool oldest) const {
  const auto must = [&](bool holds, const char* invariant, const char* what) {
    if (!holds)
      throw violated(invariant, fmt::format("{}:{} {}", x.who.actor.str(), x.who.generation, what));
  };
  const auto due = [&](instance_due what) { return due_of_instances::has(x.times, what); };
  if (x.state == state::queued)
    must(
        !oldest || due(instance_due::start_after_failures),
        "I11 generations",
        "waits for an older generation that is over");
  else if (x.state == state::starting)
    must(x.handed || x.down, "I12 nothing silent", "starts, and nobody was asked to spawn it");
  else if (!lifecycle::has_actor(x.state))
    must(due(instance_due::intent_limit), "I10 events arrive", "waits for the engine for ever");
}

serve_options host_side::serving() const {
  serve_options how;
  how.name = "known";
  how.stream_requests = habits.stream_requests;
  how.idle_timeout = std::chrono::duration_cast<std::chrono::milliseconds>(habits.idle_timeout);
  return how;
}

void host_side::set(host_limits& limits) const {
  limits.http.body_bytes_max = limits_.body_bytes_max;
  limits.stall_limit = limits_.stall_limit;
}

std::optional<std::pair<actor_ref, state>> host_side::newest(const actor_id& a) {
  const auto* const x = machine().newest(a);
  if (x == nullptr) return std::nullopt;
  return std::pair{x->who, x->state};
}

void host_side::check_recorded(const actor_ref& who, std::int64_t index) {
  const auto last = machine().ledger().last_index(who);
  if (!last || *last < index)
    throw violated(
        "I2 record first",
        fmt::format("{}:{}#{} is not in the ledger", who.actor.str(), who.generation, index));
}

// Nothing that could come again is forgotten early.
void host_side::check_remembered() {
  const auto& ledger = machine().ledger();
  if (ledger.stats().dropped_at_cap != 0) return;
  for (const auto& [id, at] : touched_)
    if (at + ledger_options_.forget_after > time_.now() && !ledger.newest_generation(id))
      throw violated("I9 bounded", id.str() + " was forgotten too early");
}

const instance* host_side::find(const actor_ref& who) {
  for (const auto* const x : {machine().newest(who.actor), machine().oldest(who.actor)})
    if (x != nullptr && x->who == who) return x;
  return nullptr;
}

void host_side::check_quiet() {
  check_remembered();
  if (acks_pending() != 0) throw violated("I5 acks complete", "acks wait on a quiet link");
  for (const auto& id : known_) {
    const auto* const x = machine().newest(id);
    if (x == nullptr) continue;
    if (x != machine().oldest(id) || x->state == state::ending ||
        x->state == state::ending_silently)
      throw violated("I11 generations", id.str() + " never came to rest");
  }
}

void host_side::check_ledger_empty() {
  if (machine().actors() != 0) throw violated("I9 bounded", "instances are left");
  if (const auto left = machine().ledger().stats().entries; left != 0)
    throw violated("I9 bounded", fmt::format("{} ledger entries are left", left));
  if (const auto& stats = machine().stats(); stats.requests_open + stats.sockets_open != 0)
    throw violated(
        "I9 bounded",
        fmt::format(
            "{} requests and {} WebSockets outlived their instances",
            stats.requests_open,
            stats.sockets_open));
}

}  // namespace nuncio::simulation

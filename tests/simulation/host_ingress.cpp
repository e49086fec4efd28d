// The host model's ingress: a mirror of actors/nuncio/ingress.cpp.
#include <fmt/format.h>

#include "simulation/host_model.hpp"

namespace nuncio::simulation {

using lifecycle::input;
using lifecycle::state;

namespace {

constexpr duration start_limit = 28s, stop_grace = 15s, end_limit = 2s, intent_limit = 60s;

}  // namespace

void host_model::inbound(const protocol::to_envoy& message, std::uint64_t term) {
  if (over_) return;
  term_ = term;
  if (const auto* commands = std::get_if<protocol::to_envoy_commands>(&message)) {
    for (const auto& x : commands->commands) watch_.handle_delivered(x.checkpoint);
    commands_arrived(*commands);
  } else if (const auto* p = std::get_if<protocol::to_envoy_ping>(&message)) {
    ping(p->ts);
  } else if (const auto* acks = std::get_if<protocol::to_envoy_ack_events>(&message)) {
    engine_acks_ = true;
    for (const auto& at : acks->last_event_checkpoints)
      if (at.index >= event_index_first) apply({at.actor_id, at.generation}, input::accepted);
    said_.emplace_back(*acks);
  } else if (const auto* tunnel = std::get_if<protocol::to_envoy_tunnel_message>(&message)) {
    if (const auto* x = std::get_if<protocol::to_envoy_request_start>(&tunnel->message_kind))
      request(*x);
  }
  after_input();
}

column host_model::column_now(const actor_id& actor) const {
  const auto at = slots_.find(actor);
  if (at == slots_.end()) return ledger_.newest_generation(actor) ? column::gone : column::unknown;
  return at->second.next ? column::queued : column_of(at->second.current->state);
}

void host_model::commands_arrived(const protocol::to_envoy_commands& frame) {
  const auto engine_now = clock_.at(time_.now());
  if (!engine_now) {
    held_.push_back(frame);
    return;
  }
  for (const auto& x : frame.commands) command(x, *engine_now);
}

void host_model::command(const protocol::command_wrapper& x, engine_ms engine_now) {
  const auto now = time_.now();
  const auto& at = x.checkpoint;
  const actor_ref who{at.actor_id, at.generation};
  const auto* start = std::get_if<protocol::command_start_actor>(&x.inner);
  std::optional<engine_ms> created;
  if (start != nullptr) created = start->config.create_ts;
  const auto known = ledger_.newest_generation(who.actor);
  const auto where = column_now(who.actor);
  const auto judged = ledger_.admit(at, created, engine_now, now);
  processed_.push_back(at);
  const auto r = judged == verdict::duplicate    ? row::duplicate
                 : judged == verdict::superseded ? row::superseded
                 : judged == verdict::expired    ? row::expired
                 : start != nullptr              ? row::fresh_start
                                                 : row::fresh_stop;
  watch_.handle_judged(r, where, at, connection_);
  if (judged == verdict::duplicate || judged == verdict::superseded) return;
  if (known && *known < who.generation) {
    said_.emplace_back(said_superseded{who.actor, who.generation});
    if (const auto place = slots_.find(who.actor); place != slots_.end()) {
      if (place->second.next && place->second.next->who.generation < who.generation)
        apply(actor_ref{place->second.next->who}, input::superseded);
      if (place->second.current && place->second.current->who.generation < who.generation)
        apply(
            actor_ref{place->second.current->who}, input::superseded, "a newer generation exists");
    }
  }
  if (judged == verdict::expired) {
    watch_.handle_refused(who);
    return;
  }
  watch_.handle_dispatched(at, ledger_.last_index(who));
  if (start != nullptr)
    start_actor(who, *start);
  else
    stop_actor(who, std::get<protocol::command_stop_actor>(x.inner).reason);
}

void host_model::start_actor(const actor_ref& who, const protocol::command_start_actor& start) {
  ledger_.handle_live(who);
  auto& place = slots_[who.actor];
  auto made = std::make_unique<instance>();
  made->who = who;
  made->name = start.config.name.str();
  made->term = term_;
  // The engine counts from the allocation, so what is left of the limit does too.
  const auto age = clock_.age(start.config.create_ts, time_.now()).value_or(duration{});
  made->limit = time_.now() + start_limit - age;
  set_alarm(who, input::start_limit, made->limit);
  if (place.current) {
    place.next = std::move(made);
    return;
  }
  place.current = std::move(made);
  begin(who);
}

void host_model::begin(const actor_ref& who) {
  const auto delay = starts_.delay(who.actor, time_.now());
  if (delay == 0s) return apply(who, input::older_down);
  set_alarm(who, input::older_down, time_.now() + delay);
}

void host_model::stop_actor(const actor_ref& who, protocol::stop_actor_reason reason) {
  if (find(who) == nullptr) {
    said_.emplace_back(said_orphan{who});
    ledger_.handle_gone(who, time_.now());
    return;
  }
  if (find(who)->state != state::queued) apply(who, input::accepted);
  apply(
      who,
      reason == protocol::stop_actor_reason::lost ? input::lost_command : input::stop_command,
      "the engine ended it");
}

void host_model::ping(engine_ms ts) {
  clock_.handle_ping(ts, time_.now());
  for (const auto& frame : std::exchange(held_, {})) commands_arrived(frame);
  barrier_passed_ = true;
}

void host_model::request(const protocol::to_envoy_request_start& start) {
  const auto at = slots_.find(start.actor_id);
  if (at == slots_.end()) return;
  auto* to = at->second.next ? at->second.next.get() : at->second.current.get();
  if (*start.actor_generation > to->who.generation) {
    said_.emplace_back(said_superseded{start.actor_id, *start.actor_generation});
    apply(actor_ref{to->who}, input::superseded, "a newer generation exists");
  }
  to = find({start.actor_id, *start.actor_generation});
  if (to == nullptr || to->state == state::ending || to->state == state::ending_silently ||
      !lifecycle::has_actor(to->state))
    return;
  apply(actor_ref{to->who}, input::accepted);
  to = find({start.actor_id, *start.actor_generation});
  if (to == nullptr || !to->handle) return;
  if (!std::exchange(to->asked, true)) starts_.handle_useful(to->who.actor);
  time_.after(
      random_.between(0ms, 5s),
      side::actors,
      [this, self = to->handle, gate = to->gate, term = to->term] {
        if (!self->alive || !*gate) return;
        up_frame answer;
        answer.spoken_by = self->who;
        write(std::move(answer), 0, false, gate, term);
      });
}

host_model::instance* host_model::find(const actor_ref& who) {
  const auto at = slots_.find(who.actor);
  if (at == slots_.end()) return nullptr;
  for (auto* x : {at->second.current.get(), at->second.next.get()})
    if (x && x->who == who) return x;
  return nullptr;
}

void host_model::apply(const actor_ref& who, input what, const std::string& why) {
  auto* x = find(who);
  if (x == nullptr) return;
  const auto step = lifecycle::step(x->state, what);
  if (!step)
    throw violated(
        "lifecycle",
        fmt::format("{} met {}, which can't happen", to_string(x->state), to_string(what)));
  x->state = step->to;
  if (step->to != step->from && x->why.empty()) x->why = why;
  const auto does = [&](lifecycle::action a) { return (step->actions & a) != 0; };
  if (does(lifecycle::cut)) *x->gate = false;
  if (does(lifecycle::tell_stop)) {
    if (x->handle) tell_stop(x->handle);
    set_alarm(who, input::stop_limit, time_.now() + stop_grace);
  }
  if (does(lifecycle::exit)) {
    if (x->handle) exit(x->handle);
    set_alarm(who, input::end_limit, time_.now() + end_limit);
  }
  if (does(lifecycle::abandon)) {
    watch_.handle_abandoned(who);
    if (x->handle) x->handle->alive = false;
  }
  if (does(lifecycle::say_running)) {
    said_.emplace_back(said_running{who});
    set_alarm(who, input::given_up, x->limit);
  }
  if (does(lifecycle::say_sleep) || does(lifecycle::say_destroy))
    said_.emplace_back(said_intent{who, does(lifecycle::say_sleep)});
  if (what == input::quit && step->from != state::ending && step->from != state::ending_silently)
    starts_.handle_useful(who.actor);
  if (what == input::failed && !x->asked &&
      (step->from == state::starting || step->from == state::running ||
       step->from == state::accepted))
    starts_.handle_failed(who.actor, time_.now());
  if (what == input::quit || what == input::failed) {
    x->handle = nullptr;
    if (!lifecycle::has_actor(x->state) && x->state != state::stopped)
      set_alarm(who, input::deadline, time_.now() + intent_limit);
  }
  if (does(lifecycle::stopped_ok))
    said_.emplace_back(said_stopped{who, protocol::stop_code::ok, {}});
  if (does(lifecycle::stopped_error))
    said_.emplace_back(said_stopped{who, protocol::stop_code::error, x->why});
  if (does(lifecycle::spawn))
    spawn(*x);
  else if (x->state == state::stopped)
    finish(who);
}

void host_model::apply_to_all(input what, const std::string& why) {
  std::vector<actor_ref> all;
  for (const auto& [id, place] : slots_)
    for (const auto* x : {place.next.get(), place.current.get()})
      if (x) all.push_back(x->who);
  for (const auto& who : all) apply(who, what, why);
}

void host_model::finish(const actor_ref& who) {
  const auto at = slots_.find(who.actor);
  auto& place = at->second;
  const auto over =
      std::move(place.current && place.current->who == who ? place.current : place.next);
  if (over->handle) watch_.handle_actor_down(who);
  ledger_.handle_gone(who, time_.now());
  if (place.current) return;
  if (!place.next) {
    slots_.erase(at);
    return;
  }
  place.current = std::move(place.next);
  begin(actor_ref{place.current->who});
}

void host_model::set_alarm(const actor_ref& who, input what, time_point when) {
  alarms_.emplace(when, alarm{who, what});
}

void host_model::fire(const alarm& due) {
  const auto* x = find(due.who);
  if (x == nullptr) return;
  switch (due.what) {
    case input::given_up:
      if (engine_acks_)
        apply(due.who, due.what, "Running was not accepted in time");
      else
        set_alarm(due.who, due.what, time_.now() + start_limit);
      break;
    case input::start_limit:
      if (x->state == state::starting || x->state == state::queued)
        apply(due.who, due.what, "the factory took too long");
      break;
    case input::older_down:
      if (x->state == state::queued) apply(due.who, due.what);
      break;
    case input::end_limit:
      if (x->state == state::ending || x->state == state::ending_silently) apply(due.who, due.what);
      break;
    case input::deadline:
      if (!lifecycle::has_actor(x->state)) apply(due.who, due.what, "an intent was not answered");
      break;
    default:
      apply(due.who, due.what, "the grace period is over");
  }
}

void host_model::tick() {
  tick_at_.reset();
  while (!alarms_.empty() && alarms_.begin()->first <= time_.now()) {
    const auto due = alarms_.begin()->second;
    alarms_.erase(alarms_.begin());
    fire(due);
  }
  ledger_.expire(time_.now());
  after_input();
}

void host_model::after_input() {
  if (!processed_.empty())
    time_.post(side::ack, hop_now(), [this, at = connection_, all = std::exchange(processed_, {})] {
      acks_.handle_processed(at, all);
      flush_acks();
    });
  if (!said_.empty())
    time_.post(side::outbox, hop_now(), [this, all = std::exchange(said_, {})] {
      for (const auto& x : all) handle(x);
      flush_events();
    });
  std::optional<time_point> next = ledger_.poll_timeout();
  if (!alarms_.empty())
    next = next ? std::min(*next, alarms_.begin()->first) : alarms_.begin()->first;
  if (!next || (tick_at_ && *tick_at_ <= *next)) return;
  tick_at_ = next;
  time_.at(std::max(*next, time_.now() + 1ms), side::ingress, [this, at = *next] {
    if (tick_at_ == at) tick();
  });
}

}  // namespace nuncio::simulation

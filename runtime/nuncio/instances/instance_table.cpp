// See instance_table.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <nuncio/commands/command_admission.hpp>
#include <nuncio/instances/actor_fields.hpp>
#include <nuncio/instances/instance_table.hpp>
#include <nuncio/instances/kept_start.hpp>
#include <nuncio/support/time_range.hpp>
#include <nuncio/tunnel/request_routes.hpp>
#include <nuncio/tunnel/socket_routes.hpp>

namespace nuncio {

using lifecycle::input;
using lifecycle::state;

namespace {

// The heap that a Start takes from ingress's thread, roughly (docs/benchmarks.md), and for how many Starts it is extended.
constexpr std::size_t start_heap_bytes = 3072;
constexpr std::size_t starts_at_once = 16;

// Except for the first thread, glibc extends a thread's heap page by page, with a system call each. Allocating and freeing a
// larger piece once makes room for what follows.
void extend_heap(std::size_t size) { ::operator delete(::operator new(size)); }

std::string_view reason_name(protocol::stop_actor_reason x) {
  return wire_enum(x).values[static_cast<std::size_t>(x)];
}

constexpr std::string_view ends_before_start = "the host ends before the actor's next start";

const std::shared_ptr<const serve_options>& default_serving() {
  static const auto defaults = std::make_shared<const serve_options>();
  return defaults;
}

}  // namespace

// -- commands -------------------------------------------------------------------------

void instance_table::handle_newer(const actor_ref& who) {
  core_.say(internal::superseded{who.actor, who.generation});
  const auto place = slots_.find(who.actor);
  if (place == slots_.end()) return;
  if (place->second.next && place->second.next->who.generation < who.generation)
    apply(actor_ref{place->second.next->who}, input::superseded);
  if (place->second.current && place->second.current->who.generation < who.generation)
    apply(actor_ref{place->second.current->who}, input::superseded, "a newer generation exists");
}

void instance_table::handle_start(
    const actor_ref& who, protocol::command_start_actor& start, time_point allocated) {
  if (core_.stats.starts++ % starts_at_once == 0) extend_heap(starts_at_once * start_heap_bytes);
  commands_.handle_live(who);
  auto& place = slots_[who.actor];
  auto context = make_context(who, start);
  const auto own_max = context->serving->requests_max;
  const auto& limits = core_.limits;
  auto made = std::make_unique<instance>(
      requests_.room(),
      request_limits{own_max != 0 ? own_max : limits.requests_max, limits.request_bytes_max});
  made->who = who;
  made->number = take_number();
  made->start_bytes = kept_bytes(who, start);
  start_bytes_ += made->start_bytes;
  made->limit = later(allocated, limits.start_limit);
  made->context = std::move(context);
  keyed_.add(*made);
  ++core_.stats.instances;
  auto& x = *made;
  const auto* const older = place.current.get();
  auto& free = place.current ? place.next : place.current;
  free = std::move(made);
  sockets_.await(x, older, start.hibernating_requests);
  set_due(x, instance_due::start_limit, x.limit);
  if (!place.next) begin(x);
}

// Nothing older lives: the factory runs now, or later if the actor's last starts have failed. While it waits, it is queued.
void instance_table::begin(instance& x) {
  // A late Start is not lost because of the delay.
  const auto delay = std::min(starts_.delay(x.who.actor, core_.now), until(core_.now, x.limit) / 2);
  if (delay <= duration::zero()) return apply(x, input::older_down);
  if (core_.draining) return apply(x, input::deadline, std::string{ends_before_start});
  set_due(x, instance_due::start_after_failures, delay);
}

void instance_table::handle_stop(const actor_ref& who, protocol::stop_actor_reason reason) {
  ++core_.stats.stops;
  auto* x = find(who);
  if (x == nullptr) {
    ++core_.stats.orphan_stops;
    core_.say(internal::answer_orphan_stop{who});
    commands_.handle_gone(who);
    return;
  }
  x->reason = reason;
  if (x->state != state::queued)
    apply(who, input::accepted);  // the engine only stops what it has accepted
  if (reason == protocol::stop_actor_reason::lost)
    return apply(
        who, input::lost_command, fmt::format("the engine ended it: {}", reason_name(reason)));
  if (!may_be_asked(*x, reason)) return apply(who, input::stop_command);
  if (x->lingers) return;
  x->lingers = core_.now + core_.limits.stop_linger_max;
  set_due(*x, instance_due::end_of_linger, core_.limits.stop_linger);
}

// Whether requests that a streaming gateway sent before the engine's Stop may still come: those are answered now, or with 503.
bool instance_table::may_be_asked(const instance& x, protocol::stop_actor_reason reason) const {
  return core_.streaming_gateway && x.takes_requests() && x.state != state::starting &&
         x.state != state::stopping && reason != protocol::stop_actor_reason::destroy;
}

// `x` may be gone afterwards.
void instance_table::end_linger(instance& x) {
  x.lingers.reset();
  due_times_.drop(x.times, instance_due::end_of_linger);
  apply(x, input::stop_command);
}

void instance_table::handle_drain() {
  std::vector<actor_ref> waiting;
  for (auto& [id, place] : slots_) {
    if (!place.current) continue;
    if (place.current->state == state::queued) waiting.push_back(place.current->who);
    set_due(*place.current, instance_due::drain, core_.limits.drain_patience);
  }
  for (const auto& who : waiting) apply(who, input::deadline, std::string{ends_before_start});
}

// -- lifecycle --------------------------------------------------------------------

void instance_table::apply(const actor_ref& who, input what, std::string why) {
  if (auto* x = find(who)) apply(*x, what, std::move(why));
}

void instance_table::apply(instance& x, input what, std::string why) {
  const auto step = lifecycle::step(x.state, what);
  if (!step) {
    core_.limiter.log(
        core_.now,
        log_level::error,
        "an actor's lifecycle got an input that can't happen",
        {{"actor", x.who.actor.str()},
         {"state", std::string{to_string(x.state)}},
         {"input", std::string{to_string(what)}}});
    return;
  }
  x.state = step->to;
  // The engine is told the first reason that changes anything.
  if (step->to != step->from && !why.empty() && x.why.empty()) x.why = std::move(why);
  act(x, *step);
  if (what == input::quit || what == input::failed) handle_ended(x, *step);
  const auto does = [&](lifecycle::action a) { return (step->actions & a) != 0; };
  if (does(lifecycle::stopped_ok))
    core_.say(internal::say_stopped{x.who, protocol::stop_code::ok, {}});
  if (does(lifecycle::stopped_error))
    core_.say(internal::say_stopped{x.who, protocol::stop_code::error, x.why});
  if (does(lifecycle::spawn)) return spawn(x);
  if (x.state == state::stopped) return finish(x);
  if (x.down) count_as_down(x);
}

void instance_table::cut(instance& x) {
  x.context->gate.open.store(false);
  core_.out.push_back(host_output::outputs_closed{x.who});
}

// Carries out a step, except for its final event and anything after which the instance may be gone.
void instance_table::act(instance& x, const lifecycle::transition& step) {
  const auto does = [&](lifecycle::action a) { return (step.actions & a) != 0; };
  if (does(lifecycle::cut)) cut(x);
  if (does(lifecycle::tell_stop)) {
    core_.tell(x, host_output::stop{x.reason});
    set_due(x, instance_due::stop_grace, core_.limits.stop_grace);
  }
  if (does(lifecycle::exit)) {
    requests_.abort(x);
    sockets_.forget(x);
    if (x.reachable) core_.out.push_back(host_output::kill{x.number});
    set_due(x, instance_due::end_limit, core_.limits.end_limit);
  }
  if (does(lifecycle::abandon)) {
    ++core_.stats.actors_abandoned;
    const auto fields = internal::with_reason(x.context->start, x.why);
    if (core_.log)
      core_.log(log_level::error, "an actor ignores its end; going on without it", fields);
  }
  if (does(lifecycle::say_running)) {
    ++core_.stats.actors_started;
    core_.say(internal::say_running{x.who});
    due_times_.drop(x.times, instance_due::start_limit);
    // The engine gives up what it has not accepted by its start limit (docs/design.md, the outbox).
    set_due(x, instance_due::acceptance, x.limit);
    x.busy_at = core_.now;
    watch_idle(x, later(x.busy_at, x.context->serving->idle_timeout));
    if (core_.draining) set_due(x, instance_due::drain, core_.limits.drain_patience);
  }
  if (does(lifecycle::say_sleep))
    core_.say(internal::say_intent{x.who, protocol::actor_intent_sleep{}});
  if (does(lifecycle::say_destroy))
    core_.say(internal::say_intent{x.who, protocol::actor_intent_stop{}});
}

void instance_table::handle_ended(instance& x, const lifecycle::transition& step) {
  unreach(x);
  requests_.abort(x);
  sockets_.forget(x);
  if (!lifecycle::has_actor(x.state) && x.state != state::stopped)
    set_due(x, instance_due::intent_limit, core_.limits.intent_limit);
  const auto ending = step.from == state::ending || step.from == state::ending_silently;
  if (step.in == input::quit && !ending) starts_.handle_useful(x.who.actor);
  if (step.in != input::failed || step.from == state::stopped) return;
  count_failure(x, step.from);
  ++core_.stats.actors_failed;
  core_.limiter.log(
      core_.now,
      log_level::error,
      "an actor failed",
      internal::with_reason(x.context->start, x.why));
}

void instance_table::apply_to_all(input what, const std::string& why) {
  std::vector<actor_ref> all;
  for (const auto& [id, place] : slots_) {
    if (place.next) all.push_back(place.next->who);
    if (place.current) all.push_back(place.current->who);
  }
  for (const auto& who : all) apply(who, what, why);
}

std::shared_ptr<instance_base> instance_table::make_context(
    const actor_ref& who, const protocol::command_start_actor& start) {
  auto made = roster_.make(who, core_.term);
  made->serving = roster_.find(start.config.name.view());
  if (!made->serving) made->serving = default_serving();
  keep_start(*made, who, start);
  made->response_bytes_max = core_.limits.http.response_bytes_max;
  made->written_bytes_max = core_.limits.request_bytes_max;
  made->written = written_;
  made->outgoing_bytes_max = core_.limits.waiting.actor_bytes_max;
  made->outgoing = outgoing_;
  return made;
}

instance_number instance_table::take_number() {
  if (free_numbers_.empty()) return numbers_++;
  const auto out = free_numbers_.back();
  free_numbers_.pop_back();
  return out;
}

void instance_table::spawn(instance& x) {
  const auto name = x.context->start.name.view();
  if (!roster_.find(name))  // I12
    return apply(x, input::failed, fmt::format("no actor is served under the name '{}'", name));
  if (start_bytes_ > core_.limits.host_start_bytes_max)
    return apply(x, input::failed, "this host has no room for another actor");
  x.handed = true;
  core_.out.push_back(host_output::spawn{x.number, x.context});
}

spawn_verdict instance_table::handle_spawned(const actor_ref& who) {
  auto* const x = find(who);
  if (x == nullptr) return {spawned::unwanted};
  if (!lifecycle::has_actor(x->state) || x->down) return {spawned::late};
  x->reachable = true;
  sockets_.tell_listed(*x);
  if (x->state == state::stopping) core_.tell(*x, host_output::stop{x->reason});
  if (x->state == state::ending || x->state == state::ending_silently)
    core_.out.push_back(host_output::kill{x->number});
  return {spawned::lives, x->number};
}

void instance_table::unreach(instance& x) {
  x.reachable = false;
  if (std::exchange(x.handed, false)) core_.out.push_back(host_output::forget{x.number});
}

instance* instance_table::asked(const actor_id& actor, std::optional<std::uint32_t> generation) {
  auto* const x = newest(actor);
  if (x == nullptr || !generation) return x;
  // Its Start is on the way.
  if (*generation > x->who.generation) supersede(*x, *generation);
  return find({actor, *generation});
}

void instance_table::handle_asked(instance& x) {
  apply(x, input::accepted);  // clients come only for what the engine has accepted
  note_use(x);
}

void instance_table::note_use(instance& x) {
  if (!std::exchange(x.used, true)) starts_.handle_useful(x.who.actor);
}

// An instance that fails before its first request would fail again: the next start waits. A failure that a client caused does
// not count.
void instance_table::count_failure(instance& x, state from) {
  if (from != state::starting && from != state::running && from != state::accepted) return;
  if (!x.used) starts_.handle_failed(x.who.actor, core_.now);
}

// `x` may be gone afterwards.
void instance_table::supersede(instance& x, std::uint32_t newer) {
  const auto who = x.who;
  // Otherwise its events are kept until the newer generation's Start comes.
  core_.say(internal::superseded{who.actor, newer});
  apply(who, input::superseded, "a newer generation exists");
}

void instance_table::finish(instance& x) {
  const auto at = slots_.find(x.who.actor);
  auto& place = at->second;
  const auto over = std::move(place.current.get() == &x ? place.current : place.next);
  requests_.abort(*over);
  sockets_.forget(*over);
  due_times_.drop_all(over->times);
  keyed_.remove(*over);
  unreach(*over);
  free_numbers_.push_back(over->number);
  if (core_.draining) count_drained(*over);
  --core_.stats.instances;
  start_bytes_ -= over->start_bytes;
  commands_.handle_gone(over->who);
  if (place.current) return;
  if (!place.next) {
    slots_.erase(at);
    return;
  }
  place.current = std::move(place.next);
  begin(*place.current);
}

void instance_table::count_drained(const instance& over) {
  if (!over.why.empty())
    ++drained_.cut;
  else if (over.reason == protocol::stop_actor_reason::going_away)
    ++drained_.moved;
  else
    ++drained_.slept;
}

// An actor that sleeps or stops must not cut a download that it has begun: it is down once its responses were sent.
void instance_table::handle_down(const internal::instance_down& what) {
  for (const auto& each : what.answered) requests_.handle(each);
  auto* x = find(what.who);
  if (x == nullptr || x->down) return;
  x->down = what.error;
  unreach(*x);
  x->storing = what.storing;
  if (x->responses == 0 && !x->storing) return count_as_down(*x);
  requests_.abort(*x, false);
  set_due(*x, instance_due::response_grace, core_.limits.response_grace);
}

void instance_table::handle_stored(const internal::storage_done& what) {
  auto* const x = find(what.who);
  if (x == nullptr || !x->storing) return;
  x->storing = false;
  if (x->down && x->down->empty()) x->down = what.lost;
  count_as_down(*x);
}

// Storage gives writes up before this, unless it stands still: what it has then must not leave beside the next generation, and
// nobody knows what is stored.
void instance_table::handle_silent_storage(instance& x) {
  if (!std::exchange(x.storing, false)) return;
  cut(x);
  if (x.down && x.down->empty())
    x.down = "storage did not report in time whether the last writes are stored";
}

void instance_table::count_as_down(instance& x) {
  if (!x.down || x.responses != 0 || x.storing) return;
  if (x.lingers) {
    // It counts as down afterwards.
    return end_linger(x);
  }
  const auto error = *std::exchange(x.down, std::nullopt);
  apply(x, error.empty() ? input::quit : input::failed, error);
}

// -- lookups --------------------------------------------------------------------------

instance* instance_table::find(const actor_ref& who) {
  const auto at = slots_.find(who.actor);
  if (at == slots_.end()) return nullptr;
  if (at->second.current && at->second.current->who.generation == who.generation)
    return at->second.current.get();
  if (at->second.next && at->second.next->who.generation == who.generation)
    return at->second.next.get();
  return nullptr;
}

instance* instance_table::newest(const actor_id& actor) {
  const auto at = slots_.find(actor);
  if (at == slots_.end()) return nullptr;
  return at->second.next ? at->second.next.get() : at->second.current.get();
}

instance* instance_table::oldest(const actor_id& actor) {
  const auto at = slots_.find(actor);
  return at == slots_.end() ? nullptr : at->second.current.get();
}

void instance_table::clear() {
  keyed_.clear();
  slots_.clear();
  due_times_.clear();
}

}  // namespace nuncio

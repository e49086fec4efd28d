// What is due for instances, and when: limits, alarms, idleness.
#include <algorithm>
#include <nuncio/instances/instance_table.hpp>
#include <nuncio/support/time_range.hpp>
#include <nuncio/tunnel/request_routes.hpp>
#include <nuncio/tunnel/socket_routes.hpp>

namespace nuncio {

using lifecycle::input;
using lifecycle::state;

void instance_table::set_due(instance& x, instance_due what, duration after) {
  set_due(x, what, later(core_.now, after));
}

void instance_table::set_due(instance& x, instance_due what, time_point at) {
  due_times_.add(x, x.times, what, at);
}

// Events for an instance that is over would start its numbering again.
void instance_table::handle_alarm(const internal::alarm_called& what) {
  const auto* const x = find(what.who);
  if (x != nullptr && x->context->gate.open) core_.say(internal::say_alarm{what.who, what.at_ms});
}

void instance_table::handle_active(const internal::instance_active& what) {
  auto* const x = find(what.who);
  if (x == nullptr) return;
  x->busy_at = std::max(x->busy_at, what.at);
  watch_idle(*x, later(x->busy_at, x->context->serving->idle_timeout));
}

void instance_table::watch_idle(instance& x, time_point at) {
  if (x.context->serving->idle_timeout.count() <= 0) return;
  set_due(x, instance_due::idle_check, at);
}

bool instance_table::is_busy(const instance& x) const {
  return x.responses != 0 || requests_.keeps_awake(x) || sockets_.keeps_awake(x);
}

// The instance decides: it knows what is not seen here.
void instance_table::check_idle(instance& x) {
  if (!lifecycle::has_actor(x.state) || x.down) return;
  const auto timeout = x.context->serving->idle_timeout;
  if (is_busy(x)) x.busy_at = core_.now;
  const auto due = later(x.busy_at, timeout);
  if (due > core_.now) return watch_idle(x, due);
  if (!x.reachable) return watch_idle(x, later(core_.now, timeout));
  // What is still open are requests of clients that have gone; the instance would wait for their responses.
  requests_.cancel_all(x, "its client was silent after a reconnect");
  core_.tell(x, internal::idle_probe{});  // it sleeps, or answers when to check again
}

void instance_table::expire() {
  while (const auto next = due_times_.poll(
             core_.now, [](instance & x) -> auto& { return x.times; }))
    handle_due(*next->first, next->second);
}

// `x` may be gone afterwards.
void instance_table::handle_due(instance& x, instance_due what) {
  switch (what) {
    case instance_due::start_after_failures:
      if (x.state == state::queued) apply(x, input::older_down);
      break;
    case instance_due::start_limit:
      handle_start_limit(x);
      break;
    case instance_due::acceptance:
      // Only applies to an engine that has acked an event of ours.
      if (engine_acks_)
        apply(x, input::given_up, "the engine did not accept Running in time");
      else  // the rule may begin to apply later
        set_due(x, what, core_.limits.start_limit);
      break;
    case instance_due::idle_check:
      check_idle(x);
      break;
    case instance_due::drain:
      apply(x, input::drain);
      break;
    case instance_due::end_of_linger:
      if (const auto at = std::min(x.asked_at + core_.limits.stop_linger, *x.lingers);
          at > core_.now)
        set_due(x, what, at);
      else
        end_linger(x);
      break;
    case instance_due::stop_grace:
      apply(x, input::stop_limit, "the actor did not stop within its grace period");
      break;
    case instance_due::end_limit:
      if (x.state == state::ending || x.state == state::ending_silently) apply(x, input::end_limit);
      break;
    case instance_due::intent_limit:
      if (!lifecycle::has_actor(x.state))
        apply(x, input::deadline, "the engine did not answer an intent in time");
      break;
    case instance_due::response_grace:
      requests_.abort(x);
      handle_silent_storage(x);
      count_as_down(x);
      break;
  }
}

void instance_table::handle_start_limit(instance& x) {
  if (x.state == state::starting)
    apply(x, input::start_limit, "the factory took longer than the start limit");
  else if (x.state == state::queued)
    apply(x, input::start_limit, "the older generation did not end within the start limit");
}

}  // namespace nuncio

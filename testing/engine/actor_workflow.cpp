// One actor's path through its phases: the tables of docs/protocol.md E and F as code.
#include <algorithm>
#include <utility>

#include "engine_core.hpp"
#include "random_id.hpp"

namespace nuncio::testing::engine {

using enum actor_phase;
using protocol::stop_actor_reason;

const actor_record& engine_core::create(const create_request& r, millis now) {
  actor_id id{random_id(random_)};
  auto& a = state_.actors[id];
  a.id = id;
  a.namespace_name = r.namespace_name;
  a.name = r.name;
  a.key = r.key;
  a.pool = r.pool;
  a.input = r.input;
  a.create_ts = now;
  if (a.key) keys_[{a.namespace_name, a.name, *a.key}] = id;
  if (state_.actor_names.try_emplace({a.namespace_name, a.name}, "{}").second)
    changes_.directory = true;
  const auto pool = state_.pools.find({a.namespace_name, a.pool});
  if (pool == state_.pools.end() || !pool->second.protocol_version) {
    // F.6: the pool never had an envoy. Only a request starts the actor later.
    a.phase = sleeping;
    a.error = actor_error::no_capacity;
    a.sleep_ts = now;
    touch(a);
  } else {
    allocate(a, now);
  }
  return a;
}

const actor_record* engine_core::find(const actor_id& id) const {
  const auto at = state_.actors.find(id);
  return at == state_.actors.end() ? nullptr : &at->second;
}

const actor_record* engine_core::find_by_key(
    std::string_view namespace_name,
    std::string_view name,
    const std::optional<std::string>& key) const {
  if (!key) return nullptr;
  const auto at = keys_.find({std::string{namespace_name}, std::string{name}, *key});
  return at == keys_.end() ? nullptr : find(at->second);
}

void engine_core::wake(const actor_id& id, millis now) {
  const auto at = state_.actors.find(id);
  if (at == state_.actors.end()) return;
  auto& a = at->second;
  if (a.phase == sleeping) {
    allocate(a, now);
  } else if (a.phase == starting || a.phase == sleep_intent) {
    a.wake_wanted = true;
  }
}

void engine_core::sleep(const actor_id& id, millis now) {
  const auto at = state_.actors.find(id);
  if (at != state_.actors.end()) on_intent(at->second, protocol::actor_intent_sleep{}, now);
}

void engine_core::reschedule(const actor_id& id, millis now) {
  const auto at = state_.actors.find(id);
  if (at == state_.actors.end() || at->second.phase != running) return;
  order_stop(at->second, going_away, stop_actor_reason::going_away, now);
}

void engine_core::destroy(const actor_id& id, millis now) {
  const auto at = state_.actors.find(id);
  if (at == state_.actors.end()) return;
  auto& a = at->second;
  switch (a.phase) {
    case starting:
      a.destroy_wanted = true;
      break;
    case running:
      order_stop(a, destroying, stop_actor_reason::destroy, now);
      break;
    // A Stop is already on its way: its Stopped destroys.
    case sleep_intent:
    case stop_intent:
    case going_away:
      a.phase = destroying;
      break;
    case allocating:
    case sleeping:
      finish(a, now);
      return;
    case destroying:
    case destroyed:
      return;
  }
  touch(a);
}

// -- events -----------------------------------------------------------------------

void engine_core::queue_events(
    envoy_record& envoy, const std::vector<protocol::event_wrapper>& events, millis now) {
  counters_.events += events.size();
  for (const auto& e : events)
    if (!is_id(e.checkpoint.actor_id.view())) {
      effects_.emplace_back(close_connection{envoy.connection, 1011, "core.internal_error"});
      leave(envoy);
      return;
    }
  for (const auto& e : events) {
    auto& batch = batches_[e.checkpoint.actor_id];
    if (batch.events.empty()) {
      batch.envoy = envoy.key;
      batch.due = now + limits_.event_batch_window;
    } else if (batch.envoy != envoy.key) {
      ++counters_.events_ignored;
      continue;
    }
    batch.events.push_back(e);
  }
}

void engine_core::judge_batch(
    actor_record& a, const std::vector<protocol::event_wrapper>& batch, millis now) {
  if (a.phase == sleeping || a.phase == allocating || a.phase == destroyed) {
    counters_.events_ignored += batch.size();
    return;
  }
  // The batch is judged by the state at its beginning: index, generation, and whether the actor ran.
  const auto generation = a.generation;
  const auto last = a.last_event;
  const bool ran_before = a.phase != starting;
  auto highest = last;
  bool all_stopped = true;
  for (const auto& e : batch) {
    if (e.checkpoint.generation != generation || e.checkpoint.index <= last ||
        a.phase == destroyed) {
      ++counters_.events_ignored;
      continue;
    }
    highest = std::max(highest, e.checkpoint.index);
    if (const auto* update = std::get_if<protocol::event_actor_state_update>(&e.inner)) {
      if (const auto* stopped = std::get_if<protocol::actor_state_stopped>(&update->state)) {
        on_stopped(a, *stopped, !ran_before, now);
        continue;
      }
      on_running(a, now);
    } else if (const auto* intent = std::get_if<protocol::event_actor_intent>(&e.inner)) {
      on_intent(a, intent->intent, now);
    } else if (const auto* alarm = std::get_if<protocol::event_actor_set_alarm>(&e.inner)) {
      a.alarm = alarm->alarm_ts;
    }
    all_stopped = false;
  }
  if (a.generation == generation) a.last_event = highest;
  const bool ended = a.phase == sleeping || a.phase == destroyed || a.generation != generation;
  if (!all_stopped && !ended && highest - a.last_event_acked > limits_.event_ack_gap) {
    a.last_event_acked = highest;
    ++counters_.event_acks;
    if (const auto connection = host_of(a); connection != 0)
      send(connection, protocol::to_envoy_ack_events{{{a.id, generation, highest}}});
  }
  touch(a);
}

void engine_core::on_running(actor_record& a, millis now) {
  if (a.phase != starting) return;
  a.lost_check = now + limits_.lost_check_interval;
  if (a.destroy_wanted) {
    order_stop(a, destroying, stop_actor_reason::destroy, now);
    return;
  }
  a.phase = running;
  a.phase_deadline = 0;
  a.wake_wanted = false;
  a.connectable_ts = now;
  if (!a.start_ts) a.start_ts = now;
  effects_.emplace_back(actor_changed{a.id});
}

void engine_core::on_intent(actor_record& a, const protocol::actor_intent& intent, millis now) {
  if (a.phase != running) return;
  if (std::holds_alternative<protocol::actor_intent_sleep>(intent)) {
    a.sleep_ts = now;
    order_stop(a, sleep_intent, stop_actor_reason::sleep_intent, now);
  } else {
    order_stop(a, stop_intent, stop_actor_reason::stop_intent, now);
  }
}

void engine_core::on_stopped(
    actor_record& a, const protocol::actor_state_stopped& stopped, bool fresh_run, millis now) {
  const bool ok = stopped.code == protocol::stop_code::ok;
  const auto before = a.phase;
  if (!ok && before != destroying && before != going_away && before != sleeping) {
    a.error = actor_error::crashed;
    a.error_detail = stopped.message ? stopped.message->str() : "";
  }
  switch (before) {
    case destroying:
      finish(a, now);
      break;
    case going_away:
      allocate(a, now);
      break;
    case sleep_intent:
      if (ok && fresh_run) {
        finish(a, now);  // M: intent and Stopped judged together with Running
      } else if (a.wake_wanted) {
        allocate(a, now);
      } else {
        fall_asleep(a, now);
      }
      break;
    // In sleeping, this is a second Stopped within one batch: nothing requested it, so OK destroys (E).
    case starting:
    case running:
    case stop_intent:
    case sleeping:
      if (ok || a.destroy_wanted) {
        finish(a, now);
      } else if (before != sleeping) {
        fall_asleep(a, now);
      }
      break;
    case allocating:
    case destroyed:
      break;
  }
}

// -- transitions ------------------------------------------------------------------

envoy_record* engine_core::choose_envoy(const actor_record& a) {
  std::vector<envoy_record*> best;
  for (auto& [key, envoy] : state_.envoys) {
    if (envoy.connection == 0 || envoy.stopping || envoy.pool != a.pool ||
        envoy.namespace_name != a.namespace_name) {
      continue;
    }
    if (!best.empty() && envoy.version < best.front()->version) continue;
    if (!best.empty() && envoy.version > best.front()->version) best.clear();
    best.push_back(&envoy);
  }
  return best.empty() ? nullptr : best[round_robin_++ % best.size()];
}

void engine_core::allocate(actor_record& a, millis now) {
  a.lost_check = 0;
  a.connectable_ts.reset();
  if (a.destroy_wanted) {
    finish(a, now);
    return;
  }
  auto* envoy = choose_envoy(a);
  if (envoy == nullptr) {
    if (a.phase != allocating || a.allocating_since == 0) {
      a.allocating_since = now;
      a.retry_delay = limits_.allocation_retry;
    }
    a.phase = allocating;
    a.envoy.clear();
    a.pending_allocation_ts = a.allocating_since;
    a.error = actor_error::no_envoys;
    if (now - a.allocating_since >= limits_.allocation_give_up) {
      fall_asleep(a, now);
      return;
    }
    a.phase_deadline = now + a.retry_delay;
    a.retry_delay *= 2;
  } else {
    if (a.alarm && *a.alarm <= now) a.alarm.reset();
    a.phase = starting;
    a.allocating_since = 0;
    a.pending_allocation_ts.reset();
    a.sleep_ts.reset();
    a.error = actor_error::none;
    a.error_detail.clear();
    a.wake_wanted = false;
    ++a.generation;
    a.last_command = 0;
    a.last_event = -1;
    a.last_event_acked = -1;
    a.envoy = envoy->key;
    a.phase_deadline = now + limits_.start_timeout;
    protocol::command_start_actor start;
    start.config.name = a.name;
    if (a.key) start.config.key = text{*a.key};
    start.config.create_ts = now;
    start.config.input = a.input;
    issue(a, std::move(start), now);
  }
  touch(a);
  effects_.emplace_back(actor_changed{a.id});
}

void engine_core::order_stop(
    actor_record& a, actor_phase phase, stop_actor_reason reason, millis now) {
  a.phase = phase;
  a.connectable_ts.reset();
  a.phase_deadline = now + limits_.stop_timeout;
  if (phase == going_away) a.reschedule_ts = now;
  issue(a, protocol::command_stop_actor{reason}, now);
  touch(a);
  effects_.emplace_back(actor_changed{a.id});
}

void engine_core::fall_asleep(actor_record& a, millis now) {
  a.phase = sleeping;
  a.phase_deadline = 0;
  a.lost_check = 0;
  a.connectable_ts.reset();
  a.pending_allocation_ts.reset();
  a.allocating_since = 0;
  a.wake_wanted = false;
  a.sleep_ts = now;
  // If its alarm has passed, it starts again: touch puts it first among the timers, and a second Stopped of the same batch
  // still finds a sleeping actor.
  touch(a);
  effects_.emplace_back(actor_changed{a.id});
}

void engine_core::finish(actor_record& a, millis now) {
  ++counters_.destroyed;
  a.phase = destroyed;
  a.phase_deadline = 0;
  a.lost_check = 0;
  a.connectable_ts.reset();
  a.pending_allocation_ts.reset();
  a.destroy_ts = now;
  if (a.key) keys_.erase({a.namespace_name, a.name, *a.key});
  touch(a);
  effects_.emplace_back(actor_changed{a.id});
}

void engine_core::lose(actor_record& a, actor_error error, bool tell_envoy, millis now) {
  const auto before = a.phase;
  const bool woken = a.wake_wanted;
  const auto envoy = a.envoy;
  if (tell_envoy) issue(a, protocol::command_stop_actor{stop_actor_reason::lost}, now);
  if (before == destroying || a.destroy_wanted) {
    finish(a, now);
    return;
  }
  if (before == going_away || woken) {
    allocate(a, now);
  } else {
    fall_asleep(a, now);
  }
  if (a.phase == sleeping) {
    a.error = error;
    a.error_detail = envoy;
  }
}

}  // namespace nuncio::testing::engine

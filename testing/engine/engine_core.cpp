// Envoys, stored commands and time. For the life of an actor see actor_workflow.cpp.
#include "engine_core.hpp"

#include <algorithm>
#include <utility>

#include "random_id.hpp"

namespace nuncio::testing::engine {

engine_core::engine_core(engine_limits limits, std::uint64_t seed)
    : limits_(limits), random_(seed) {}

void engine_core::restore(engine_state state, millis now) {
  state_ = std::move(state);
  for (auto& [key, envoy] : state_.envoys) {
    envoy.connection = 0;
    envoy.last_ping_ts = now;
  }
  for (auto& [id, a] : state_.actors) {
    a.deadline = 0;
    // Its host may never have been stored as an envoy: it gets the full time as well.
    if (!a.envoy.empty()) {
      auto& envoy = state_.envoys[a.envoy];
      envoy.key = a.envoy;
      envoy.namespace_name = a.namespace_name;
      envoy.pool = a.pool;
      envoy.last_ping_ts = now;
    }
    if (a.lost_check != 0) a.lost_check = now + limits_.lost_check_interval;
    if (a.key && a.phase != actor_phase::destroyed) keys_[{a.namespace_name, a.name, *a.key}] = id;
    touch(a);
  }
}

bool engine_core::add_namespace(std::string_view name, std::string_view display_name, millis now) {
  const auto [at, fresh] = state_.namespaces.try_emplace(std::string{name});
  if (!fresh) return false;
  at->second = {random_id(random_), std::string{name}, std::string{display_name}, now};
  changes_.directory = true;
  return true;
}

void engine_core::add_pool(std::string_view namespace_name, std::string_view pool) {
  const auto [at, fresh] =
      state_.pools.try_emplace({std::string{namespace_name}, std::string{pool}});
  if (!fresh) return;
  at->second = {std::string{namespace_name}, std::string{pool}, std::nullopt};
  changes_.directory = true;
}

void engine_core::remove_pool(std::string_view namespace_name, std::string_view pool) {
  state_.pools.erase({std::string{namespace_name}, std::string{pool}});
  changes_.directory = true;
}

std::string engine_core::connect(const connect_request& r, millis now) {
  if (!state_.namespaces.contains(r.namespace_name)) return "namespace.not_found";
  const auto pool = state_.pools.find({r.namespace_name, r.pool});
  if (pool == state_.pools.end()) return "ws.no_runner_config";
  if (!pool->second.protocol_version) {
    pool->second.protocol_version = r.protocol_version;
    changes_.directory = true;
  }
  auto& envoy = state_.envoys[r.envoy_key];
  if (envoy.connection != 0) {
    ++counters_.evictions;
    effects_.emplace_back(close_connection{envoy.connection, 1000, "ws.eviction"});
    connections_.erase(envoy.connection);
  }
  if (envoy.create_ts == 0) envoy.create_ts = now;
  envoy.namespace_name = r.namespace_name;
  envoy.key = r.envoy_key;
  envoy.pool = r.pool;
  envoy.version = r.version;
  envoy.protocol_version = r.protocol_version;
  envoy.connection = r.connection;
  envoy.stopping = false;
  envoy.last_connected_ts = now;
  envoy.last_pong_ts = now;
  connections_[r.connection] = r.envoy_key;

  send(
      r.connection,
      protocol::to_envoy_init{
          {limits_.lost_threshold, limits_.stop_timeout, limits_.response_bytes_max}});
  protocol::to_envoy_commands replay;
  for (const auto& [instance, commands] : state_.commands[r.envoy_key])
    for (const auto& [index, command] : commands)
      replay.commands.push_back({{instance.actor, instance.generation, index}, command});
  if (!replay.commands.empty()) {
    counters_.replays += replay.commands.size();
    ++counters_.replay_frames;
    send(r.connection, std::move(replay));
  }
  ping(envoy, now);

  for (auto& [id, a] : state_.actors)
    if (a.phase == actor_phase::allocating && a.pool == r.pool &&
        a.namespace_name == r.namespace_name) {
      a.phase_deadline = std::min(a.phase_deadline, now + limits_.allocation_retry);
      touch(a);
    }
  return {};
}

void engine_core::disconnected(connection_id connection) {
  if (auto* envoy = envoy_at(connection)) leave(*envoy);
}

void engine_core::hold_pings(connection_id connection, millis now) {
  auto* envoy = envoy_at(connection);
  if (envoy == nullptr) return;
  envoy->last_pong_ts = now;
  envoy->next_ping = now + 1;
}

void engine_core::leave(envoy_record& envoy) {
  connections_.erase(envoy.connection);
  envoy.connection = 0;
}

void engine_core::handle(connection_id connection, const protocol::to_rivet& message, millis now) {
  auto* envoy = envoy_at(connection);
  if (envoy == nullptr) return;
  if (const auto* acks = std::get_if<protocol::to_rivet_ack_commands>(&message)) {
    ++counters_.ack_frames;
    apply_acks(*envoy, acks->last_command_checkpoints);
  } else if (const auto* events = std::get_if<protocol::to_rivet_events>(&message)) {
    queue_events(*envoy, events->events, now);
  } else if (const auto* pong = std::get_if<protocol::to_rivet_pong>(&message)) {
    envoy->last_pong_ts = now;
    envoy->last_rtt = std::max<millis>(0, now - pong->ts);
  } else if (std::holds_alternative<protocol::to_rivet_stopping>(message)) {
    envoy->stopping = true;
    for (auto& [id, a] : state_.actors)
      if (a.envoy == envoy->key && a.phase == actor_phase::running)
        order_stop(a, actor_phase::going_away, protocol::stop_actor_reason::going_away, now);
  } else if (const auto* metadata = std::get_if<protocol::to_rivet_metadata>(&message)) {
    if (metadata->metadata) envoy->metadata = metadata->metadata->str();
    if (metadata->prepopulate_actor_names) {
      for (const auto& [name, about] : metadata->prepopulate_actor_names->entries)
        state_.actor_names[{envoy->namespace_name, name.str()}] = about.metadata.str();
      changes_.directory = true;
    }
  }
}

void engine_core::apply_acks(
    envoy_record& envoy, const std::vector<protocol::actor_checkpoint>& acks) {
  for (const auto& c : acks)
    if (!is_id(c.actor_id.view())) {
      effects_.emplace_back(close_connection{envoy.connection, 1011, "core.internal_error"});
      leave(envoy);
      return;
    }
  auto& store = state_.commands[envoy.key];
  for (const auto& c : acks) {
    ++counters_.acks;
    const auto at = store.find({c.actor_id, c.generation});
    if (at == store.end()) continue;
    auto& commands = at->second;
    while (!commands.empty() && commands.begin()->first <= c.index) {
      changes_.commands.push_back({envoy.key, at->first, commands.begin()->first});
      commands.erase(commands.begin());
    }
    if (commands.empty()) store.erase(at);
  }
}

void engine_core::issue(actor_record& a, protocol::command command, millis) {
  ++counters_.commands_issued;
  const auto index = ++a.last_command;
  const actor_ref instance{a.id, a.generation};
  state_.commands[a.envoy][instance][index] = command;
  changes_.commands.push_back({a.envoy, instance, index});
  const auto envoy = state_.envoys.find(a.envoy);
  if (envoy == state_.envoys.end() || envoy->second.connection == 0) return;
  protocol::to_envoy_commands frame;
  frame.commands.push_back({{a.id, a.generation, index}, std::move(command)});
  send(envoy->second.connection, std::move(frame));
}

void engine_core::ping(envoy_record& envoy, millis now) {
  envoy.last_ping_ts = now;
  envoy.next_ping = now + limits_.ping_interval;
  send(envoy.connection, protocol::to_envoy_ping{now});
}

void engine_core::tick(millis now) {
  for (auto at = batches_.begin(); at != batches_.end();) {
    if (at->second.due > now) {
      ++at;
      continue;
    }
    const auto batch = std::move(at->second);
    const auto actor = state_.actors.find(at->first);
    at = batches_.erase(at);
    if (actor != state_.actors.end() && actor->second.envoy == batch.envoy) {
      judge_batch(actor->second, batch.events, now);
    } else {
      counters_.events_ignored += batch.events.size();
    }
  }
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto id = timers_.begin()->second;
    timers_.erase(timers_.begin());
    auto& a = state_.actors.at(id);
    a.deadline = 0;
    due(a, now);
    touch(a);
  }
  for (auto& [key, envoy] : state_.envoys) {
    if (envoy.connection == 0 || envoy.next_ping > now) continue;
    if (now - envoy.last_pong_ts > limits_.pong_timeout) {
      ++counters_.timeouts;
      effects_.emplace_back(close_connection{envoy.connection, 1011, "ws.timed_out"});
      leave(envoy);
    } else {
      ping(envoy, now);
    }
  }
}

void engine_core::due(actor_record& a, millis now) {
  using enum actor_phase;
  if (a.phase == sleeping) {
    if (a.alarm && *a.alarm <= now) allocate(a, now);
    return;
  }
  if (a.phase_deadline != 0 && a.phase_deadline <= now) {
    a.phase_deadline = 0;
    if (a.phase == allocating) {
      allocate(a, now);
    } else if (a.phase == starting) {
      ++counters_.start_timeouts;
      lose(a, actor_error::envoy_no_response, false, now);
    } else {
      lose(a, actor_error::envoy_connection_lost, true, now);
    }
    return;
  }
  if (a.lost_check != 0 && a.lost_check <= now) {
    a.lost_check = now + limits_.lost_check_interval;
    const auto envoy = state_.envoys.find(a.envoy);
    if (envoy == state_.envoys.end() || envoy->second.last_ping_ts < now - limits_.lost_threshold) {
      ++counters_.actors_lost;
      lose(a, actor_error::envoy_connection_lost, true, now);
    }
  }
}

void engine_core::touch(actor_record& a) {
  changes_.actors.insert(a.id);
  millis next = 0;
  const auto consider = [&](millis t) {
    if (t != 0 && (next == 0 || t < next)) next = t;
  };
  if (a.phase == actor_phase::sleeping) {
    if (a.alarm) consider(std::max<millis>(1, *a.alarm));
  } else if (a.phase != actor_phase::destroyed) {
    consider(a.phase_deadline);
    consider(a.lost_check);
  }
  if (next == a.deadline) return;
  if (a.deadline != 0) timers_.erase({a.deadline, a.id});
  a.deadline = next;
  if (next != 0) timers_.insert({next, a.id});
}

envoy_record* engine_core::envoy_at(connection_id connection) {
  const auto at = connections_.find(connection);
  return at == connections_.end() ? nullptr : &state_.envoys.at(at->second);
}

connection_id engine_core::host_of(const actor_record& actor) const {
  const auto envoy = state_.envoys.find(actor.envoy);
  return envoy == state_.envoys.end() ? 0 : envoy->second.connection;
}

void engine_core::send(connection_id connection, protocol::to_envoy message) {
  effects_.emplace_back(send_frame{connection, std::move(message)});
}

std::uint64_t engine_core::commands_left() const {
  std::uint64_t n = 0;
  for (const auto& [envoy, store] : state_.commands)
    for (const auto& [instance, commands] : store) n += commands.size();
  return n;
}

}  // namespace nuncio::testing::engine

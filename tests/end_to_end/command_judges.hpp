// Judges for wire_proxy that pick commands, acks and events.
#pragma once

#include <algorithm>
#include <string>
#include <variant>

#include "wire_proxy.hpp"

namespace nuncio::e2e {

/// `what` becomes of the first message for which `is` holds; the others pass.
template <class Is>
auto at_first(fate what, Is is) {
  return [=, done = false](const auto& m) mutable {
    if (done || !is(m)) return fate::pass;
    done = true;
    return what;
  };
}

template <class Kind, class Message>
bool is_kind(const Message& m) {
  return std::holds_alternative<Kind>(m);
}

template <class Command>
bool commands(const protocol::to_envoy& m) {
  const auto* of = std::get_if<protocol::to_envoy_commands>(&m);
  return of != nullptr && std::any_of(of->commands.begin(), of->commands.end(), [](const auto& x) {
           return std::holds_alternative<Command>(x.inner);
         });
}

inline bool is_start(const protocol::to_envoy& m) {
  return commands<protocol::command_start_actor>(m);
}

inline bool is_stop(const protocol::to_envoy& m) {
  return commands<protocol::command_stop_actor>(m);
}

/// Whether it acks the command with this index: 1 is a generation's Start, 2 its Stop.
inline auto acks(std::int64_t index) {
  return [index](const protocol::to_rivet& m) {
    const auto* of = std::get_if<protocol::to_rivet_ack_commands>(&m);
    return of != nullptr && std::any_of(
                                of->last_command_checkpoints.begin(),
                                of->last_command_checkpoints.end(),
                                [=](const auto& x) { return x.index == index; });
  };
}

template <class Is>
bool any_event(const protocol::to_rivet& m, Is is) {
  const auto* of = std::get_if<protocol::to_rivet_events>(&m);
  return of != nullptr && std::any_of(of->events.begin(), of->events.end(), [&](const auto& x) {
           return is(x.inner);
         });
}

template <class State>
bool says(const protocol::to_rivet& m) {
  return any_event(m, [](const protocol::event& x) {
    const auto* update = std::get_if<protocol::event_actor_state_update>(&x);
    return update != nullptr && std::holds_alternative<State>(update->state);
  });
}

template <class Intent>
bool intends(const protocol::to_rivet& m) {
  return any_event(m, [](const protocol::event& x) {
    const auto* intent = std::get_if<protocol::event_actor_intent>(&x);
    return intent != nullptr && std::holds_alternative<Intent>(intent->intent);
  });
}

/// Whether it sets an alarm of this actor; that there is none any more does not count.
inline auto sets_alarm_of(const std::string& actor) {
  return [actor](const protocol::to_rivet& m) {
    const auto* of = std::get_if<protocol::to_rivet_events>(&m);
    return of != nullptr && std::any_of(of->events.begin(), of->events.end(), [&](const auto& x) {
             const auto* alarm = std::get_if<protocol::event_actor_set_alarm>(&x.inner);
             return alarm != nullptr && alarm->alarm_ts && x.checkpoint.actor_id.view() == actor;
           });
  };
}

}  // namespace nuncio::e2e

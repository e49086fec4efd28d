// See wire_audit.hpp.
#include "proxy/wire_audit.hpp"

#include <algorithm>
#include <limits>
#include <variant>

namespace nuncio::proxy {
namespace {

bool is_stop(const protocol::command_wrapper& x) {
  return std::holds_alternative<protocol::command_stop_actor>(x.inner);
}

bool is_lost(const protocol::command_wrapper& x) {
  const auto* stop = std::get_if<protocol::command_stop_actor>(&x.inner);
  return stop != nullptr && stop->reason == protocol::stop_actor_reason::lost;
}

bool is_stopped(const protocol::event_wrapper& x) {
  const auto* update = std::get_if<protocol::event_actor_state_update>(&x.inner);
  return update != nullptr && std::holds_alternative<protocol::actor_state_stopped>(update->state);
}

std::size_t slot(cut_moment x) { return static_cast<std::size_t>(x); }

}  // namespace

std::string_view to_string(cut_moment x) {
  switch (x) {
    case cut_moment::after_delivery:
      return "after delivery, before the ack";
    case cut_moment::ack_in_flight:
      return "with acks in flight";
    case cut_moment::during_stop:
      return "between Stop and Stopped";
  }
  return "?";
}

void wire_audit::handle_connection() {
  ++stats_.connections;
  stats_.replayed_last = 0;
  stats_.live = false;
  swallowing_ = false;
  stopped_here_.clear();
}

void wire_audit::handle_cut() {
  ++stats_.cuts;
  stats_.live = false;
  swallowing_ = false;
}

void wire_audit::fired(cut_moment at) {
  ++stats_.cuts_at[slot(at)];
  armed_.reset();
}

passage wire_audit::handle_to_host(const protocol::to_envoy& x) {
  if (const auto* commands = std::get_if<protocol::to_envoy_commands>(&x))
    return handle_commands(*commands);
  if (std::holds_alternative<protocol::to_envoy_ping>(x) && !stats_.live) {
    stats_.live = true;
    ++stats_.barriers;
  }
  if (const auto* tunnel = std::get_if<protocol::to_envoy_tunnel_message>(&x))
    if (std::holds_alternative<protocol::to_envoy_request_start>(tunnel->message_kind))
      ++stats_.requests;
  return passage::forward;
}

passage wire_audit::handle_commands(const protocol::to_envoy_commands& x) {
  const bool stop_inside = std::any_of(x.commands.begin(), x.commands.end(), is_stop);
  const bool cut =
      armed_ == cut_moment::after_delivery || (armed_ == cut_moment::during_stop && stop_inside);
  for (const auto& c : x.commands) {
    const bool reason = cut && (armed_ == cut_moment::after_delivery || is_stop(c));
    deliver(c, reason ? armed_ : std::nullopt);
  }
  if (!stats_.live) stats_.replayed_last += x.commands.size();
  if (!cut) return passage::forward;
  fired(*armed_);
  return passage::forward_then_cut;
}

void wire_audit::deliver(const protocol::command_wrapper& x, std::optional<cut_moment> cut_at) {
  const checkpoint key{
      std::string{x.checkpoint.actor_id.view()}, x.checkpoint.generation, x.checkpoint.index};
  const auto [at, fresh] = commands_.try_emplace(key);
  auto& it = at->second;
  ++stats_.deliveries;
  if (fresh) {
    ++stats_.commands;
    ++(is_stop(x) ? stats_.stops : stats_.starts);
    if (is_lost(x)) ++stats_.lost;
    ++stats_.unacked;
    ++stats_.unacked_engine;
  } else {
    ++stats_.duplicates;
    if (it.cut_at) ++stats_.duplicates_of[slot(*it.cut_at)];
    if (!it.unacked) ++stats_.unacked;
    if (!it.unacked_engine) ++stats_.unacked_engine;
    it.unacked = it.unacked_engine = true;
  }
  it.cut_at = cut_at;
}

passage wire_audit::handle_to_engine(const protocol::to_rivet& x) {
  if (const auto* acks = std::get_if<protocol::to_rivet_ack_commands>(&x))
    return handle_acks(*acks);
  if (const auto* events = std::get_if<protocol::to_rivet_events>(&x)) handle_events(*events);
  return passage::forward;
}

passage wire_audit::handle_acks(const protocol::to_rivet_ack_commands& x) {
  const bool cut = armed_ == cut_moment::ack_in_flight;
  const bool passed_on = !cut && !swallowing_;
  ++stats_.ack_frames;
  if (!passed_on) ++stats_.acks_swallowed;
  for (const auto& at : x.last_command_checkpoints)
    ack(at, passed_on, passed_on ? std::nullopt : std::optional{cut_moment::ack_in_flight});
  if (!cut) return passed_on ? passage::forward : passage::swallow;
  swallowing_ = true;
  fired(cut_moment::ack_in_flight);
  return passage::swallow_then_cut;
}

void wire_audit::ack(
    const protocol::actor_checkpoint& at, bool passed_on, std::optional<cut_moment> cut_at) {
  ++stats_.acks;
  const std::string actor{at.actor_id.view()};
  auto i = commands_.lower_bound({actor, at.generation, std::numeric_limits<std::int64_t>::min()});
  bool founded = false;
  for (; i != commands_.end() && i->first <= checkpoint{actor, at.generation, at.index}; ++i) {
    founded = founded || std::get<2>(i->first) == at.index;
    auto& it = i->second;
    if (it.unacked) {
      it.unacked = false;
      --stats_.unacked;
      if (it.acked_before) ++stats_.re_acked;
      it.acked_before = true;
    }
    if (passed_on && it.unacked_engine) {
      it.unacked_engine = false;
      it.cut_at.reset();
      --stats_.unacked_engine;
    }
    if (cut_at && it.unacked_engine && !it.cut_at) it.cut_at = cut_at;
  }
  if (!founded) ++stats_.acks_unfounded;
}

void wire_audit::handle_events(const protocol::to_rivet_events& x) {
  for (const auto& e : x.events) {
    ++stats_.events;
    if (!is_stopped(e)) continue;
    const instance who{std::string{e.checkpoint.actor_id.view()}, e.checkpoint.generation};
    if (!stopped_here_.insert(who).second) ++stats_.stopped_twice;
  }
}

}  // namespace nuncio::proxy

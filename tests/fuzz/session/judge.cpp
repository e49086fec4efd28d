// See judge.hpp.
#include "session/judge.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace nuncio::fuzz {

void expect(bool good, std::string_view invariant) {
  if (good) return;
  std::fprintf(
      stderr, "invariant violated: %.*s\n", static_cast<int>(invariant.size()), invariant.data());
  std::abort();
}

void judge::handle_connection(epoch connection) {
  connection_ = connection;
  owed_.clear();
  held_back_.clear();
  delivered_now_.clear();
}

void judge::owe(owed_acks& to, const actor_ref& who, const owed_ack& what) {
  const auto [known, made] = to.try_emplace(who, what);
  if (!made && known->second.index < what.index) known->second = what;
}

void judge::handle_command(const protocol::actor_checkpoint& at, bool judged) {
  const actor_ref who{at.actor_id, at.generation};
  auto& known = generations_[who];
  known.delivered.insert(at.index);
  delivered_now_[who].insert(at.index);
  forgive_older(who);
  owe(judged ? owed_ : held_back_, who, {at.index, at.index <= known.acked});
}

void judge::handle_fresh_start(const actor_ref& who, bool fails) {
  generations_[who].owes_end = true;
  if (fails) must_fail_.insert(who);
}

// What a newer generation ends need not say that it failed.
void judge::forgive_older(const actor_ref& who) {
  std::erase_if(must_fail_, [&](const auto& x) {
    return x.actor == who.actor && x.generation < who.generation;
  });
}

void judge::handle_asked(const actor_ref& who) {
  auto& newest = newest_asked_[who.actor];
  newest = std::max(newest, who.generation);
  forgive_older(who);
}

void judge::handle_clock_known() {
  for (const auto& [who, what] : std::exchange(held_back_, {})) owe(owed_, who, what);
}

void judge::handle_factory(const actor_ref& who, std::uint64_t recorded) {
  expect(++factories_ <= recorded, "I2 record first: an actor starts whose Start is not recorded");
  expect(generations_.contains(who), "I1 fresh only: a generation runs that nobody has started");
  if (engine_lies_) return;
  expect(++generations_[who].factories == 1, "I3 no resurrection: one generation has one life");
  const auto [newest, first] = newest_factory_.try_emplace(who.actor, who.generation);
  expect(
      first || newest->second < who.generation,
      "I11 generations: an older one starts after a newer");
  newest->second = who.generation;
}

void judge::handle_acks(const protocol::to_rivet_ack_commands& frame) {
  for (const auto& at : frame.last_command_checkpoints) {
    const actor_ref who{at.actor_id, at.generation};
    const auto known = generations_.find(who);
    expect(
        known != generations_.end() && known->second.delivered.contains(at.index),
        "I6 acks honest: what was not delivered is acked");
    const auto now = delivered_now_.find(who);
    expect(
        now != delivered_now_.end() && now->second.contains(at.index),
        "I8 one truth: what was delivered on an earlier connection is acked on this one");
    known->second.acked = std::max(known->second.acked, at.index);
    if (const auto due = owed_.find(who); due != owed_.end() && due->second.index <= at.index)
      owed_.erase(due);
  }
}

void judge::handle_events(epoch connection, const protocol::to_rivet_events& frame) {
  for (const auto& each : frame.events) {
    const actor_ref who{each.checkpoint.actor_id, each.checkpoint.generation};
    const auto index = each.checkpoint.index;
    expect(
        generations_.contains(who), "I10 events arrive: of a generation that nobody has started");
    auto& known = generations_[who];
    if (known.connection != connection) {
      known.connection = connection;
      known.last_event = 0;
    }
    expect(known.last_event < index, "I10 events arrive: an index goes back or comes twice");
    known.last_event = index;
    const auto* update = std::get_if<protocol::event_actor_state_update>(&each.inner);
    const auto* stopped =
        update != nullptr ? std::get_if<protocol::actor_state_stopped>(&update->state) : nullptr;
    if (stopped != nullptr) {
      expect(
          engine_lies_ || !known.stopped || *known.stopped == index,
          "I10 events arrive: a generation gets one Stopped");
      known.stopped = index;
      known.failed = stopped->code == protocol::stop_code::error;
    } else {
      expect(
          engine_lies_ || !known.stopped || index < *known.stopped,
          "I10 events arrive: something is said after Stopped");
    }
  }
}

void judge::handle_tunnel(const protocol::to_rivet_tunnel_message& message) {
  const exchange_id id{message.message_id.gateway_id, message.message_id.request_id};
  auto& x = exchanges_[id];
  const auto& kind = message.message_kind;
  if (const auto* start = std::get_if<protocol::to_rivet_response_start>(&kind)) {
    expect(++x.responses <= x.requests, "a request is answered more often than it was asked");
    expect(start->status >= 200 && start->status <= 599, "a response has a status that none has");
    x.in_parts = start->stream;
  } else if (const auto* part = std::get_if<protocol::to_rivet_response_chunk>(&kind)) {
    expect(x.in_parts, "a part of a response comes outside of it");
    if (part->finish) x.in_parts = false;
  } else if (std::holds_alternative<protocol::to_rivet_response_abort>(kind)) {
    expect(x.requests != 0, "an exchange is aborted that never was");
    x.in_parts = false;
  } else if (std::holds_alternative<protocol::to_rivet_web_socket_open>(kind)) {
    expect(++x.accepts <= x.sockets, "a WebSocket is accepted more often than it was opened");
  } else if (
      std::holds_alternative<protocol::to_rivet_web_socket_message>(kind) ||
      std::holds_alternative<protocol::to_rivet_web_socket_message_ack>(kind)) {
    expect(x.sockets != 0, "something is said on a WebSocket that never was");
  }
}

void judge::check_settled(bool acks_flow) {
  for (const auto& [actor, generations] : alive_)
    expect(generations.size() <= 1, "I11 generations: two instances of an actor at once");
  if (!acks_flow) return;
  for (const auto& who : std::exchange(must_fail_, {}))
    expect(
        engine_lies_ || generations_.at(who).failed,
        "I12 nothing silent: what can't be carried out is not answered with Stopped(Error)");
  if (owed_.empty()) return;
  expect(owed_.begin()->second.again, "I5 acks complete: a command was not acked");
  expect(false, "I7 re-ack: a command that came again was not acked again");
}

void judge::check_over() const {
  for (const auto& [actor, generations] : alive_)
    expect(generations.empty(), "I14 single writer: an instance outlives its host");
  if (engine_lies_) return;
  for (const auto& [who, known] : generations_) {
    const auto newer = generations_.upper_bound(who);
    const auto asked = newest_asked_.find(who.actor);
    if (!known.owes_end || (newer != generations_.end() && newer->first.actor == who.actor) ||
        (asked != newest_asked_.end() && who.generation < asked->second))
      continue;
    expect(known.stopped.has_value(), "I12 nothing silent: a Start was neither run nor refused");
  }
}

}  // namespace nuncio::fuzz

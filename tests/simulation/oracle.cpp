// The invariants as checks on what a run shows; see oracle.hpp.
#include "simulation/oracle.hpp"

#include <fmt/format.h>

namespace nuncio::simulation {
namespace {

constexpr duration lost_threshold = 15s;  // as the engine's model says in its Init

std::string text_of(const actor_ref& x) {
  return fmt::format("{}:{}", x.actor.str(), x.generation);
}

std::string text_of(const protocol::actor_checkpoint& x) {
  return fmt::format("{}:{}#{}", x.actor_id.str(), x.generation, x.index);
}

actor_ref ref_of(const protocol::actor_checkpoint& x) { return {x.actor_id, x.generation}; }

void raise(std::map<actor_ref, std::int64_t>& in, const protocol::actor_checkpoint& at) {
  auto& x = in[ref_of(at)];
  x = std::max(x, at.index);
}

}  // namespace

void oracle::handle_delivered(const protocol::actor_checkpoint& at) { raise(delivered_, at); }

void oracle::handle_judged(
    row r, column c, const protocol::actor_checkpoint& at, epoch connection) {
  raise(judged_, at);
  time_.trace("host    {} {}, actor {}", text_of(at), to_string(r), to_string(c));
  if (connection == connection_) {
    auto& x = to_ack_[ref_of(at)];
    x.highest = std::max(x.highest, at.index);
    ++x.judged;
    x.due = true;
  }
  if (!any_fault_) seen_.count(r, c, fault::none);
  for (std::size_t f = 1; f < fault_until_.size(); ++f)
    if (fault_until_[f] > time_.now()) seen_.count(r, c, static_cast<fault>(f));
}

void oracle::handle_dispatched(const protocol::actor_checkpoint& at) {
  auto& last = dispatched_[ref_of(at)];
  if (at.index <= last)
    throw violated("I1 fresh only", text_of(at) + " was dispatched again or out of order");
  last = at.index;
  auto& newest = newest_dispatched_[at.actor_id];
  if (at.generation < newest)
    throw violated("I11 generations", text_of(at) + " was dispatched after a newer generation");
  newest = at.generation;
}

void oracle::handle_factory(const actor_ref& who) {
  sockets_.handle_began(who, connection_);
  time_.trace("host    factory of {}", text_of(who));
  if (haunted_)
    throw violated("I3 no resurrection", "the factory of " + text_of(who) + " was called again");
  if (!factories_.insert(who).second)
    throw violated("I3 no resurrection", "the factory of " + text_of(who) + " was called twice");
  stored.handle_factory(who);
  const auto [at, added] = alive_.try_emplace(who.actor, who);
  if (!added)
    throw violated("I11 generations", text_of(who) + " started beside " + text_of(at->second));
}

void oracle::handle_actor_down(const actor_ref& who) {
  down_.insert(who);
  handle_abandoned(who);
}

void oracle::handle_abandoned(const actor_ref& who) {
  time_.trace("host    {} is down", text_of(who));
  const auto at = alive_.find(who.actor);
  if (at != alive_.end() && at->second == who) alive_.erase(at);
}

void oracle::handle_hopeless(const actor_ref& who) {
  if (!factories_.contains(who)) hopeless_.insert(who);  // else it had its end, or will have it
}

void oracle::handle_refused(const actor_ref& who) {
  if (!dispatched_.contains(who)) refused_.insert(who);
}

void oracle::handle_output(const output_gate& gate, const protocol::to_rivet& what) {
  if (gate.term <= leases_ended_)
    throw violated("I14 single writer", "what was said under a lease that has ended left");
  if (ping_said_ != time_point{} && time_.now() >= ping_said_ + lost_threshold)
    throw violated(
        "I14 single writer", "something left when the engine may have given up its host");
  const auto speaker = speakers_.find(&gate);
  if (speaker == speakers_.end()) return;  // the host itself
  const auto& who = speaker->second;
  if (std::holds_alternative<protocol::to_rivet_tunnel_message>(what) && down_.contains(who))
    return;
  if (lost_.contains(who))
    throw violated(
        "I14 single writer", text_of(who) + " spoke though it knew that the engine had ended it");
  // A start limit closes a gate when ingress looks at it, and an instance may store something before it runs.
  if (!std::holds_alternative<protocol::to_rivet_tunnel_message>(what) &&
      time_.now() < disturbed_until_)
    return;
  const auto at = elsewhere_.find(who.actor);
  if (at != elsewhere_.end() && at->second > who.generation)
    throw violated(
        "I14 single writer", text_of(who) + " spoke while a newer generation ran elsewhere");
}

void oracle::handle_connection(epoch connection) {
  connection_ = connection;
  to_ack_.clear();
}

void oracle::handle_ack_frame(epoch connection, const protocol::to_rivet_ack_commands& frame) {
  if (frame.last_command_checkpoints.empty() || frame.last_command_checkpoints.size() > 1400)
    throw violated("I13 backpressure", "an ack frame that is empty or too long");
  for (const auto& at : frame.last_command_checkpoints) {
    const auto who = ref_of(at);
    const auto got = delivered_.find(who);
    if (got == delivered_.end() || got->second < at.index)
      throw violated("I6 acks honest", text_of(at) + " was acked and never sent by the engine");
    const auto known = judged_.find(who);
    if (known == judged_.end() || known->second < at.index)
      throw violated("I6 acks honest", text_of(at) + " was acked and not recorded");
    if (connection != connection_) continue;
    const auto cause = to_ack_.find(who);
    if (cause == to_ack_.end() || ++cause->second.acked > cause->second.judged)
      throw violated("I8 one truth", text_of(at) + " was acked without a cause on its connection");
    if (cause->second.highest < at.index)
      throw violated("I8 one truth", text_of(at) + " was acked beyond what this connection asked");
    if (cause->second.highest == at.index) cause->second.due = false;
  }
}

void oracle::handle_event_frame(epoch connection, const protocol::to_rivet_events& frame) {
  if (frame.events.empty() || frame.events.size() > 512)
    throw violated("I13 backpressure", "an event frame that is empty or too long");
  for (const auto& e : frame.events) {
    const auto who = ref_of(e.checkpoint);
    const auto index = e.checkpoint.index;
    if (refused_.contains(who))
      throw violated("I3 no resurrection", text_of(who) + " is over, and something was said of it");
    if (haunted_)
      throw violated("I3 no resurrection", text_of(e.checkpoint) + " was said of what is over");
    auto& x = said_[who];
    if (x.connection != connection) {
      x.connection = connection;
      x.on_connection.clear();
      x.last_on_connection = 0;
    }
    if (!x.on_connection.insert(index).second)
      throw violated(
          "I10 events arrive", text_of(e.checkpoint) + " was sent twice on one connection");
    if (index <= x.last_on_connection)
      throw violated("I10 events arrive", text_of(e.checkpoint) + " was sent out of order");
    x.last_on_connection = index;
    if (!x.indexes.contains(index) && !x.indexes.empty() && index < *x.indexes.rbegin())
      throw violated("I10 events arrive", text_of(e.checkpoint) + " is new and below an older one");
    x.indexes.insert(index);
    const auto* update = std::get_if<protocol::event_actor_state_update>(&e.inner);
    const auto* stopped =
        update ? std::get_if<protocol::actor_state_stopped>(&update->state) : nullptr;
    if (stopped == nullptr) {
      if (x.stopped != 0 && index > x.stopped)
        throw violated("I10 events arrive", text_of(e.checkpoint) + " follows its Stopped");
      continue;
    }
    if (x.stopped != 0 && x.stopped != index)
      throw violated("I10 events arrive", "a second Stopped for " + text_of(e.checkpoint));
    x.stopped = index;
    stored.handle_stopped(who, stopped->code == protocol::stop_code::ok);
    if (hopeless_.contains(who)) {
      if (stopped->code != protocol::stop_code::error || !stopped->message ||
          stopped->message->empty())
        throw violated(
            "I12 nothing silent", text_of(who) + " could not run and was not answered with why");
      hopeless_.erase(who);
    }
  }
}

void oracle::handle_placed_elsewhere(const actor_ref& who, std::optional<actor_ref> ours) {
  if (ours)
    throw violated(
        "I14 single writer",
        text_of(who) + " was placed elsewhere while " + text_of(*ours) + " still lived here");
  auto& x = elsewhere_[who.actor];
  x = std::max(x, who.generation);
}

void oracle::handle_given_up(const actor_ref& who, std::optional<actor_ref> ours) {
  ++given_up_;
  if (ours && ours->generation <= who.generation)
    throw violated(
        "I14 single writer", text_of(*ours) + " still lived here when the engine gave up its host");
}

void oracle::handle_fault(fault what) {
  any_fault_ = true;
  fault_until_[static_cast<std::size_t>(what)] = time_.now() + 40s;
}

void oracle::check_quiet() const {
  stored.check_quiet();
  for (const auto& [who, x] : to_ack_)
    if (x.due) throw violated("I7 re-ack", text_of(who) + " was delivered and not acked again");
  for (const auto& who : hopeless_) {
    const auto newest = newest_dispatched_.find(who.actor);
    const auto superseded = std::any_of(delivered_.begin(), delivered_.end(), [&](const auto& x) {
      return x.first.actor == who.actor && x.first.generation > who.generation;
    });
    if (newest != newest_dispatched_.end() && !superseded)
      throw violated("I12 nothing silent", text_of(who) + " could not run and nothing was said");
  }
}

}  // namespace nuncio::simulation

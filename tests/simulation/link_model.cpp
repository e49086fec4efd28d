// See link_model.hpp.
#include "simulation/link_model.hpp"

namespace nuncio::simulation {

link_model::link_model(
    scheduler& time, chance& random, oracle& watch, link_listener& listener, ports to)
    : time_(time),
      random_(random),
      watch_(watch),
      listener_(listener),
      to_(std::move(to)),
      policy_({.seed = random.next()}),
      room_(std::make_unique<outbound_room>(outbound_bounds{})) {}

// -- connections ------------------------------------------------------------------

void link_model::dial() {
  if (over_) return;
  policy_.handle_dial();
  end_reason_.reset();
  to_.dial();
}

void link_model::handle_open() {
  policy_.handle_open(time_.now());
  up_ = true;
  watch_.handle_connection(policy_.connection());
  listener_.on_up(policy_.connection());
}

void link_model::handle_message(const protocol::to_envoy& message) {
  if (!alive()) return;
  if (const auto* init = std::get_if<protocol::to_envoy_init>(&message)) {
    if (!policy_.handle_init(time_.now())) throw violated("link", "a second Init");
    lease_.handle_init(std::chrono::milliseconds{init->metadata.envoy_lost_threshold});
  } else if (!policy_.handle_message(0, time_.now())) {
    throw violated("link", "a message before Init");
  } else if (const auto* ping = std::get_if<protocol::to_envoy_ping>(&message)) {
    policy_.handle_ping(time_.now());
    lease_.handle_ping(ping->ts, time_.now());
    up_frame pong;
    pong.message = protocol::to_rivet_pong{ping->ts};
    if (check_lease()) to_.write(std::move(pong));
    arm_lease();
  }
  inbound_batch batch;
  batch.connection = policy_.connection();
  batch.term = term_;
  batch.messages.push_back(message);
  listener_.on_inbound(std::move(batch));
}

void link_model::handle_pong(std::uint64_t fence) {
  if (up_) listener_.on_fence(policy_.connection(), fence);
}

void link_model::handle_gone(connection_end why) {
  if (over_) return;
  up_ = false;
  room_->handle_connection_lost();
  tell_of_room();
  const auto connection = policy_.connection();
  const auto decision = policy_.handle_end(end_reason_ ? *end_reason_ : why, time_.now());
  end_reason_.reset();
  if (decision.what != reconnect_decision::kind::retry) {
    over_ = true;
    return listener_.on_final({errc::evicted, "evicted"});
  }
  if (decision.after > 3s) throw violated("connection policy", "a reconnect later than 3 s");
  listener_.on_down(connection, "gone", decision.after);
  time_.after(decision.after, side::link, [this] {
    check_lease();
    dial();
  });
}

void link_model::close() {
  if (over_) return;
  over_ = true;
  if (up_) to_.reset();
  up_ = false;
  listener_.on_final({errc::cancelled, "closed"});
}

// -- lease ------------------------------------------------------------------------

bool link_model::check_lease() {
  if (!lease_.ended(time_.now())) return true;
  lease_.handle_ended();
  ++term_;
  listener_.on_lease_ended();
  if (alive()) {
    end_reason_ = connection_end{connection_end::kind::lease, 0, 0, "lease"};
    to_.reset();
  }
  return false;
}

void link_model::arm_lease() {
  if (!lease_.end() || lease_armed_) return;
  lease_armed_ = lease_.end();
  time_.at(*lease_armed_, side::link, [this] {
    lease_armed_.reset();
    check_lease();
    arm_lease();
  });
}

// -- what leaves ------------------------------------------------------------------

outcome<void> link_model::send_frame(
    frame_class what, epoch connection, const protocol::to_rivet& message) {
  if (const auto* acks = std::get_if<protocol::to_rivet_ack_commands>(&message))
    watch_.handle_ack_frame(connection, *acks);
  if (const auto* events = std::get_if<protocol::to_rivet_events>(&message))
    watch_.handle_event_frame(connection, *events);
  if (!up_ || connection != policy_.connection()) return failure{errc::link_lost, "it is over"};
  write({message, false, 0}, connection, what);
  return {};
}

outcome<void> link_model::send_for_connection(
    std::shared_ptr<const output_gate> gate, epoch connection, const protocol::to_rivet& request) {
  if (!may_leave(*gate)) return failure{errc::cancelled, "its gate is closed"};
  if (!up_ || connection != policy_.connection()) return failure{errc::link_lost, "it is over"};
  speak(std::move(gate), connection, request);
  return {};
}

void link_model::fence(epoch connection, std::uint64_t id) {
  write({{}, true, id}, connection, std::nullopt);
}

void link_model::write(up_frame frame, epoch connection, std::optional<frame_class> what) {
  time_.post(side::link, hop_now(), [this, frame = std::move(frame), connection, what]() mutable {
    if (!check_lease() || !alive() || connection != policy_.connection()) return;
    to_.write(std::move(frame));
    if (what) listener_.on_written(connection, *what);
  });
}

bool link_model::may_leave(const output_gate& gate) const {
  return gate.open && gate.term == term_;
}

// Each takes one of whatever the room is counted in.
outcome<void> link_model::send_across_connections(
    tunnel_source from, protocol::to_rivet_tunnel_message&& message) {
  if (!may_leave(*from.gate)) return failure{errc::cancelled, "its gate is closed"};
  const auto bulk = is_bulk(message.message_kind);
  if (auto taken = room_->take_for_client(1, bulk, from.waiter); !taken) {
    ++refusals_;
    tell_of_room_later();
    return taken;
  }
  time_.after(hop_now() + random_.between(0ms, taken_), side::link, [this, bulk] {
    room_->give_back_of_client(1, bulk);
    tell_of_room();
  });
  speak(std::move(from.gate), std::nullopt, std::move(message));
  return {};
}

bool link_model::has_room_for_bodies(const room_waiter& who) {
  if (room_->has_room_for_bodies(who)) return true;
  ++refusals_;
  tell_of_room_later();
  return false;
}

void link_model::narrow(std::size_t messages, duration taken) {
  room_ = std::make_unique<outbound_room>(outbound_bounds{.clients = messages});
  taken_ = taken;
}

void link_model::tell_of_room() {
  if (!room_->due()) return;
  for (const auto& who : room_->poll_told()) listener_.on_room(who);
}

// By whom the link's thread is woken.
void link_model::tell_of_room_later() {
  if (room_->due()) time_.post(side::link, hop_now(), [this] { tell_of_room(); });
}

void link_model::speak(
    std::shared_ptr<const output_gate> gate,
    std::optional<epoch> connection,
    protocol::to_rivet message) {
  time_.post(
      side::link,
      hop_now(),
      [this, gate = std::move(gate), connection, message = std::move(message)]() mutable {
        if (!check_lease() || !alive() || !may_leave(*gate)) return;
        if (connection && *connection != policy_.connection()) return;
        watch_.handle_output(*gate);
        to_.write({std::move(message), false, 0});
      });
}

}  // namespace nuncio::simulation

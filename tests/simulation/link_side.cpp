// See link_side.hpp.
#include "simulation/link_side.hpp"

#include <nuncio/codec.hpp>
#include <utility>
#include <variant>

namespace nuncio::simulation {
namespace {

constexpr std::uint16_t version = 8;

/// Of any message that the engine sends; nothing here depends on how long it is.
constexpr std::size_t inbound_bytes = 64;

}  // namespace

link_side::link_side(
    scheduler& time, chance& random, oracle& watch, link_listener& listener, ports to)
    : time_(time), random_(random), watch_(watch), listener_(listener), to_(std::move(to)) {
  make_machine();
}

void link_side::make_machine() {
  machine_ = std::make_unique<link_machine>(
      link_machine_options{
          .policy = {.seed = random_.next()},
          .lease = {},
          .outbound = {.room = habits_.outbound},
          .inbound = habits_.inbound,
          .inbound_message_bytes_max = 0,
          .token_renewable = false,
          .endpoint = {},
          .pool = {},
          .envoy_key = {},
          .log = {}},
      [this] { wake(); });
}

void link_side::draw(const link_habits& habits) {
  habits_ = habits;
  make_machine();
}

void link_side::start() {
  machine_->handle_start({.protocol_version = version});
  carry_out();
}

void link_side::wake() {
  time_.post(side::link, hop_now(), [this] {
    machine_->handle_wake();
    carry_out();
  });
}

// -- from the wire ------------------------------------------------------------------

void link_side::handle_open() {
  machine_->handle_open(time_.now());
  carry_out();
}

void link_side::handle_message(const protocol::to_envoy& message, time_point said) {
  ++received_;
  if (!machine_->listens()) return;
  if (std::holds_alternative<protocol::to_envoy_ping>(message)) watch_.handle_ping(said);
  read([this, message] { take(message); });
}

// In the order in which it came, whatever it is.
void link_side::read(std::function<void()> what) {
  if (!reads_ || !unread_.empty()) return unread_.push_back(std::move(what));
  what();
}

void link_side::take(const protocol::to_envoy& message) {
  machine_->handle_message(message, {inbound_bytes, received_, time_.now()});
  if (machine_->stats().bad_frames != 0) throw violated("link", "what the engine says was refused");
  machine_->handle_batch_end(time_.now());
  carry_out();
}

void link_side::handle_pong(std::uint64_t number) {
  read([this, number] {
    if (machine_->up()) machine_->handle_pong(number, time_.now());
    carry_out();
  });
}

void link_side::handle_gone(connection_end why) {
  unread_.clear();
  reads_ = true;
  machine_->handle_gone(std::move(why), time_.now());
  carry_out();
}

// -- what the machine decided ---------------------------------------------------------

void link_side::carry_out() {
  while (auto next = machine_->poll_output()) std::visit([this](auto& x) { act(x); }, *next);
  arm_timer();
  if (std::exchange(wants_write_, false) && !writes_) write_on();
}

void link_side::act(link_output::dial&) { to_.dial(); }

void link_side::act(link_output::reset&) { to_.reset(); }

void link_side::act(link_output::close_socket&) {
  closing_ = true;
  wants_write_ = true;
}

void link_side::act(link_output::set_reading& x) {
  reads_ = x.on;
  if (!reads_) return;
  time_.post(side::link, 0ms, [this] {
    while (reads_ && !unread_.empty()) {
      const auto next = std::move(unread_.front());
      unread_.pop_front();
      next();
    }
  });
}

void link_side::act(link_output::request_write&) { wants_write_ = true; }

void link_side::check(const link_output::up& x) { watch_.handle_connection(x.connection); }

void link_side::check(const link_output::down& x) {
  if (x.retry_after > 3s) throw violated("connection policy", "a reconnect later than 3 s");
}

void link_side::check(const link_output::lease_ended&) { watch_.handle_lease_ended(); }

void link_side::check(const link_output::ask&) {
  throw violated("link", "nobody refused its terms");
}

void link_side::arm_timer() {
  const auto next = machine_->poll_timeout();
  if (!next || (armed_ && *armed_ <= *next)) return;
  armed_ = next;
  // A timer is late by a little: what else has come by then is dealt with first, after a freeze as well.
  const auto fire = [this, at = *next] {
    if (armed_ != at) return;
    armed_.reset();
    machine_->expire(time_.now(), received_);
    carry_out();
    if (armed_ && *armed_ <= time_.now())
      throw violated("link", "it waits for a time that has passed");
  };
  time_.at(*next, side::link, [this, fire] {
    time_.after(random_.between(0us, 1ms), side::link, fire);
  });
}

// -- what leaves ------------------------------------------------------------------------

void link_side::write_on() {
  while (machine_->up()) {
    auto next = machine_->poll_frame(time_.now());
    carry_out();
    if (!next) break;
    write(std::move(*next));
    if (habits_.writes_every == 0ms) continue;
    writes_ = true;
    return time_.after(random_.between(0ms, habits_.writes_every), side::link, [this] {
      writes_ = false;
      write_on();
    });
  }
  if (closing_ && std::exchange(closing_, false) && machine_->up()) to_.reset();
}

void link_side::write(outbound_frame frame) {
  const auto size = frame.buffer.size();
  up_frame out;
  if (frame.is_ping) {
    out.ping = outbound_queue::ping_number_of(frame.buffer);
  } else {
    auto decoded = protocol::decode_to_rivet(bytes{std::move(frame.buffer)}, version);
    if (!decoded) throw violated("codec", decoded.error().message);
    out.message = std::move(*decoded);
    if (frame.gate) watch_.handle_output(*frame.gate, out.message);
  }
  to_.write(std::move(out));
  machine_->handle_written(frame.reported, size);
  carry_out();
}

// -- for the host -----------------------------------------------------------------------

outcome<void> link_side::send_frame(
    frame_class what, epoch connection, const protocol::to_rivet& message) {
  if (const auto* acks = std::get_if<protocol::to_rivet_ack_commands>(&message))
    watch_.handle_ack_frame(connection, *acks);
  if (const auto* events = std::get_if<protocol::to_rivet_events>(&message))
    watch_.handle_event_frame(connection, *events);
  return intake_port::send_frame(what, connection, message);
}

void link_side::grant(std::size_t messages, std::size_t bytes) {
  if (machine_->credit().handle_granted(messages, bytes)) wake();
}

void link_side::close() {
  time_.post(side::link, hop_now(), [this] {
    machine_->handle_close(time_.now());
    carry_out();
  });
}

}  // namespace nuncio::simulation

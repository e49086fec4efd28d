// See outbound_intake.hpp.
#include <fmt/format.h>

#include <iterator>
#include <nuncio/codec.hpp>
#include <nuncio/connection/outbound_intake.hpp>
#include <utility>

namespace nuncio {

outbound_intake::outbound_intake(outbound_intake_options options, std::function<void()> wake)
    : options_(options), wake_(std::move(wake)), room_(options.room) {}

outcome<std::vector<std::uint8_t>> outbound_intake::encode(
    const protocol::to_rivet& message, std::uint16_t version) const {
  auto out = protocol::encode(message, version, options_.headroom);
  if (out && out->size() - options_.headroom > options_.message_bytes_max)
    return failure{
        errc::too_large,
        fmt::format(
            "{} of {} bytes: the engine takes at most {}",
            protocol::name_of(message),
            out->size() - options_.headroom,
            options_.message_bytes_max)};
  return out;
}

// -- any thread -------------------------------------------------------------------

bool outbound_intake::is_over(epoch connection) const {
  return !up() || connection != this->connection();
}

// The owner is woken only for the first message of a burst.
outcome<void> outbound_intake::push(outbound_message&& x) {
  bool first = false, ended = false;
  {
    const std::lock_guard guard{mutex_};
    ended = ended_;
    first = waiting_.empty();
    if (!ended) waiting_.push_back(std::move(x));
  }
  if (ended) {
    give_back(x);
    return failure{errc::cancelled, "the link is over"};
  }
  if (first) wake_();
  return {};
}

void outbound_intake::give_back(outbound_message& x) {
  if (x.charge == 0 || std::exchange(x.given_back, true)) return;
  if (x.what == outbound_message::kind::storage) return room_.give_back_of_storage(x.charge);
  if (x.meter) x.meter->fetch_sub(x.metered);
  room_.give_back_of_client(x.charge, x.bulk);
}

// A sender that was refused just when the last room was freed would get no other notice.
failure outbound_intake::refused(failure why) {
  if (room_.due()) wake_();
  return why;
}

outcome<void> outbound_intake::send_frame(
    frame_class what, epoch connection, const protocol::to_rivet& message) {
  if (is_over(connection)) return failure{errc::link_lost, "the connection is over"};
  outbound_message x;
  x.frames = what;
  x.connection = connection;
  x.version = version();
  auto encoded = encode(message, x.version);
  if (!encoded) return encoded.error();
  x.encoded = std::move(*encoded);  // bounded by its actor: one frame in flight
  return push(std::move(x));
}

outcome<void> outbound_intake::send_for_connection(
    std::shared_ptr<const output_gate> gate, epoch connection, const protocol::to_rivet& request) {
  if (is_over(connection)) return failure{errc::link_lost, "the connection is over"};
  if (!gate->open.load()) return failure{errc::cancelled, "the instance's outputs are closed"};
  outbound_message x;
  x.what = outbound_message::kind::storage;
  x.connection = connection;
  x.version = version();
  auto encoded = encode(request, x.version);
  if (!encoded) return encoded.error();
  x.charge = encoded->size();
  if (auto taken = room_.take_for_storage(x.charge); !taken) return refused(taken.error());
  x.encoded = std::move(*encoded);
  x.gate = std::move(gate);
  return push(std::move(x));
}

outcome<void> outbound_intake::send_across_connections(
    tunnel_source from, protocol::to_rivet_tunnel_message&& message) {
  if (!from.gate->open.load()) return failure{errc::cancelled, "the instance's outputs are closed"};
  outbound_message x;
  x.what = outbound_message::kind::tunnel;
  x.version = version();
  protocol::to_rivet whole{std::move(message)};
  auto& kept = std::get<protocol::to_rivet_tunnel_message>(whole);
  const auto refuse = [&](failure why) {
    message = std::move(kept);
    return why;
  };
  auto encoded = encode(whole, x.version);
  if (!encoded) return refuse(encoded.error());
  x.metered = encoded->size();
  x.charge = x.metered + outbound_message_bytes;  // most are a few bytes long
  x.bulk = is_bulk(kept.message_kind);
  if (auto taken = room_.take_for_client(x.charge, x.bulk, from.waiter); !taken)
    return refuse(refused(taken.error()));
  x.encoded = std::move(*encoded);
  x.message = std::move(kept);
  x.gate = std::move(from.gate);
  if (from.meter) from.meter->fetch_add(x.metered);
  x.meter = std::move(from.meter);
  auto pushed = push(std::move(x));
  if (!pushed) message = std::move(x.message);  // it was left where it is
  return pushed;
}

bool outbound_intake::has_room_for_bodies(const room_waiter& who) {
  if (room_.has_room_for_bodies(who)) return true;
  if (room_.due()) wake_();
  return false;
}

void outbound_intake::fence(epoch connection, std::uint64_t id) {
  outbound_message x;
  x.what = outbound_message::kind::fence;
  x.connection = connection;
  x.fence = id;
  static_cast<void>(push(std::move(x)));  // if the link is over, this fence never passes
}

void outbound_intake::greet(std::vector<protocol::to_rivet> first, bool now) {
  {
    const std::lock_guard guard{mutex_};
    const auto sent_all = greeting_at_ >= greeting_.size();
    greeting_ = std::move(first);
    greeting_at_ = now ? 0 : (sent_all ? greeting_.size() : 0);
  }
  wake_();
}

// -- the owner --------------------------------------------------------------------

void outbound_intake::handle_dial(epoch connection, std::uint16_t version) {
  connection_.store(connection);
  version_.store(version);
}

void outbound_intake::handle_open() {
  const std::lock_guard guard{mutex_};
  greeting_at_ = 0;
  up_.store(true);
}

void outbound_intake::handle_gone() {
  up_.store(false);
  room_.handle_connection_lost();
}

void outbound_intake::handle_end() {
  {
    const std::lock_guard guard{mutex_};
    ended_ = true;
  }
  handle_gone();
}

std::optional<protocol::to_rivet> outbound_intake::poll(std::deque<outbound_message>& to) {
  const std::lock_guard guard{mutex_};
  if (up() && greeting_at_ < greeting_.size()) return greeting_[greeting_at_++];
  std::move(waiting_.begin(), waiting_.end(), std::back_inserter(to));
  waiting_.clear();
  return std::nullopt;
}

}  // namespace nuncio

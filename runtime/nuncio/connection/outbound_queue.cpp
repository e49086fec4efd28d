// See outbound_queue.hpp.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <nuncio/connection/outbound_queue.hpp>

namespace nuncio {
namespace {

using namespace std::chrono_literals;

// How long written tunnel messages wait for others before a ping asks whether the engine has read them.
constexpr duration confirm_interval = 100ms;
// A ping is also sent after this many bytes, or a queue that never empties would keep messages up to its limit.
constexpr std::size_t confirm_bytes = 1UL << 20U;
// The engine answers a ping when it has read it. What came before it may still wait there for its exchange's task, and is lost
// if the connection ends meanwhile (docs/protocol.md M: up to 180 ms later, on a busy machine). A long one is not kept: it would
// take the place of all others.
constexpr duration settle_interval = 1s;
constexpr std::size_t settling_bytes_max = 4UL << 20U;
constexpr std::size_t settling_message_bytes_max = settling_bytes_max / 2;

// Whether `x` ends its exchange, and may come a second time after the engine has handled it (docs/protocol.md M).
bool may_come_twice(const protocol::to_rivet_tunnel_message_kind& x) {
  if (const auto* start = std::get_if<protocol::to_rivet_response_start>(&x)) return !start->stream;
  if (const auto* chunk = std::get_if<protocol::to_rivet_response_chunk>(&x)) return chunk->finish;
  const auto* close = std::get_if<protocol::to_rivet_web_socket_close>(&x);
  return close != nullptr && !close->hibernate;
}

}  // namespace

outbound_queue::outbound_queue(outbound_intake& from, std::size_t headroom, log_sink log)
    : from_(from), headroom_(headroom), log_(std::move(log)) {}

// -- the connection ---------------------------------------------------------------

void outbound_queue::handle_dial(epoch connection, std::uint16_t version) {
  from_.handle_dial(connection, version);
}

void outbound_queue::handle_open() {
  from_.poll(queue_);  // before a greeting blocks it
  from_.handle_open();
  auto all = take_sent();
  for (auto& x : queue_) all.push_back(std::move(x));
  queue_.clear();
  for (auto& x : all) {
    if (wanted(x)) {
      if (x.what == outbound_message::kind::tunnel) ++tally_.moved;
      queue_.push_back(std::move(x));
    } else {
      if (x.what != outbound_message::kind::fence) ++tally_.discarded;
      from_.give_back(x);
    }
  }
}

// What was sent, and is kept, in order.
std::deque<outbound_message> outbound_queue::take_sent() {
  std::deque<outbound_message> out;
  for (auto& [until, x] : settling_) out.push_back(std::move(x));
  for (auto& [number, x] : unconfirmed_) out.push_back(std::move(x));
  settling_.clear();
  unconfirmed_.clear();
  settling_bytes_ = unpinged_bytes_ = 0;
  return out;
}

std::optional<std::uint64_t> outbound_queue::handle_pong(std::uint64_t number, time_point now) {
  if (number != ping_number_) return std::nullopt;
  ping_out_ = false;
  for (; !unconfirmed_.empty() && unconfirmed_.front().first <= number; unconfirmed_.pop_front())
    settle(std::move(unconfirmed_.front().second), now);
  drop_settled(now);
  return std::exchange(fence_out_, std::nullopt);
}

void outbound_queue::settle(outbound_message x, time_point now) {
  from_.give_back(x);
  if (!may_come_twice(x.message.message_kind) || x.charge > settling_message_bytes_max) return;
  settling_bytes_ += x.charge;
  settling_.emplace_back(now + settle_interval, std::move(x));
}

void outbound_queue::drop_settled(time_point now) {
  while (!settling_.empty() &&
         (settling_.front().first <= now || settling_bytes_ > settling_bytes_max)) {
    settling_bytes_ -= settling_.front().second.charge;
    settling_.pop_front();
  }
}

void outbound_queue::handle_gone() {
  from_.handle_gone();
  ping_out_ = confirm_due_ = false;
  fence_out_.reset();
  pong_due_.reset();
}

void outbound_queue::handle_lease_ended() {
  ++term_;
  drop_all();
}

void outbound_queue::handle_end() {
  from_.handle_end();
  drop_all();
}

void outbound_queue::drop_all() {
  while (from_.poll(queue_)) {
  }
  tally_.discarded += queue_.size() + unconfirmed_.size();
  for (auto& x : take_sent()) from_.give_back(x);
  confirm_due_ = false;
  for (auto& x : queue_) from_.give_back(x);
  queue_.clear();
}

// -- outbound ---------------------------------------------------------------------

std::optional<outbound_frame> outbound_queue::poll_frame(time_point now) {
  if (pong_due_) {
    ++tally_.pongs;
    return outbound_frame{
        encoded(protocol::to_rivet_pong{*std::exchange(pong_due_, std::nullopt)})};
  }
  while (auto first = from_.poll(queue_))
    if (auto bytes = encoded(*first); !bytes.empty()) return outbound_frame{std::move(bytes)};
  if (unpinged_bytes_ >= confirm_bytes && !ping_out_) return ping(now);
  while (!queue_.empty()) {
    if (queue_.front().what == outbound_message::kind::fence) {
      if (ping_out_) return std::nullopt;  // one ping at a time; its pong brings us back here
      const auto fence = std::move(queue_.front());
      queue_.pop_front();
      if (fence.connection != from_.connection()) continue;
      fence_out_ = fence.fence;
      return ping(now);
    }
    auto next = std::move(queue_.front());
    queue_.pop_front();
    if (auto frame = poll_message(std::move(next), now)) return frame;
  }
  if (may_ping() && (confirm_due_ || now >= confirm_at_)) return ping(now);
  return std::nullopt;
}

std::optional<outbound_frame> outbound_queue::poll_message(outbound_message x, time_point now) {
  if (!wanted(x)) {
    ++tally_.discarded;
    from_.give_back(x);
    return std::nullopt;
  }
  outbound_frame out;
  out.gate = x.gate;
  if (x.what != outbound_message::kind::tunnel) {
    if (x.what == outbound_message::kind::frame) out.reported = x.frames;
    from_.give_back(x);
    out.buffer = std::move(x.encoded);
    return out;
  }
  out.buffer = x.version == from_.version() ? std::move(x.encoded) : encoded(x.message);
  x.version = 0;
  x.encoded = {};
  // The gateway forwards a client's WebSocket messages without checking their index: a message that may have been delivered
  // would arrive twice, so it is sent once. For everything else a second copy does no more than a missing one: it ends its
  // exchange (docs/protocol.md M).
  const auto goes_once =
      std::holds_alternative<protocol::to_rivet_web_socket_message>(x.message.message_kind);
  if (out.buffer.empty() || goes_once) from_.give_back(x);
  if (out.buffer.empty()) return std::nullopt;
  if (goes_once) return out;
  unpinged_bytes_ += x.charge;
  unconfirmed_.emplace_back(ping_number_ + 1, std::move(x));
  if (unconfirmed_.size() == 1) confirm_at_ = now + confirm_interval;
  return out;
}

std::optional<time_point> outbound_queue::poll_timeout() const {
  std::optional<time_point> out;
  if (!settling_.empty()) out = settling_.front().first;
  if (may_ping() && !confirm_due_) out = out ? std::min(*out, confirm_at_) : confirm_at_;
  return out;
}

// True once; otherwise a socket that takes nothing would make the timer fire again and again.
bool outbound_queue::expire(time_point now) {
  drop_settled(now);
  if (!may_ping() || confirm_due_ || now < confirm_at_) return false;
  return confirm_due_ = true;
}

outbound_frame outbound_queue::ping(time_point now) {
  ping_out_ = true;
  confirm_due_ = false;
  unpinged_bytes_ = 0;
  ++ping_number_;
  confirm_at_ = now + confirm_interval;
  outbound_frame out;
  out.is_ping = true;
  out.buffer.assign(headroom_ + sizeof ping_number_, 0);
  std::memcpy(out.buffer.data() + headroom_, &ping_number_, sizeof ping_number_);
  return out;
}

std::optional<std::uint64_t> outbound_queue::ping_number_of(std::span<const std::uint8_t> payload) {
  std::uint64_t number = 0;
  if (payload.size() != sizeof number) return std::nullopt;
  std::memcpy(&number, payload.data(), sizeof number);
  return number;
}

std::vector<std::uint8_t> outbound_queue::encoded(const protocol::to_rivet& message) {
  auto out = from_.encode(message, from_.version());
  if (out) return std::move(*out);
  log_to(log_, log_level::error, "dropped an outbound message", {{"reason", out.error().message}});
  return {};
}

bool outbound_queue::wanted(const outbound_message& x) const {
  if (x.gate && !(x.gate->open.load() && x.gate->term == term_)) return false;
  return x.what == outbound_message::kind::tunnel || x.connection == from_.connection();
}

}  // namespace nuncio

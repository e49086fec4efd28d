// See simulated_link.hpp.
#include "simulation/simulated_link.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nuncio/codec.hpp>
#include <nuncio/host_options.hpp>
#include <utility>
#include <variant>

namespace nuncio::testing {

/// The engine's end of a connection.
class simulated_link::socket final : public engine::web_socket {
public:
  explicit socket(simulated_link& owner) : owner_(&owner) {}

  void send(bytes data, bool) override {
    sent_ += data.size();
    if (owner_ != nullptr) owner_->in_.push_back(std::move(data));
  }

  void close(std::uint16_t code, std::string reason) override {
    over({connection_end::kind::closed, 0, code, std::move(reason)});
  }

  void drop(bool) override {
    dropped = true;
    over({connection_end::kind::lost, 0, 0, "the engine dropped it"});
  }

  void set_reading(bool on) override { reading = on; }

  void set_unsent_max(std::size_t) override {}

  [[nodiscard]] engine::socket_flow flow() const override { return {sent_, sent_}; }

  /// The host gets no more messages.
  void detach() { owner_ = nullptr; }

  bool reading = true;
  bool dropped = false;                 ///< messages under way are lost
  std::optional<connection_end> ended;  ///< by the engine, which is notified in step()

private:
  void over(connection_end why) {
    if (!ended) ended = std::move(why);
  }

  simulated_link* owner_;
  std::uint64_t sent_ = 0;
};

simulated_link::simulated_link(
    link_listener& host, engine::web_handler& engine, simulated_link_options options)
    : host_(host),
      engine_(engine),
      options_(std::move(options)),
      random_(options_.seed),
      machine_(
          {.policy = {.seed = options_.seed},
           .lease = {},
           .outbound = {},
           .inbound = {},
           .inbound_message_bytes_max = 0,
           .token_renewable = false,
           .endpoint = {},
           .pool = options_.pool,
           .envoy_key = options_.envoy_key,
           .log = {}},
          [this] { woken_ = true; }) {
  machine_.handle_start({.protocol_version = options_.version});
  carry_out();
}

simulated_link::~simulated_link() { end(); }

// -- time and turns -------------------------------------------------------------------

bool simulated_link::step() {
  if (over_ || machine_.over()) return false;
  if (std::exchange(woken_, false)) {
    handle_wake();
    return true;
  }
  if (!socket_) {
    if (!dial_at_ || *dial_at_ > options_.now()) return false;
    dial();
    return true;
  }
  if (socket_->ended) {
    if (receive_one()) return true;
    // Messages before a close are read first.
    if (!in_.empty() && !socket_->dropped) return false;
    lost(*socket_->ended);
    return true;
  }
  const bool in_first = (random_() & 1U) != 0;
  if (in_first) return receive_one() || send_one();
  return send_one() || receive_one();
}

void simulated_link::handle_wake() {
  machine_.handle_wake();
  if (close_asked_) machine_.handle_close(options_.now());
  carry_out();
}

void simulated_link::tick() {
  if (over_) return;
  machine_.expire(options_.now(), received_);
  carry_out();
  if (socket_ && close_by_ && *close_by_ <= options_.now())
    lost({connection_end::kind::lost, 0, 0, "the engine reads nothing"});
}

std::optional<time_point> simulated_link::next_timer() const {
  if (over_) return std::nullopt;
  auto next = machine_.poll_timeout();
  for (const auto& at : {dial_at_, socket_ ? close_by_ : std::nullopt})
    if (at) next = next ? std::min(*next, *at) : *at;
  return next;
}

void simulated_link::cut(duration dial_after) {
  blocked_until_ = std::max(blocked_until_, options_.now() + dial_after);
  if (socket_) lost({connection_end::kind::lost, 0, 0, "the connection was cut"});
  if (dial_at_) dial_at_ = std::max(*dial_at_, blocked_until_);
}

void simulated_link::end() {
  if (std::exchange(over_, true)) return;
  if (const auto was = std::exchange(socket_, nullptr)) {
    was->detach();
    if (was->on_close) was->on_close(std::nullopt, "");
  }
  in_.clear();
  machine_.handle_end();
}

// -- the wire ---------------------------------------------------------------------------

void simulated_link::dial() {
  dial_at_.reset();
  const auto made = std::make_shared<socket>(*this);
  socket_ = made;
  machine_.handle_open(options_.now());
  carry_out();
  engine_.on_socket(
      {.method = "GET",
       .target = fmt::format(
           "/envoys/connect?protocol_version={}&namespace={}&envoy_key={}&version=1&pool_name={}",
           options_.version,
           options_.namespace_name,
           options_.envoy_key,
           options_.pool)},
      made);
}

void simulated_link::lost(connection_end why) {
  const auto was = std::exchange(socket_, nullptr);
  was->detach();
  in_.clear();
  reads_ = true;
  wants_write_ = false;
  machine_.handle_gone(std::move(why), options_.now());
  carry_out();
  if (was->on_close) was->on_close(std::nullopt, "");
}

bool simulated_link::receive_one() {
  if (in_.empty() || !reads_) return false;
  const auto next = std::move(in_.front());
  in_.pop_front();
  if (const auto* pong = std::get_if<std::uint64_t>(&next)) {
    machine_.handle_pong(*pong, options_.now());
    carry_out();
    return true;
  }
  const auto& frame = std::get<bytes>(next);
  received_ += frame.size();
  const auto now = options_.now();
  auto decoded = protocol::decode_to_envoy(frame, options_.version);
  if (decoded)
    machine_.handle_message(std::move(*decoded), {frame.size(), received_, now});
  else
    machine_.handle_bad_frame(decoded.error().message, frame.size());
  machine_.handle_batch_end(now);
  carry_out();
  return true;
}

bool simulated_link::send_one() {
  if (!socket_->reading || !std::exchange(wants_write_, false)) return false;
  auto next = machine_.poll_frame(options_.now());
  carry_out();
  if (!socket_) return true;
  if (!next) {
    if (!closing_) return false;
    lost({connection_end::kind::lost, 0, 0, "the host has closed it"});
    return true;
  }
  wants_write_ = true;
  if (next->is_ping) {  // what was sent before it has been read
    in_.emplace_back(outbound_queue::ping_number_of(next->buffer).value_or(0));
  } else {
    const auto size = next->buffer.size();
    const auto to = socket_;
    if (to->on_message) to->on_message(bytes{std::move(next->buffer)}, true);
    machine_.handle_written(next->reported, size);
  }
  carry_out();
  return true;
}

// -- the machine's decisions ------------------------------------------------------------

void simulated_link::carry_out() {
  while (auto next = machine_.poll_output())
    if (!over_) std::visit([this](auto& x) { act(x); }, *next);
}

void simulated_link::act(link_output::dial&) {
  dial_at_ = std::max(options_.now(), blocked_until_);
}

void simulated_link::act(link_output::reset& x) {
  if (socket_) return lost({connection_end::kind::lost, 0, 0, x.why});
  dial_at_.reset();
  machine_.handle_gone({connection_end::kind::lost, 0, 0, x.why}, options_.now());
}

void simulated_link::act(link_output::close_socket&) {
  closing_ = wants_write_ = true;
  close_by_ = options_.now() + websocket_options{}.close_limit;
}

void simulated_link::act(link_output::set_reading& x) { reads_ = x.on; }

void simulated_link::act(link_output::request_write&) { wants_write_ = true; }

// There are no other terms.
void simulated_link::act(link_output::ask&) {
  machine_.handle_renewed(dial_terms{machine_.terms()}, options_.now());
}

// -- link_port --------------------------------------------------------------------------

void simulated_link::close() { close_asked_ = woken_ = true; }

void simulated_link::grant(std::size_t messages, std::size_t bytes) {
  if (machine_.credit().handle_granted(messages, bytes)) woken_ = true;
}

}  // namespace nuncio::testing

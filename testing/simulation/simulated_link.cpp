// See simulated_link.hpp.
#include "simulation/simulated_link.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nuncio/codec.hpp>
#include <nuncio/wire_limits.hpp>
#include <utility>

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
    over(fmt::format("the engine closed it: {} {}", code, reason));
  }

  void drop(bool) override { over("the connection is lost"); }

  void set_reading(bool on) override { reading = on; }

  void set_unsent_max(std::size_t) override {}

  [[nodiscard]] engine::socket_flow flow() const override { return {sent_, sent_}; }

  /// Nothing more is said to the host.
  void detach() { owner_ = nullptr; }

  void over(std::string why) {
    if (ended) return;
    ended = std::move(why);
  }

  bool reading = true;
  std::optional<std::string> ended;  ///< by the engine, which hears of it from step()

private:
  simulated_link* owner_;
  std::uint64_t sent_ = 0;
};

simulated_link::simulated_link(
    link_listener& host, engine::web_handler& engine, simulated_link_options options)
    : host_(host),
      engine_(engine),
      options_(std::move(options)),
      random_(options_.seed),
      dial_at_(options_.now()) {}

simulated_link::~simulated_link() { end(); }

bool simulated_link::step() {
  if (over_) return false;
  if (!socket_) {
    if (!dial_at_ || *dial_at_ > options_.now()) return false;
    dial();
    return true;
  }
  if (socket_->ended) {
    if (!receive_one()) lost(*socket_->ended);
    return true;
  }
  const bool in_first = (random_() & 1U) != 0;
  if (in_first) return receive_one() || send_one();
  return send_one() || receive_one();
}

void simulated_link::tick() {
  if (over_ || !lease_.ended(options_.now())) return;
  lease_.handle_ended();
  ++term_;
  host_.on_lease_ended();
  if (socket_) lost("the lease has ended");
}

void simulated_link::cut(duration dial_after) {
  if (socket_) lost("the connection was cut");
  if (!closing_ && !over_) dial_at_ = options_.now() + dial_after;
}

void simulated_link::end() {
  if (std::exchange(over_, true)) return;
  if (const auto was = std::exchange(socket_, nullptr)) {
    was->detach();
    if (was->on_close) was->on_close(std::nullopt, "");
  }
  out_.clear();
  in_.clear();
}

void simulated_link::dial() {
  dial_at_.reset();
  ++connection_;
  socket_ = std::make_shared<socket>(*this);
  host_.on_up(connection_);
  for (const auto& x : greeting_) static_cast<void>(queue(x, {}));
  // What is said first goes before what an earlier connection has left.
  std::rotate(out_.begin(), out_.end() - static_cast<std::ptrdiff_t>(greeting_.size()), out_.end());
  engine_.on_socket(
      {.method = "GET",
       .target = fmt::format(
           "/envoys/connect?protocol_version={}&namespace={}&envoy_key={}&version=1&pool_name={}",
           options_.version,
           options_.namespace_name,
           options_.envoy_key,
           options_.pool)},
      socket_);
}

void simulated_link::lost(std::string_view why) {
  const auto was = std::exchange(socket_, nullptr);
  was->detach();
  in_.clear();
  std::erase_if(out_, [](const outbound& x) { return !x.moves; });
  host_.on_down(connection_, why, options_.dial_after);
  if (was->on_close) was->on_close(std::nullopt, "");
  if (closing_) {
    over_ = true;
    host_.on_final({errc::cancelled, "the host has closed the link"});
  } else {
    dial_at_ = options_.now() + options_.dial_after;
  }
}

bool simulated_link::receive_one() {
  if (in_.empty()) return false;
  const auto frame = std::move(in_.front());
  in_.pop_front();
  auto decoded = protocol::decode_to_envoy(frame, options_.version);
  if (!decoded) {
    lost(decoded.error().message);
    return true;
  }
  keep_in_range(*decoded);
  const auto now = options_.now();
  if (const auto* init = std::get_if<protocol::to_envoy_init>(&*decoded)) {
    lease_.handle_init(std::chrono::milliseconds{init->metadata.envoy_lost_threshold});
  } else if (const auto* ping = std::get_if<protocol::to_envoy_ping>(&*decoded)) {
    lease_.handle_ping(ping->ts, now);
    static_cast<void>(queue(protocol::to_rivet_pong{ping->ts}, {}));
  }
  inbound_batch batch;
  batch.connection = connection_;
  batch.term = term_;
  batch.bytes = frame.size();
  batch.received = now;
  batch.messages.push_back(std::move(*decoded));
  host_.on_inbound(std::move(batch));
  return true;
}

bool simulated_link::send_one() {
  if (out_.empty()) {
    if (closing_) lost("the host has closed it");
    return closing_;
  }
  if (!socket_->reading) return false;
  const auto next = std::move(out_.front());
  out_.pop_front();
  if (next.gate && !next.gate->open) return true;
  if (next.fence) {
    host_.on_fence(connection_, *next.fence);
    return true;
  }
  const auto at = connection_;
  if (socket_->on_message) socket_->on_message(next.encoded, true);
  if (next.reported) host_.on_written(at, *next.reported);
  return true;
}

outcome<void> simulated_link::queue(const protocol::to_rivet& message, outbound with) {
  auto encoded = protocol::encode(message, options_.version);
  if (!encoded) return encoded.error();
  with.encoded = bytes{std::move(*encoded)};
  out_.push_back(std::move(with));
  return {};
}

// -- link_port ------------------------------------------------------------------------

void simulated_link::close() {
  closing_ = true;
  if (socket_ || over_) return;
  over_ = true;
  host_.on_final({errc::cancelled, "the host has closed the link"});
}

outcome<void> simulated_link::send_frame(
    frame_class what, epoch connection, const protocol::to_rivet& message) {
  if (!socket_ || connection != connection_)
    return failure{errc::link_lost, "the connection is over"};
  return queue(message, {.reported = what});
}

outcome<void> simulated_link::send_for_connection(
    std::shared_ptr<const output_gate> gate, epoch connection, const protocol::to_rivet& request) {
  if (!socket_ || connection != connection_)
    return failure{errc::link_lost, "the connection is over"};
  if (!gate->open) return failure{errc::cancelled, "the instance has ended"};
  return queue(request, {.gate = std::move(gate)});
}

outcome<void> simulated_link::send_across_connections(
    tunnel_source from, protocol::to_rivet_tunnel_message&& message) {
  if (from.gate && !from.gate->open) return failure{errc::cancelled, "the instance has ended"};
  protocol::to_rivet wrapped{std::move(message)};
  auto queued = queue(wrapped, {.gate = std::move(from.gate), .moves = true});
  if (!queued) message = std::move(std::get<protocol::to_rivet_tunnel_message>(wrapped));
  return queued;
}

void simulated_link::fence(epoch connection, std::uint64_t id) {
  if (socket_ && connection == connection_) out_.push_back({.fence = id});
}

void simulated_link::greet(std::vector<protocol::to_rivet> first, bool now) {
  greeting_ = std::move(first);
  if (!now || !socket_) return;
  for (const auto& x : greeting_) static_cast<void>(queue(x, {}));
}

}  // namespace nuncio::testing

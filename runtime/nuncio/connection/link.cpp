// The link's thread: a thin shell around websocket and link_machine, which makes the decisions.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <nuncio/codec.hpp>
#include <nuncio/connection/link.hpp>
#include <nuncio/connection/link_machine.hpp>
#include <nuncio/engine/url.hpp>
#include <nuncio/parts.hpp>
#include <optional>
#include <utility>
#include <variant>

namespace nuncio {
namespace {

using namespace std::chrono_literals;

connection_end to_end(const websocket_gone& gone) {
  using from = websocket_gone::kind;
  using to = connection_end::kind;
  const auto end = [&](to what) {
    return connection_end{what, gone.http_status, gone.close_code, gone.reason};
  };
  switch (gone.what) {
    case from::bad_target:
      return end(to::bad_target);
    case from::name_not_found:
    case from::connect_failed:
    case from::handshake_timeout:
      return end(to::unreachable);
    case from::tls_failed:
      return end(to::tls_failed);
    case from::handshake_refused:
      return end(to::http_refused);
    case from::closed_by_peer:
      return end(to::closed);
    case from::closed_by_us:
    case from::lost:
      return end(to::lost);
  }
  return end(to::lost);
}

link_machine_options machine_options(const link_options& from) {
  return {
      .policy = from.policy,
      .lease = from.lease,
      .outbound =
          {.room = {from.outbound_bytes_max, from.outbound_storage_bytes_max},
           .message_bytes_max = from.outbound_message_bytes_max,
           .headroom = websocket_headroom},
      .inbound = {from.inbound_messages_max, from.inbound_bytes_max},
      .inbound_message_bytes_max = from.socket.message_bytes_max,
      .token_renewable = from.target.token_renewable,
      .endpoint = from.target.endpoint.base_url(),
      .pool = from.target.pool,
      .envoy_key = from.target.envoy_key,
      .log = from.log};
}

websocket_options socket_options(const link_options& from) {
  auto to = from.socket;
  to.tls = from.target.endpoint.tls;
  return to;
}

websocket_target socket_target(const link_target& from, const dial_terms& terms) {
  websocket_target to;
  to.host = from.endpoint.host;
  to.port = from.endpoint.port;
  to.tls = from.endpoint.tls;
  to.path_and_query = fmt::format(
      "{}/envoys/connect?protocol_version={}&namespace={}&envoy_key={}&version={}&pool_name={}",
      from.endpoint.path_prefix,
      terms.protocol_version,
      percent_encoded(from.namespace_name),
      percent_encoded(from.envoy_key),
      from.actors_version,
      percent_encoded(from.pool));
  to.subprotocols = {"rivet"};
  if (!terms.token.empty()) to.subprotocols.push_back("rivet_token." + terms.token);
  return to;
}

}  // namespace

struct link::impl final : websocket_handler {
  impl(link_listener& to, link_options opts)
      : listener(to),
        options(std::move(opts)),
        machine(machine_options(options), [this] { socket.wake(); }),
        socket(*this, socket_options(options)) {}

  // -- the socket's events, on its thread -----------------------------------------

  void on_open(std::string_view) override {
    machine.handle_open(boot_clock::now());
    carry_out();
  }

  void on_message(bytes payload, bool is_text) override {
    if (!machine.listens()) return;
    if (is_text) return;  // the engine sends none; nothing of ours depends on it
    const auto at = arrived(payload.size());
    const auto version = machine.terms().protocol_version;
    auto decoded =
        protocol::decode_to_envoy_within(payload, version, options.inbound_elements_bytes_max);
    if (!decoded && decoded.error().code == errc::too_large) {
      auto head = protocol::decode_head(payload.span(), version);
      if (!head || !std::holds_alternative<protocol::to_envoy_commands>(*head)) {
        machine.handle_long_message(std::move(head), at);
        return carry_out();
      }
      decoded = protocol::decode_to_envoy(payload, version);  // no command may be lost
    }
    if (decoded)
      machine.handle_message(std::move(*decoded), at);
    else
      machine.handle_bad_frame(decoded.error().message, payload.size());
    carry_out();
  }

  // Commands are accepted at any length.
  long_message on_long_message(std::span<const std::uint8_t> first, bool is_text) override {
    if (is_text || !machine.listens()) return long_message::skip;
    const auto version = machine.terms().protocol_version;
    const auto takes =
        machine.handle_long_message(protocol::decode_head(first, version), arrived(first.size()));
    if (takes) commands.emplace(version, options.socket.message_bytes_max);
    carry_out();
    return takes ? long_message::take : long_message::skip;
  }

  void on_part(std::span<const std::uint8_t> part, bool last) override {
    if (!machine.listens()) return;
    protocol::to_envoy_commands some;
    auto good = commands->handle_bytes(part, some.commands);
    if (good && last) good = commands->handle_end(some.commands);
    machine.handle_part(std::move(some), last, arrived(part.size()));
    if (last) commands.reset();
    if (!good) machine.handle_bad_frame(good.error().message, part.size());
    carry_out();
  }

  void on_batch_end() override {
    machine.handle_batch_end(boot_clock::now());
    carry_out();
  }

  void on_pong(std::span<const std::uint8_t> payload) override {
    if (const auto number = outbound_queue::ping_number_of(payload))
      machine.handle_pong(*number, boot_clock::now());
    carry_out();
  }

  void on_gone(const websocket_gone& gone) override {
    commands.reset();
    take_close();
    machine.handle_gone(to_end(gone), boot_clock::now());
    carry_out();
  }

  bool next_frame(websocket_frame& frame) override {
    auto next = machine.poll_frame(boot_clock::now());
    carry_out();
    if (!next) return false;
    frame.buffer = std::move(next->buffer);
    frame.what = next->is_ping ? websocket_frame::kind::ping : websocket_frame::kind::binary;
    frame.cookie = next->reported ? 1 + static_cast<std::uint64_t>(*next->reported) : 0;
    return true;
  }

  void on_written(std::uint64_t cookie, std::size_t payload_bytes) override {
    std::optional<frame_class> reported;
    if (cookie != 0) reported = static_cast<frame_class>(cookie - 1);
    machine.handle_written(reported, payload_bytes);
    carry_out();
  }

  void on_timer() override {
    armed.reset();
    take_close();
    machine.expire(boot_clock::now(), socket.bytes_received());
    carry_out();
  }

  void on_wake() override {
    if (first_terms) machine.handle_start(*std::exchange(first_terms, std::nullopt));
    machine.handle_wake();
    take_close();
    std::optional<outcome<dial_terms>> known;
    {
      const std::lock_guard guard{mutex};
      known = std::exchange(renewed, std::nullopt);
    }
    if (known) machine.handle_renewed(std::move(*known), boot_clock::now());
    carry_out();
  }

  // Requested by another thread: handled before events of the socket or the clock.
  void take_close() {
    if (closing.load()) machine.handle_close(boot_clock::now());
  }

  // -- the machine's decisions ----------------------------------------------------

  void carry_out() {
    while (auto next = machine.poll_output()) std::visit([this](auto& x) { act(x); }, *next);
    arm_timer();
  }

  void act(link_output::dial& x) { socket.connect(socket_target(options.target, x.terms)); }

  void act(link_output::reset& x) { socket.reset(x.why); }

  void act(link_output::close_socket&) { socket.close(1000, "host is done"); }

  void act(link_output::set_reading& x) { socket.pause_reading(!x.on); }

  void act(link_output::request_write&) { socket.request_write(); }

  template <class Output>
  void act(Output& x) {
    deliver(x, listener);
  }

  // If the time has moved further away, it is checked when the earlier one has come.
  void arm_timer() {
    const auto next = machine.poll_timeout();
    if (!next) return;
    const auto now = boot_clock::now();
    // The socket's timer stands still while the machine is suspended, so it can be long overdue.
    if (armed && *armed > now && *armed <= *next) return;
    const auto left = std::max<duration>(*next - now, 1ms);
    armed = now + left;
    socket.set_timer(std::chrono::duration_cast<websocket::clock::duration>(left));
  }

  [[nodiscard]] arrival arrived(std::size_t size) const {
    return {size, socket.bytes_received(), boot_clock::now()};
  }

  link_listener& listener;
  const link_options options;

  // service thread
  std::optional<dial_terms> first_terms;             // until the thread has begun
  std::optional<protocol::command_stream> commands;  // of a message that is too long to keep
  std::optional<time_point> armed;

  // shared
  std::atomic<bool> closing = false;
  std::mutex mutex;
  std::optional<outcome<dial_terms>> renewed;

  link_machine machine;
  websocket socket;  // last: its thread uses all of the above
};

link::link(link_listener& listener, link_options options)
    : impl_(std::make_unique<impl>(listener, std::move(options))) {}

link::~link() { stop(); }

outcome<void> link::start(dial_terms terms) {
  impl_->first_terms = std::move(terms);
  return impl_->socket.start();
}

void link::renew(outcome<dial_terms> terms) {
  {
    const std::lock_guard guard{impl_->mutex};
    impl_->renewed = std::move(terms);
  }
  impl_->socket.wake();
}

void link::stop() {
  impl_->socket.stop();
  impl_->machine.handle_end();
}

void link::close() {
  impl_->closing.store(true);
  impl_->socket.wake();
}

outbound_intake& link::intake() { return impl_->machine.intake(); }

void link::grant(std::size_t messages, std::size_t size) {
  if (impl_->machine.credit().handle_granted(messages, size)) impl_->socket.wake();
}

link_stats link::stats() const { return impl_->machine.stats(); }

}  // namespace nuncio

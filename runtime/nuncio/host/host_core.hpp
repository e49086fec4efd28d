// What the parts of host_machine share: its bounds, the time of the input in hand, and what it has to say. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/host/counters.hpp>
#include <nuncio/host/host_limits.hpp>
#include <nuncio/host/host_outputs.hpp>
#include <nuncio/instances/instance.hpp>
#include <nuncio/support/log_limiter.hpp>
#include <nuncio/support/time_range.hpp>
#include <nuncio/tunnel/doubted_clients.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace nuncio {

/// What is remembered of requests that were aborted before they came, of messages that found no room, and of WebSockets
/// that were closed here, in bytes.
inline constexpr std::size_t early_bytes_max = 4UL << 20U;

class host_core {
public:
  host_core(host_limits bounds, std::shared_ptr<link_port> to, log_sink sink)
      : limits(bounds),
        link(std::move(to)),
        log(std::move(sink)),
        limiter(log),
        gateways(limits.upload_patience) {}

  // -- outputs

  /// For an instance that is reachable; for any other it is dropped.
  template <class T>
  void tell(const instance& x, T what) {
    if (x.reachable) out.push_back(host_output::message{x.number, false, {std::move(what)}});
  }

  /// Before what waits for it.
  template <class T>
  void tell_first(const instance& x, T what) {
    if (x.reachable) out.push_back(host_output::message{x.number, true, {std::move(what)}});
  }

  /// To the outbox, with the next flush.
  void say(internal::outbox_input what) { said.push_back(std::move(what)); }

  /// A short message of an exchange that has no route (any more). A client that hears nothing waits for minutes: what finds no
  /// room in the link is said later, in its order.
  void send_answer(
      protocol::to_rivet_tunnel_message message, const std::shared_ptr<const output_gate>& gate);
  /// There may be room in the link.
  void send_owed();

  /// What the host says itself through `gate`.
  [[nodiscard]] static tunnel_source source(std::shared_ptr<const output_gate> gate) {
    return {std::move(gate), {}};
  }

  void log_lost(const failure& why);

  // -- what is known of clients

  /// Whether the client of which that is doubted may be there all the same: for stall_limit after a reconnect. Null: not doubted.
  [[nodiscard]] bool may_be_there(const client_doubt* x) const {
    return x == nullptr || !x->since() || now < later(*x->since(), limits.stall_limit);
  }

  host_limits limits;
  std::shared_ptr<link_port> link;
  log_sink log;
  log_limiter limiter;
  ingress_stats stats;
  time_point now{};  ///< of the input in hand
  gateway_watch gateways;
  std::shared_ptr<const output_gate> own_gate =
      std::make_shared<const output_gate>(0);  ///< for answers that are no instance's
  std::uint64_t term = 0;
  std::uint64_t next_ticket = internal::ticket_first;
  bool draining = false;
  bool streaming_gateway = false;  ///< a request has come from one
  std::deque<host_output::any> out;
  std::vector<internal::outbox_input> said;

private:
  /// Of exchanges that have no route.
  std::deque<std::pair<protocol::to_rivet_tunnel_message, std::shared_ptr<const output_gate>>>
      owed_;
};

}  // namespace nuncio

// What the parts of host_machine share: limits, the time of the current input, and the outputs. One thread.
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

/// Memory, in bytes, for each of: requests aborted before they came, messages that found no room, and WebSockets closed here.
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

  /// For a reachable instance; dropped for any other.
  template <class T>
  void tell(const instance& x, T what) {
    if (x.reachable) out.push_back(host_output::message{x.number, false, {std::move(what)}});
  }

  /// Ahead of other messages in its mailbox.
  template <class T>
  void tell_first(const instance& x, T what) {
    if (x.reachable) out.push_back(host_output::message{x.number, true, {std::move(what)}});
  }

  /// To the outbox, with the next flush.
  void say(internal::outbox_input what) { said.push_back(std::move(what)); }

  /// A short message of an exchange that has no route (any more). A client that hears nothing would wait for minutes, so what
  /// finds no room in the link is sent later, in order.
  void send_answer(
      protocol::to_rivet_tunnel_message message, const std::shared_ptr<const output_gate>& gate);
  /// The link may have room.
  void send_owed();

  /// The source of the host's own messages through `gate`.
  [[nodiscard]] static tunnel_source source(std::shared_ptr<const output_gate> gate) {
    return {std::move(gate), {}};
  }

  void log_lost(const failure& why);

  // -- what is known about clients

  /// Whether the doubted client may still be there: for stall_limit after a reconnect. Null: not doubted.
  [[nodiscard]] bool may_be_there(const client_doubt* x) const {
    return x == nullptr || !x->since() || now < later(*x->since(), limits.stall_limit);
  }

  host_limits limits;
  std::shared_ptr<link_port> link;
  log_sink log;
  log_limiter limiter;
  ingress_stats stats;
  time_point now{};  ///< of the current input
  gateway_watch gateways;
  std::shared_ptr<const output_gate> own_gate =
      std::make_shared<const output_gate>(0);  ///< for messages that belong to no instance
  std::uint64_t term = 0;
  std::uint64_t next_ticket = internal::ticket_first;
  bool draining = false;
  bool streaming_gateway = false;  ///< a request has come from a streaming gateway
  std::deque<host_output::any> out;
  std::vector<internal::outbox_input> said;

private:
  /// Of exchanges without a route.
  std::deque<std::pair<protocol::to_rivet_tunnel_message, std::shared_ptr<const output_gate>>>
      owed_;
};

}  // namespace nuncio

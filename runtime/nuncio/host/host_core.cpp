// See host_core.hpp.
#include <nuncio/host/host_core.hpp>

namespace nuncio {

void host_core::send_answer(
    protocol::to_rivet_tunnel_message message, const std::shared_ptr<const output_gate>& gate) {
  const auto owe = [&] { owed_.emplace_back(std::move(message), gate); };
  if (!owed_.empty() && owed_.size() < limits.host_requests_max) return owe();
  const auto sent = link->send_across_connections(source(gate), std::move(message));
  if (sent || sent.error().code == errc::cancelled) return;
  if (sent.error().code == errc::queue_full && owed_.size() < limits.host_requests_max)
    return owe();
  log_lost(sent.error());
}

void host_core::send_owed() {
  auto owed = std::exchange(owed_, {});
  for (; !owed.empty(); owed.pop_front())
    send_answer(std::move(owed.front().first), owed.front().second);
}

void host_core::log_lost(const failure& why) {
  limiter.log(
      now,
      log_level::warning,
      "a message of the host to a client was lost",
      {{"reason", why.message}});
}

}  // namespace nuncio

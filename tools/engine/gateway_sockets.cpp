// Client WebSockets through the gateway.
#include <algorithm>
#include <utility>

#include "api_error.hpp"
#include "gateway.hpp"
#include "random_id.hpp"

namespace nuncio::engine {

namespace {

/// Client messages kept until the actor has accepted.
constexpr std::size_t waiting_bytes_max = 4U << 20U;

}  // namespace

void gateway::client_message(exchange& x, bytes data, bool binary) {
  if (x.at == stage::done) return;
  if (x.opened) {
    tell(x, protocol::to_envoy_web_socket_message{std::move(data), binary});
    return;
  }
  x.waiting_bytes += data.size();
  if (x.waiting_bytes > waiting_bytes_max) {
    x.socket->close(1011, "guard.websocket_buffer_full#" + random_id(random_));
    finish(x);
    return;
  }
  x.waiting.emplace_back(std::move(data), binary);
}

void gateway::client_closed(
    exchange& x, std::optional<std::uint16_t> code, const std::string& reason) {
  if (x.at == stage::done) return;
  protocol::to_envoy_web_socket_close close{1011, text{"ws.downstream_closed"}};
  if (code && *code == 1005) {
    close = {1000, std::nullopt};
  } else if (code) {
    close.code = *code;
    close.reason = reason.empty() ? std::optional<text>{} : std::optional<text>{text{reason}};
  }
  if (x.at == stage::waiting_response) tell(x, std::move(close));
  finish(x);
}

void gateway::handle_socket(
    exchange& x, const protocol::to_rivet_tunnel_message& message, millis now) {
  const auto& kind = message.message_kind;
  if (std::holds_alternative<protocol::to_rivet_web_socket_open>(kind)) {
    if (x.opened) return;
    x.opened = true;
    x.deadline = 0;
    for (auto& [data, binary] : x.waiting)
      tell(x, protocol::to_envoy_web_socket_message{std::move(data), binary});
    x.waiting.clear();
  } else if (const auto* m = std::get_if<protocol::to_rivet_web_socket_message>(&kind)) {
    if (x.opened) x.socket->send(m->data, m->binary);
  } else if (const auto* close = std::get_if<protocol::to_rivet_web_socket_close>(&kind)) {
    if (!x.opened) {
      attempt_failed(x, now);
      return;
    }
    tell(x, protocol::to_envoy_web_socket_close{1000, std::nullopt});
    const auto reason = close->reason
                            ? close->reason->str()
                            : (close->code ? std::string{} : "ws.closed#" + random_id(random_));
    x.socket->close(close->code.value_or(1000), reason);
    finish(x);
  }
}

}  // namespace nuncio::engine

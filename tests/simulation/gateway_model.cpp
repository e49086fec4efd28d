// See gateway_model.hpp.
#include "simulation/gateway_model.hpp"

#include <fmt/format.h>

#include <cstring>

namespace nuncio::simulation {

void client_tally::add(const client_tally& x) {
  answered += x.answered;
  sent_back += x.sent_back;
  given_up += x.given_up;
  in_pieces += x.in_pieces;
  accepted += x.accepted;
  closed_here += x.closed_here;
  said += x.said;
}

exchange_id gateway_model::exchange(std::uint32_t number) {
  exchange_id out{{{1, 2, 3, 4}}, {}};
  std::memcpy(out.request.value.data(), &number, sizeof number);
  return out;
}

std::uint32_t gateway_model::number(const request_id& id) {
  std::uint32_t out = 0;
  std::memcpy(&out, id.value.data(), sizeof out);
  return out;
}

void gateway_model::send(
    std::uint32_t n, std::uint16_t index, protocol::to_envoy_tunnel_message_kind kind) {
  const auto id = exchange(n);
  protocol::to_envoy_tunnel_message message;
  message.message_id = {id.gateway, id.request, index};
  message.message_kind = std::move(kind);
  to_.send(std::move(message));
}

// -- requests ---------------------------------------------------------------------

void gateway_model::request(const actor_ref& who) {
  const auto n = ++last_;
  auto& x = clients_[n];
  x.who = who;
  x.calm = calm_;
  if (random_.percent(25)) x.pieces = 1 + static_cast<std::uint32_t>(random_.below(4));
  protocol::to_envoy_request_start start;
  start.actor_id = who.actor;
  start.actor_generation = who.generation;
  start.method = text{"POST"};
  start.path = text{fmt::format("/{}", x.pieces)};  // how many bytes are to come
  start.stream = x.pieces != 0;
  send(n, 0, std::move(start));
  if (x.pieces != 0) {
    ++tally_.in_pieces;
    send_piece(n);
  }
  if (calm_ || !random_.percent(8)) return;
  time_.after(random_.between(0ms, 3s), side::engine, [this, n] { give_up(n); });
}

void gateway_model::send_piece(std::uint32_t n) {
  time_.after(random_.between(0ms, calm_ ? 200ms : 2s), side::engine, [this, n] {
    auto& x = clients_[n];
    if (x.gone) return;
    protocol::to_envoy_request_chunk piece;
    piece.body = bytes::copy_of(std::vector<std::uint8_t>(1, 'x'));
    piece.finish = --x.pieces == 0;
    send(n, x.next_index++, std::move(piece));
    if (x.pieces != 0) send_piece(n);
  });
}

void gateway_model::give_up(std::uint32_t n) {
  auto& x = clients_[n];
  if (std::exchange(x.gone, true)) return;
  ++tally_.given_up;
  send(n, x.next_index++, protocol::to_envoy_request_abort{});
}

void gateway_model::handle_answer(std::uint32_t n, client& x, bool response) {
  // What ends with its instance may be sent back behind its response: by then the gateway has forgotten it.
  if (response ? x.responses + x.aborts != 0 : x.aborts != 0)
    to_.violated(
        "HTTP",
        fmt::format(
            "request {} of {}:{} was answered twice", n, x.who.actor.str(), x.who.generation));
  ++(response ? x.responses : x.aborts);
  ++(response ? tally_.answered : tally_.sent_back);
  x.gone = true;
}

void gateway_model::check_answered() const {
  for (const auto& [n, x] : clients_)
    if (x.calm && !x.socket && x.responses + x.aborts == 0)
      to_.violated(
          "I12 nothing silent",
          fmt::format(
              "request {} of {}:{} was not answered", n, x.who.actor.str(), x.who.generation));
}

// -- WebSockets -------------------------------------------------------------------

void gateway_model::open(const actor_ref& who) {
  const auto n = ++last_;
  auto& x = clients_[n];
  x.who = who;
  x.socket = true;
  x.calm = calm_;
  protocol::to_envoy_web_socket_open open;
  open.actor_id = who.actor;
  open.actor_generation = who.generation;
  open.path = text{"/"};
  send(n, 0, std::move(open));
}

// Says the next number, and in the end goes.
void gateway_model::say(std::uint32_t n) {
  time_.after(random_.between(0ms, 3s), side::engine, [this, n] {
    auto& x = clients_[n];
    if (x.gone) return;
    if (x.said >= 12) {
      x.gone = true;
      return send(n, x.next_index++, protocol::to_envoy_web_socket_close{});
    }
    const auto number = ++x.said;
    ++tally_.said;
    protocol::to_envoy_web_socket_message said;
    said.data = bytes::copy_of(std::vector<std::uint8_t>(number, 'x'));
    send(n, x.next_index++, std::move(said));
    say(n);
  });
}

// What may have been lost with its connection comes again on the next one, but for what clients would get twice.
bool gateway_model::is_new(
    std::uint64_t connection, client& x, const protocol::to_rivet_tunnel_message& what) {
  const auto& kind = what.message_kind;
  const auto [at, first] =
      x.heard.try_emplace({what.message_id.message_index, kind.index()}, connection);
  if (first) return true;
  if (std::exchange(at->second, connection) == connection)
    to_.violated("tunnel", "the host said one thing twice on one connection");
  if (std::holds_alternative<protocol::to_rivet_web_socket_message>(kind))
    to_.violated("WebSocket", "a client got one message twice");
  return false;
}

void gateway_model::handle(
    std::uint64_t connection, const protocol::to_rivet_tunnel_message& message) {
  const auto n = number(message.message_id.request_id);
  const auto at = clients_.find(n);
  if (at == clients_.end()) return to_.violated("HTTP", "an answer to what nobody asked");
  auto& x = at->second;
  if (!is_new(connection, x, message)) return;
  const auto& kind = message.message_kind;
  if (std::holds_alternative<protocol::to_rivet_response_start>(kind))
    return handle_answer(n, x, true);
  if (std::holds_alternative<protocol::to_rivet_response_abort>(kind))
    return handle_answer(n, x, false);
  if (std::holds_alternative<protocol::to_rivet_web_socket_open>(kind)) {
    if (std::exchange(x.accepted, true))
      to_.violated("WebSocket", fmt::format("{} was accepted twice", n));
    ++tally_.accepted;
    return say(n);
  }
  if (std::holds_alternative<protocol::to_rivet_web_socket_close>(kind)) {
    if (!std::exchange(x.gone, true)) ++tally_.closed_here;
  }
}

}  // namespace nuncio::simulation

// See gateway_model.hpp: WebSockets, those that hibernate among them (docs/protocol.md G.6, G.7 and M).
#include <fmt/format.h>

#include <algorithm>

#include "simulation/gateway_model.hpp"

namespace nuncio::simulation {

void gateway_model::open(const actor_ref& who) {
  const auto n = ++last_;
  auto& x = clients_[n];
  x.who = who;
  x.socket = true;
  x.calm = calm_;
  if (random_.percent(20)) x.first_index = static_cast<std::uint16_t>(65'525 + random_.below(11));
  protocol::to_envoy_web_socket_open open;
  open.actor_id = who.actor;
  open.actor_generation = who.generation;
  open.path = text{"/"};
  send(n, x.first_index, std::move(open));
}

// Says the next number, and in the end most of them go.
void gateway_model::say(std::uint32_t n) {
  const auto& asking = clients_[n];
  const auto most = asking.hibernates && random_.percent(15) ? 40s : 3s;
  time_.after(random_.between(0ms, most), side::engine, [this, n] {
    auto& x = clients_[n];
    if (x.gone || calm_) return;
    if (x.said >= 12) {
      if (x.hibernates && random_.percent(60)) return;
      x.gone = true;
      if (x.hibernates && !x.awake) return;  // it vanishes
      to_.count_socket(socket_row::client_closed, x.hibernates);
      return send(n, index_of(x, x.said + 1), protocol::to_envoy_web_socket_close{});
    }
    for (auto many = x.hibernates && random_.percent(2) ? 70 : 1; many > 0; --many) say_now(n);
    say(n);
  });
}

void gateway_model::say_now(std::uint32_t n) {
  auto& x = clients_[n];
  const auto number = ++x.said;
  ++tally_.said;
  if (index_of(x, number) == 0) to_.count_socket(socket_row::client_indexes_wrapped, x.hibernates);
  if (!x.hibernates) return send_number(n, number);
  x.unacked.push_back(number);
  check_acked_later(n, number);
  if (x.awake) return send_number(n, number);
  to_.count_socket(socket_row::said_asleep, true);
  to_.wake(x.who.actor);
}

void gateway_model::send_number(std::uint32_t n, std::uint32_t number) {
  time_.trace("gateway client {} says {}", n, number);
  protocol::to_envoy_web_socket_message said;
  said.data = bytes::copy_of(std::vector<std::uint8_t>{static_cast<std::uint8_t>(number)});
  send(n, index_of(clients_[n], number), std::move(said));
}

std::uint16_t gateway_model::index_of(const client& x, std::uint32_t number) {
  return static_cast<std::uint16_t>(x.first_index + number);
}

void gateway_model::send_unacked(std::uint32_t n, client& x, socket_row why) {
  for (const auto number : x.unacked) {
    to_.count_socket(why, true);
    send_number(n, number);
  }
}

// The engine drops a client whose messages are not acked for long, and tells nobody. In the calm time all are acked.
void gateway_model::check_acked_later(std::uint32_t n, std::uint32_t number) {
  time_.after(45s, side::engine, [this, n, number, calm = calm_] {
    auto& x = clients_[n];
    if (x.gone || x.unacked.empty() || x.unacked.front() > number) return;
    if (calm) to_.violated("WebSocket", fmt::format("client {}: {} was never acked", n, number));
    x.gone = true;
    to_.count_socket(socket_row::never_acked, true);
  });
}

// Modulo 2^16, and all up to that one.
void gateway_model::handle_ack(std::uint32_t n, client& x, std::uint16_t index) {
  if (!x.hibernates) to_.violated("ack", "one for a WebSocket that does not hibernate");
  const auto last = static_cast<std::uint16_t>(index - x.first_index);
  if (last > to_.handled(n))
    to_.violated(
        "I6 acks honest", fmt::format("client {}: {} is acked, and was not handled", n, last));
  if (x.unacked.empty() || x.unacked.front() > last)
    to_.count_socket(socket_row::acked_again, true);
  while (!x.unacked.empty() && x.unacked.front() <= last) {
    to_.count_socket(socket_row::acked, true);
    x.unacked.pop_front();
  }
}

// -- actors come and go ---------------------------------------------------------------

std::vector<protocol::hibernating_request> gateway_model::hibernating(const actor_id& of) const {
  std::vector<protocol::hibernating_request> out;
  for (const auto& [n, x] : clients_)
    if (x.hibernates && !x.gone && x.who.actor == of) {
      const auto id = exchange(n);
      out.push_back({id.gateway, id.request});
    }
  return out;
}

void gateway_model::handle_runs(const actor_ref& who) {
  for (auto& [n, x] : clients_) {
    if (!x.hibernates || x.gone || x.who.actor != who.actor) continue;
    x.who = who;
    x.awake = true;
    send_unacked(n, x, socket_row::said_to_the_next);
  }
}

void gateway_model::handle_left(const actor_id& of, place now) {
  for (auto& [n, x] : clients_) {
    if (!x.hibernates || x.gone || x.who.actor != of) continue;
    x.awake = false;
    // Another host has them, or nobody.
    if (now == place::elsewhere || now == place::destroyed) {
      x.gone = true;
      to_.count_socket(socket_row::moved_away, true);
    }
    if (!x.gone && !x.unacked.empty() && now == place::sleeping) to_.wake(of);
  }
}

void gateway_model::handle_connected() {
  if (!habits.resends) return;
  for (auto& [n, x] : clients_)
    if (x.hibernates && !x.gone && x.awake)
      send_unacked(n, x, socket_row::said_on_the_next_connection);
}

void gateway_model::handle_calm() {
  calm_ = true;
  for (auto& [n, x] : clients_)
    if (x.hibernates && !x.gone && x.said < 200) say_now(n);
}

}  // namespace nuncio::simulation

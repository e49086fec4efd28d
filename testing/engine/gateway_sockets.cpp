// Client WebSockets through the gateway (docs/protocol.md G.6, G.7).
#include <algorithm>
#include <nuncio/utf8.hpp>
#include <utility>

#include "api_error.hpp"
#include "gateway.hpp"
#include "lossy_text.hpp"
#include "random_id.hpp"

namespace nuncio::testing::engine {

namespace {

/// A larger message from a client ends its socket, as on the real engine.
constexpr std::size_t client_message_max = 32U << 20U;
/// Messages that an actor may send before it is Running again.
constexpr std::size_t early_max = 4096;

/// A message in the form that a client may see.
bytes as_shown(const bytes& x, bool binary) {
  return binary || is_utf8(x.view()) ? x : bytes{lossy_text(x.view())};
}

/// Whether `index` is at or before `upto`, modulo 2^16.
bool covered(std::uint16_t index, std::uint16_t upto) {
  return static_cast<std::uint16_t>(upto - index) < 0x8000U;
}

}  // namespace

std::vector<protocol::hibernating_request> gateway::hibernating(const actor_id& id) const {
  std::vector<protocol::hibernating_request> out;
  const auto at = by_actor_.find(id);
  if (at == by_actor_.end()) return out;
  for (const auto& key : at->second) {
    const auto& x = *exchanges_.at(key);
    if (x.socket && x.socket->opened && x.socket->hibernates && !x.socket->ended)
      out.push_back({key.gateway, key.request});
  }
  return out;
}

void gateway::advance_socket(exchange& x, bool same, millis now) {
  auto& s = *x.socket;
  if (same) {
    if (!s.hibernates || x.deadline > now) return;
    if (!s.unacked.empty() && now - s.unacked.front().sent >= limits_.socket_ack_timeout) {
      close_client(x, 1011, "guard.websocket_garbage_collected");
      finish(x);
    } else {
      set_deadline(x, now + limits_.socket_gc_interval);
    }
    return;
  }
  if (!s.hibernates) {
    tell(x, protocol::to_envoy_web_socket_close{1000, std::nullopt});
    s.client->close(1000, "actor.stopped");
    finish(x);
    return;
  }
  x.held.clear();
  x.held_bytes = 0;
  holding_.erase(x.id);
  const bool waits = !s.unacked.empty();
  x.at = waits ? stage::waiting_ready : stage::hibernating;
  set_deadline(x, waits ? now + limits_.ready_timeout : 0);
  advance(x, now);
}

void gateway::resume_socket(exchange& x, const actor_record& actor, millis now) {
  auto& s = *x.socket;
  x.at = stage::waiting_response;
  x.woken.reset();
  x.generation = actor.generation;
  x.connection = core_.host_of(actor);
  set_deadline(x, now + limits_.socket_gc_interval);
  for (auto& m : s.unacked) {
    m.sent = now;
    hold_or_send(
        x,
        {{x.id.gateway, x.id.request, m.index},
         protocol::to_envoy_web_socket_message{m.data, m.binary}},
        m.data.size());
    if (x.at == stage::done) return;
  }
  for (auto& kind : std::exchange(s.early, {})) {
    handle_socket(x, kind, now);
    if (x.at != stage::waiting_response) return;
  }
  if (s.ended) {
    tell_client_end(x, *s.ended);
    finish(x);
  }
}

// -- the client ---------------------------------------------------------------------

void gateway::client_message(exchange& x, bytes data, bool binary, millis now) {
  if (x.at == stage::done) return;
  auto& s = *x.socket;
  if (data.size() > client_message_max) {
    tell_client_end(x, {});
    close_client(x, 1011, "core.internal_error");
    finish(x);
    return;
  }
  if (!s.hibernates) {
    tell(x, protocol::to_envoy_web_socket_message{std::move(data), binary});
    wait_for_room(x);
    return;
  }
  s.unacked_bytes += data.size();
  if (s.unacked_bytes > limits_.socket_pending_bytes_max ||
      s.unacked.size() >= limits_.socket_pending_messages_max) {
    tell_client_end(x, {});
    close_client(x, 1011, "guard.websocket_pending_limit_reached");
    finish(x);
    return;
  }
  const auto index = x.out_index++;
  s.unacked.push_back({index, data, binary, now});
  if (x.at == stage::waiting_response) {
    const auto size = data.size();
    hold_or_send(
        x,
        {{x.id.gateway, x.id.request, index},
         protocol::to_envoy_web_socket_message{std::move(data), binary}},
        size);
    wait_for_room(x);
  } else if (x.at == stage::hibernating) {
    x.at = stage::waiting_ready;
    set_deadline(x, now + limits_.ready_timeout);
    advance(x, now);
  }
}

void gateway::wait_for_room(exchange& x) {
  if (x.at == stage::done || has_room(x.connection)) return;
  x.crowded_until = flow_(x.connection)->sent;
  x.socket->client->set_reading(false);
  crowded_.insert(x.id);
}

void gateway::client_closed(exchange& x, client_end end, millis now) {
  if (x.at == stage::done) return;
  auto& s = *x.socket;
  if (s.opened && x.at == stage::waiting_response) {
    tell_client_end(x, end);
    finish(x);
  } else if (x.at != stage::hibernating) {
    s.ended = std::move(end);
  } else if (!end.code) {
    finish(x);
  } else {
    // The close is a client frame and wakes the actor, which finds a new open instead of a restored pair.
    s.ended = std::move(end);
    s.opened = false;
    x.attempts = 0;
    x.failures = 0;
    x.at = stage::waiting_ready;
    set_deadline(x, now + limits_.ready_timeout);
    advance(x, now);
  }
}

void gateway::tell_client_end(exchange& x, const client_end& end) {
  protocol::to_envoy_web_socket_close close{1011, text{"ws.downstream_closed"}};
  if (end.code && *end.code == 1005) {
    close = {1000, std::nullopt};
  } else if (end.code) {
    close = {*end.code, text{end.reason}};
  }
  tell(x, std::move(close));
}

void gateway::close_client(exchange& x, std::uint16_t code, std::string_view reason) {
  x.socket->client->close(code, std::string{reason} + "#" + random_id(random_));
}

// -- the actor ----------------------------------------------------------------------

void gateway::handle_socket(
    exchange& x, const protocol::to_rivet_tunnel_message_kind& kind, millis now) {
  auto& s = *x.socket;
  if (const auto* open = std::get_if<protocol::to_rivet_web_socket_open>(&kind)) {
    // Only the first counts: a restored socket is not opened again.
    if (!s.opened) on_socket_open(x, open->can_hibernate, now);
  } else if (const auto* ack = std::get_if<protocol::to_rivet_web_socket_message_ack>(&kind)) {
    on_socket_ack(x, ack->index);
  } else if (x.at == stage::waiting_ready || x.at == stage::backing_off) {
    if (s.early.size() < early_max) s.early.push_back(kind);
  } else if (const auto* m = std::get_if<protocol::to_rivet_web_socket_message>(&kind)) {
    if (s.opened) s.client->send(as_shown(m->data, m->binary), m->binary);
  } else if (const auto* close = std::get_if<protocol::to_rivet_web_socket_close>(&kind)) {
    on_socket_close(x, *close, now);
  }
}

void gateway::on_socket_open(exchange& x, bool hibernates, millis now) {
  auto& s = *x.socket;
  s.opened = true;
  s.hibernates = hibernates;
  set_deadline(x, hibernates ? now + limits_.socket_gc_interval : 0);
  if (s.ended) {
    tell_client_end(x, *s.ended);
    finish(x);
  } else {
    s.client->set_reading(true);
  }
}

void gateway::on_socket_close(
    exchange& x, const protocol::to_rivet_web_socket_close& close, millis now) {
  auto& s = *x.socket;
  if (!s.opened) {
    s.refused = true;
    attempt_failed(x, now);
    return;
  }
  if (x.at == stage::hibernating) return;  // no effect (measured)
  if (close.hibernate && s.hibernates) {
    // The actor is still assigned: it is resumed at once, or woken if it was about to sleep.
    x.at = stage::waiting_ready;
    set_deadline(x, now + limits_.ready_timeout);
    advance(x, now);
    return;
  }
  tell(x, protocol::to_envoy_web_socket_close{1000, std::nullopt});
  if (close.code) {
    s.client->close(*close.code, close.reason ? close.reason->str() : std::string{});
  } else {
    s.client->close(1000, "ws.closed");
  }
  finish(x);
}

void gateway::on_socket_ack(exchange& x, std::uint16_t index) {
  auto& s = *x.socket;
  while (!s.unacked.empty() && covered(s.unacked.front().index, index)) {
    s.unacked_bytes -= s.unacked.front().data.size();
    s.unacked.pop_front();
  }
}

}  // namespace nuncio::testing::engine

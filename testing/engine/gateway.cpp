// The course of one exchange, from the client's request to its end.
#include "gateway.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "api_error.hpp"
#include "random_id.hpp"

namespace nuncio::testing::engine {

namespace {

http_reply not_ready() {
  return gateway_error(503, "guard", "actor_ready_timeout", "The actor was not ready in time.");
}

fixed4 random_word(std::mt19937_64& random) {
  fixed4 out;
  const auto word = random();
  for (unsigned i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(word >> (8 * i));
  return out;
}

}  // namespace

gateway::gateway(
    engine_core& core,
    engine_limits limits,
    bool streaming,
    std::uint64_t seed,
    send_function send,
    flow_function flow,
    clock_function clock)
    : core_(core),
      limits_(limits),
      streaming_(streaming),
      random_(seed),
      send_(std::move(send)),
      flow_(std::move(flow)),
      clock_(std::move(clock)) {
  id_.value = random_word(random_);
}

gateway::~gateway() {
  // The callbacks hold exchanges weakly, but point to this object.
  for (auto& [id, x] : exchanges_) {
    if (x->responder) x->responder->on_gone = nullptr, x->responder->on_drained = nullptr;
    if (x->socket) x->socket->client->on_message = nullptr, x->socket->client->on_close = nullptr;
  }
}

wire::map_of<text, text> gateway::headers_for_actor(
    const http_request& request, const std::string& ray) {
  wire::map_of<text, text> out;
  for (const auto& h : request.headers) {
    const bool ascii = std::all_of(h.value.begin(), h.value.end(), [](char c) { return c >= 0; });
    if (ascii && h.name != "x-rivet-ray-id") out.entries.emplace_back(h.name, h.value);
  }
  out.entries.emplace_back(text{"x-rivet-ray-id"}, text{ray});
  return out;
}

// -- a new exchange ---------------------------------------------------------------

gateway::exchange_ptr gateway::enter(http_request request, route where, millis now) {
  auto x = std::make_shared<exchange>();
  do x->id = {id_, request_id{random_word(random_)}};
  while (exchanges_.contains(x->id));
  x->actor = where.actor;
  x->path = std::move(where.path);
  x->request = std::move(request);
  exchanges_[x->id] = x;
  by_actor_[x->actor].insert(x->id);
  set_deadline(*x, now + limits_.ready_timeout);
  return x;
}

void gateway::request(http_request request, std::shared_ptr<http_responder> responder, millis now) {
  if (request.method == "OPTIONS") {
    responder->answer(
        {204,
         {{"access-control-allow-origin", "*"},
          {"access-control-allow-methods", "*"},
          {"access-control-allow-headers", "*"}},
         ""});
    return;
  }
  ++counters_.requests;
  auto where = resolve(request.target, now);
  if (std::max<std::uint64_t>(request.body.size(), request.announced_length().value_or(0)) >
      limits_.request_bytes_max)
    where.refused = invalid_body(body_too_long);
  if (where.refused) {
    ++counters_.failed;
    responder->answer(std::move(*where.refused));
    return;
  }
  const auto whole = !request.body_follows;
  auto x = enter(std::move(request), std::move(where), now);
  x->whole = whole;
  x->responder = std::move(responder);
  x->responder->on_body = [this, weak = std::weak_ptr{x}](std::string_view part, bool last) {
    if (const auto live = weak.lock(); live && live->at != stage::done)
      client_body(*live, part, last, clock_());
  };
  x->responder->on_broken_body = [this, weak = std::weak_ptr{x}] {
    if (const auto live = weak.lock(); live && live->at != stage::done)
      end_upload(*live, internal_error());
  };
  x->responder->on_gone = [this, weak = std::weak_ptr{x}] {
    const auto gone = weak.lock();
    // The buffered gateway goes on: the envoy is not told (G.1).
    if (!gone || (gone->whole && !gone->streams) || gone->at == stage::done) return;
    abort_request(
        *gone,
        protocol::http_stream_abort_reason_kind::cancelled,
        gone->whole ? "client disconnected" : body_broken);
    finish(*gone);
  };
  advance(*x, now);
}

void gateway::socket(http_request request, std::shared_ptr<web_socket> socket, millis now) {
  ++counters_.sockets;
  auto where = resolve(request.target, now);
  if (where.refused) {
    const auto* name = [&]() -> const std::string* {
      for (const auto& h : where.refused->headers)
        if (h.name == "x-rivet-error") return &h.value;
      return nullptr;
    }();
    socket->close(
        1011, (name != nullptr ? *name : "core.internal_error") + "#" + random_id(random_));
    return;
  }
  auto x = enter(std::move(request), std::move(where), now);
  x->socket = socket_part{};
  x->socket->client = socket;
  // Nothing is read from the client before the actor has accepted, not even its leaving.
  socket->set_reading(false);
  socket->on_message = [this, weak = std::weak_ptr{x}](bytes data, bool binary) {
    if (const auto live = weak.lock()) client_message(*live, std::move(data), binary, clock_());
  };
  socket->on_close = [this, weak = std::weak_ptr{x}](
                         std::optional<std::uint16_t> code, std::string reason) {
    if (const auto live = weak.lock()) client_closed(*live, {code, std::move(reason)}, clock_());
  };
  advance(*x, now);
}

// -- time and actors ----------------------------------------------------------------

void gateway::actor_changed(const actor_id& id, millis now) {
  const auto at = by_actor_.find(id);
  if (at == by_actor_.end()) return;
  std::vector<exchange_ptr> concerned;
  for (const auto& x : at->second) concerned.push_back(exchanges_.at(x));
  for (const auto& x : concerned) advance(*x, now);
}

bool gateway::has_room(connection_id connection) const {
  const auto f = flow_(connection);
  return !f || f->sent - f->taken <= limits_.envoy_unsent_max;
}

void gateway::resume_crowded(millis now) {
  // In turns; otherwise those with the lowest ids would take all the room.
  std::vector<exchange_id> waited{crowded_.upper_bound(crowded_last_), crowded_.end()};
  waited.insert(waited.end(), crowded_.begin(), crowded_.upper_bound(crowded_last_));
  crowded_.clear();
  for (const auto& id : waited) {
    const auto at = exchanges_.find(id);
    if (at == exchanges_.end()) continue;  // an earlier one has ended it
    const auto x = at->second;
    if (has_room(x->connection)) crowded_last_ = id;
    if (!x->socket && (x->at == stage::waiting_response || x->at == stage::streaming)) {
      send_body(*x);
    } else if (!x->socket) {
      advance(*x, now);
    } else if (const auto f = flow_(x->connection); f && f->taken < x->crowded_until) {
      crowded_.insert(id);
    } else {
      x->socket->client->set_reading(true);
    }
  }
}

void gateway::tick(millis now) {
  resume_crowded(now);
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto x = exchanges_.at(timers_.begin()->second);
    const auto due = x->deadline;
    advance(*x, now);
    // An exchange that neither ended nor set a new time is checked again with the next tick.
    if (x->at != stage::done && x->deadline == due) set_deadline(*x, now + 1);
  }
}

void gateway::set_deadline(exchange& x, millis deadline) {
  if (x.deadline != 0) timers_.erase({x.deadline, x.id});
  x.deadline = deadline;
  if (deadline != 0) timers_.insert({deadline, x.id});
}

void gateway::advance(exchange& x, millis now) {
  if (x.at == stage::done) return;
  const auto* a = core_.find(x.actor);
  const bool gone = a == nullptr || a->phase == actor_phase::destroyed;
  if (x.at == stage::waiting_response || x.at == stage::streaming) {
    const bool same = !gone && a->generation == x.generation && a->phase != actor_phase::sleeping &&
                      a->phase != actor_phase::allocating;
    advance_sent(x, same, now);
    return;
  }
  if (x.at == stage::hibernating) {
    if (!gone && a->phase == actor_phase::running) resume_socket(x, *a, now);
    return;
  }
  if (x.at == stage::backing_off) {
    if (x.deadline > now) return;
    // A WebSocket's open is tried once more often than a request (measured).
    if (x.attempts >= limits_.attempts_max + (x.socket ? 1 : 0)) {
      give_up(x);
      return;
    }
    x.at = stage::waiting_ready;
    set_deadline(x, now + limits_.ready_timeout);
  }
  if (gone) {
    refuse(x, actor_not_found());
  } else if (a->phase == actor_phase::running) {
    if (x.socket && x.socket->opened) {
      resume_socket(x, *a, now);
    } else if (!x.whole && !would_stream(*a)) {
      collect_body(x);
      if (!x.collects && x.deadline <= now) refuse(x, not_ready());
    } else if (const auto connection = core_.host_of(*a);
               x.request.body.size() > limits_.chunk_bytes && !has_room(connection)) {
      crowded_.insert(x.id);
      if (x.deadline <= now) refuse(x, not_ready());
    } else if (connection != 0) {
      attempt(x, *a, connection, now);
    } else {
      attempt_failed(x, now);
    }
  } else if (x.deadline <= now) {
    refuse(x, not_ready());
  } else {
    wake(x, *a, now);
  }
}

void gateway::wake(exchange& x, const actor_record& actor, millis now) {
  const bool starting = actor.phase == actor_phase::starting;
  if (!x.woken) x.woken = {actor.generation - (starting ? 1 : 0), 0};
  const auto stopped = static_cast<int>(actor.generation - x.woken->before) - (starting ? 1 : 0);
  if (std::exchange(x.woken->stopped, stopped) != stopped)
    set_deadline(x, now + limits_.ready_timeout);  // for each anew
  if (stopped > limits_.wake_retries_max)
    refuse(
        x,
        gateway_error(
            503,
            "guard",
            "actor_wake_retries_exceeded",
            "Actor " + x.actor.str() + " stopped before becoming ready after " +
                std::to_string(limits_.wake_retries_max) +
                " wake retries: actor_stopped_before_ready.",
            {{"actor_id", x.actor.str()},
             {"reason", "actor_stopped_before_ready"},
             {"wake_retries", limits_.wake_retries_max}}));
  else
    core_.wake(x.actor, now);
}

void gateway::advance_sent(exchange& x, bool same, millis now) {
  if (x.socket && x.socket->opened) {
    advance_socket(x, same, now);
  } else if (x.at == stage::streaming) {
    if (same) return;
    if (x.responder) x.responder->cut();
    finish(x);
  } else if (!same && x.streams) {
    // Its body is not kept, so it can't be sent again.
    abort_request(
        x, protocol::http_stream_abort_reason_kind::internal_error, stopped_before_completion);
    refuse(
        x,
        gateway_error(
            503,
            "guard",
            "actor_stopped_while_waiting",
            "The actor stopped while the request waited for its response."));
  } else if (!same) {
    attempt_failed(x, now);
  } else if (x.deadline > now) {
    return;
  } else if (x.socket) {
    attempt_failed(x, now);
  } else {
    refuse(
        x,
        gateway_error(
            504, "guard", "gateway_response_start_timeout", "The actor did not answer in time."));
  }
}

void gateway::attempt(
    exchange& x, const actor_record& actor, connection_id connection, millis now) {
  ++x.attempts;
  x.woken.reset();
  x.connection = connection;
  x.generation = actor.generation;
  x.out_index = 0;
  x.in_index = 0;
  x.held.clear();
  x.held_bytes = 0;
  holding_.erase(x.id);
  x.at = stage::waiting_response;
  if (!x.socket) {
    start_request(x, actor, now);
    return;
  }
  set_deadline(x, now + limits_.socket_open_timeout);
  x.socket->refused = false;
  protocol::to_envoy_web_socket_open open;
  open.actor_id = x.actor;
  open.path = x.path;
  open.headers = headers_for_actor(x.request, random_id(random_));
  if (!send_now(x, message_of(x, std::move(open)))) attempt_failed(x, now);
}

void gateway::attempt_failed(exchange& x, millis now) {
  ++x.failures;
  if (x.failures > limits_.attempts_max) {
    give_up(x);
    return;
  }
  x.at = stage::backing_off;
  set_deadline(x, now + (limits_.retry_first << std::min(x.failures - 1, 20)));
}

void gateway::give_up(exchange& x) {
  if (x.socket) {
    ++counters_.failed;
    close_client(
        x,
        1011,
        x.socket->refused ? "guard.websocket_closed_before_open" : "guard.websocket_open_timeout");
    finish(x);
    return;
  }
  refuse(
      x,
      gateway_error(
          502, "guard", "retry_attempts_exceeded", "Every attempt to reach the actor failed."));
}

void gateway::refuse(exchange& x, http_reply reply) {
  ++counters_.failed;
  if (x.socket) {
    std::string why = "core.internal_error";
    for (const auto& h : reply.headers)
      if (h.name == "x-rivet-error") why = h.value;
    close_client(x, 1011, why);
  }
  if (x.responder) x.responder->answer(std::move(reply));
  finish(x);
}

void gateway::finish(exchange& x) {
  x.at = stage::done;
  set_deadline(x, 0);
  holding_.erase(x.id);
  crowded_.erase(x.id);
  body_bytes_ -= std::exchange(x.body_kept, 0);
  const auto keep = exchanges_.find(x.id);
  if (keep == exchanges_.end()) return;
  // The exchange must not be destroyed while it is in use.
  const auto alive = keep->second;
  exchanges_.erase(keep);
  const auto siblings = by_actor_.find(x.actor);
  siblings->second.erase(x.id);
  if (siblings->second.empty()) by_actor_.erase(siblings);
  if (alive->responder) alive->responder->on_drained = nullptr;
  collected_.give_back(&x);
}

// -- to and from envoys -------------------------------------------------------------

protocol::to_envoy_tunnel_message gateway::message_of(
    exchange& x, protocol::to_envoy_tunnel_message_kind kind) {
  return {{x.id.gateway, x.id.request, x.out_index++}, std::move(kind)};
}

bool gateway::send_now(exchange& x, const protocol::to_envoy_tunnel_message& message) {
  // An exchange continues over its envoy's next connection (C.5).
  if (const auto* a = core_.find(x.actor); a != nullptr && a->generation == x.generation)
    if (const auto current = core_.host_of(*a); current != 0) x.connection = current;
  return send_(x.connection, message);
}

void gateway::tell(exchange& x, protocol::to_envoy_tunnel_message_kind kind) {
  std::uint64_t size = 64;
  if (const auto* message = std::get_if<protocol::to_envoy_web_socket_message>(&kind))
    size += message->data.size();
  if (const auto* chunk = std::get_if<protocol::to_envoy_request_chunk>(&kind))
    size += chunk->body.size();
  hold_or_send(x, message_of(x, std::move(kind)), size);
}

void gateway::hold_or_send(
    exchange& x, protocol::to_envoy_tunnel_message message, std::uint64_t size) {
  if (x.held.empty() && send_now(x, message)) return;
  x.held_bytes += size;
  if (x.held_bytes > limits_.socket_pending_bytes_max) {
    if (x.socket) {
      close_client(x, 1011, "guard.websocket_pending_limit_reached");
    } else if (x.responder) {
      x.responder->cut();
    }
    finish(x);
    return;
  }
  x.held.push_back(std::move(message));
  holding_.insert(x.id);
}

void gateway::envoy_connected() {
  for (auto at = holding_.begin(); at != holding_.end();) {
    auto& x = *exchanges_.at(*at);
    while (!x.held.empty() && send_now(x, x.held.front())) x.held.pop_front();
    if (x.held.empty()) x.held_bytes = 0;
    at = x.held.empty() ? holding_.erase(at) : std::next(at);
  }
}

void gateway::handle(const protocol::to_rivet_tunnel_message& message, millis now) {
  const auto at = exchanges_.find({message.message_id.gateway_id, message.message_id.request_id});
  if (at == exchanges_.end()) return;
  const auto x = at->second;
  const bool sent = x->at == stage::waiting_response || x->at == stage::streaming;
  if (x->socket && (sent || x->socket->opened)) {
    handle_socket(*x, message.message_kind, now);
  } else if (!x->socket && sent) {
    handle_http(*x, message, now);
  }
}

}  // namespace nuncio::testing::engine

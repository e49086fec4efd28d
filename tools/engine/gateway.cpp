// One exchange from the client's request to its end.
#include "gateway.hpp"

#include <algorithm>
#include <utility>

#include "api_error.hpp"
#include "random_id.hpp"

namespace nuncio::engine {

namespace {

using abort_kind = protocol::http_stream_abort_reason_kind;

fixed4 random_word(std::mt19937_64& random) {
  fixed4 out;
  const auto word = random();
  for (unsigned i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(word >> (8 * i));
  return out;
}

wire::map_of<text, text> headers_for_actor(const http_request& request, const std::string& ray) {
  wire::map_of<text, text> out;
  for (const auto& h : request.headers) {
    const bool ascii = std::all_of(h.value.begin(), h.value.end(), [](char c) { return c >= 0; });
    if (ascii && h.name != "x-rivet-ray-id") out.entries.emplace_back(h.name, h.value);
  }
  out.entries.emplace_back(text{"x-rivet-ray-id"}, text{ray});
  return out;
}

bool valid_header(std::string_view name, std::string_view value) {
  const auto bad_name = [](char c) { return c <= ' ' || c == ':' || c >= 0x7f || c < 0; };
  const auto bad_value = [](char c) { return c == '\r' || c == '\n' || c == '\0'; };
  return !name.empty() && std::none_of(name.begin(), name.end(), bad_name) &&
         std::none_of(value.begin(), value.end(), bad_value);
}

}  // namespace

gateway::gateway(
    engine_core& core, engine_limits limits, bool streaming, std::uint64_t seed, send_function send)
    : core_(core), limits_(limits), streaming_(streaming), random_(seed), send_(std::move(send)) {
  id_.value = random_word(random_);
}

gateway::~gateway() {
  // The callbacks hold exchanges weakly, but point at this object.
  for (auto& [id, x] : exchanges_) {
    if (x->responder) x->responder->on_gone = nullptr, x->responder->on_drained = nullptr;
    if (x->socket) x->socket->on_message = nullptr, x->socket->on_close = nullptr;
  }
}

// -- a new exchange ---------------------------------------------------------------

gateway::exchange_ptr gateway::enter(http_request request, route where, millis now) {
  auto x = std::make_shared<exchange>();
  x->id = {id_, request_id{random_word(random_)}};
  x->actor = where.actor;
  x->path = std::move(where.path);
  x->request = std::move(request);
  x->deadline = now + limits_.ready_timeout;
  exchanges_[x->id] = x;
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
  if (request.body_too_large || request.body.size() > limits_.request_bytes_max) {
    where.refused =
        gateway_error(413, "guard", "invalid_request_body", "The request body is too large.");
  }
  if (where.refused) {
    ++counters_.failed;
    responder->answer(std::move(*where.refused));
    return;
  }
  auto x = enter(std::move(request), std::move(where), now);
  x->responder = std::move(responder);
  x->responder->on_gone = [this, weak = std::weak_ptr{x}] {
    const auto gone = weak.lock();
    // The buffered gateway goes on: the envoy is not told (G.1).
    if (!gone || !gone->streams || gone->at == stage::done) return;
    abort_request(*gone, abort_kind::cancelled, "client disconnected");
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
  x->socket = std::move(socket);
  x->socket->on_message = [this, weak = std::weak_ptr{x}](bytes data, bool binary) {
    if (const auto live = weak.lock()) client_message(*live, std::move(data), binary);
  };
  x->socket->on_close = [this, weak = std::weak_ptr{x}](
                            std::optional<std::uint16_t> code, std::string reason) {
    if (const auto live = weak.lock()) client_closed(*live, code, reason);
  };
  advance(*x, now);
}

// -- time and actors ----------------------------------------------------------------

void gateway::actor_changed(const actor_id& id, millis now) {
  std::vector<exchange_ptr> concerned;
  for (const auto& [key, x] : exchanges_)
    if (x->actor == id) concerned.push_back(x);
  for (const auto& x : concerned) advance(*x, now);
}

void gateway::tick(millis now) {
  std::vector<exchange_ptr> due;
  for (const auto& [key, x] : exchanges_)
    if (x->deadline != 0 && x->deadline <= now) due.push_back(x);
  for (const auto& x : due) advance(*x, now);
}

void gateway::advance(exchange& x, millis now) {
  if (x.at == stage::done) return;
  const auto* a = core_.find(x.actor);
  const bool gone = a == nullptr || a->phase == actor_phase::destroyed;
  const bool sent = x.at == stage::waiting_response || x.at == stage::streaming;
  if (sent) {
    const bool same = !gone && a->generation == x.generation && a->phase != actor_phase::sleeping &&
                      a->phase != actor_phase::allocating;
    if (x.socket && x.opened) {
      if (same) return;
      tell(x, protocol::to_envoy_web_socket_close{1000, std::nullopt});
      x.socket->close(1000, "actor.stopped#" + random_id(random_));
      finish(x);
    } else if (x.at == stage::streaming) {
      if (same) return;
      if (x.responder) x.responder->cut();
      finish(x);
    } else if (!same) {
      attempt_failed(x, now);
    } else if (x.deadline <= now) {
      if (x.socket) {
        attempt_failed(x, now);
      } else {
        refuse(
            x,
            gateway_error(
                504,
                "guard",
                "gateway_response_start_timeout",
                "The actor did not answer in time."));
      }
    }
    return;
  }
  if (x.at == stage::backing_off) {
    if (x.deadline > now) return;
    if (x.attempts >= limits_.attempts_max) {
      give_up(x);
      return;
    }
    x.at = stage::waiting_ready;
    x.deadline = now + limits_.ready_timeout;
  }
  if (gone) {
    refuse(x, actor_not_found());
  } else if (a->phase == actor_phase::running) {
    const auto connection = core_.host_of(*a);
    if (connection == 0) {
      attempt_failed(x, now);
    } else {
      attempt(x, *a, connection, now);
    }
  } else if (x.deadline <= now) {
    refuse(
        x, gateway_error(503, "guard", "actor_ready_timeout", "The actor was not ready in time."));
  } else {
    core_.wake(x.actor, now);
  }
}

void gateway::attempt(
    exchange& x, const actor_record& actor, connection_id connection, millis now) {
  ++x.attempts;
  x.connection = connection;
  x.generation = actor.generation;
  x.out_index = 0;
  x.in_index = 0;
  x.at = stage::waiting_response;
  const auto headers = headers_for_actor(x.request, random_id(random_));
  if (x.socket) {
    x.deadline = now + limits_.socket_open_timeout;
    protocol::to_envoy_web_socket_open open;
    open.actor_id = x.actor;
    open.path = x.path;
    open.headers = headers;
    if (!tell(x, std::move(open))) attempt_failed(x, now);
    return;
  }
  ++counters_.attempts;
  if (x.attempts > 1) ++counters_.retries;
  x.deadline = now + limits_.response_timeout;
  const auto envoy = core_.state().envoys.find(actor.envoy);
  x.streams =
      streaming_ && envoy != core_.state().envoys.end() && envoy->second.protocol_version >= 8;
  protocol::to_envoy_request_start start;
  start.actor_id = x.actor;
  start.method = x.request.method;
  start.path = x.path;
  start.headers = headers;
  if (x.streams) {
    start.actor_generation = actor.generation;
    start.stream = !x.request.body.empty();
    start.response_stream = true;
  } else if (!x.request.body.empty()) {
    start.body = bytes{std::string_view{x.request.body}};
  }
  x.body_sent = 0;
  x.body_credited = 0;
  x.body_done = !start.stream;
  x.response_bytes = 0;
  x.response_drained = 0;
  if (!tell(x, std::move(start))) {
    attempt_failed(x, now);
    return;
  }
  send_body(x);
}

void gateway::attempt_failed(exchange& x, millis now) {
  ++x.failures;
  if (x.failures > limits_.attempts_max) {
    give_up(x);
    return;
  }
  x.at = stage::backing_off;
  x.deadline = now + (limits_.retry_first << std::min(x.failures - 1, 20));
}

void gateway::give_up(exchange& x) {
  refuse(
      x,
      gateway_error(
          502, "guard", "retry_attempts_exceeded", "Every attempt to reach the actor failed."));
}

void gateway::refuse(exchange& x, http_reply reply) {
  ++counters_.failed;
  if (x.responder) x.responder->answer(std::move(reply));
  if (x.socket) {
    std::string why = "core.internal_error";
    for (const auto& h : reply.headers)
      if (h.name == "x-rivet-error") why = h.value;
    x.socket->close(1011, why + "#" + random_id(random_));
  }
  finish(x);
}

void gateway::finish(exchange& x) {
  x.at = stage::done;
  const auto keep = exchanges_.find(x.id);
  if (keep != exchanges_.end()) {
    // Whoever runs on this exchange now must not lose it under its feet.
    const auto alive = keep->second;
    exchanges_.erase(keep);
    if (alive->responder) alive->responder->on_drained = nullptr;
    x.deadline = 0;
  }
}

bool gateway::tell(exchange& x, protocol::to_envoy_tunnel_message_kind kind) {
  auto connection = x.connection;
  // An exchange goes on over its envoy's next connection (C.5).
  if (const auto* a = core_.find(x.actor); a != nullptr && a->generation == x.generation)
    if (const auto current = core_.host_of(*a); current != 0) connection = current;
  x.connection = connection;
  return send_(connection, {{x.id.gateway, x.id.request, x.out_index++}, std::move(kind)});
}

// -- HTTP ---------------------------------------------------------------------------

void gateway::send_body(exchange& x) {
  if (!x.streams) return;
  const auto& body = x.request.body;
  while (!x.body_done && x.body_sent < body.size()) {
    const auto room = x.body_credited + limits_.window_bytes - x.body_sent;
    const auto n = std::min({room, limits_.chunk_bytes, body.size() - x.body_sent});
    if (n == 0) return;
    tell(
        x,
        protocol::to_envoy_request_chunk{
            bytes{std::string_view{body}.substr(x.body_sent, n)}, false});
    x.body_sent += n;
  }
  if (x.body_done) return;
  x.body_done = true;
  tell(x, protocol::to_envoy_request_chunk{{}, true});
}

void gateway::abort_request(exchange& x, abort_kind kind, std::string_view detail) {
  if (!x.streams || x.at == stage::waiting_ready || x.at == stage::backing_off) return;
  tell(x, protocol::to_envoy_request_abort{x.actor, x.generation, {kind, text{detail}}});
}

void gateway::handle(const protocol::to_rivet_tunnel_message& message, millis now) {
  const auto at = exchanges_.find({message.message_id.gateway_id, message.message_id.request_id});
  if (at == exchanges_.end()) return;
  const auto x = at->second;
  if (x->at != stage::waiting_response && x->at != stage::streaming) return;
  if (x->socket) {
    handle_socket(*x, message, now);
  } else {
    handle_http(*x, message, now);
  }
}

void gateway::handle_http(
    exchange& x, const protocol::to_rivet_tunnel_message& message, millis now) {
  if (x.streams) {
    if (message.message_id.message_index != x.in_index) {
      abort_request(x, abort_kind::internal_error, "message index out of order");
      if (x.at == stage::streaming) {
        x.responder->cut();
        finish(x);
      } else {
        refuse(x, internal_error());
      }
      return;
    }
    ++x.in_index;
  }
  const auto& kind = message.message_kind;
  if (const auto* start = std::get_if<protocol::to_rivet_response_start>(&kind)) {
    if (x.at == stage::waiting_response) on_response_start(x, *start, now);
  } else if (const auto* chunk = std::get_if<protocol::to_rivet_response_chunk>(&kind)) {
    if (x.streams) on_response_chunk(x, *chunk);
  } else if (std::holds_alternative<protocol::to_rivet_response_abort>(kind)) {
    if (x.at == stage::streaming) {
      x.responder->cut();
      finish(x);
    } else if (x.streams) {
      refuse(
          x,
          gateway_error(503, "guard", "tunnel_request_aborted", "The actor aborted the request."));
    } else {
      attempt_failed(x, now);
    }
  } else if (
      const auto* credit = std::get_if<protocol::to_rivet_request_body_window_update>(&kind)) {
    x.body_credited = std::min(std::max(x.body_credited, credit->consumed_bytes), x.body_sent);
    send_body(x);
  } else if (std::holds_alternative<protocol::to_rivet_request_body_cancel>(kind)) {
    x.body_done = true;
  }
}

void gateway::on_response_start(
    exchange& x, const protocol::to_rivet_response_start& start, millis now) {
  if (start.body && start.body->size() > limits_.response_bytes_max) {
    attempt_failed(x, now);
    return;
  }
  http_reply reply;
  reply.status = start.status;
  bool valid = start.status >= 100 && start.status <= 999;
  for (const auto& [name, value] : start.headers.entries) {
    valid = valid && valid_header(name, value);
    const std::string_view n = name;
    if (n == "content-length" || n == "transfer-encoding" || n == "connection") continue;
    reply.headers.push_back({name.str(), value.str()});
  }
  if (!valid) {
    abort_request(x, abort_kind::internal_error, "invalid response head");
    refuse(x, internal_error());
    return;
  }
  reply.headers.push_back({"x-rivet-ray-id", random_id(random_)});
  reply.headers.push_back({"access-control-allow-origin", "*"});
  if (start.body) reply.body = std::string{start.body->view()};
  ++counters_.responses;
  if (!x.streams || !start.stream) {
    x.responder->answer(std::move(reply));
    finish(x);
    return;
  }
  x.at = stage::streaming;
  x.deadline = 0;
  x.response_bytes = reply.body.size();
  const auto at = exchanges_.find(x.id);
  x.responder->on_drained = [this, weak = std::weak_ptr{at->second}](std::uint64_t total) {
    const auto live = weak.lock();
    if (!live || live->at == stage::done) return;
    live->response_drained = total;
    tell(*live, protocol::to_envoy_response_body_window_update{total});
  };
  x.responder->begin(std::move(reply));
}

void gateway::on_response_chunk(exchange& x, const protocol::to_rivet_response_chunk& chunk) {
  if (x.at != stage::streaming) {
    abort_request(x, abort_kind::internal_error, "chunk before the response");
    refuse(x, internal_error());
    return;
  }
  x.response_bytes += chunk.body.size();
  if (x.response_bytes - x.response_drained > limits_.window_bytes) {
    abort_request(x, abort_kind::internal_error, "envoy exceeded the HTTP response body window");
    x.responder->cut();
    finish(x);
    return;
  }
  x.responder->chunk(chunk.body.view());
  if (!chunk.finish) return;
  x.responder->end();
  finish(x);
}

}  // namespace nuncio::engine

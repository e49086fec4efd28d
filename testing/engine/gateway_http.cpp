// Client HTTP through the gateway: bodies by credit, responses whole or in parts.
#include <algorithm>
#include <cstdlib>
#include <utility>

#include "api_error.hpp"
#include "gateway.hpp"
#include "random_id.hpp"

namespace nuncio::testing::engine {

using abort_kind = protocol::http_stream_abort_reason_kind;

namespace {

bool valid_header(std::string_view name, std::string_view value) {
  const auto bad_name = [](char c) { return c <= ' ' || c == ':' || c >= 0x7f || c < 0; };
  const auto bad_value = [](char c) { return c == '\r' || c == '\n' || c == '\0'; };
  return !name.empty() && std::none_of(name.begin(), name.end(), bad_name) &&
         std::none_of(value.begin(), value.end(), bad_value);
}

}  // namespace

bool gateway::would_stream(const actor_record& actor) const {
  const auto envoy = core_.state().envoys.find(actor.envoy);
  return streaming_ && envoy != core_.state().envoys.end() && envoy->second.protocol_version >= 8;
}

void gateway::start_request(exchange& x, const actor_record& actor, millis now) {
  ++counters_.attempts;
  if (x.attempts > 1) ++counters_.retries;
  set_deadline(x, now + limits_.response_timeout);
  x.streams = would_stream(actor);
  protocol::to_envoy_request_start start;
  start.actor_id = x.actor;
  start.method = x.request.method;
  start.path = x.path;
  start.headers = headers_for_actor(x.request, random_id(random_));
  if (x.streams) {
    start.actor_generation = actor.generation;
    start.stream = !x.whole || !x.request.body.empty();
    start.response_stream = true;
  } else if (!x.request.body.empty()) {
    start.body = bytes{std::string_view{x.request.body}};
  }
  x.body_sent = 0;
  x.body_credited = 0;
  x.body_done = !start.stream;
  x.response_bytes = 0;
  x.response_drained = 0;
  if (send_now(x, message_of(x, std::move(start)))) {
    send_body(x);
  } else {
    attempt_failed(x, now);
  }
}

// Sent parts are not kept: on the real engine, too, a request that was begun in parts is not sent again.
void gateway::send_body(exchange& x) {
  if (!x.streams) return;
  auto& body = x.request.body;
  std::size_t sent = 0;
  while (!x.body_done && sent < body.size()) {
    const auto room = x.body_credited + limits_.window_bytes - x.body_sent;
    const auto n = std::min({room, limits_.chunk_bytes, body.size() - sent});
    if (n == 0) break;
    if (!has_room(x.connection)) {
      crowded_.insert(x.id);
      break;
    }
    tell(x, protocol::to_envoy_request_chunk{bytes{std::string_view{body}.substr(sent, n)}, false});
    if (x.at == stage::done) return;
    sent += n;
    x.body_sent += n;
  }
  if (x.body_done)
    body.clear();
  else
    body.erase(0, sent);
  count_body(x);
  if (!x.body_done && x.whole && body.empty()) {
    x.body_done = true;
    tell(x, protocol::to_envoy_request_chunk{{}, true});
  }
  // While nothing is taken, nothing is read.
  if (x.at != stage::done) x.responder->set_reading(body.empty());
}

void gateway::client_body(exchange& x, std::string_view part, bool last, millis now) {
  x.request.body += part;
  x.body_got += part.size();
  count_body(x);
  if (x.body_got > limits_.request_bytes_max) {
    end_upload(x, invalid_body(body_too_long));
    return;
  }
  x.whole = last;
  if (x.at == stage::waiting_response || x.at == stage::streaming) {
    send_body(x);
  } else {
    x.responder->set_reading(x.collects);
    advance(x, now);
  }
}

void gateway::end_upload(exchange& x, http_reply reply) {
  abort_request(x, abort_kind::cancelled, body_broken);
  if (x.at == stage::streaming) {
    x.responder->cut();
    finish(x);
  } else {
    refuse(x, std::move(reply));
  }
}

// For hosts that accept no parts.
void gateway::collect_body(exchange& x) {
  if (std::exchange(x.waits_for_room, true)) return;
  const auto size = x.request.announced_length().value_or(limits_.request_bytes_max);
  collected_.ask(&x, size, [this, weak = std::weak_ptr{exchanges_.at(x.id)}] {
    const auto live = weak.lock();
    if (!live) return;
    live->collects = true;
    live->responder->set_reading(true);
  });
}

void gateway::count_body(exchange& x) {
  const auto kept = x.request.body.capacity();
  body_bytes_ += kept - x.body_kept;
  x.body_kept = kept;
  counters_.body_bytes_max = std::max(counters_.body_bytes_max, body_bytes_);
}

void gateway::abort_request(exchange& x, abort_kind kind, std::string_view detail) {
  if (!x.streams || x.at == stage::waiting_ready || x.at == stage::backing_off) return;
  tell(x, protocol::to_envoy_request_abort{x.actor, x.generation, {kind, text{detail}}});
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
    x.responder->set_reading(true);
  }
}

void gateway::on_response_start(
    exchange& x, const protocol::to_rivet_response_start& start, millis now) {
  if (start.body && start.body->size() > limits_.response_bytes_max) {
    if (!x.streams) return attempt_failed(x, now);
    abort_request(x, abort_kind::internal_error, stopped_before_completion);
    refuse(x, internal_error());
    return;
  }
  http_reply reply;
  reply.status = start.status;
  bool valid = start.status >= 100 && start.status <= 999;
  for (const auto& [name, value] : start.headers.entries) {
    valid = valid && valid_header(name, value);
    auto kept = lower(name.view());
    if (kept == "transfer-encoding" || kept == "connection") continue;
    reply.headers.push_back({std::move(kept), value.str()});
  }
  if (!valid) {
    abort_request(x, abort_kind::internal_error, "invalid response head");
    refuse(x, internal_error());
    return;
  }
  // Not a final status: the engine's HTTP library turns it into an empty 500.
  if (start.status < 200 && start.status != 101) {
    reply = {.status = 500, .headers = {}, .body = {}};
    x.responder->answer(std::move(reply));
    finish(x);
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
  set_deadline(x, 0);
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

}  // namespace nuncio::testing::engine

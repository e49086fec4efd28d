// See request_routes.hpp.
#include <fmt/format.h>

#include <nuncio/instances/instance_table.hpp>
#include <nuncio/support/time_range.hpp>
#include <nuncio/tunnel/request_routes.hpp>
#include <nuncio/tunnel/transmit.hpp>

namespace nuncio {

using lifecycle::input;
using lifecycle::state;
using abort_kind = protocol::http_stream_abort_reason_kind;

namespace {

// How precisely a request's time limit is kept.
constexpr duration sweep_interval = std::chrono::seconds{1};

std::string_view no_room(request_bound of) {
  return of == request_bound::actor ? "this actor has too many requests waiting"
                                    : "this host has too many requests waiting";
}

// As stored until the response: two slices and their text for each header.
std::size_t head_bytes(const protocol::to_envoy_request_start& start) {
  auto out = start.method.size() + start.path.size();
  for (const auto& [name, value] : start.headers.entries)
    out += sizeof name + sizeof value + name.size() + value.size();
  return out;
}

// So that a handler may keep any part of it; see http_request.
void keep_apart(protocol::to_envoy_request_start& x) {
  auto frame = x.method.size() + x.path.size() + (x.body ? x.body->size() : 0);
  for (const auto& [name, value] : x.headers.entries) frame += name.size() + value.size();
  if (frame <= http_request::shared_bytes_max) return;
  const auto each = [&](auto& part) { part = part.apart(frame); };
  each(x.method);
  each(x.path);
  for (auto& [name, value] : x.headers.entries) {
    each(name);
    each(value);
  }
  if (x.body) each(*x.body);
}

text described(const protocol::http_stream_abort_reason& reason) {
  // An older engine aborts because of the client, and so do most other cases.
  const std::string_view kind = reason.kind == abort_kind::internal_error  ? "the engine cut it"
                                : reason.kind == abort_kind::handler_error ? "its handler failed"
                                                                           : "the client gave up";
  return reason.detail ? text{fmt::format("{}: {}", kind, reason.detail->view())} : text{kind};
}

}  // namespace

request_routes::request_routes(host_core& core, instance_table& instances)
    : core_(core),
      instances_(instances),
      room_(
          {core.limits.host_requests_max, core.limits.host_request_bytes_max},
          core.limits.upload_patience),
      aborted_early_(core.limits.start_limit, early_bytes_max) {}

// Nothing knows it yet, and nothing will.
void request_routes::handle_long_start(const protocol::message_id& id) {
  const exchange_id exchange{id.gateway_id, id.request_id};
  if (aborted_early_.take(exchange)) return;
  replace(exchange);
  ++core_.stats.requests_rejected;
  http_exchange begun{exchange, core_.limits.http};
  protocol::to_envoy_request_start unread;
  begun.handle_request_start(id.message_index, unread);
  begun.refuse(413, "the request is larger than this host accepts");
  say_last(begun, core_.own_gate);
}

void request_routes::handle_long_chunk(const exchange_id& id) {
  const auto at = routes_.find(id);
  if (at == routes_.end() || at->second.responding) return;
  auto& r = at->second;
  constexpr std::string_view why = "a part of the request is larger than this host accepts";
  // If its handler may have begun a response, that is cut: only the handler knows the index of its last message.
  if (r.partial)
    r.exchange.refuse(413, why);
  else
    r.exchange.abort(abort_kind::internal_error, why);
  say_last(r.exchange, r.of->gate());
  cancel(at, text{why});
}

// A repetition replaces the old attempt.
void request_routes::replace(const exchange_id& id) {
  const auto old = routes_.find(id);
  if (old == routes_.end()) return;
  ++core_.stats.requests_replaced;
  cancel(old, text{"the gateway repeated the request"});
}

void request_routes::handle_start(
    const protocol::message_id& id, protocol::to_envoy_request_start& start) {
  const exchange_id exchange{id.gateway_id, id.request_id};
  if (aborted_early_.take(exchange)) return;
  replace(exchange);
  auto* to = instances_.asked(start.actor_id, start.actor_generation);
  auto how = core_.limits.http;
  how.parts = to != nullptr && to->context->serving->stream_requests;
  http_exchange begun{exchange, how};
  keep_apart(start);
  begun.handle_request_start(id.message_index, start);
  if (to == nullptr || !to->takes_requests()) {
    ++core_.stats.requests_aborted;
    begun.abort();
    return say_last(begun, core_.own_gate);
  }
  instances_.handle_asked(*to);
  core_.streaming_gateway = core_.streaming_gateway || start.response_stream;
  to->asked_at = core_.now;
  const auto head = head_bytes(start);
  const auto needed = head + (begun.position().uploading ? http_window_bytes : begun.held());
  if (const auto full = make_room(*to, 1, needed); full != request_bound::none) {
    ++core_.stats.requests_rejected;
    begun.refuse(503, no_room(full));
    return say_last(begun, core_.own_gate);
  }
  http_request request;
  request.method = std::move(start.method);
  request.path = std::move(start.path);
  request.headers = std::move(start.headers);
  request.exchange = exchange;
  request.ticket = core_.next_ticket++;
  const auto at = routes_.try_emplace(exchange, std::move(begun), *to, request.ticket).first;
  auto& r = at->second;
  r.head_bytes = head;
  r.place.resize(needed);
  to->attempts.emplace(exchange, r.ticket);
  if (r.exchange.position().uploading) return upload(*to, at, std::move(request));
  if (auto body = r.exchange.poll_body()) {
    request.body = std::move(*body);
    request.origin.position = r.exchange.position();
    return deliver(*to, at, std::move(request));
  }
  r.partial = std::make_unique<http_request>(std::move(request));
  r.place.handle_unfinished(core_.now);
  watch(at);
  advance(at);
}

// The parts go where the request goes; at most the gateway's window may wait there.
void request_routes::upload(instance& to, route_map::iterator at, http_request request) {
  auto& r = at->second;
  r.passes = std::make_shared<upload_on_way>();
  r.uploading = true;
  r.place.handle_unfinished(core_.now, r.passes);
  watch(at);
  request.streamed = true;
  if (auto first = r.exchange.poll_part()) request.body = std::move(first->data);
  r.passes->add(request.body.size());
  request.origin.on_way = r.passes;
  request.origin.position = r.exchange.position();
  deliver(to, at, std::move(request));
}

bool request_routes::handle(
    const protocol::message_id& id, protocol::to_envoy_tunnel_message_kind& kind) {
  const auto at = routes_.find({id.gateway_id, id.request_id});
  if (at == routes_.end()) return false;
  auto& r = at->second;
  const auto who = r.of->who;
  r.place.end_doubt();
  r.place.handle_heard(core_.now);
  if (pass_on(at, id.message_index, kind)) return true;
  if (const auto* chunk = std::get_if<protocol::to_envoy_request_chunk>(&kind)) {
    handle_chunk(at, id.message_index, *chunk);
  } else if (std::holds_alternative<protocol::to_envoy_request_body_cancel>(kind)) {
    r.exchange.handle_body_cancel();
    advance(at);
  } else if (
      const auto* update = std::get_if<protocol::to_envoy_response_body_window_update>(&kind)) {
    r.exchange.handle_window_update(update->consumed_bytes, id.message_index);
    advance(at);
  }
  if (auto* x = instances_.find(who)) instances_.count_as_down(*x);
  return true;
}

// Messages of a streaming exchange are for its instance.
bool request_routes::pass_on(
    route_map::iterator at, std::uint16_t index, protocol::to_envoy_tunnel_message_kind& kind) {
  auto& r = at->second;
  const auto& to = *r.of;
  if (!to.reachable || r.responding) return false;
  internal::exchange_input out{r.ticket, index, {}};
  if (auto* chunk = std::get_if<protocol::to_envoy_request_chunk>(&kind);
      chunk != nullptr && r.passes) {
    if (!r.uploading || !take_part(at, chunk->body.size(), chunk->finish)) return true;
    out.kind = std::move(*chunk);
  } else if (std::holds_alternative<protocol::to_envoy_request_body_cancel>(kind) && r.passes) {
    if (!r.uploading) return true;
    handle_uploaded(r);
    out.kind = protocol::to_envoy_request_body_cancel{};
  } else if (auto* update = std::get_if<protocol::to_envoy_response_body_window_update>(&kind);
             update != nullptr && r.begun) {
    if (!r.credit) r.credit = std::make_shared<response_credit>();
    r.credit->handle(update->consumed_bytes);
    if (!r.uploading) {
      if (r.credit->poll_word()) core_.tell(to, internal::response_credited{r.ticket, r.credit});
      return true;
    }
    // It has its place among the parts, and costs as one.
    if (!take_part(at, 0, false)) return true;
    out.kind = *update;
  } else
    return false;
  core_.tell(to, std::move(out));
  return true;
}

// No more of its body arrives, or is passed on.
void request_routes::handle_uploaded(route& r) {
  r.uploading = false;
  r.place.handle_whole();
}

// @returns false if the upload is over, because of what its instance has not taken: nothing more of it is passed on
bool request_routes::take_part(route_map::iterator at, std::size_t size, bool last) {
  auto& r = at->second;
  auto& to = *r.of;
  if (r.passes->exceeds_window(size)) {
    tell_over(at, 0, "the request body's window was exceeded");
    return false;
  }
  // Many small parts take more than the window.
  const auto kept =
      r.head_bytes +
      std::max<std::size_t>(http_window_bytes, r.passes->cost() + size + waiting_message_bytes);
  if (kept > r.place.bytes())
    if (const auto full = make_room(to, 0, kept - r.place.bytes()); full != request_bound::none) {
      ++core_.stats.requests_rejected;
      tell_over(at, 0, no_room(full));
      return false;
    }
  r.place.resize(kept);
  r.passes->add(size);
  if (last) handle_uploaded(r);
  return true;
}

// The route of an attempt that `who` was given; end() if there is none, or it belongs to another instance.
request_routes::route_map::iterator request_routes::find_attempt(
    const actor_ref& who, const exchange_id& exchange, std::uint64_t ticket) {
  const auto at = routes_.find(exchange);
  const auto found =
      at != routes_.end() && at->second.ticket == ticket && at->second.of->who == who;
  return found ? at : routes_.end();
}

void request_routes::handle(const internal::response_begun& what) {
  const auto at = find_attempt(what.who, what.exchange, what.ticket);
  if (at == routes_.end()) return;
  at->second.begun = true;
  at->second.place.handle_whole();  // its client may have nothing to say for now
  watch(at);
}

void request_routes::deliver(instance& to, route_map::iterator at, http_request request) {
  ++core_.stats.requests;
  request.origin.claim = at->second.claim;
  if (const auto limit = to.context->serving->request_timeout; limit.count() > 0)
    at->second.due = later(core_.now, limit);
  if (to.reachable) return core_.tell(to, std::move(request));
  // Not spawned yet: the engine sends no requests before Running, so this engine violates the protocol.
  at->second.exchange.abort();
  advance(at);
}

void request_routes::handle_chunk(
    route_map::iterator at, std::uint16_t index, const protocol::to_envoy_request_chunk& chunk) {
  auto& r = at->second;
  if (!r.partial) return;
  if (const auto full = make_room(*r.of, 0, chunk.body.size()); full != request_bound::none) {
    ++core_.stats.requests_rejected;
    r.exchange.refuse(503, no_room(full));
    return advance(at);
  }
  r.exchange.handle_request_chunk(index, chunk);
  r.place.resize(r.head_bytes + r.exchange.held());
  auto body = r.exchange.poll_body();
  if (!body) return advance(at);
  const auto request = std::exchange(r.partial, nullptr);
  r.place.handle_whole();
  request->body = std::move(*body);
  request->origin.position = r.exchange.position();
  unwatch(r);
  deliver(*r.of, at, std::move(*request));
}

void request_routes::handle_abort(
    const exchange_id& id, const protocol::http_stream_abort_reason& reason) {
  if (const auto at = routes_.find(id); at != routes_.end()) return cancel(at, described(reason));
  // A request that finds no room here is carried out although nobody waits for it.
  static_cast<void>(aborted_early_.add(id, {}, core_.now));
}

// The rest of the exchange is between the engine and us: its actor may go on, or end.
void request_routes::handle(internal::response_waits& what) {
  const auto at = find_attempt(what.who, what.exchange.position().exchange, what.ticket);
  if (at == routes_.end())
    return handle(internal::attempt_done{what.who, what.exchange.position().exchange, what.ticket});
  respond(*at->second.of, at, what);
  advance(at);
}

void request_routes::respond(instance& to, route_map::iterator at, internal::response_waits& what) {
  auto& r = at->second;
  r.place.resize(0);
  handle_uploaded(r);
  // It makes no room for itself.
  const auto doubted = r.place.doubt().since();
  r.place.end_doubt();
  const auto full = make_room(to, 0, what.exchange.held());
  if (doubted) r.place.handle_doubted(*doubted);
  if (full == request_bound::none) {
    r.exchange = std::move(what.exchange);
    // A credit notice may have been on its way to the instance.
    if (r.credit) r.exchange.handle_window_update(r.credit->total());
    r.place.resize(r.exchange.held());
    r.responding = true;
    ++to.responses;
    return watch(at);
  }
  ++core_.stats.requests_rejected;
  const std::string_view why = full == request_bound::actor
                                   ? "too many responses of this actor wait for their clients"
                                   : "too many responses of this host wait for their clients";
  r.exchange.refuse(503, why);
  core_.limiter.log(
      core_.now,
      log_level::warning,
      "a response found no room to wait in; the client gets 503",
      {{"actor", what.who.actor.str()}, {"reason", std::string{why}}});
}

// -- routes -------------------------------------------------------------------------

// Sends what the exchange has to send, and removes an exchange that is over.
void request_routes::advance(route_map::iterator at) {
  const auto sent = transmit(at->second.exchange, *core_.link, core_.source(at->second.of->gate()));
  if (sent.refused) core_.log_lost(*sent.refused);
  if (sent.waits) crowded_.join(at->second);
  if (at->second.exchange.done()) erase(at);
}

// Sends the final messages of an exchange that has no route any more.
void request_routes::say_last(
    http_exchange& exchange, const std::shared_ptr<const output_gate>& gate) {
  while (auto message = exchange.poll_transmit()) core_.send_answer(std::move(*message), gate);
}

void request_routes::handle_room() {
  core_.send_owed();
  // Their clients can't go on with what was not sent.
  crowded_.for_each([&](route& r) { r.place.handle_heard(core_.now); });
  crowded_.handle_room([&](route& r) -> route* {
    const auto id = r.exchange.position().exchange;
    const auto who = r.of->who;
    advance(routes_.find(id));
    if (auto* x = instances_.find(who)) instances_.count_as_down(*x);
    const auto at = routes_.find(id);
    return at != routes_.end() ? &at->second : nullptr;
  });
}

void request_routes::handle(const internal::attempt_done& what) {
  auto* const x = instances_.find(what.who);
  if (x == nullptr) return;  // its attempts are gone with the instance
  if (x->cancelled.erase(what.ticket) != 0) return;
  const auto at = find_attempt(what.who, what.exchange, what.ticket);
  if (at != routes_.end()) erase(at);
}

void request_routes::erase(route_map::iterator at) {
  auto& r = at->second;
  auto& x = *r.of;
  x.busy_at = core_.now;
  unwatch(r);
  if (r.responding) --x.responses;
  x.attempts.erase(at->first);
  routes_.erase(at);
}

// The attempt is over without a response: the handler's response is dropped. It counts against the limits until the instance
// has dropped it; otherwise alternating starts and aborts would fill the mailbox of a slow actor.
void request_routes::cancel(route_map::iterator at, text why) {
  auto& r = at->second;
  auto& x = *r.of;
  const auto at_handler = x.reachable && !r.partial && !r.responding;
  if (at_handler) {
    x.cancelled.emplace(r.ticket, std::move(r.place));
    core_.tell_first(x, internal::attempt_cancelled{r.ticket, std::move(why)});
  }
  erase(at);
  instances_.count_as_down(x);
}

// Requests that no handler has answered go back to the gateway, which asks the next generation; responses that are not complete
// are cut.
void request_routes::abort(instance& x, bool with_responses) {
  for (auto next = x.attempts.begin(); next != x.attempts.end();) {
    const auto at = routes_.find((next++)->first);
    if (at == routes_.end()) continue;
    if (!with_responses && at->second.responding) continue;
    ++core_.stats.requests_aborted;
    at->second.exchange.abort();
    say_last(at->second.exchange, core_.own_gate);
    erase(at);
  }
  x.cancelled.clear();
}

void request_routes::cancel_all(instance& x, std::string_view why) {
  std::vector<exchange_id> left;
  for (const auto& [id, ticket] : x.attempts) left.push_back(id);
  for (const auto& id : left)
    if (const auto at = routes_.find(id); at != routes_.end()) cancel(at, text{why});
}

bool request_routes::keeps_awake(const instance& x) const {
  return std::any_of(x.attempts.begin(), x.attempts.end(), [&](const auto& attempt) {
    const auto at = routes_.find(attempt.first);
    return at != routes_.end() && core_.may_be_there(&at->second.place.doubt());
  });
}

// -- time -----------------------------------------------------------------------------

void request_routes::handle_up() {
  room_.handle_up(core_.now);
  for (auto& [id, r] : routes_) {
    core_.gateways.handle_open(id.gateway);
    r.place.handle_doubted(core_.now);
  }
}

void request_routes::expire() {
  end_stalled();
  end_late();
}

std::optional<time_point> request_routes::poll_timeout() {
  if (!routes_.empty() && !sweep_at_) sweep_at_ = core_.now + sweep_interval;
  auto next = sweep_at_;
  if (!stalls_.empty()) next = earlier(next, stalls_.begin()->first);
  return next;
}

void request_routes::clear() {
  routes_.clear();  // first: they are counted in their instances
  stalls_.clear();
}

}  // namespace nuncio

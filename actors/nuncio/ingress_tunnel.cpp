// Ingress: which exchange belongs to which instance. Bodies are joined here until they are whole, within the bounds.
#include <fmt/format.h>

#include <caf/send.hpp>
#include <nuncio/ingress.hpp>

namespace nuncio {

using lifecycle::input;
using lifecycle::state;

namespace {

// How many aborts that came before their start are remembered.
constexpr std::size_t aborted_early_max = 1024;
// Largest request body that is joined: the engine refuses larger ones itself (docs/protocol.md G.2).
constexpr std::size_t joined_body_bytes_max = 20'971'520;

}  // namespace

void ingress::handle_tunnel(protocol::to_envoy_tunnel_message& message) {
  const auto& id = message.message_id;
  const exchange_id exchange{id.gateway_id, id.request_id};
  auto& kind = message.message_kind;
  if (auto* start = std::get_if<protocol::to_envoy_request_start>(&kind)) {
    handle_request_start(id, *start);
  } else if (auto* chunk = std::get_if<protocol::to_envoy_request_chunk>(&kind)) {
    handle_request_chunk(exchange, *chunk);
  } else if (std::holds_alternative<protocol::to_envoy_request_abort>(kind)) {
    handle_request_abort(exchange);
  } else if (std::holds_alternative<protocol::to_envoy_web_socket_open>(kind)) {
    // A refusal would be retried, so the socket is accepted and closed (docs/protocol.md G.6).
    ++stats_.sockets_refused;
    answer(exchange, 0, protocol::to_rivet_web_socket_open{false});
    answer(
        exchange,
        1,
        protocol::to_rivet_web_socket_close{
            std::uint16_t{1011}, text{"this host serves no WebSockets"}, false});
  }
}

ingress::instance* ingress::newest(const actor_id& actor) {
  const auto at = slots_.find(actor);
  if (at == slots_.end()) return nullptr;
  return at->second.next ? at->second.next.get() : at->second.current.get();
}

void ingress::handle_request_start(
    const protocol::message_id& id, protocol::to_envoy_request_start& start) {
  const exchange_id exchange{id.gateway_id, id.request_id};
  const auto early = std::find(aborted_early_.begin(), aborted_early_.end(), exchange);
  if (early != aborted_early_.end()) {
    aborted_early_.erase(early);
    return;
  }
  if (routes_.contains(exchange)) {  // a repetition replaces the old attempt
    ++stats_.requests_replaced;
    cancel_route(exchange);
  }
  auto* to = newest(start.actor_id);
  if (to != nullptr && start.actor_generation) {
    // I11: a request for a newer generation ends the older instance; its Start is on the way.
    if (*start.actor_generation > to->who.generation)
      apply(actor_ref{to->who}, input::superseded, "a newer generation exists");
    to = find({start.actor_id, *start.actor_generation});
  }
  if (to == nullptr || to->state == state::ending || to->state == state::ending_silently ||
      !lifecycle::has_actor(to->state)) {
    ++stats_.requests_aborted;
    return answer(exchange, 0, protocol::to_rivet_response_abort{});
  }
  const auto who = to->who;
  apply(who, input::accepted);  // requests come only for what the engine accepted
  const auto size = start.body ? start.body->size() : 0;
  if (to->attempts.size() + to->cancelled.size() >= options_.requests_max ||
      to->request_bytes + size > options_.request_bytes_max ||
      routes_.size() + cancelled_ >= options_.host_requests_max ||
      request_bytes_ + size > options_.host_request_bytes_max) {
    ++stats_.requests_rejected;
    return answer_status(exchange, 0, 503, "this actor has too many requests waiting");
  }
  http_request request;
  request.method = std::move(start.method);
  request.path = std::move(start.path);
  request.headers = std::move(start.headers);
  if (start.body) request.body = std::move(*start.body);
  request.exchange = exchange;
  request.ticket = next_ticket_++;
  auto& r = routes_[exchange];
  r.who = who;
  r.ticket = request.ticket;
  r.charge = size;
  to->attempts.emplace(exchange, r.ticket);
  to->request_bytes += size;
  request_bytes_ += size;
  if (start.stream) {
    r.partial = std::make_unique<http_request>(std::move(request));
    return;
  }
  deliver(*to, exchange, r, std::move(request));
}

void ingress::deliver(instance& to, const exchange_id&, route&, http_request request) {
  ++stats_.requests;
  if (to.handle) {
    internal::deliver(to.handle, std::move(request));
    return;
  }
  // Not spawned yet: the engine sends no requests before Running, so this is an engine that does not keep its word.
  const auto id = request.exchange;
  cancel_route(id);
  answer(id, request.first_index, protocol::to_rivet_response_abort{});
}

void ingress::handle_request_chunk(
    const exchange_id& id, protocol::to_envoy_request_chunk& chunk) {
  const auto at = routes_.find(id);
  if (at == routes_.end() || !at->second.partial) return;
  auto& r = at->second;
  auto* to = find(r.who);
  if (to == nullptr) return cancel_route(id);
  const auto size = chunk.body.size();
  const auto index = static_cast<std::uint16_t>(r.received);
  const auto too_large = r.body.size() + size > joined_body_bytes_max;
  if (too_large || to->request_bytes + size > options_.request_bytes_max ||
      request_bytes_ + size > options_.host_request_bytes_max) {
    ++stats_.requests_rejected;
    cancel_route(id);
    return answer_status(
        id,
        index,
        too_large ? 413 : 503,
        too_large ? "the request body is larger than this host takes"
                  : "this actor has too many requests waiting");
  }
  r.body.insert(r.body.end(), chunk.body.begin(), chunk.body.end());
  r.charge += size;
  to->request_bytes += size;
  request_bytes_ += size;
  if (!chunk.finish) {
    // The window is a cumulative total (docs/protocol.md G.5); the index is shared by all messages of the exchange.
    answer(
        id,
        static_cast<std::uint16_t>(r.received++),
        protocol::to_rivet_request_body_window_update{r.body.size()});
    return;
  }
  auto request = std::move(*r.partial);
  r.partial.reset();
  request.body = bytes{std::move(r.body)};
  request.first_index = static_cast<std::uint16_t>(r.received);
  deliver(*to, id, r, std::move(request));
}

void ingress::handle_request_abort(const exchange_id& id) {
  if (routes_.contains(id)) return cancel_route(id);
  aborted_early_.push_back(id);
  if (aborted_early_.size() > aborted_early_max) aborted_early_.pop_front();
}

void ingress::forget_attempt(const internal::attempt_done& what) {
  auto* x = find(what.who);
  if (x == nullptr) return;  // with the instance its attempts are gone
  if (const auto cancelled = x->cancelled.find(what.ticket); cancelled != x->cancelled.end()) {
    x->request_bytes -= cancelled->second;
    request_bytes_ -= cancelled->second;
    x->cancelled.erase(cancelled);
    --cancelled_;
    return;
  }
  const auto at = routes_.find(what.exchange);
  if (at == routes_.end() || at->second.ticket != what.ticket) return;
  x->attempts.erase(what.exchange);
  x->request_bytes -= at->second.charge;
  request_bytes_ -= at->second.charge;
  routes_.erase(at);
}

// The attempt is over without an answer: what its handler says is dropped. It counts against the bounds until the
// instance has dropped it, else starts and aborts in turn would fill the mailbox of a slow actor.
void ingress::cancel_route(const exchange_id& id) {
  const auto at = routes_.find(id);
  if (at == routes_.end()) return;
  const auto who = at->second.who;
  const auto ticket = at->second.ticket;
  auto* x = find(who);
  if (x == nullptr || !x->handle || at->second.partial) return forget_attempt({who, id, ticket});
  x->attempts.erase(id);
  x->cancelled.emplace(ticket, at->second.charge);
  ++cancelled_;
  routes_.erase(at);
  caf::anon_send<caf::message_priority::high>(x->handle, internal::attempt_cancelled{ticket});
}

// What no handler has answered goes back to the gateway, which asks the next generation.
void ingress::abort_routes(instance& x) {
  const auto all = std::exchange(x.attempts, {});
  for (const auto& [id, ticket] : all) {
    const auto at = routes_.find(id);
    if (at == routes_.end() || at->second.ticket != ticket) continue;
    const auto index = static_cast<std::uint16_t>(at->second.received);
    request_bytes_ -= at->second.charge;
    routes_.erase(at);
    ++stats_.requests_aborted;
    answer(id, index, protocol::to_rivet_response_abort{});
  }
  for (const auto& [ticket, charge] : x.cancelled) request_bytes_ -= charge;
  cancelled_ -= x.cancelled.size();
  x.cancelled.clear();
  x.request_bytes = 0;
}

void ingress::answer(
    const exchange_id& id, std::uint16_t index, protocol::to_rivet_tunnel_message_kind what) {
  const auto sent =
      options_.link->send(own_gate_, {{id.gateway, id.request, index}, std::move(what)});
  if (!sent)
    limiter_.log(
        options_.now(),
        log_level::warning,
        "an answer of the host was lost",
        {{"reason", sent.error().message}});
}

void ingress::answer_status(
    const exchange_id& id, std::uint16_t index, std::uint16_t status, std::string_view why) {
  protocol::to_rivet_response_start start;
  start.status = status;
  start.headers.entries = {{"content-type", "text/plain; charset=utf-8"}};
  start.body = bytes{fmt::format("{}\n", why)};
  answer(id, index, std::move(start));
}

}  // namespace nuncio

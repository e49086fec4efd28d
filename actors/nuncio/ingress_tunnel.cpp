// Ingress: which exchange belongs to which instance. What is said in an exchange the exchange decides; here stand the
// bounds, and who is asked.
#include <fmt/format.h>

#include <caf/send.hpp>
#include <nuncio/hex.hpp>
#include <nuncio/ingress.hpp>
#include <nuncio/overloaded.hpp>
#include <nuncio/time_range.hpp>
#include <nuncio/transmit.hpp>

namespace nuncio {

using lifecycle::input;
using lifecycle::state;
using abort_kind = protocol::http_stream_abort_reason_kind;

namespace {

constexpr std::string_view stopped_coming =
    "the request's body has stopped coming, and others need its place";
constexpr std::string_view not_heard_of =
    "the client was not heard of after a reconnect, and others need its place";

std::string_view no_room(request_bound of) {
  return of == request_bound::actor ? "this actor has too many requests waiting"
                                    : "this host has too many requests waiting";
}

// As it is kept until the response: two slices and their text for each header.
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
  // What an older engine aborts is about the client; and so is most else.
  const std::string_view kind = reason.kind == abort_kind::internal_error  ? "the engine cut it"
                                : reason.kind == abort_kind::handler_error ? "its handler failed"
                                                                           : "the client gave up";
  return reason.detail ? text{fmt::format("{}: {}", kind, reason.detail->view())} : text{kind};
}

}  // namespace

void ingress::handle_tunnel(protocol::to_envoy_tunnel_message& message) {
  const auto& id = message.message_id;
  const exchange_id exchange{id.gateway_id, id.request_id};
  gateways_.handle_heard(exchange.gateway);
  auto& kind = message.message_kind;
  if (auto* start = std::get_if<protocol::to_envoy_request_start>(&kind))
    return handle_request_start(id, *start);
  if (const auto* abort = std::get_if<protocol::to_envoy_request_abort>(&kind))
    return handle_request_abort(exchange, abort->reason);
  if (auto* open = std::get_if<protocol::to_envoy_web_socket_open>(&kind))
    return handle_socket_open(id, *open);
  if (const auto at = sockets_.find(exchange); at != sockets_.end()) {
    at->second.doubt.reset();
    if (auto* said = std::get_if<protocol::to_envoy_web_socket_message>(&kind))
      handle_socket_message(at, id.message_index, *said);
    else if (const auto* close = std::get_if<protocol::to_envoy_web_socket_close>(&kind))
      handle_socket_close(at, *close);
    return;
  }
  const auto at = routes_.find(exchange);
  if (at == routes_.end()) {  // over, or never ours
    if (std::holds_alternative<protocol::to_envoy_web_socket_close>(kind))
      absent_.handle_close(exchange, now_);
    else if (auto* said = std::get_if<protocol::to_envoy_web_socket_message>(&kind))
      absent_.handle_message(exchange, id.message_index, *said, now_);
    return;
  }
  auto& r = at->second;
  const auto who = r.who;
  r.place.end_doubt();
  r.place.handle_heard(options_.now());
  if (pass_on(at, id.message_index, kind)) return;
  if (const auto* chunk = std::get_if<protocol::to_envoy_request_chunk>(&kind)) {
    handle_request_chunk(at, id.message_index, *chunk);
  } else if (std::holds_alternative<protocol::to_envoy_request_body_cancel>(kind)) {
    r.exchange.handle_body_cancel();
    advance(at);
  } else if (
      const auto* update = std::get_if<protocol::to_envoy_response_body_window_update>(&kind)) {
    r.exchange.handle_window_update(update->consumed_bytes, id.message_index);
    advance(at);
  }
  if (auto* x = find(who)) count_as_down(*x);
}

// A message that the link could not take: its head says who is told so. What ends something ends it all the same.
void ingress::handle_too_long(const protocol::to_envoy& head) {
  const auto* tunnel = std::get_if<protocol::to_envoy_tunnel_message>(&head);
  if (tunnel == nullptr) return;
  const auto& id = tunnel->message_id;
  const exchange_id exchange{id.gateway_id, id.request_id};
  gateways_.handle_heard(exchange.gateway);
  ++stats_.too_long;
  limiter_.log(
      options_.now(),
      log_level::warning,
      "a message for an actor is longer than this host takes",
      {{"gateway", to_hex(exchange.gateway.value)}, {"request", to_hex(exchange.request.value)}});
  std::visit(
      overloaded{
          [&](const protocol::to_envoy_request_start&) { handle_long_request(id); },
          [&](const protocol::to_envoy_request_chunk&) {
            if (const auto at = routes_.find(exchange); at != routes_.end()) handle_long_chunk(at);
          },
          [&](const protocol::to_envoy_request_abort& x) {
            handle_request_abort(exchange, x.reason);
          },
          [&](const protocol::to_envoy_web_socket_open& x) {
            if (const auto old = sockets_.find(exchange); old != sockets_.end())
              drop_socket(old, "the gateway opened this WebSocket again");
            ++stats_.sockets_refused;
            refuse_socket(
                x.actor_id, exchange, close_too_large, "the head of this WebSocket is too long");
          },
          [&](const protocol::to_envoy_web_socket_message&) { handle_long_socket_message(id); },
          [&](const protocol::to_envoy_web_socket_close& x) {
            if (const auto at = sockets_.find(exchange); at != sockets_.end())
              handle_socket_close(at, x);
          },
          [](const auto&) {}},
      tunnel->message_kind);
}

// Nobody has heard of it yet, and nobody will.
void ingress::handle_long_request(const protocol::message_id& id) {
  const exchange_id exchange{id.gateway_id, id.request_id};
  if (aborted_early_.take(exchange)) return;
  if (const auto old = routes_.find(exchange); old != routes_.end()) {
    ++stats_.requests_replaced;
    cancel_route(old, text{"the gateway sent the request again"});
  }
  ++stats_.requests_rejected;
  http_exchange begun{exchange, options_.http};
  protocol::to_envoy_request_start unread;
  begun.handle_request_start(id.message_index, unread);
  begun.refuse(413, "the request is longer than this host takes");
  say_last(begun, own_gate_);
}

void ingress::handle_long_chunk(route_map::iterator at) {
  auto& r = at->second;
  auto* x = find(r.who);
  if (x == nullptr || r.responding) return;
  constexpr std::string_view why = "a part of the request is longer than this host takes";
  // An answer that its handler may have begun is cut: which message of it was the last, the handler alone knows.
  if (r.partial)
    r.exchange.refuse(413, why);
  else
    r.exchange.abort(abort_kind::internal_error, why);
  say_last(r.exchange, x->gate());
  cancel_route(at, text{why});
}

ingress::instance* ingress::newest(const actor_id& actor) {
  const auto at = slots_.find(actor);
  if (at == slots_.end()) return nullptr;
  return at->second.next ? at->second.next.get() : at->second.current.get();
}

bool ingress::takes_requests(const instance& x) {
  return !x.down && x.state != state::ending && x.state != state::ending_silently &&
         lifecycle::has_actor(x.state);
}

void ingress::handle_request_start(
    const protocol::message_id& id, protocol::to_envoy_request_start& start) {
  const exchange_id exchange{id.gateway_id, id.request_id};
  if (aborted_early_.take(exchange)) return;
  if (const auto old = routes_.find(exchange); old != routes_.end()) {
    ++stats_.requests_replaced;  // a repetition replaces the old attempt
    cancel_route(old, text{"the gateway sent the request again"});
  }
  auto* to = newest(start.actor_id);
  if (to != nullptr && start.actor_generation) {
    // I11: a request for a newer generation ends the older instance; its Start is on the way.
    if (*start.actor_generation > to->who.generation) supersede(*to, *start.actor_generation);
    to = find({start.actor_id, *start.actor_generation});
  }
  auto how = options_.http;
  how.parts = to != nullptr && to->context->serving->stream_requests;
  http_exchange begun{exchange, how};
  keep_apart(start);
  begun.handle_request_start(id.message_index, start);
  if (to == nullptr || !takes_requests(*to)) {
    ++stats_.requests_aborted;
    begun.abort();
    say_last(begun, own_gate_);
    return;
  }
  const auto who = to->who;
  apply(who, input::accepted);  // requests come only for what the engine accepted
  streaming_gateway_ = streaming_gateway_ || start.response_stream;
  to->asked_at = now_;
  note_use(*to);
  const auto head = head_bytes(start);
  const auto needed = head + (begun.position().uploading ? http_window_bytes : begun.held());
  if (const auto full = make_room(*to, 1, needed); full != request_bound::none) {
    ++stats_.requests_rejected;
    begun.refuse(503, no_room(full));
    say_last(begun, own_gate_);
    return;
  }
  http_request request;
  request.method = std::move(start.method);
  request.path = std::move(start.path);
  request.headers = std::move(start.headers);
  request.exchange = exchange;
  request.ticket = next_ticket_++;
  const auto at = routes_.try_emplace(exchange, std::move(begun), *to, request.ticket).first;
  auto& r = at->second;
  r.head_bytes = head;
  r.place.resize(needed);
  to->attempts.emplace(exchange, r.ticket);
  if (r.exchange.position().uploading) {
    // The parts go where the request went; what may wait there is the gateway's window.
    r.passes = std::make_shared<upload_on_way>();
    r.uploading = true;
    r.place.handle_unfinished(options_.now(), r.passes);
    watch(at);
    request.streamed = true;
    if (auto first = r.exchange.poll_part()) request.body = std::move(first->data);
    r.passes->add(request.body.size());
    request.on_way = r.passes;
    request.position = r.exchange.position();
    return deliver(*to, at, std::move(request));
  }
  if (auto body = r.exchange.poll_body()) {
    request.body = std::move(*body);
    request.position = r.exchange.position();
    return deliver(*to, at, std::move(request));
  }
  r.partial = std::make_unique<http_request>(std::move(request));
  r.place.handle_unfinished(options_.now());
  watch(at);
  advance(at);
}

// What belongs to an exchange that goes bit by bit is for its instance.
bool ingress::pass_on(
    route_map::iterator at, std::uint16_t index, protocol::to_envoy_tunnel_message_kind& kind) {
  auto& r = at->second;
  const auto* const to = find(r.who);
  if (to == nullptr || !to->handle || r.responding) return false;
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
      if (r.credit->poll_word())
        caf::anon_send(to->handle, internal::response_credited{r.ticket, r.credit});
      return true;
    }
    // It has its place among the parts, and costs as one.
    if (!take_part(at, 0, false)) return true;
    out.kind = *update;
  } else
    return false;
  caf::anon_send(to->handle, std::move(out));
  return true;
}

// No more of its body comes, or goes on.
void ingress::handle_uploaded(route& r) {
  r.uploading = false;
  r.place.handle_whole();
}

// @returns false if the upload is over, for what its instance has not taken: nothing more of it goes on
bool ingress::take_part(route_map::iterator at, std::size_t size, bool last) {
  auto& r = at->second;
  auto& to = *find(r.who);
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
      ++stats_.requests_rejected;
      tell_over(at, 0, no_room(full));
      return false;
    }
  r.place.resize(kept);
  r.passes->add(size);
  if (last) handle_uploaded(r);
  return true;
}

// The route of an attempt that `who` was given; none if there is no such, or it is another's.
ingress::route_map::iterator ingress::find_attempt(
    const actor_ref& who, const exchange_id& exchange, std::uint64_t ticket) {
  const auto at = routes_.find(exchange);
  const auto found = at != routes_.end() && at->second.ticket == ticket && at->second.who == who;
  return found ? at : routes_.end();
}

void ingress::handle_response_begun(const internal::response_begun& what) {
  const auto at = find_attempt(what.who, what.exchange, what.ticket);
  if (at == routes_.end()) return;
  at->second.begun = true;
  at->second.place.handle_whole();  // its client may have nothing to say for now
  watch(at);
}

void ingress::deliver(instance& to, route_map::iterator at, http_request request) {
  ++stats_.requests;
  request.claim = at->second.claim;
  if (const auto limit = to.context->serving->request_timeout; limit.count() > 0)
    at->second.due = later(now_, limit);
  if (to.handle) {
    const auto ticket = request.ticket;
    return internal::deliver(to.handle, ticket, caf::make_message(std::move(request)));
  }
  // Not spawned yet: the engine sends no requests before Running, so this is an engine that does not keep its word.
  at->second.exchange.abort();
  advance(at);
}

void ingress::handle_request_chunk(
    route_map::iterator at, std::uint16_t index, const protocol::to_envoy_request_chunk& chunk) {
  auto& r = at->second;
  auto* to = find(r.who);
  if (to == nullptr || !r.partial) return;
  if (const auto full = make_room(*to, 0, chunk.body.size()); full != request_bound::none) {
    ++stats_.requests_rejected;
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
  request->position = r.exchange.position();
  unwatch(r);
  deliver(*to, at, std::move(*request));
}

void ingress::handle_request_abort(
    const exchange_id& id, const protocol::http_stream_abort_reason& reason) {
  if (const auto at = routes_.find(id); at != routes_.end())
    return cancel_route(at, described(reason));
  // One that finds no room is carried out for nobody.
  static_cast<void>(aborted_early_.add(id, {}, options_.now()));
}

// The rest of the exchange is between the engine and us: its actor may go on, or end.
void ingress::handle_response(internal::response_waits& what) {
  const auto id = what.exchange.position().exchange;
  const auto at = find_attempt(what.who, id, what.ticket);
  auto* to = find(what.who);
  if (to == nullptr || at == routes_.end()) return forget_attempt({what.who, id, what.ticket});
  auto& r = at->second;
  r.place.resize(0);
  handle_uploaded(r);
  // It makes no room for itself.
  const auto doubted = r.place.doubt().since();
  r.place.end_doubt();
  const auto full = make_room(*to, 0, what.exchange.held());
  if (doubted) r.place.handle_doubted(*doubted);
  if (full == request_bound::none) {
    r.exchange = std::move(what.exchange);
    // Its word may have been on its way to the instance.
    if (r.credit) r.exchange.handle_window_update(r.credit->total());
    r.place.resize(r.exchange.held());
    r.responding = true;
    ++to->responses;
    watch(at);
  } else {
    ++stats_.requests_rejected;
    const std::string_view why = full == request_bound::actor
                                     ? "too many responses of this actor wait for their clients"
                                     : "too many responses of this host wait for their clients";
    r.exchange.refuse(503, why);
    limiter_.log(
        options_.now(),
        log_level::warning,
        "a response found no room to wait in; the client gets 503",
        {{"actor", what.who.actor.str()}, {"reason", std::string{why}}});
  }
  advance(at);
}

// -- routes -------------------------------------------------------------------------

// Sends what the exchange has to say; an exchange that is over goes.
void ingress::advance(route_map::iterator at) {
  auto* x = find(at->second.who);
  if (x == nullptr) return;
  const auto sent = transmit(at->second.exchange, *options_.link, x->gate());
  if (sent.refused) log_lost(*sent.refused);
  if (sent.waits) wait_for_room(at);
  if (at->second.exchange.done()) erase(*x, at);
}

void ingress::wait_for_room(route_map::iterator at) {
  if (!std::exchange(at->second.crowded, true)) crowded_.push_back(at->first);
  ask_for_room();
}

// The last words of an exchange that has no route any more.
void ingress::say_last(http_exchange& exchange, const std::shared_ptr<const output_gate>& gate) {
  while (auto message = exchange.poll_transmit()) send_answer(std::move(*message), gate);
}

void ingress::advance_crowded(time_point now) {
  if (!crowded_until_ || *crowded_until_ > now) return;
  auto owed = std::exchange(owed_, {});
  const auto owed_before = owed.size();
  for (; !owed.empty(); owed.pop_front())
    send_answer(std::move(owed.front().first), owed.front().second);
  auto moved = owed_.size() < owed_before, full = false;
  for (const auto& id : std::exchange(crowded_, {})) {
    const auto at = routes_.find(id);
    if (at == routes_.end() || !std::exchange(at->second.crowded, false)) continue;
    const auto who = at->second.who;
    at->second.place.handle_heard(now);  // the client can't go on with what has not been sent
    if (full) {
      wait_for_room(at);
      continue;
    }
    const auto unsent = at->second.exchange.unsent();
    advance(at);
    // Where something short finds no room nothing else does. Whoever waits longest is the first to try again.
    const auto still = routes_.find(id);
    const auto waits = still != routes_.end() && still->second.crowded;
    full = waits && !still->second.exchange.bulky();
    moved = moved || !waits || still->second.exchange.unsent() != unsent;
    if (auto* x = find(who)) count_as_down(*x);
  }
  if (moved) pause_.reset();
  crowded_until_.reset();
  if (!owed_.empty() || !crowded_.empty()) ask_for_room();
}

// At a bound the requests go whose clients may have gone, and those whose clients have been silent for long, one by one until
// there is room. These are at fault if they have all that they need to go on: what is held up by its handler, or by the link,
// is not.
// @returns the bound that has no room all the same
request_bound ingress::make_room(instance& to, std::size_t requests, std::size_t bytes) {
  const auto now = options_.now();
  std::size_t leaving = 0;  // bytes that their actors let go once they have heard
  for (;;) {
    const auto full = to.requests.full(requests, bytes);
    if (full == request_bound::none || (leaving != 0 && leaving >= bytes)) return full;
    if (const auto* const doubted = to.requests.doubted(full, gateways_, now)) {
      const auto at = routes_.find(doubted->of());
      const auto kept = at->second.place.bytes(), before = requests_.bytes();
      end_doubted(at);
      const auto freed = before - requests_.bytes();
      leaving += kept - std::min(kept, freed);
      continue;
    }
    const auto* const silent = to.requests.longest_silent(full, now);
    if (silent == nullptr) return full;
    end_silent(routes_.find(silent->id()));
  }
}

// It may be there all the same, and listen: it hears that this is the end.
void ingress::end_doubted(route_map::iterator at) {
  auto& r = at->second;
  auto& x = *find(r.who);
  ++stats_.clients_doubted;
  r.place.vacate();
  if (!r.responding && r.begun && x.handle) return tell_over(at, 0, not_heard_of);
  if (!r.responding && r.passes && x.handle) return tell_over(at, 503, not_heard_of);
  if (!r.responding) return static_cast<void>(end_unanswered(at, 503, not_heard_of));
  r.exchange.abort(abort_kind::internal_error, not_heard_of);
  say_last(r.exchange, x.gate());
  erase(x, at);
  count_as_down(x);
}

void ingress::end_silent(route_map::iterator at) {
  auto& r = at->second;
  ++stats_.requests_silent;
  if (r.passes) return tell_over(at, 408, stopped_coming);
  auto& x = *find(r.who);
  r.exchange.refuse(408, stopped_coming);
  say_last(r.exchange, x.gate());
  erase(x, at);
}

// Its instance says the last word. It is not waited for if it has all that came: that takes no place in its mailbox.
void ingress::tell_over(route_map::iterator at, std::uint16_t status, std::string_view why) {
  auto& r = at->second;
  if (status == 0) r.uploading = false;
  r.place.handle_whole();
  if (!r.passes || r.passes->all_taken()) {
    r.place.resize(0);
    r.place.vacate();
  }
  if (const auto* x = find(r.who); x != nullptr && x->handle)
    caf::anon_send<caf::message_priority::high>(
        x->handle, internal::upload_over{r.ticket, at->first, status, why});
}

void ingress::watch(route_map::iterator at) {
  auto& r = at->second;
  unwatch(r);
  r.place.handle_heard(options_.now());
  r.stall = stalls_.emplace(later(r.place.heard(), options_.stall_limit), at->first);
}

void ingress::unwatch(route& r) {
  if (r.stall) stalls_.erase(*r.stall);
  r.stall.reset();
}

void ingress::end_stalled(time_point now) {
  while (!stalls_.empty() && stalls_.begin()->first <= now) {
    const auto at = routes_.find(stalls_.begin()->second);
    auto& r = at->second;
    unwatch(r);
    if (const auto due = later(r.place.heard(), options_.stall_limit); due > now) {
      r.stall = stalls_.emplace(due, at->first);
      continue;
    }
    const auto who = r.who;
    if ((r.begun || r.passes) && !r.responding) {  // only the instance knows whether it waits
      if (const auto* x = find(who); x != nullptr && x->handle)
        caf::anon_send(x->handle, internal::stream_quiet{r.ticket});
      r.stall = stalls_.emplace(later(now, options_.stall_limit), at->first);
      continue;
    }
    r.exchange.give_up_client();
    advance(at);
    if (auto* x = find(who)) count_as_down(*x);
  }
}

// An answer that comes after this one finds its exchange gone.
void ingress::end_late(time_point now) {
  if (!sweep_at_ || *sweep_at_ > now) return;
  sweep_at_.reset();
  for (auto next = routes_.begin(); next != routes_.end();) {
    const auto at = next++;
    auto& r = at->second;
    if (r.due > now || r.begun || r.responding) continue;
    auto* x = find(r.who);
    if (x == nullptr) continue;
    r.due = time_point::max();
    if (r.passes && x->handle)
      tell_over(at, 504, internal::answered_too_late);
    else if (!end_unanswered(at, 504, internal::answered_too_late))
      continue;
    ++stats_.requests_late;
  }
}

// In its instance's place.
// @returns false if that has just answered: its word is on the way here
bool ingress::end_unanswered(route_map::iterator at, std::uint16_t status, std::string_view why) {
  if (!at->second.claim->take()) return false;
  end_upload({at->second.ticket, at->first, status, why});
  return true;
}

// No handler has had it, so that nothing has been said in it.
void ingress::end_upload(const internal::upload_over& what) {
  const auto at = routes_.find(what.exchange);
  if (at == routes_.end() || at->second.ticket != what.ticket) return;
  auto* x = find(at->second.who);
  if (x == nullptr) return;
  auto& exchange = at->second.exchange;
  if (what.status != 0)
    exchange.refuse(what.status, what.why);
  else
    exchange.abort(abort_kind::internal_error, what.why);
  say_last(exchange, x->gate());
  cancel_route(at, text{what.why});
}

void ingress::forget_attempt(const internal::attempt_done& what) {
  auto* x = find(what.who);
  if (x == nullptr) return;  // with the instance its attempts are gone
  if (x->cancelled.erase(what.ticket) != 0) return;
  const auto at = find_attempt(what.who, what.exchange, what.ticket);
  if (at != routes_.end()) erase(*x, at);
}

void ingress::erase(instance& x, route_map::iterator at) {
  x.busy_at = options_.now();
  auto& r = at->second;
  unwatch(r);
  if (r.responding) --x.responses;
  x.attempts.erase(at->first);
  routes_.erase(at);
}

// The attempt is over without an answer: what its handler says is dropped. It counts against the bounds until the
// instance has dropped it, else starts and aborts in turn would fill the mailbox of a slow actor.
void ingress::cancel_route(route_map::iterator at, text why) {
  const auto ticket = at->second.ticket;
  auto* x = find(at->second.who);
  if (x == nullptr) return;
  const auto at_handler = x->handle && !at->second.partial && !at->second.responding;
  if (at_handler) {
    x->cancelled.emplace(ticket, std::move(at->second.place));
    caf::anon_send<caf::message_priority::high>(
        x->handle, internal::attempt_cancelled{ticket, std::move(why)});
  }
  erase(*x, at);
  count_as_down(*x);
}

// What no handler has answered goes back to the gateway, which asks the next generation; what it has not answered to the
// end is cut.
void ingress::abort_routes(instance& x, bool with_responses) {
  for (auto next = x.attempts.begin(); next != x.attempts.end();) {
    const auto at = routes_.find((next++)->first);
    if (at == routes_.end()) continue;
    if (!with_responses && at->second.responding) continue;
    ++stats_.requests_aborted;
    at->second.exchange.abort();
    say_last(at->second.exchange, own_gate_);
    erase(x, at);
  }
  x.cancelled.clear();
}

// A client that hears nothing waits for minutes: what finds no room is said later, in its order.
void ingress::send_answer(
    protocol::to_rivet_tunnel_message message, const std::shared_ptr<const output_gate>& gate) {
  const auto owe = [&] {
    owed_.emplace_back(std::move(message), gate);
    ask_for_room();
  };
  if (!owed_.empty() && owed_.size() < options_.host_requests_max) return owe();
  const auto sent = options_.link->send(gate, std::move(message));
  if (sent || sent.error().code == errc::cancelled) return;
  if (sent.error().code == errc::queue_full && owed_.size() < options_.host_requests_max)
    return owe();
  log_lost(sent.error());
}

void ingress::ask_for_room() {
  if (!crowded_until_) crowded_until_ = options_.now() + pause_.next();
}

void ingress::log_lost(const failure& why) {
  limiter_.log(
      options_.now(),
      log_level::warning,
      "an answer of the host was lost",
      {{"reason", why.message}});
}

}  // namespace nuncio

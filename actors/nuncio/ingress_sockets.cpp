// Ingress: client WebSockets. Which instance serves which, the order of what the client says, and the bounds; what is said
// to the client never passes here.
#include <fmt/format.h>

#include <caf/send.hpp>
#include <nuncio/ingress.hpp>
#include <nuncio/time_range.hpp>

namespace nuncio {

using lifecycle::input;
using lifecycle::state;
using fate = absent_sockets::fate;

namespace {

constexpr std::string_view not_restored = "the connection could not be restored";
constexpr std::string_view no_socket_room = "there are too many WebSockets here";
constexpr std::string_view not_heard_of_socket =
    "this client was not heard of after a reconnect, and others need its place";

}  // namespace

void ingress::handle_socket_open(
    const protocol::message_id& id, protocol::to_envoy_web_socket_open& open) {
  const exchange_id exchange{id.gateway_id, id.request_id};
  if (const auto old = sockets_.find(exchange); old != sockets_.end())  // a repetition
    drop_socket(old, "the gateway opened this WebSocket again");
  auto* to = newest(open.actor_id);
  if (to != nullptr && open.actor_generation) {
    if (*open.actor_generation > to->who.generation)  // I11
      supersede(*to, *open.actor_generation);
    to = find({open.actor_id, *open.actor_generation});
  }
  if (to == nullptr || !takes_requests(*to) || told_to_stop(*to)) {
    // Refused without an accept, it is opened again by the gateway, for the next generation (docs/protocol.md G.6).
    ++stats_.sockets_refused;
    return close_unaccepted(exchange, close_failed, "actor.ending", own_gate_);
  }
  apply(actor_ref{to->who}, input::accepted);
  note_use(*to);
  if (!make_socket_room(*to)) {
    ++stats_.sockets_refused;
    return refuse_socket(
        open.actor_id, exchange, close_later, "this actor has too many WebSockets");
  }
  if (!to->handle)
    return refuse_socket(open.actor_id, exchange, close_later, "this actor has not started yet");
  const auto ticket = next_ticket_++;
  auto made = std::make_shared<internal::socket>(
      socket_session{exchange}, ticket, to->context, caf::actor_cast<caf::actor_addr>(to->handle));
  made->head = {open.path, open.headers};
  if (!charge_head(*to, *made)) {
    ++stats_.sockets_refused;
    make_head_room(*to, made->head_cost());
    return refuse_socket(open.actor_id, exchange, close_later, no_socket_room);
  }
  give_room(*to, *made);
  ++stats_.sockets;
  to->busy_at = now_;
  sockets_.try_emplace(exchange, made, socket_intake{id.message_index});
  to->sockets.insert(exchange);
  absent_.handle_present(exchange);
  if (openings_.size() >= 2 * options_.host_sockets_max) drop_stale_openings();
  openings_.push_back({options_.now() + options_.accept_limit, exchange, ticket});
  internal::deliver(
      to->handle, ticket, caf::make_message(socket_opened{connection{std::move(made)}}));
}

void ingress::handle_socket_message(
    socket_map::iterator at, std::uint16_t index, protocol::to_envoy_web_socket_message& message) {
  auto& r = at->second;
  auto* to = find(r.who());
  if (to == nullptr || (!to->handle && !r.restoring)) return;
  // What a hibernating client says from now on is for the next generation: the gateway keeps what is not acked.
  if (r.hibernates && told_to_stop(*to)) return;
  switch (r.intake.handle_message(index)) {
    case socket_intake::verdict::fresh:
      break;
    case socket_intake::verdict::duplicate:
      // Once for any number: what it leads to is one ack.
      if (to->handle && !r.socket->repeated.exchange(true))
        caf::anon_send(to->handle, internal::socket_repeated{connection{r.socket}});
      return;
    case socket_intake::verdict::lost:
      return end_socket(at, close_failed, "a message of this WebSocket was lost");
  }
  auto& x = *r.socket;
  const auto cost = message.data.size() + waiting_message_bytes;
  switch (x.waiting.take(cost)) {
    case waiting_share::verdict::taken:
      break;
    case waiting_share::verdict::socket_full:
      ++stats_.sockets_flooded;
      return end_socket(at, close_policy, "more messages than this actor can take");
    case waiting_share::verdict::crowded:
      ++stats_.sockets_flooded;
      return end_socket(
          at, close_later, "too many messages wait here, and many are of this client");
  }
  ++stats_.socket_messages;
  to->busy_at = now_;
  note_use(*to);
  socket_message said{
      connection{r.socket},
      std::move(message.data),
      message.binary,
      index,
      waiting_place{{r.socket, &x.waiting}, cost}};
  if (!r.restoring) return caf::anon_send(to->handle, std::move(said));
  if (!r.held) r.held = std::make_unique<std::vector<socket_message>>();
  r.held->push_back(std::move(said));
}

void ingress::handle_long_socket_message(const protocol::message_id& id) {
  const exchange_id exchange{id.gateway_id, id.request_id};
  const auto at = sockets_.find(exchange);
  if (at == sockets_.end()) return absent_.handle_lost_message(exchange, now_);
  auto& r = at->second;
  r.doubt.reset();
  const auto* const to = find(r.who());
  if (to == nullptr || (!to->handle && !r.restoring)) return;
  // It comes again, for the next generation.
  if (r.hibernates && told_to_stop(*to)) return;
  if (r.intake.handle_message(id.message_index) == socket_intake::verdict::duplicate) return;
  end_socket(at, close_too_large, "a message is longer than this host takes");
}

void ingress::handle_socket_close(
    socket_map::iterator at, const protocol::to_envoy_web_socket_close& close) {
  auto* const x = find(at->second.who());
  const auto told = x != nullptr && x->handle;
  if (told)
    caf::anon_send(
        x->handle,
        socket_closed{
            connection{at->second.socket},
            close.code.value_or(close_left),
            close.reason.value_or(text{})});
  // Until Stopped has been judged the gateway gives a close to the old instance, and the Start of the next still lists the
  // WebSocket; nobody says it again.
  if (at->second.hibernates && (!told || told_to_stop(*x)))
    absent_.handle_closed(at->second.who().actor, at->first, options_.now());
  if (!told && x != nullptr) std::erase(x->listed, at->second.socket);
  erase_socket(at);
}

void ingress::handle_socket_accepted(const internal::socket_accepted& what) {
  const auto at = sockets_.find(what.exchange);
  if (at == sockets_.end() || at->second.socket->ticket != what.ticket) return;
  at->second.accepted = true;
  at->second.hibernates = what.hibernates;
}

void ingress::handle_socket_over(const internal::socket_over& what) {
  const auto at = sockets_.find(what.exchange);
  if (at == sockets_.end() || at->second.socket->ticket != what.ticket) return;
  if (!at->second.accepted) ++stats_.sockets_refused;
  absent_.handle_ended(at->second.who().actor, what.exchange, options_.now());
  erase_socket(at);
}

// -- those that hibernated

void ingress::await_sockets(
    instance& x, const instance* older, const std::vector<protocol::hibernating_request>& listed) {
  if (x.who.generation <= 1 && listed.empty()) return;
  const auto left = absent_.take_hibernated(x.who.actor, options_.now()) ||
                    (older != nullptr && !older->sockets.empty());
  if (listed.empty() && !left) return;
  x.lists = x.restoring = true;
  absent_.begin_restoring();
  for (const auto& each : listed) list_socket(x, {each.gateway_id, each.request_id});
}

void ingress::list_socket(instance& x, const exchange_id& exchange) {
  if (const auto old = sockets_.find(exchange); old != sockets_.end()) {
    if (old->second.who() == x.who) return;  // listed twice
    erase_socket(old);
  }
  const auto known = absent_.take_listed(x.who.actor, exchange, options_.now());
  if (known == fate::unknown) close_unaccepted(exchange, close_restart, not_restored, x.gate());
  if (known != fate::open) return;
  if (!make_socket_room(x)) {
    close_unaccepted(exchange, close_later, no_socket_room, x.gate());
    absent_.handle_closed(x.who.actor, exchange, options_.now());
    ++stats_.sockets_refused;
    return;
  }
  auto made = std::make_shared<internal::socket>(
      socket_session{exchange}, next_ticket_++, x.context, caf::actor_addr{});
  give_room(x, *made);
  auto& r = sockets_.try_emplace(exchange, made, socket_intake::restored()).first->second;
  r.accepted = r.hibernates = r.restoring = true;
  absent_.handle_present(exchange);
  x.sockets.insert(exchange);
  x.listed.push_back(std::move(made));
}

void ingress::tell_listed(instance& x) {
  if (!x.handle || !std::exchange(x.lists, false)) return;
  for (const auto& each : x.listed) each->owner = x.handle.address();
  caf::anon_send(x.handle, internal::sockets_listed{std::exchange(x.listed, {})});
}

void ingress::handle_sockets_restored(const internal::sockets_restored& what) {
  auto* const x = find(what.who);
  if (x == nullptr || !x->handle) return;
  std::vector<exchange_id> crowded;
  for (const auto& id : x->sockets) {
    auto& r = sockets_.at(id);
    if (!std::exchange(r.restoring, false)) continue;
    if (const auto held = std::exchange(r.held, nullptr))
      for (auto& said : *held) caf::anon_send(x->handle, std::move(said));
    if (!charge_head(*x, *r.socket)) crowded.push_back(id);  // its instance has read it
  }
  stats_.sockets_refused += crowded.size();
  for (const auto& id : crowded) end_socket(sockets_.find(id), close_later, no_socket_room);
  for (const auto& each : what.unlisted) route_unlisted(*x, each);
  end_restoring(*x);
}

void ingress::route_unlisted(instance& x, const internal::socket_ptr& socket) {
  const auto id = socket->session.id();
  const auto known = absent_.take_unlisted(x.who.actor, id, options_.now());
  if (known == fate::closed)
    return caf::anon_send(
        x.handle,
        socket_closed{
            connection{socket}, close_left, text{"the client left while the actor slept"}});
  if (sockets_.contains(id)) return;  // opened again in the meantime, which its instance sees, too
  if (!make_socket_room(x) || !charge_head(x, *socket)) {
    ++stats_.sockets_refused;
    return caf::anon_send(
        x.handle,
        internal::socket_failed{connection{socket}, close_later, std::string{no_socket_room}});
  }
  give_room(x, *socket);
  const auto at = sockets_.try_emplace(id, socket, socket_intake::restored()).first;
  at->second.accepted = at->second.hibernates = true;
  x.sockets.insert(id);
  if (known == fate::unknown) return end_socket(at, close_restart, not_restored);
  auto said = absent_.take_messages(id, options_.now());
  if (!said) return end_socket(at, close_failed, "a message of this WebSocket was lost");
  for (auto& [index, message] : *said) {
    handle_socket_message(at, index, message);
    if (!sockets_.contains(id)) return;
  }
}

// At a bound those go whose clients may have gone.
bool ingress::make_socket_room(instance& x) {
  for (;;) {
    const auto own = x.sockets.size() >= options_.sockets_max;
    if (!own && sockets_.size() < options_.host_sockets_max) return true;
    const auto* const doubted = doubted_socket(x, own);
    if (doubted == nullptr) return false;
    end_doubted(sockets_.find(doubted->of()));
  }
}

// What they were opened with is let go once their actors have heard: the next newcomer has that room.
void ingress::make_head_room(instance& x, std::size_t bytes) {
  const auto own = x.heads->used() + bytes > options_.socket_head_bytes_max;
  for (std::size_t leaving = 0; leaving < bytes;) {
    const auto* const doubted = doubted_socket(x, own);
    if (doubted == nullptr) return;
    const auto at = sockets_.find(doubted->of());
    leaving += at->second.socket->head_cost();
    end_doubted(at);
  }
}

client_doubt* ingress::doubted_socket(instance& x, bool own) {
  const auto now = options_.now();
  return own ? x.doubted_sockets.next(gateways_, now) : doubted_sockets_.next(gateways_, now);
}

// It may be there all the same, and listen: it hears that this is the end.
void ingress::end_doubted(socket_map::iterator at) {
  ++stats_.clients_doubted;
  end_socket(at, close_later, not_heard_of_socket);
}

// False without room: then it is not counted, and its WebSocket must not stay.
bool ingress::charge_head(instance& x, internal::socket& socket) const {
  if (!x.heads) x.heads = std::make_shared<waiting_pool>(options_.socket_head_bytes_max, heads_);
  if (!x.heads->take(socket.head_cost())) return false;
  socket.heads = x.heads;
  return true;
}

void ingress::give_room(instance& x, internal::socket& to) {
  if (!x.waiting)
    x.waiting = std::make_shared<waiting_pool>(options_.waiting.actor_bytes_max, waiting_);
  const auto own = x.context->serving->socket_waiting_bytes_max;
  to.waiting.join(
      x.waiting,
      options_.waiting.socket_bytes_reserved,
      own != 0 ? own : options_.waiting.socket_bytes_max);
}

void ingress::end_restoring(instance& x) {
  if (std::exchange(x.restoring, false)) absent_.end_restoring();
}

// The first thing that is said on it here.
void ingress::close_unaccepted(
    const exchange_id& id,
    std::uint16_t code,
    std::string_view why,
    const std::shared_ptr<const output_gate>& gate) {
  const protocol::to_rivet_web_socket_close close{code, text{why}, false};
  send_answer({{id.gateway, id.request, 0}, close}, gate);
}

// Accepted first: what is refused is opened again by the gateway (docs/protocol.md G.6).
void ingress::refuse_socket(
    const actor_id& of, const exchange_id& id, std::uint16_t code, std::string_view why) {
  absent_.handle_ended(of, id, options_.now());
  const protocol::to_rivet_web_socket_close no{code, text{why}, false};
  send_answer({{id.gateway, id.request, 0}, protocol::to_rivet_web_socket_open{false}}, own_gate_);
  send_answer({{id.gateway, id.request, 1}, no}, own_gate_);
}

bool ingress::is_stale(const opening& x) const {
  const auto at = sockets_.find(x.exchange);
  return at == sockets_.end() || at->second.socket->ticket != x.ticket || at->second.accepted;
}

// What stays is of WebSockets that are there, so that there are never more than twice as many as of those.
void ingress::drop_stale_openings() {
  std::erase_if(openings_, [this](const opening& x) { return is_stale(x); });
  openings_.shrink_to_fit();
}

void ingress::end_unaccepted(time_point now) {
  while (!openings_.empty() && openings_.front().until <= now) {
    const auto due = openings_.front();
    openings_.pop_front();
    if (is_stale(due)) continue;
    const auto at = sockets_.find(due.exchange);
    if (!at->second.socket->claim_opening()) {  // what its instance has said of it is on its way
      openings_.push_back({later(now, options_.accept_limit), due.exchange, due.ticket});
      continue;
    }
    ++stats_.sockets_refused;
    refuse_socket(
        at->second.who().actor, due.exchange, close_failed, "the actor did not accept in time");
    drop_socket(at, "it was not accepted in time");
  }
}

// The instance closes it, so that its own count of messages goes on.
void ingress::end_socket(socket_map::iterator at, std::uint16_t code, std::string_view why) {
  if (const auto* x = find(at->second.who()); x != nullptr && x->handle)
    caf::anon_send<caf::message_priority::high>(
        x->handle, internal::socket_failed{connection{at->second.socket}, code, std::string{why}});
  absent_.handle_ended(at->second.who().actor, at->first, options_.now());
  erase_socket(at);
}

// The engine has no use for it any more: replaced by a repetition, or not accepted in time. Its opening, if it still waits
// for its handler, is passed over.
void ingress::drop_socket(socket_map::iterator at, std::string_view why) {
  static_cast<void>(at->second.socket->claim_opening());
  if (const auto* x = find(at->second.who()); x != nullptr && x->handle)
    caf::anon_send(x->handle, socket_closed{connection{at->second.socket}, close_left, text{why}});
  erase_socket(at);
}

void ingress::erase_socket(socket_map::iterator at) {
  auto* const x = find(at->second.who());
  if (x != nullptr) {
    x->sockets.erase(at->first);
    x->busy_at = options_.now();
  }
  sockets_.erase(at);
}

// The gateway closes those of an instance that ends, or keeps those that hibernate.
void ingress::forget_sockets(instance& x) {
  bool hibernating = false;
  const auto now = options_.now();
  // With the actor goes what it left; its WebSockets are not listed any more.
  const auto for_good =
      x.state == state::stopped && x.reason == protocol::stop_actor_reason::destroy;
  for (const auto& id : x.sockets) {
    const auto at = sockets_.find(id);
    if (at->second.hibernates) absent_.handle_left(x.who.actor, id, now);
    hibernating = hibernating || at->second.hibernates;
    sockets_.erase(at);
  }
  if (hibernating && !for_good) absent_.handle_hibernated(x.who.actor, now);
  end_restoring(x);
  x.sockets.clear();
}

}  // namespace nuncio

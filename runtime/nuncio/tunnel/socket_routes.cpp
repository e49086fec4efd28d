// See socket_routes.hpp.
#include <algorithm>
#include <nuncio/instances/instance_table.hpp>
#include <nuncio/support/time_range.hpp>
#include <nuncio/tunnel/socket_routes.hpp>

namespace nuncio {

using lifecycle::state;
using fate = absent_sockets::fate;

namespace {

constexpr std::string_view not_restored = "the connection could not be restored";
constexpr std::string_view no_socket_room = "this host has too many WebSockets";
constexpr std::string_view not_heard_of_socket =
    "this client was silent after a reconnect, and others need its place";
constexpr std::string_view opened_again = "the gateway opened this WebSocket again";

}  // namespace

socket_routes::socket_routes(host_core& core, instance_table& instances)
    : core_(core),
      instances_(instances),
      heads_(std::make_shared<waiting_pool>(core.limits.host_socket_head_bytes_max)),
      waiting_(std::make_shared<waiting_pool>(core.limits.waiting.host_bytes_max)),
      // Messages while instances restore are limited as if all belonged to one actor.
      absent_(
          {core.limits.listed_limit,
           core.limits.start_limit,
           core.limits.left_bytes_max,
           early_bytes_max,
           std::make_shared<waiting_pool>(core.limits.waiting.actor_bytes_max, waiting_),
           core.limits.waiting.socket_bytes_max}) {}

void socket_routes::handle_open(
    const protocol::message_id& id, protocol::to_envoy_web_socket_open& open) {
  const exchange_id exchange{id.gateway_id, id.request_id};
  if (const auto old = sockets_.find(exchange); old != sockets_.end()) drop(old, opened_again);
  auto* to = instances_.asked(open.actor_id, open.actor_generation);
  if (to == nullptr || !to->takes_requests() || to->told_to_stop()) {
    // If it is refused without an accept, the gateway opens it again, for the next generation (docs/protocol.md G.6).
    ++core_.stats.sockets_refused;
    return close_unaccepted(exchange, close_failed, "actor.ending", core_.own_gate);
  }
  instances_.handle_asked(*to);
  if (!make_room(*to)) {
    ++core_.stats.sockets_refused;
    return refuse(open.actor_id, exchange, close_later, "this actor has too many WebSockets");
  }
  if (!to->reachable)
    return refuse(open.actor_id, exchange, close_later, "this actor has not started yet");
  open_for(*to, id, open);
}

void socket_routes::open_for(
    instance& to, const protocol::message_id& id, const protocol::to_envoy_web_socket_open& open) {
  const exchange_id exchange{id.gateway_id, id.request_id};
  const auto ticket = core_.next_ticket++;
  auto made = std::make_shared<internal::socket>(socket_session{exchange}, ticket, to.context);
  made->head = {open.path, open.headers};
  if (!charge_head(to, *made)) {
    ++core_.stats.sockets_refused;
    make_head_room(to, made->head_cost());
    return refuse(open.actor_id, exchange, close_later, no_socket_room);
  }
  give_room(to, *made);
  ++core_.stats.sockets;
  to.busy_at = core_.now;
  sockets_.try_emplace(exchange, made, to, socket_intake{id.message_index});
  to.sockets.insert(exchange);
  absent_.handle_present(exchange);
  if (openings_.size() >= 2 * core_.limits.host_sockets_max) drop_stale_openings();
  openings_.push_back({core_.now + core_.limits.accept_limit, exchange, ticket});
  core_.tell(to, host_output::socket_opening{std::move(made)});
}

bool socket_routes::handle(
    const protocol::message_id& id, protocol::to_envoy_tunnel_message_kind& kind) {
  const auto at = sockets_.find({id.gateway_id, id.request_id});
  if (at == sockets_.end()) return false;
  at->second.doubt.reset();
  if (auto* said = std::get_if<protocol::to_envoy_web_socket_message>(&kind))
    handle_message(at, id.message_index, *said);
  else if (const auto* close = std::get_if<protocol::to_envoy_web_socket_close>(&kind))
    handle_close(at, *close);
  return true;
}

void socket_routes::handle_absent(
    const protocol::message_id& id, protocol::to_envoy_tunnel_message_kind& kind) {
  const exchange_id exchange{id.gateway_id, id.request_id};
  if (std::holds_alternative<protocol::to_envoy_web_socket_close>(kind))
    absent_.handle_close(exchange, core_.now);
  else if (auto* said = std::get_if<protocol::to_envoy_web_socket_message>(&kind))
    absent_.handle_message(exchange, id.message_index, *said, core_.now);
}

void socket_routes::handle_long_open(const exchange_id& id, const actor_id& of) {
  if (const auto old = sockets_.find(id); old != sockets_.end()) drop(old, opened_again);
  ++core_.stats.sockets_refused;
  refuse(of, id, close_too_large, "the head of this WebSocket is too long");
}

void socket_routes::handle_close(
    const exchange_id& id, const protocol::to_envoy_web_socket_close& close) {
  if (const auto at = sockets_.find(id); at != sockets_.end()) handle_close(at, close);
}

void socket_routes::handle_message(
    socket_map::iterator at, std::uint16_t index, protocol::to_envoy_web_socket_message& message) {
  auto& r = at->second;
  auto& to = *r.of;
  if (!to.reachable && !r.restoring) return;
  // From now on a hibernating client's messages are for the next generation: the gateway keeps what is not acked.
  if (r.hibernates && to.told_to_stop()) return;
  switch (r.intake.handle_message(index)) {
    case socket_intake::verdict::fresh:
      break;
    case socket_intake::verdict::duplicate:
      // Once for any number: the result is one ack.
      if (to.reachable && !r.socket->repeated.exchange(true))
        core_.tell(to, internal::socket_repeated{r.socket});
      return;
    case socket_intake::verdict::lost:
      return end(at, close_failed, "a message of this WebSocket was lost");
  }
  const auto cost = message.data.size() + waiting_message_bytes;
  if (!take(r, at, cost)) return;
  ++core_.stats.socket_messages;
  to.busy_at = core_.now;
  instances_.note_use(to);
  host_output::socket_said said{
      r.socket,
      std::move(message.data),
      message.binary,
      index,
      waiting_place{{r.socket, &r.socket->waiting}, cost}};
  if (!r.restoring) return core_.tell(to, std::move(said));
  if (!r.held) r.held = std::make_unique<std::vector<host_output::socket_said>>();
  r.held->push_back(std::move(said));
}

// @returns false if there is no room: the WebSocket has ended
bool socket_routes::take(route& r, socket_map::iterator at, std::size_t cost) {
  switch (r.socket->waiting.take(cost)) {
    case waiting_share::verdict::taken:
      return true;
    case waiting_share::verdict::socket_full:
      ++core_.stats.sockets_flooded;
      end(at, close_policy, "more messages than this actor can accept");
      return false;
    case waiting_share::verdict::crowded:
      ++core_.stats.sockets_flooded;
      end(at, close_later, "too many messages wait here, many of them from this client");
      return false;
  }
  return false;
}

void socket_routes::handle_long_message(const protocol::message_id& id) {
  const exchange_id exchange{id.gateway_id, id.request_id};
  const auto at = sockets_.find(exchange);
  if (at == sockets_.end()) return absent_.handle_lost_message(exchange, core_.now);
  auto& r = at->second;
  r.doubt.reset();
  if (!r.of->reachable && !r.restoring) return;
  // It will be repeated, for the next generation.
  if (r.hibernates && r.of->told_to_stop()) return;
  if (r.intake.handle_message(id.message_index) == socket_intake::verdict::duplicate) return;
  end(at, close_too_large, "a message is larger than this host accepts");
}

void socket_routes::handle_close(
    socket_map::iterator at, const protocol::to_envoy_web_socket_close& close) {
  auto& r = at->second;
  auto& x = *r.of;
  const auto told = x.reachable;
  core_.tell(
      x,
      host_output::socket_left{
          r.socket, close.code.value_or(close_left), close.reason.value_or(text{})});
  // Until Stopped was processed, the gateway sends a close to the old instance, and the Start of the next one still lists the
  // WebSocket; the close is not repeated.
  if (r.hibernates && (!told || x.told_to_stop()))
    absent_.handle_closed(x.who.actor, at->first, core_.now);
  if (!told) std::erase(x.listed, r.socket);
  erase(at);
}

socket_routes::socket_map::iterator socket_routes::find(
    const exchange_id& exchange, std::uint64_t ticket) {
  const auto at = sockets_.find(exchange);
  return at == sockets_.end() || at->second.socket->ticket != ticket ? sockets_.end() : at;
}

void socket_routes::handle(const internal::socket_accepted& what) {
  const auto at = find(what.exchange, what.ticket);
  if (at == sockets_.end()) return;
  at->second.accepted = true;
  at->second.hibernates = what.hibernates;
}

void socket_routes::handle(const internal::socket_over& what) {
  const auto at = find(what.exchange, what.ticket);
  if (at == sockets_.end()) return;
  if (!at->second.accepted) ++core_.stats.sockets_refused;
  absent_.handle_ended(at->second.of->who.actor, what.exchange, core_.now);
  erase(at);
}

// -- hibernating WebSockets

void socket_routes::await(
    instance& x, const instance* older, const std::vector<protocol::hibernating_request>& listed) {
  if (x.who.generation <= 1 && listed.empty()) return;
  const auto left = absent_.take_hibernated(x.who.actor, core_.now) ||
                    (older != nullptr && !older->sockets.empty());
  if (listed.empty() && !left) return;
  x.lists = x.restoring = true;
  absent_.begin_restoring();
  for (const auto& each : listed) list(x, {each.gateway_id, each.request_id});
}

void socket_routes::list(instance& x, const exchange_id& exchange) {
  if (const auto old = sockets_.find(exchange); old != sockets_.end()) {
    if (old->second.of == &x) return;  // listed twice
    erase(old);
  }
  const auto known = absent_.take_listed(x.who.actor, exchange, core_.now);
  if (known == fate::unknown) close_unaccepted(exchange, close_restart, not_restored, x.gate());
  if (known != fate::open) return;
  if (!make_room(x)) {
    close_unaccepted(exchange, close_later, no_socket_room, x.gate());
    absent_.handle_closed(x.who.actor, exchange, core_.now);
    ++core_.stats.sockets_refused;
    return;
  }
  auto made =
      std::make_shared<internal::socket>(socket_session{exchange}, core_.next_ticket++, x.context);
  give_room(x, *made);
  auto& r = sockets_.try_emplace(exchange, made, x, socket_intake::restored()).first->second;
  r.accepted = r.hibernates = r.restoring = true;
  absent_.handle_present(exchange);
  x.sockets.insert(exchange);
  x.listed.push_back(std::move(made));
}

void socket_routes::tell_listed(instance& x) {
  if (x.reachable && std::exchange(x.lists, false))
    core_.tell(x, internal::sockets_listed{std::exchange(x.listed, {})});
}

void socket_routes::handle(const internal::sockets_restored& what) {
  auto* const x = instances_.find(what.who);
  if (x == nullptr || !x->reachable) return;
  std::vector<exchange_id> crowded;
  for (const auto& id : x->sockets) {
    auto& r = sockets_.at(id);
    if (!std::exchange(r.restoring, false)) continue;
    if (const auto held = std::exchange(r.held, nullptr))
      for (auto& said : *held) core_.tell(*x, std::move(said));
    if (!charge_head(*x, *r.socket)) crowded.push_back(id);  // its instance has read it
  }
  core_.stats.sockets_refused += crowded.size();
  for (const auto& id : crowded) end(sockets_.find(id), close_later, no_socket_room);
  for (const auto& each : what.unlisted) route_unlisted(*x, each);
  end_restoring(*x);
}

void socket_routes::route_unlisted(instance& x, const internal::socket_ptr& socket) {
  const auto id = socket->session.id();
  const auto known = absent_.take_unlisted(x.who.actor, id, core_.now);
  if (known == fate::closed)
    return core_.tell(
        x,
        host_output::socket_left{
            socket, close_left, text{"the client left while the actor slept"}});
  if (sockets_.contains(id)) return;  // opened again in the meantime, which its instance sees, too
  if (!make_room(x) || !charge_head(x, *socket)) {
    ++core_.stats.sockets_refused;
    return core_.tell(x, internal::socket_failed{socket, close_later, std::string{no_socket_room}});
  }
  give_room(x, *socket);
  const auto at = sockets_.try_emplace(id, socket, x, socket_intake::restored()).first;
  at->second.accepted = at->second.hibernates = true;
  x.sockets.insert(id);
  if (known == fate::unknown) return end(at, close_restart, not_restored);
  auto said = absent_.take_messages(id, core_.now);
  if (!said) return end(at, close_failed, "a message of this WebSocket was lost");
  for (auto& [index, message] : *said) {
    handle_message(at, index, message);
    if (!sockets_.contains(id)) return;
  }
}

// At a limit, WebSockets whose clients may have gone are ended.
bool socket_routes::make_room(instance& x) {
  for (;;) {
    const auto own = x.sockets.size() >= core_.limits.sockets_max;
    if (!own && sockets_.size() < core_.limits.host_sockets_max) return true;
    const auto* const gone = doubted(x, own);
    if (gone == nullptr) return false;
    end_doubted(sockets_.find(gone->of()));
  }
}

// Heads are released once their actors were notified: the next newcomer gets that room.
void socket_routes::make_head_room(instance& x, std::size_t bytes) {
  const auto own = x.heads->used() + bytes > core_.limits.socket_head_bytes_max;
  for (std::size_t leaving = 0; leaving < bytes;) {
    const auto* const gone = doubted(x, own);
    if (gone == nullptr) return;
    const auto at = sockets_.find(gone->of());
    leaving += at->second.socket->head_cost();
    end_doubted(at);
  }
}

client_doubt* socket_routes::doubted(instance& x, bool own) {
  return own ? x.doubted_sockets.next(core_.gateways, core_.now)
             : doubted_.next(core_.gateways, core_.now);
}

// The client may be there after all, and listening: it is told that this is the end.
void socket_routes::end_doubted(socket_map::iterator at) {
  ++core_.stats.clients_doubted;
  end(at, close_later, not_heard_of_socket);
}

// @returns false without room: then it is not counted, and its WebSocket must not stay.
bool socket_routes::charge_head(instance& x, internal::socket& socket) const {
  if (!x.heads)
    x.heads = std::make_shared<waiting_pool>(core_.limits.socket_head_bytes_max, heads_);
  if (!x.heads->take(socket.head_cost())) return false;
  socket.heads = x.heads;
  return true;
}

void socket_routes::give_room(instance& x, internal::socket& to) {
  if (!x.waiting)
    x.waiting = std::make_shared<waiting_pool>(core_.limits.waiting.actor_bytes_max, waiting_);
  const auto own = x.context->serving->socket_waiting_bytes_max;
  to.waiting.join(
      x.waiting,
      core_.limits.waiting.socket_bytes_reserved,
      own != 0 ? own : core_.limits.waiting.socket_bytes_max);
}

void socket_routes::end_restoring(instance& x) {
  if (std::exchange(x.restoring, false)) absent_.end_restoring();
}

// The first message on it from here.
void socket_routes::close_unaccepted(
    const exchange_id& id,
    std::uint16_t code,
    std::string_view why,
    const std::shared_ptr<const output_gate>& gate) {
  const protocol::to_rivet_web_socket_close close{code, text{why}, false};
  core_.send_answer({{id.gateway, id.request, 0}, close}, gate);
}

// Accepts it first: if it is refused, the gateway opens it again (docs/protocol.md G.6).
void socket_routes::refuse(
    const actor_id& of, const exchange_id& id, std::uint16_t code, std::string_view why) {
  absent_.handle_ended(of, id, core_.now);
  const protocol::to_rivet_web_socket_close no{code, text{why}, false};
  core_.send_answer(
      {{id.gateway, id.request, 0}, protocol::to_rivet_web_socket_open{false}}, core_.own_gate);
  core_.send_answer({{id.gateway, id.request, 1}, no}, core_.own_gate);
}

bool socket_routes::is_stale(const opening& x) const {
  const auto at = sockets_.find(x.exchange);
  return at == sockets_.end() || at->second.socket->ticket != x.ticket || at->second.accepted;
}

// The remaining openings belong to existing WebSockets, so there are never more than twice as many.
void socket_routes::drop_stale_openings() {
  std::erase_if(openings_, [this](const opening& x) { return is_stale(x); });
  openings_.shrink_to_fit();
}

void socket_routes::expire() {
  while (!openings_.empty() && openings_.front().until <= core_.now) {
    const auto due = openings_.front();
    openings_.pop_front();
    if (is_stale(due)) continue;
    const auto at = sockets_.find(due.exchange);
    if (!at->second.socket->claim_opening()) {  // the instance's answer to it is on its way
      openings_.push_back({later(core_.now, core_.limits.accept_limit), due.exchange, due.ticket});
      continue;
    }
    ++core_.stats.sockets_refused;
    refuse(
        at->second.of->who.actor, due.exchange, close_failed, "the actor did not accept in time");
    drop(at, "it was not accepted in time");
  }
}

// The instance closes it, so that its own count of messages goes on.
void socket_routes::end(socket_map::iterator at, std::uint16_t code, std::string_view why) {
  const auto& r = at->second;
  core_.tell_first(*r.of, internal::socket_failed{r.socket, code, std::string{why}});
  absent_.handle_ended(r.of->who.actor, at->first, core_.now);
  erase(at);
}

// The engine does not need it any more: replaced by a repetition, or not accepted in time. If its opening still waits for its
// handler, that is skipped.
void socket_routes::drop(socket_map::iterator at, std::string_view why) {
  const auto& r = at->second;
  static_cast<void>(r.socket->claim_opening());
  core_.tell(*r.of, host_output::socket_left{r.socket, close_left, text{why}});
  erase(at);
}

void socket_routes::erase(socket_map::iterator at) {
  auto& x = *at->second.of;
  x.sockets.erase(at->first);
  x.busy_at = core_.now;
  sockets_.erase(at);
}

void socket_routes::forget(instance& x) {
  bool hibernating = false;
  // What it left goes with the actor; its WebSockets are not listed any more.
  const auto for_good =
      x.state == state::stopped && x.reason == protocol::stop_actor_reason::destroy;
  for (const auto& id : x.sockets) {
    const auto at = sockets_.find(id);
    if (at->second.hibernates) absent_.handle_left(x.who.actor, id, core_.now);
    hibernating = hibernating || at->second.hibernates;
    sockets_.erase(at);
  }
  if (hibernating && !for_good) absent_.handle_hibernated(x.who.actor, core_.now);
  end_restoring(x);
  x.sockets.clear();
}

bool socket_routes::keeps_awake(const instance& x) const {
  return std::any_of(x.sockets.begin(), x.sockets.end(), [&](const auto& id) {
    const auto& r = sockets_.at(id);
    return !r.hibernates && core_.may_be_there(r.doubt.get());
  });
}

// The engine never reports a client that left while the connection was down, and does not answer messages to it
// (docs/protocol.md). So a client that was open then and is silent keeps its actor awake for stall_limit more, and its place as
// long as nobody else needs it.
void socket_routes::handle_up() {
  for (auto& [id, r] : sockets_) {
    core_.gateways.handle_open(id.gateway);
    // One that is not restored yet belongs to its Start, which lists the clients that are there.
    if (r.restoring) continue;
    if (!r.doubt) r.doubt = std::make_unique<client_doubt>(id);
    r.of->doubted_sockets.add(*r.doubt, core_.now);
    doubted_.add(*r.doubt, core_.now);
  }
}

}  // namespace nuncio

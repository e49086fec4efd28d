// Messages to and from WebSockets. For the stored records of hibernating ones see instance_sockets_records.cpp.
#include <fmt/format.h>

#include <nuncio/actor/access.hpp>
#include <nuncio/actor/instance_sockets.hpp>
#include <nuncio/utf8.hpp>

namespace nuncio::internal {

// -- from ingress

bool instance_sockets::handle_opened(const socket_ptr& x) {
  if (x->answered.load()) return false;
  if (const auto at = unlisted_.find(x->session.id()); at != unlisted_.end()) {
    // It closes while its actor sleeps, so the gateway opens it again.
    if (const auto old = all_.find(at->second); old != all_.end()) {
      unsave(x->session.id());
      old->second->session = socket_session{x->session.id()};
      old->second->session.handle_closed();
      tell(*old->second, close_left, "the gateway opened this WebSocket again");
    }
    unlisted_.erase(at);
  }
  all_.emplace(x->ticket, x);
  return true;
}

bool instance_sockets::handle_message(const socket_message& m) {
  auto& x = *access::socket_of(m.socket);
  const auto give_back = [&] {
    m.waits.give_back();
    return false;
  };
  if (x.session.now_in() == socket_session::state::closed) return give_back();
  if (x.session.consumed_before(m.index)) {
    x.session.handle_duplicate();
    acks_due_ = true;
    return give_back();
  }
  if (x.session.skips_to(m.index)) {
    close_and_tell(x, close_failed, "a message of this WebSocket was lost");
    return give_back();
  }
  if (!m.binary && !is_utf8(m.data.view())) {
    close_and_tell(x, close_bad_text, "a text message was not UTF-8");
    return give_back();
  }
  in_hand_ = m;  // the handler may take the message apart, or keep it
  in_hand_->waits = std::move(m.waits);
  return true;
}

void instance_sockets::handle_told() {
  if (!untold_.empty()) untold_.pop_front();
}

void instance_sockets::handle_returned(bool consumed, const socket_message& m) {
  auto had = *std::exchange(in_hand_, std::nullopt);
  if (!consumed) {
    m.waits = std::move(had.waits);
    return;
  }
  had.waits.give_back();
  acknowledge(*access::socket_of(had.socket), had);
}

void instance_sockets::acknowledge(socket& x, const socket_message& m) {
  const auto recorded = x.session.exact();
  x.session.handle_consumed(m.index, m.data.size());
  // Before the ack: once the engine has forgotten a message, the next instance must not consider it missing.
  if (recorded) save(x);
  if (auto ack = x.session.poll_ack(false)) {
    if (unsaved_.contains(x.ticket)) write_records(false);
    put_ack(x, std::move(*ack));
  }
  acks_due_ = acks_due_ || (x.session.hibernates() && x.session.ack_due());
}

void instance_sockets::handle_closed(socket& x) {
  x.session.handle_closed();
  if (all_.erase(x.ticket) != 0 && x.session.hibernates()) unsave(x.session.id());
}

void instance_sockets::handle_repeated(socket& x) {
  x.repeated.store(false);
  x.session.handle_duplicate();
  acks_due_ = acks_due_ || x.session.ack_due();
}

void instance_sockets::handle_failed(socket& x, std::uint16_t code, std::string_view why) {
  if (looking_up_) return failed_early_.push_back({x.shared_from_this(), code, std::string{why}});
  if (x.session.now_in() == socket_session::state::opening) {
    if (auto accepted = accept_opening(x, false))
      static_cast<void>(put_short(x, std::move(*accepted)));
  }
  close_and_tell(x, code, why);
}

bool instance_sockets::handle_answer(std::uint64_t ticket, const caf::error* error) {
  const auto at = all_.find(ticket);
  if (at == all_.end()) return false;
  if (error == nullptr || at->second->session.now_in() != socket_session::state::opening)
    return true;
  const auto kept = at->second;
  const auto no_handler = *error == caf::sec::unexpected_message;
  static_cast<void>(refuse(
      *kept,
      close_failed,
      no_handler ? "this actor serves no WebSockets" : "the actor failed to accept"));
  return true;
}

void instance_sockets::flush() {
  send_waiting();
  write_records(false);
  if (!std::exchange(acks_due_, false)) return;
  for (auto& [ticket, x] : all_)
    if (auto ack = x->session.poll_ack(true)) put_ack(*x, std::move(*ack));
}

// -- from the actor

outcome<void> instance_sockets::accept(socket& x, const accept_options& options) {
  auto message = accept_opening(x, options.hibernate);
  if (!message) return message.error();
  x.state = bytes::copy_of(options.state.span());
  if (auto sent = put_short(x, std::move(*message)); !sent) {
    give_up(x, sent.error().message);
    return sent;
  }
  if (options.hibernate) {
    x.accepted_ms = wall_clock_ms();
    clean_up();
    save(x);
  }
  internal::tell(
      context_of(x),
      socket_accepted{x.context->start.self, x.session.id(), x.ticket, options.hibernate});
  return {};
}

outcome<void> instance_sockets::send(socket& x, bytes data, bool binary) {
  auto message = x.session.send(std::move(data), binary);
  if (!message) return message.error();
  if (x.unsent.load() <= x.context->serving->socket_unsent_bytes_max) {
    const auto sent = !waits(x) && has_room_for(*message) ? put(x, std::move(*message))
                                                          : failure{errc::queue_full, "it waits"};
    if (sent || sent.error().code == errc::cancelled) return sent;
    if (sent.error().code == errc::queue_full && wait_for_room(x, *message)) return {};
  }
  // A dropped message leaves a gap, so this is the end of the WebSocket.
  close_and_tell(x, close_later, "the client reads too slowly");
  return failure{
      errc::queue_full, "too many bytes wait to be sent to this WebSocket; it is closed with 1013"};
}

outcome<void> instance_sockets::close(socket& x, std::uint16_t code, std::string_view reason) {
  auto message = x.session.close(code, reason);
  if (!message) return message.error();
  const auto kept = x.shared_from_this();
  forget(x);  // first: ingress must know before the engine answers
  static_cast<void>(put_short(x, std::move(*message)));
  return {};
}

// A refusal before the accept would make the gateway repeat the open (docs/protocol.md G.6).
outcome<void> instance_sockets::refuse(socket& x, std::uint16_t code, std::string_view reason) {
  if (auto good = check_close(code, reason); !good) return good;
  auto accepted = accept_opening(x, false);
  if (!accepted) return accepted.error();
  if (auto sent = put_short(x, std::move(*accepted)); !sent) {
    give_up(x, sent.error().message);
    return sent;
  }
  return close(x, code, reason);
}

void instance_sockets::broadcast(const bytes& data, bool binary) {
  for (auto& [ticket, x] : all_)
    if (x->session.now_in() == socket_session::state::open)
      static_cast<void>(send(*x, data, binary));
}

void instance_sockets::set_state(socket& x, const bytes& state) {
  x.state = bytes::copy_of(state.span());
  if (x.session.hibernates() && x.session.now_in() == socket_session::state::open) save(x);
}

void instance_sockets::handle_down(bool for_good) {
  if (const auto m = std::exchange(in_hand_, std::nullopt))
    acknowledge(*access::socket_of(m->socket), *m);
  ending_ = true;
  flush();
  // A hibernating WebSocket would live on without the message.
  for (const auto& each : outgoing_)
    if (auto& x = *each.to; !for_good && x.session.hibernates() && holds(x)) {
      if (auto message = x.session.close(close_failed, "the link had no room for a message"))
        static_cast<void>(put(x, std::move(*message)));
      forget(x);
    }
  for (auto& [ticket, x] : all_) {
    if (!x->session.hibernates()) continue;
    if (for_good) {  // all that is stored goes with the actor
      if (auto message = x->session.close(close_normal, "actor.destroyed"))
        static_cast<void>(put(*x, std::move(*message)));
    } else if (x->session.consumed() && !x->session.exact()) {
      unsaved_.insert(ticket);
    }
  }
  if (!outgoing_.empty())
    log_limited(
        access::context(*owner_),
        log_level::warning,
        "an actor has ended before the link had room for all its messages to clients",
        {{"messages", fmt::to_string(said_waiting_)}});
  write_records(true);
  drop_waiting();
  all_.clear();
}

std::vector<connection> instance_sockets::open() const {
  std::vector<connection> out;
  out.reserve(all_.size());
  for (const auto& [ticket, x] : all_)
    if (x->session.now_in() == socket_session::state::open) out.push_back(access::connection_of(x));
  return out;
}

// -- helpers

outcome<void> instance_sockets::put(socket& x, protocol::to_rivet_tunnel_message&& message) {
  return context_of(x).link->send_across_connections(
      source_of(x.context, {x.shared_from_this(), &x.unsent}), std::move(message));
}

void instance_sockets::put_ack(socket& x, protocol::to_rivet_tunnel_message message) {
  // Acks are cumulative: the next one covers this one.
  if (const auto sent = put(x, std::move(message));
      !sent && sent.error().code == errc::queue_full) {
    x.session.handle_duplicate();
    acks_due_ = true;
  }
}

outcome<protocol::to_rivet_tunnel_message> instance_sockets::accept_opening(
    socket& x, bool hibernates) {
  auto message = x.session.accept(hibernates);
  if (!message || x.claim_opening()) return message;
  x.session.handle_closed();  // its handler is about to be notified
  return failure{errc::cancelled, "this WebSocket was not accepted in time"};
}

// Accepts and closes, without which the client would wait for ever: one for each socket, so they need no limit.
outcome<void> instance_sockets::put_short(socket& x, protocol::to_rivet_tunnel_message message) {
  if (!waits(x))
    if (const auto sent = put(x, std::move(message)); sent || sent.error().code != errc::queue_full)
      return sent;
  keep(x, {std::move(message), 0, 0});
  return {};
}

// @returns false if there is no room to wait in
bool instance_sockets::wait_for_room(socket& x, protocol::to_rivet_tunnel_message& message) {
  auto& data = std::get<protocol::to_rivet_web_socket_message>(message.message_kind).data;
  const auto size = data.size();
  // A broadcast message is kept once; a copy, since it may be a small part of something long.
  const auto again = data.begin() == said_.begin() && size == said_.size();
  const auto cost = waiting_message_bytes + (again ? 0 : size);
  if (room_.take(cost) != waiting_share::verdict::taken) return false;
  if (!again) {
    said_ = data;
    kept_ = bytes::copy_of(data.span());
  }
  data = kept_;
  x.unsent.fetch_add(size);
  keep(x, {std::move(message), size, cost});
  return true;
}

void instance_sockets::keep(socket& x, waiting_output what) {
  const auto [at, made] = outgoing_of_.try_emplace(&x);
  if (made) at->second = outgoing_.insert(outgoing_.end(), {x.shared_from_this(), {}});
  at->second->messages.push_back(std::move(what));
  ++said_waiting_;
}

// Long messages leave room for short ones and for other actors, until the actor ends.
bool instance_sockets::has_room_for(const protocol::to_rivet_tunnel_message& message) const {
  return ending_ || !is_bulk(message.message_kind) ||
         access::context(*owner_).link->has_room_for_bodies(
             source_of(access::shared_context(*owner_)).waiter);
}

// @returns false if the link is full
bool instance_sockets::send_one(std::list<client_output>::iterator at) {
  const auto to = at->to;
  const auto sent = put(*to, std::move(at->messages.front().message));
  if (!sent && sent.error().code == errc::queue_full) return false;
  drop_first(at);
  return true;
}

// Sends one message for each client in turn, round robin: no client waits for another's messages.
void instance_sockets::send_waiting() {
  bool full = false, moved = true;
  while (!full && std::exchange(moved, false))
    for (auto n = outgoing_.size(); n != 0 && !full; --n) {
      const auto at = outgoing_.begin();
      outgoing_.splice(outgoing_.end(), outgoing_, at);
      if (!has_room_for(at->messages.front().message)) continue;
      full = !send_one(at);
      moved = moved || !full;
    }
  if (outgoing_.empty()) said_ = kept_ = {};
}

void instance_sockets::drop_first(std::list<client_output>::iterator at) {
  const auto& first = at->messages.front();
  at->to->unsent.fetch_sub(first.size);
  room_.give_back(first.cost);
  --said_waiting_;
  if (owed_ != 0) --owed_;
  at->messages.pop_front();
  if (!at->messages.empty()) return;
  outgoing_of_.erase(at->to.get());
  outgoing_.erase(at);
}

void instance_sockets::drop_waiting() {
  while (!outgoing_.empty()) drop_first(outgoing_.begin());
  said_ = kept_ = {};
}

void instance_sockets::handle_ending() {
  ending_ = true;
  send_waiting();
  owed_ = said_waiting_;
}

void instance_sockets::handle_room() { send_waiting(); }

void instance_sockets::close_and_tell(socket& x, std::uint16_t code, std::string_view reason) {
  auto message = x.session.close(code, reason);
  if (!message) return;
  internal::tell(context_of(x), socket_over{x.context->start.self, x.session.id(), x.ticket});
  static_cast<void>(put_short(x, std::move(*message)));
  tell(x, code, reason);
}

void instance_sockets::tell(socket& x, std::uint16_t code, std::string_view reason) {
  post(owner_, socket_closed{access::connection_of(x.shared_from_this()), code, text{reason}});
}

// It could not even be accepted: ingress answers for it when the time limit for accepting has passed.
void instance_sockets::give_up(socket& x, std::string_view why) {
  log_limited(
      context_of(x),
      log_level::warning,
      "a WebSocket could not be accepted",
      {{"reason", std::string{why}}});
  x.session.handle_closed();
  all_.erase(x.ticket);
  x.answered.store(false);
}

void instance_sockets::forget(socket& x) {
  const auto kept = x.shared_from_this();
  all_.erase(kept->ticket);
  if (kept->session.hibernates()) unsave(kept->session.id());
  internal::tell(
      context_of(*kept), socket_over{kept->context->start.self, kept->session.id(), kept->ticket});
}

}  // namespace nuncio::internal

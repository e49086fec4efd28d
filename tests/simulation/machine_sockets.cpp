// See machine_sockets.hpp.
#include "simulation/machine_sockets.hpp"

#include <fmt/format.h>

#include "simulation/gateway_model.hpp"

namespace nuncio::simulation {
namespace {

std::uint32_t client_of(const internal::socket& x) {
  return gateway_model::number(x.session.id().request);
}

}  // namespace

// -- from the host --------------------------------------------------------------------------

void machine_sockets::handle(host_output::socket_opening& what) {
  to_.time.after(
      to_.random.between(0ms, 300ms), side::actors, [self = shared_from_this(), x = what.socket] {
        self->accept(x);
      });
}

void machine_sockets::accept(const internal::socket_ptr& x) {
  if (down_ || !x->claim_opening()) return;
  const auto hibernates = to_.random.percent(to_.hibernates);
  auto message = x->session.accept(hibernates);
  if (!message) return;
  all_[x->ticket] = x;
  speak(std::move(*message));
  if (hibernates) save(*x, false);
  to_.tell(internal::socket_accepted{of_->start.self, x->session.id(), x->ticket, hibernates});
}

void machine_sockets::handle(host_output::socket_said& what) {
  auto& x = *what.socket;
  what.waits.give_back();
  if (down_ || !all_.contains(x.ticket) || x.session.now_in() == socket_session::state::closed)
    return;
  const auto keeps = x.session.hibernates();
  if (x.session.consumed_before(what.index)) {
    to_.watch.count(socket_row::passed_over, keeps);
    x.session.handle_duplicate();
    return ack_later();
  }
  if (x.session.skips_to(what.index)) {
    to_.watch.count(socket_row::gap_behind_record_ends_it, keeps);
    return fail(x, close_failed, "a message of this WebSocket was lost");
  }
  const auto number = gateway_model::number_in(what.data);
  to_.time.trace("actors  client {}: handled {}", client_of(x), number);
  to_.watch.count(
      to_.watch.sockets().handle_said(
          client_of(x), of_->start.self, number, to_.watch.connection()),
      keeps);
  const auto recorded = x.session.exact();
  x.session.handle_consumed(what.index, what.data.size());
  if (recorded) save(x, false);  // before the ack
  ack(false);
  ack_later();
}

void machine_sockets::handle(host_output::socket_left& what) {
  what.socket->session.handle_closed();
  forget(*what.socket);
}

void machine_sockets::handle(internal::socket_repeated& what) {
  to_.watch.count(socket_row::duplicate, what.socket->session.hibernates());
  what.socket->repeated.store(false);
  what.socket->session.handle_duplicate();
  ack_later();
}

void machine_sockets::handle(internal::socket_failed& what) {
  if (down_) return;
  if (restoring_) return failed_early_.push_back(what);
  auto& x = *what.socket;
  if (what.why == "a message of this WebSocket was lost")
    to_.watch.count(socket_row::gap_ends_it, x.session.hibernates());
  if (x.session.now_in() == socket_session::state::opening) {
    if (!x.claim_opening()) return x.session.handle_closed();
    if (auto accepted = x.session.accept(false)) speak(std::move(*accepted));
  }
  fail(x, what.code, what.why);
}

void machine_sockets::handle(internal::sockets_listed& what) {
  restoring_ = true;
  to_.time.after(
      to_.random.between(0ms, 200ms), side::actors, [self = shared_from_this(), all = what.all] {
        if (!self->down_) self->restore(all);
      });
}

void machine_sockets::restore(const std::vector<internal::socket_ptr>& listed) {
  auto& records = to_.kept[of_->start.self.actor];
  auto left = std::exchange(records, {});
  for (const auto& x : listed) {
    const auto id = x->session.id();
    const auto at = left.find(id);
    if (at == left.end() || to_.random.permille(10)) {  // its state is unknown
      to_.watch.count(socket_row::no_record, true);
      x->session = socket_session{id, 0, std::nullopt};
      fail(*x, close_restart, "the connection could not be restored");
      continue;
    }
    auto& record = at->second;
    if (to_.random.percent(10))  // it has said much more
      record.next_index = static_cast<std::uint16_t>(65'533 + to_.random.below(3));
    x->session = socket_session{id, record.next_index, record.consumed, record.exact};
    all_[x->ticket] = x;
    records.insert(*at);
  }
  restoring_ = false;
  to_.tell(internal::sockets_restored{of_->start.self, {}});
  for (auto& each : std::exchange(failed_early_, {})) handle(each);
}

void machine_sockets::handle_room() {
  for (; !unsaid_.empty(); unsaid_.pop_front()) {
    const auto sent = to_.link.send_across_connections(
        {{of_, &of_->gate}, {room_waiter::kind::instance, of_}}, std::move(unsaid_.front()));
    if (!sent && sent.error().code == errc::queue_full) return;
  }
}

void machine_sockets::handle_down(bool for_good) {
  ack(true);
  for (const auto& [ticket, x] : all_) {
    auto& session = x->session;
    if (!session.hibernates()) continue;
    if (for_good) {
      if (auto message = session.close(close_normal, "actor.destroyed")) speak(std::move(*message));
    } else if (session.consumed()) {
      save(*x, true);
    }
  }
  down_ = true;
  all_.clear();
}

// -- to the engine ----------------------------------------------------------------------------

void machine_sockets::fail(internal::socket& x, std::uint16_t code, std::string_view why) {
  if (auto message = x.session.close(code, why)) speak(std::move(*message));
  to_.tell(internal::socket_over{of_->start.self, x.session.id(), x.ticket});
  forget(x);
}

// What no instance may write any more is not written.
void machine_sockets::save(internal::socket& x, bool exact) {
  if (!of_->gate.open) return;
  const auto& self = of_->start.self;
  auto& record = to_.kept[self.actor][x.session.id()];
  if (record.generation > self.generation) return;
  record = {self.generation, x.session.next_index(), x.session.consumed(), exact};
  if (!exact) return;
  to_.watch.count(socket_row::recorded_at_the_end, true);
  to_.watch.sockets().handle_recorded(client_of(x), self);
}

void machine_sockets::forget(internal::socket& x) {
  all_.erase(x.ticket);
  if (of_->gate.open) to_.kept[of_->start.self.actor].erase(x.session.id());
}

void machine_sockets::ack_later() {
  if (std::exchange(acks_armed_, true)) return;
  to_.time.after(500ms, side::actors, [self = shared_from_this()] {
    self->acks_armed_ = false;
    if (!self->down_) self->ack(true);
  });
}

void machine_sockets::ack(bool now) {
  for (const auto& [ticket, x] : all_)
    if (auto message = x->session.poll_ack(now)) {
      if (!now) to_.watch.count(socket_row::much_acked_at_once, true);
      if (x->session.next_index() == 0) to_.watch.count(socket_row::host_indexes_wrapped, true);
      speak(std::move(*message));
    }
}

// In order, as far as there is room.
void machine_sockets::speak(protocol::to_rivet_tunnel_message message) {
  unsaid_.push_back(std::move(message));
  if (unsaid_.size() == 1) handle_room();
}

}  // namespace nuncio::simulation

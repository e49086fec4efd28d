// See storage_side.hpp.
#include "simulation/storage_side.hpp"

#include <utility>

namespace nuncio::simulation {

storage_side::storage_side(
    scheduler& time,
    storage_watch& watch,
    std::shared_ptr<link_port> link,
    const storage_habits& habits,
    ports to)
    : time_(time),
      watch_(watch),
      link_(std::move(link)),
      to_(std::move(to)),
      machine_("default", habits.limits, habits.flow),
      judge_(time, habits.limits, habits.flow, watch.seen.requests) {
  watch_.open = [this](const actor_id& actor, std::uint32_t from, std::uint32_t to_generation) {
    return judge_.open(actor, from, to_generation);
  };
}

// -- what it is given ---------------------------------------------------------------------

void storage_side::ask(const std::shared_ptr<const instance_base>& from, call what) {
  post([this, from, what = std::move(what)]() mutable {
    const auto ticket = next_ticket_++;
    storage_requests::request request{
        ticket,
        from->start.self,
        {from, &from->gate},
        std::move(what.what),
        what.mode,
        what.awaited};
    time_.trace(
        "storage {}:{} asks {}, {}",
        request.who.actor.str(),
        request.who.generation,
        ticket,
        name_of(request.call));
    waiting_.emplace(ticket, std::move(what));
    judge_.handle_asked(request);
    machine_.handle_request(std::move(request), time_.now());
    flush();
    judge_.handle_asked_and_polled(ticket);
  });
}

void storage_side::consume(const actor_ref& who, std::size_t bytes) {
  post([this, who, bytes] {
    judge_.handle_consumed(who, bytes);
    machine_.handle_consumed(who, bytes);
    flush();
  });
}

void storage_side::end(const actor_ref& who) {
  post([this, who] {
    judge_.handle_down(who);
    machine_.handle_down(who, time_.now());
    flush();
  });
}

void storage_side::handle_link_up(epoch connection) {
  post([this, connection] {
    judge_.handle_link_up(connection);
    machine_.handle_link_up(connection);
    flush();
  });
}

void storage_side::handle_link_down() {
  post([this] {
    judge_.handle_link_down();
    machine_.handle_link_down();
    flush();
  });
}

void storage_side::handle_link_over(const failure& why) {
  post([this, why] {
    judge_.handle_link_over(why.code);
    machine_.handle_link_over(why);
    flush();
  });
}

void storage_side::handle_room() {
  post([this] {
    judge_.handle_room();
    machine_.handle_room();
    flush();
  });
}

void storage_side::handle_inbound(std::vector<protocol::to_envoy> messages, std::size_t bytes) {
  post([this, messages = std::move(messages), bytes]() mutable {
    const auto count = messages.size();
    for (auto& message : messages) {
      judge_.handle_message(message);
      machine_.handle_message(std::move(message), time_.now());
    }
    link_->grant(count, bytes);
    flush();
  });
}

void storage_side::handle_gate_closed(const actor_ref& who) {
  post([this, who] {
    judge_.handle_gate_closed(who);
    machine_.handle_gate_closed(who);
    flush();
  });
}

// -- what it says ---------------------------------------------------------------------------

void storage_side::flush() {
  while (const auto frame = machine_.poll_transmit(time_.now())) {
    poll();
    judge_.handle_frame(*frame);
    const auto sent = link_->send_for_connection(frame->gate, frame->connection, frame->message);
    if (sent) continue;
    judge_.handle_not_sent(frame->id, sent.error().code);
    machine_.handle_not_sent(frame->id, sent.error());
  }
  poll();
  while (auto over = machine_.poll_finished()) {
    judge_.handle_finished(over->who);
    if (!over->lost.empty()) watch_.handle_unsaved(over->who);
    to_.done({over->who, std::move(over->lost)});
  }
  judge_.check(machine_);
  arm_timer();
}

void storage_side::poll() {
  while (auto result = machine_.poll_result()) take(*result);
}

void storage_side::take(storage_requests::result& result) {
  judge_.handle_result(result);
  auto of = waiting_.extract(result.ticket);
  if (of.mapped().judge) of.mapped().judge(result.content);
  time_.post(
      side::actors, to_.hop(), [then = std::move(of.mapped().then), result = std::move(result)] {
        if (then) then(result.content, result.bytes);
      });
}

void storage_side::arm_timer() {
  const auto next = machine_.poll_timeout();
  if (!next || (tick_at_ && *tick_at_ <= *next)) return;
  tick_at_ = next;
  time_.at(*next, side::storage, [this, at = *next] {
    if (tick_at_ != at) return;
    tick_at_.reset();
    judge_.handle_expire();
    machine_.expire(time_.now());
    flush();
  });
}

void storage_side::check_empty() const {
  must(judge_.idle(), "liveness", "a request of storage waits for ever");
  const auto& s = machine_.stats();
  must(s.open == 0 && s.open_bytes == 0, "I9 bounded", "requests of storage are left");
  must(s.answer_bytes == 0, "I9 bounded", "room for answers is not given back");
}

}  // namespace nuncio::simulation

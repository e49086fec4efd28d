// See storage.hpp.
#include <nuncio/detail/caf.hpp>
#include <nuncio/storage/storage.hpp>
#include <nuncio/support/time_range.hpp>

namespace nuncio {

using namespace std::chrono_literals;

storage::storage(caf::actor_config& cfg, storage_options options)
    : event_based_actor(cfg),
      options_(std::move(options)),
      requests_(options_.namespace_name, options_.limits, options_.flow),
      system_watch_(home_system()) {}

caf::behavior storage::make_behavior() {
  using namespace internal;
  drop_unexpected(this);
  system_watch_.begin(this, [this] { quit(); });
  return {
      [this](storage_batch& x) {
        handle_batch(x);
        flush();
      },
      [this](storage_inbound& x) {
        const auto now = options_.now();
        if (x.too_long) requests_.handle_too_long(*x.too_long, now);
        for (auto& message : x.messages) requests_.handle_message(std::move(message), now);
        options_.link->grant(x.messages.size(), x.bytes);
        flush();
      },
      [this](const storage_end& x) {
        const auto& who = x.from->start.self;
        ending_.emplace(who, x.from);
        requests_.handle_down(who, options_.now());
        flush();
      },
      [this](const outputs_closed& x) {
        requests_.handle_gate_closed(x.who);
        flush();
      },
      [this](const link_up& x) {
        requests_.handle_link_up(x.connection);
        flush();
      },
      [this](const link_down&) {
        requests_.handle_link_down();
        flush();
      },
      [this](const link_final& x) {
        requests_.handle_link_over(x.why);
        flush();
      },
      [this](room_freed) {
        requests_.handle_room();
        flush();
      },
      [this](const tick& x) {
        if (x.serial != tick_serial_) return;
        tick_at_.reset();
        requests_.expire(options_.now());
        flush();
      },
  };
}

void storage::on_exit() {
  system_watch_.end(this);
  waiting_.clear();
  ending_.clear();
  options_.link.reset();
}

void storage::handle_batch(internal::storage_batch& batch) {
  const std::shared_ptr<const output_gate> gate{batch.from, &batch.from->gate};
  const auto now = options_.now();
  requests_.handle_consumed(batch.from->start.self, batch.consumed);
  for (auto& item : batch.items) {
    const auto ticket = next_ticket_++;
    waiting_.emplace(ticket, std::move(item.waiters));
    requests_.handle_request(
        {ticket, batch.from->start.self, gate, std::move(item.call), item.mode, item.awaited}, now);
  }
}

void storage::flush() {
  while (const auto frame = requests_.poll_transmit(options_.now())) {
    const auto sent =
        options_.link->send_for_connection(frame->gate, frame->connection, frame->message);
    if (!sent) requests_.handle_not_sent(frame->id, sent.error());
  }
  options_.counts->storage.set(requests_.stats());  // first: counted before it is answered
  while (auto result = requests_.poll_result()) {
    const auto waited = waiting_.extract(result->ticket);
    // A joined request has several waiters and an empty answer; it counts once.
    const auto& all = waited.mapped();
    for (std::size_t n = 0; n < all.size(); ++n)
      all[n]->complete(
          n + 1 < all.size() ? result->content : std::move(result->content),
          std::exchange(result->bytes, 0));
  }
  while (auto over = requests_.poll_finished())
    if (const auto at = ending_.find(over->who); at != ending_.end()) {
      internal::tell(*at->second, internal::storage_done{over->who, std::move(over->lost)});
      ending_.erase(at);
    }
  if (const auto next = requests_.poll_timeout(); next && (!tick_at_ || *next < *tick_at_)) {
    tick_at_ = next;
    internal::post_later(this, timer_until(options_.now(), *next), internal::tick{++tick_serial_});
  }
}

}  // namespace nuncio

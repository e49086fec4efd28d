// See outbox.hpp.
#include <algorithm>
#include <nuncio/detail/caf.hpp>
#include <nuncio/host/outbox.hpp>
#include <nuncio/support/time_range.hpp>

namespace nuncio {

using namespace std::chrono_literals;

outbox::outbox(
    caf::actor_config& cfg,
    std::shared_ptr<link_port> link,
    std::shared_ptr<counters> counts,
    std::function<time_point()> now,
    outbox_options options)
    : event_based_actor(cfg),
      link_(std::move(link)),
      counts_(std::move(counts)),
      now_(std::move(now)),
      events_(options),
      system_watch_(home_system()) {}

caf::behavior outbox::make_behavior() {
  internal::drop_unexpected(this);
  system_watch_.begin(this, [this] { quit(); });
  return {
      [this](const internal::outbox_batch& x) {
        for (const auto& what : x.inputs) events_.handle(what);
        flush();
      },
      [this](const internal::link_up& x) {
        up_ = true;
        in_flight_ = false;
        events_.handle_link_up(x.connection, now_());
        flush();
      },
      [this](const internal::link_down&) {
        up_ = false;
        in_flight_ = false;
        events_.handle_link_down(now_());
        flush();
      },
      [this](const internal::link_written& x) {
        if (x.connection == events_.connection()) in_flight_ = false;
        events_.handle_written(x.connection);
        flush();
      },
      [this](const internal::link_fence& x) {
        events_.handle_fence(x.connection, x.id, now_());
        flush();
      },
      [this](const internal::drain_outbox& x) {
        drain_reply_ = x.reply_to;
        flush();
      },
      [this](const internal::tick& x) {
        if (x.serial != tick_serial_) return;
        tick_at_.reset();
        events_.expire(now_());
        flush();
      },
  };
}

void outbox::flush() {
  while (auto frame = events_.poll_transmit()) {
    in_flight_ = true;
    // If the link is already lost, link_down follows, and everything kept is sent again on the next one.
    static_cast<void>(link_->send_frame(
        frame_class::events, events_.connection(), protocol::to_rivet{std::move(*frame)}));
  }
  while (const auto id = events_.poll_fence()) link_->fence(events_.connection(), *id);
  // Without a link, kept events wait for the next one; if none are kept, there is nothing to wait for.
  if (drain_reply_ && (up_ ? !in_flight_ : events_.stats().kept == 0)) {
    const auto to = caf::actor_cast<caf::actor>(std::exchange(drain_reply_, nullptr));
    if (to) internal::post(to, internal::drained{});
  }
  if (const auto next = events_.poll_timeout(); next && (!tick_at_ || *next < *tick_at_)) {
    tick_at_ = next;
    internal::post_later(this, timer_until(now_(), *next), internal::tick{++tick_serial_});
  }
  counts_->outbox.set(events_.stats());
  counts_->engine_acks.store(events_.engine_acks());
}

}  // namespace nuncio

// See ack.hpp.
#include <nuncio/detail/caf.hpp>
#include <nuncio/host/ack.hpp>

namespace nuncio {

ack::ack(
    caf::actor_config& cfg,
    std::shared_ptr<link_port> link,
    std::shared_ptr<counters> counts,
    ack_options options)
    : event_based_actor(cfg),
      link_(std::move(link)),
      counts_(std::move(counts)),
      pending_(options),
      system_watch_(home_system()) {}

caf::behavior ack::make_behavior() {
  internal::drop_unexpected(this);
  system_watch_.begin(this, [this] { quit(); });
  return {
      [this](const internal::link_up& x) {
        pending_.handle_link_up(x.connection);
        flush();
      },
      [this](const internal::link_down&) {
        pending_.handle_link_down();
        flush();
      },
      [this](const internal::processed& x) {
        pending_.handle_processed(x.connection, x.checkpoints);
        flush();
      },
      [this](const internal::link_written& x) {
        pending_.handle_written(x.connection);
        flush();
      },
  };
}

void ack::flush() {
  while (auto frame = pending_.poll_transmit()) {
    const auto checkpoints = frame->last_command_checkpoints.size();
    // If the link is already lost, the engine replays, and the replay is acked again (I7).
    const auto sent = link_->send_frame(
        frame_class::ack, pending_.connection(), protocol::to_rivet{std::move(*frame)});
    if (!sent) {
      pending_.handle_link_down();
      break;
    }
    counts_->acks_sent.fetch_add(checkpoints);
    counts_->ack_frames.fetch_add(1);
  }
  counts_->acks_pending.store(pending_.pending());
}

}  // namespace nuncio

// The actor that reports events of actors to the engine: a shell around event_outbox.
#pragma once

#include <caf/event_based_actor.hpp>
#include <functional>
#include <nuncio/commands/event_outbox.hpp>
#include <nuncio/host/counters.hpp>
#include <nuncio/host/internal_messages.hpp>
#include <nuncio/host/system_watch.hpp>

namespace nuncio {

class outbox final : public caf::event_based_actor {
public:
  outbox(
      caf::actor_config& cfg,
      std::shared_ptr<link_port> link,
      std::shared_ptr<counters> counts,
      std::function<time_point()> now = boot_clock::now,
      outbox_options options = {});

  caf::behavior make_behavior() override;

  const char* name() const override { return "nuncio.outbox"; }

  void on_exit() override {
    system_watch_.end(this);
    link_.reset();
    drain_reply_ = nullptr;
  }

private:
  void flush();

  std::shared_ptr<link_port> link_;
  std::shared_ptr<counters> counts_;
  std::function<time_point()> now_;
  event_outbox events_;
  caf::actor_addr drain_reply_;
  bool up_ = false;
  bool in_flight_ = false;
  std::uint64_t tick_serial_ = 0;
  std::optional<time_point> tick_at_;
  internal::system_watch system_watch_;
};

}  // namespace nuncio

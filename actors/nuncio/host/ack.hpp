// The actor that acks commands: merges what ingress has recorded and sends one frame as soon as the link can take it. A shell
// around ack_aggregator; decides nothing.
#pragma once

#include <caf/event_based_actor.hpp>
#include <nuncio/commands/ack_aggregator.hpp>
#include <nuncio/host/counters.hpp>
#include <nuncio/host/internal_messages.hpp>
#include <nuncio/host/system_watch.hpp>

namespace nuncio {

class ack final : public caf::event_based_actor {
public:
  ack(caf::actor_config& cfg,
      std::shared_ptr<link_port> link,
      std::shared_ptr<counters> counts,
      ack_options options = {});

  caf::behavior make_behavior() override;

  const char* name() const override { return "nuncio.ack"; }

  void on_exit() override {
    system_watch_.end(this);
    link_.reset();
  }

private:
  void flush();

  std::shared_ptr<link_port> link_;
  std::shared_ptr<counters> counts_;
  ack_aggregator pending_;
  internal::system_watch system_watch_;
};

}  // namespace nuncio

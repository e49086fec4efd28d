// A host without CAF and without sockets: the host_machine, ack_aggregator and event_outbox that the actors own, each on a side
// of its own, on the real link_machine, with actors that do what a seed says.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nuncio/commands/ack_aggregator.hpp>
#include <nuncio/commands/event_outbox.hpp>
#include <nuncio/host/host_machine.hpp>
#include <nuncio/instances/lifecycle.hpp>
#include <vector>

#include "simulation/host_side.hpp"
#include "simulation/machine_sockets.hpp"
#include "simulation/machine_streams.hpp"
#include "simulation/storage_user.hpp"

namespace nuncio::simulation {

class machine_host final : public host_side {
public:
  explicit machine_host(host_surroundings x);

  void start() override;

  [[nodiscard]] std::optional<actor_ref> acting(const actor_id& actor) override;
  void check_empty() override;

private:
  [[nodiscard]] host_machine& machine() override { return machine_; }

  [[nodiscard]] std::size_t acks_pending() override { return acks_.pending(); }

  /// What stands for a CAF actor.
  struct body {
    actor_ref who;
    std::shared_ptr<instance_base> context;
    bool alive = true, in_factory = true, ignores_exit = false;
    std::shared_ptr<machine_streams> streams;  ///< its HTTP requests
    std::shared_ptr<machine_sockets> sockets;
    bool for_good = false;  ///< it was told to end for good
    std::shared_ptr<storage_user> storage;
  };

  // link
  void on_up(epoch connection) override;
  void on_inbound(inbound_batch batch) override;
  void on_written(epoch connection, frame_class what) override;
  void on_room(const room_waiter& who) override;
  void on_fence(epoch connection, std::uint64_t id) override;
  void on_down(epoch connection, std::string_view why, duration retry_after) override;
  void on_lease_ended() override;

  void on_ask() override {}

  void on_final(const failure& why) override;
  // ingress
  host_machine_options machine_options();
  void inbound(inbound_batch& batch);
  void after_input();
  void flush();
  void tick();
  void carry_out();
  void carry_out(host_output::message& x);
  void carry_out(const host_output::spawn& x);
  void carry_out(const host_output::forget& x);
  void carry_out(const host_output::kill& x);
  void carry_out(internal::processed& x);
  void carry_out(internal::outbox_batch& x);
  void carry_out(const host_output::ready& x);
  void carry_out(const host_output::storage_up& x);
  void carry_out(const host_output::outputs_closed& x);

  template <class T>
  void carry_out(const T&) {}

  // ack, outbox
  void flush_acks();
  void flush_events();
  // actors
  using self = std::shared_ptr<body>;
  template <class T>
  void tell_host(T what);
  std::shared_ptr<machine_streams> make_streams(const std::shared_ptr<const instance_base>& of);
  std::shared_ptr<machine_sockets> make_sockets(const std::shared_ptr<const instance_base>& of);
  void settle(const self& x);
  void start(const self& x, bool apart);
  void live_on(const self& x);
  template <class T>
  void pass(const self& x, T& what, bool first);
  void probe(const self& x);
  void tell_stop(const self& x, protocol::stop_actor_reason why);
  void exit(const self& x);
  void down(const self& x, const std::string& error);

  std::shared_ptr<const serve_options> serving_;  ///< made with the first instance
  host_machine machine_;
  kept_sockets kept_;
  std::vector<self> bodies_;  ///< by instance_number
  bool flush_asked_ = false;
  std::optional<time_point> tick_at_;

  ack_aggregator acks_;
  event_outbox events_;
  std::unique_ptr<storage_side> storage_;
  std::optional<time_point> expire_at_;
};

}  // namespace nuncio::simulation

// All decisions of a host about its actors: which commands are carried out, what happens to instances, which client talks to
// which, and what is due when. Pure: no thread, no clock, no I/O except the link_port that it is given, and a log. The ingress
// actor owns one and turns messages into calls, outputs into messages; the simulation drives the same class.
//
// Inputs: handle_*, expire. Outputs: after each input call poll_output() until there is none; flush() once all waiting inputs
// were handled, then expire() at poll_timeout().
#pragma once

#include <memory>
#include <nuncio/commands/command_admission.hpp>
#include <nuncio/connection/link.hpp>
#include <nuncio/host/host_core.hpp>
#include <nuncio/instances/instance_table.hpp>
#include <nuncio/tunnel/request_routes.hpp>
#include <nuncio/tunnel/socket_routes.hpp>
#include <optional>
#include <string_view>
#include <vector>

namespace nuncio {

struct host_machine_options {
  host_limits limits;
  host_roster roster;                        ///< what is served, and how instances are made
  std::vector<protocol::to_rivet> greeting;  ///< the first messages on every connection
  std::shared_ptr<link_port> link;
  log_sink log;
  command_observer on_judged;
};

class host_machine {
public:
  explicit host_machine(host_machine_options options);
  ~host_machine();

  host_machine(const host_machine&) = delete;
  host_machine& operator=(const host_machine&) = delete;

  // -- from the link

  void handle_inbound(inbound_batch& batch, time_point now);
  void handle_link_up(epoch connection, time_point now);
  void handle_link_down(time_point now);
  /// The engine may have given up this host.
  /// Messages that found no room in the link may find some now.
  void handle_room(time_point now);
  void handle_lease_ended(time_point now);
  void handle_link_over(const failure& why, time_point now);

  // -- from the driver of the instances

  /// The factory has made its actor.
  spawn_verdict handle_spawned(const actor_ref& who, time_point now);
  void handle(const internal::instance_started& what, time_point now);
  void handle(const internal::sleep_called& what, time_point now);
  void handle(const internal::destroy_called& what, time_point now);
  void handle(const internal::alarm_called& what, time_point now);
  void handle(const internal::instance_active& what, time_point now);
  void handle(const internal::instance_down& what, time_point now);
  void handle(const internal::storage_done& what, time_point now);
  void handle(const internal::attempt_done& what, time_point now);
  void handle(internal::response_waits& what, time_point now);
  void handle(const internal::response_begun& what, time_point now);
  void handle(const internal::upload_untouched& what, time_point now);
  void handle(const internal::socket_accepted& what, time_point now);
  void handle(const internal::socket_over& what, time_point now);
  void handle(const internal::sockets_restored& what, time_point now);

  // -- from the host

  /// Every instance ends, at `deadline` at the latest. An earlier deadline replaces a later one.
  void handle_drain(time_point deadline, time_point now);
  /// Everything in the outbox is with the kernel.
  void handle_outbox_drained();

  // -- outputs

  [[nodiscard]] std::optional<host_output::any> poll_output();
  /// Passes on outputs to ack and outbox.
  void flush(time_point now);

  /// When expire() has work; as of the last flush().
  [[nodiscard]] std::optional<time_point> poll_timeout() const { return timeout_; }

  void expire(time_point now);

  // -- lookups

  /// The instance that runs under this name with this key, or has this id, and can be reached.
  [[nodiscard]] std::optional<instance_number> find_keyed(
      std::string_view name, const actor_key& key) const;
  [[nodiscard]] std::optional<instance_number> find_id(const actor_id& id);
  [[nodiscard]] const ingress_stats& stats();

  [[nodiscard]] const command_ledger& ledger() const { return commands_.ledger(); }

  /// The newest instance of this actor, if there is one.
  [[nodiscard]] const instance* newest(const actor_id& id) { return instances_.newest(id); }

  /// The one that lives, or is ending, while the newest waits.
  [[nodiscard]] const instance* oldest(const actor_id& id) { return instances_.oldest(id); }

  [[nodiscard]] std::size_t actors() const { return instances_.actors(); }

private:
  void handle_message(protocol::to_envoy& message);
  void handle_tunnel(protocol::to_envoy_tunnel_message& message);
  void handle_too_long(const protocol::to_envoy& head);
  void handle_acked_events(const protocol::to_envoy_ack_events& acks);
  void handle_ping(engine_ms ts);
  void hand_on();
  void check_drained();
  void log_drain();
  void set_timeout();

  host_core core_;
  command_admission commands_;
  instance_table instances_;
  request_routes requests_;
  socket_routes sockets_;
  std::vector<protocol::to_rivet> greeting_;
  release_watch release_;
  std::optional<time_point> timeout_;
  bool barrier_passed_ = false;
  bool ready_ = false;
  bool given_up_ = false;  ///< the lease has ended, and no Ping has come since
  bool over_ = false;
  bool drain_asked_ = false;
  time_point drain_deadline_{};
  time_point drain_log_at_{};
};

}  // namespace nuncio

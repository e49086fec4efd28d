// A host without CAF and without sockets: the host_machine, ack_aggregator and event_outbox that the actors own, each on a
// side of its own, with actors that do what a seed says. The link is a model yet (runtime/nuncio/link.cpp).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nuncio/ack_aggregator.hpp>
#include <nuncio/connection_policy.hpp>
#include <nuncio/event_outbox.hpp>
#include <nuncio/host_machine.hpp>
#include <nuncio/lease.hpp>
#include <nuncio/lifecycle.hpp>
#include <set>
#include <vector>

#include "simulation/oracle.hpp"

namespace nuncio::simulation {

/// How the actors of a run behave; drawn from the seed.
struct actor_habits {
  unsigned slow_start = 0, throws = 0, crashes = 0, quits = 0, sleeps = 0, destroys = 0,
           slow_stop = 0, ignores_exit = 0;  // percent
  /// How many are spawned by another thread, which tells later.
  unsigned spawned_apart = 0;  // percent
  duration idle_timeout{};
};

/// What the wire carries towards the engine.
struct up_frame {
  protocol::to_rivet message;
  bool is_fence = false;
  std::uint64_t fence = 0;
  std::optional<actor_ref> spoken_by;  // a response of an instance
};

class host_model {
public:
  struct ports {
    std::function<void()> dial;           ///< handle_open or handle_gone follows
    std::function<void(up_frame)> write;  ///< on the present connection
    std::function<void()> reset;          ///< handle_gone follows
  };

  host_model(scheduler& time, chance& random, oracle& watch, ledger_options ledger, ports to);

  // -- link side, from the wire
  void start() { dial(); }

  void handle_open();
  void handle_message(const protocol::to_envoy& message);
  void handle_pong(std::uint64_t fence);
  void handle_gone(connection_end why);

  /// The instance of this actor that could still act, if any.
  [[nodiscard]] std::optional<actor_ref> acting(const actor_id& actor);
  /// The newest instance that the host knows and its state.
  [[nodiscard]] std::optional<std::pair<actor_ref, lifecycle::state>> newest(const actor_id& a);
  void check_quiet();
  void check_empty() const;

  [[nodiscard]] bool live() const { return up_ && barrier_passed_; }

  [[nodiscard]] bool over() const { return over_; }

  [[nodiscard]] bool engine_acks() const { return engine_acks_; }

  actor_habits habits;
  bool calm = false;   ///< actors do nothing unasked any more
  duration hop = 2ms;  ///< longest delay between two sides

private:
  class port;

  /// What stands for a CAF actor.
  struct body {
    actor_ref who;
    std::shared_ptr<instance_base> context;
    bool alive = true, in_factory = true, ignores_exit = false;
    std::set<std::uint64_t> cancelled;           ///< tickets
    std::map<std::uint64_t, std::size_t> heard;  ///< by a WebSocket's ticket, the last number
  };

  // link
  void dial();
  bool check_lease();
  void arm_lease();
  bool send(epoch connection, protocol::to_rivet message, bool is_ack);
  void send_fence(epoch connection, std::uint64_t id);
  void write(
      up_frame frame, epoch connection, bool is_ack, std::shared_ptr<const output_gate> gate);
  // ingress
  host_machine_options machine_options(ledger_options ledger);
  void handle_judged(const judged_command& x);
  [[nodiscard]] column column_now(const judged_command& x);
  void inbound(const protocol::to_envoy& message, std::uint64_t term);
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

  template <class T>
  void carry_out(const T&) {}

  // ack, outbox
  void flush_acks();
  void handle(const internal::outbox_input& what);
  void flush_events();
  // actors
  using self = std::shared_ptr<body>;
  template <class T>
  void tell_host(T what);
  void settle(const self& x);
  void live_on(const self& x);
  void answer(const self& x, const http_request& request);
  void respond(const self& x, const http_request& request);
  void accept(const self& x, const internal::socket_ptr& socket);
  void hear(const self& x, const host_output::socket_said& what);
  void speak(const self& x, protocol::to_rivet_tunnel_message message);
  void probe(const self& x);
  void tell_stop(const self& x);
  void exit(const self& x);
  void down(const self& x, const std::string& error);

  duration hop_now() { return random_.between(0ms, hop); }

  scheduler& time_;
  chance& random_;
  oracle& watch_;
  ports to_;

  connection_policy policy_;
  lease lease_;
  bool up_ = false, over_ = false;
  std::uint64_t link_term_ = 1;
  std::optional<connection_end> end_reason_;
  std::optional<time_point> lease_armed_;

  std::shared_ptr<const serve_options> serving_;  ///< made with the first instance
  epoch connection_ = 0;                          ///< that ingress knows of
  std::uint64_t fresh_ = 0;                       ///< commands that were judged so
  std::set<actor_id> known_;
  host_machine machine_;
  std::vector<self> bodies_;  ///< by instance_number
  bool barrier_passed_ = false, engine_acks_ = false, flush_asked_ = false;
  std::optional<time_point> tick_at_;

  ack_aggregator acks_;
  event_outbox events_;
  std::optional<time_point> expire_at_;
};

}  // namespace nuncio::simulation

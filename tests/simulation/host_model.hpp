// The host without CAF and without sockets: the runtime's machines wired as link, ingress, ack and outbox wire them
// (actors/nuncio/ingress.cpp, ack.cpp, outbox.cpp, runtime/nuncio/link.cpp), each on a side of its own. Must stay a
// mirror: what is decided here and not in a machine is decided the same way there.
#pragma once

#include <map>
#include <memory>
#include <nuncio/ack_aggregator.hpp>
#include <nuncio/command_ledger.hpp>
#include <nuncio/connection_policy.hpp>
#include <nuncio/event_outbox.hpp>
#include <nuncio/lease.hpp>
#include <nuncio/lifecycle.hpp>
#include <nuncio/start_backoff.hpp>
#include <variant>

#include "simulation/oracle.hpp"

namespace nuncio::simulation {

/// How the actors of a run behave; drawn from the seed.
struct actor_habits {
  unsigned slow_start = 0, throws = 0, crashes = 0, quits = 0, sleeps = 0, destroys = 0,
           slow_stop = 0, ignores_exit = 0;  // percent
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
  [[nodiscard]] std::optional<actor_ref> acting(const actor_id& actor) const;
  /// The newest instance that ingress knows and its state.
  [[nodiscard]] std::optional<std::pair<actor_ref, lifecycle::state>> newest(
      const actor_id& a) const;
  void check_quiet() const;
  void check_empty() const;

  [[nodiscard]] bool live() const { return up_ && barrier_passed_; }

  [[nodiscard]] bool over() const { return over_; }

  [[nodiscard]] const ledger_stats& ledger() const { return ledger_.stats(); }

  [[nodiscard]] bool engine_acks() const { return engine_acks_; }

  actor_habits habits;
  bool calm = false;   ///< actors do nothing unasked any more
  duration hop = 2ms;  ///< longest delay between two sides

private:
  struct said_running {
    actor_ref who;
  };

  struct said_intent {
    actor_ref who;
    bool sleep;
  };

  struct said_stopped {
    actor_ref who;
    protocol::stop_code code;
    std::string why;
  };

  struct said_orphan {
    actor_ref who;
  };

  struct said_superseded {
    actor_id actor;
    std::uint32_t newest;
  };

  struct said_alarm {
    actor_ref who;
    std::int64_t at;
  };

  using said = std::variant<
      said_running,
      said_intent,
      said_stopped,
      said_orphan,
      said_superseded,
      said_alarm,
      protocol::to_envoy_ack_events>;

  /// What stands for a CAF actor.
  struct body {
    actor_ref who;
    bool alive = true, in_factory = true, ignores_exit = false;
  };

  struct instance {
    actor_ref who;
    lifecycle::state state = lifecycle::state::queued;
    std::string name, why;
    time_point limit{};  // by when Running must be accepted
    std::shared_ptr<bool> gate;
    std::shared_ptr<body> handle;
    std::uint64_t term = 0;
    bool asked = false;
  };

  struct slot {
    std::unique_ptr<instance> current, next;
  };

  struct alarm {
    actor_ref who;
    lifecycle::input what;
  };

  // link
  void dial();
  bool check_lease();
  void arm_lease();
  bool send(epoch connection, protocol::to_rivet message, bool is_ack);
  void send_fence(epoch connection, std::uint64_t id);
  void write(
      up_frame frame,
      epoch connection,
      bool is_ack,
      std::shared_ptr<bool> gate,
      std::uint64_t term);
  // ingress
  void inbound(const protocol::to_envoy& message, std::uint64_t term);
  void commands_arrived(const protocol::to_envoy_commands& frame);
  void command(const protocol::command_wrapper& command, engine_ms engine_now);
  void start_actor(const actor_ref& who, const protocol::command_start_actor& start);
  void stop_actor(const actor_ref& who, protocol::stop_actor_reason reason);
  void ping(engine_ms ts);
  void request(const protocol::to_envoy_request_start& start);
  instance* find(const actor_ref& who);
  void apply(const actor_ref& who, lifecycle::input what, const std::string& why = {});
  void apply_to_all(lifecycle::input what, const std::string& why);
  void begin(const actor_ref& who);
  void finish(const actor_ref& who);
  void set_alarm(const actor_ref& who, lifecycle::input what, time_point when);
  void fire(const alarm& due);
  void tick();
  void after_input();
  [[nodiscard]] column column_now(const actor_id& actor) const;
  // ack, outbox
  void flush_acks();
  void handle(const said& what);
  void flush_events();
  // actors
  void spawn(instance& x);
  void live_on(std::shared_ptr<body> self);
  void tell_stop(std::shared_ptr<body> self);
  void exit(std::shared_ptr<body> self);
  void down(const std::shared_ptr<body>& self, const std::string& error);
  void to_ingress(std::function<void()> what);

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

  command_ledger ledger_;
  engine_clock clock_;
  start_backoff starts_;
  std::map<actor_id, slot> slots_;
  std::multimap<time_point, alarm> alarms_;
  std::vector<protocol::to_envoy_commands> held_;
  std::vector<protocol::actor_checkpoint> processed_;
  std::vector<said> said_;
  epoch connection_ = 0;
  std::uint64_t term_ = 0;
  bool barrier_passed_ = false, engine_acks_ = false;
  std::optional<time_point> tick_at_;

  ack_aggregator acks_;
  event_outbox events_;
  std::optional<time_point> expire_at_;
};

}  // namespace nuncio::simulation

// The interface to the host that a world plays with: to its machines (layer one, machine_host) or its actors (layer two,
// actor_host).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nuncio/commands/command_admission.hpp>
#include <nuncio/commands/event_outbox.hpp>
#include <nuncio/host/host_limits.hpp>
#include <nuncio/host/host_machine.hpp>
#include <optional>
#include <set>
#include <utility>

#include "simulation/link_side.hpp"
#include "simulation/oracle.hpp"
#include "simulation/storage_habits.hpp"

namespace nuncio::simulation {

/// How the actors of a run behave; drawn from the seed.
struct actor_habits {
  unsigned slow_start = 0, throws = 0, crashes = 0, quits = 0, sleeps = 0, destroys = 0,
           slow_stop = 0, ignores_exit = 0;  // percent
  /// How many are spawned by another thread, which tells later.
  unsigned spawned_apart = 0;  // percent
  duration idle_timeout{};
  bool stream_requests = false;
  unsigned hibernates = 0;  ///< percent of the WebSockets
  duration stopped_grace = outbox_options{}.stopped_grace;
};

/// The limits of a run's host that differ from the usual ones.
struct drawn_limits {
  std::size_t body_bytes_max = http_exchange_options{}.body_bytes_max;
  duration stall_limit = host_limits{}.stall_limit;
};

/// What a host is made with; all of it outlives the host.
struct host_surroundings {
  scheduler& time;
  chance& random;
  oracle& watch;
  ledger_options ledger;
  drawn_limits limits;
  link_side::ports wire;
};

class host_side : public link_listener {
public:
  explicit host_side(host_surroundings x);

  [[nodiscard]] link_side& link() { return *link_; }

  /// Before the link begins: habits are drawn.
  virtual void start() = 0;

  /// The instance of this actor that could still act, if any.
  [[nodiscard]] virtual std::optional<actor_ref> acting(const actor_id& actor) = 0;
  virtual void check_empty() = 0;

  /// The newest instance that the host knows and its state.
  [[nodiscard]] std::optional<std::pair<actor_ref, lifecycle::state>> newest(const actor_id& a);
  void check_quiet();

  [[nodiscard]] bool live() const { return link_->up() && barrier_passed_; }

  [[nodiscard]] bool engine_acks() const { return engine_acks_; }

  actor_habits habits;
  storage_habits storing;
  bool calm = false;  ///< actors do nothing unasked any more

protected:
  /// The machine of the host, wherever that is.
  [[nodiscard]] virtual host_machine& machine() = 0;
  /// Acks that wait for the link.
  [[nodiscard]] virtual std::size_t acks_pending() = 0;

  // -- what the oracle is shown
  [[nodiscard]] command_observer observer();
  void show(const inbound_batch& batch);
  void handle_up(epoch connection);
  /// Ingress has dealt with all that it was shown.
  void check_carried_out();
  [[nodiscard]] serve_options serving() const;
  void set(host_limits& limits) const;
  void check_ledger_empty();
  /// Of who is not known to have had its end by now.
  [[nodiscard]] const instance* find(const actor_ref& who);

  duration hop_now() { return random_.between(0ms, link_->hop()); }

  scheduler& time_;
  chance& random_;
  oracle& watch_;
  ledger_options ledger_options_;
  drawn_limits limits_;
  std::shared_ptr<link_side> link_;
  epoch connection_ = 0;  ///< that ingress knows of
  bool barrier_passed_ = false, engine_acks_ = false;
  std::uint64_t fresh_ = 0;                                ///< commands that were judged so
  std::set<std::pair<actor_ref, std::int64_t>> unjudged_;  ///< commands of this connection
  std::set<actor_id> known_;
  std::map<actor_id, time_point> touched_;  ///< when a command for it was judged last

private:
  void handle_judged(const judged_command& x);
  void check_judged() const;
  void check_remembered();
  void check_recorded(const actor_ref& who, std::int64_t index);
  void check_wait(const instance& x, bool oldest) const;
  [[nodiscard]] column column_now(const judged_command& x);
};

using host_maker = std::function<std::unique_ptr<host_side>(host_surroundings)>;

std::unique_ptr<host_side> make_machine_host(host_surroundings x);

}  // namespace nuncio::simulation

// Decides everything between the engine and its envoys: which envoy hosts which actor, which commands are stored and sent
// again, what events mean, when something counts as lost (docs/protocol.md C to F, M). Pure: no I/O, no clock, no thread. Call
// an input, then take the effects; call tick() often.
#pragma once

#include <nuncio/messages.hpp>
#include <random>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "engine_state.hpp"

namespace nuncio::testing::engine {

// -- effects: to be carried out by the caller, in order ------------------------

struct send_frame {
  connection_id connection = 0;
  protocol::to_envoy message;
};

struct close_connection {
  connection_id connection = 0;
  std::uint16_t code = 0;
  std::string reason;  ///< group.code
};

/// The actor's phase changed: everything that waits for it must check again.
struct actor_changed {
  actor_id actor;
};

using effect = std::variant<send_frame, close_connection, actor_changed>;

// -- inputs ---------------------------------------------------------------------

struct connect_request {
  connection_id connection = 0;
  std::uint16_t protocol_version = 0;
  std::string namespace_name;
  std::string envoy_key;
  std::uint32_t version = 0;
  std::string pool;
};

struct create_request {
  std::string namespace_name;
  std::string name;
  std::optional<std::string> key;
  std::string pool;
  std::optional<bytes> input;
};

/// Changes since the last take_changes(), for the store.
struct state_changes {
  std::set<actor_id> actors;

  struct command_key {
    std::string envoy;
    actor_ref instance;
    std::int64_t index = 0;
  };

  std::vector<command_key> commands;  ///< stored or erased: look them up
  bool directory = false;             ///< namespaces, pools or names

  [[nodiscard]] bool empty() const { return actors.empty() && commands.empty() && !directory; }
};

struct core_counters {
  std::uint64_t commands_issued = 0, replays = 0, replay_frames = 0, acks = 0, ack_frames = 0;
  std::uint64_t events = 0, events_ignored = 0, event_acks = 0, actors_lost = 0, start_timeouts = 0;
  std::uint64_t destroyed = 0, evictions = 0, timeouts = 0;
};

class engine_core {
public:
  engine_core(engine_limits limits, std::uint64_t seed);

  /// Restores the state from a store. No envoy is connected then; each gets the full time from `now`.
  void restore(engine_state state, millis now);

  // -- directory --
  bool add_namespace(std::string_view name, std::string_view display_name, millis now);
  void add_pool(std::string_view namespace_name, std::string_view pool);
  void remove_pool(std::string_view namespace_name, std::string_view pool);

  // -- envoys --
  /// @returns the reason of a refusal; "" if accepted (then Init, a replay and a Ping are among the effects)
  std::string connect(const connect_request& request, millis now);
  void disconnected(connection_id connection);
  /// For a connection that does not accept what it is sent, and so is not read: it gets no Pings, and missing Pongs do not
  /// count. Its actors are judged by its last Ping.
  void hold_pings(connection_id connection, millis now);
  /// Tunnel and storage messages are not for the core.
  void handle(connection_id connection, const protocol::to_rivet& message, millis now);

  // -- actors --
  const actor_record& create(const create_request& request, millis now);
  [[nodiscard]] const actor_record* find(const actor_id& id) const;
  [[nodiscard]] const actor_record* find_by_key(
      std::string_view namespace_name,
      std::string_view name,
      const std::optional<std::string>& key) const;
  void wake(const actor_id& id, millis now);
  void sleep(const actor_id& id, millis now);
  void reschedule(const actor_id& id, millis now);
  void destroy(const actor_id& id, millis now);
  /// The connection of the envoy that hosts `actor` now, 0 if it is away.
  [[nodiscard]] connection_id host_of(const actor_record& actor) const;

  void tick(millis now);

  std::vector<effect> take_effects() { return std::exchange(effects_, {}); }

  state_changes take_changes() { return std::exchange(changes_, {}); }

  [[nodiscard]] const engine_state& state() const { return state_; }

  [[nodiscard]] const core_counters& counters() const { return counters_; }

  [[nodiscard]] std::uint64_t commands_left() const;

private:
  // engine_core.cpp: envoys, commands, time
  envoy_record* envoy_at(connection_id connection);
  void leave(envoy_record& envoy);
  void send(connection_id connection, protocol::to_envoy message);
  void issue(actor_record& a, protocol::command command, millis now);
  void apply_acks(envoy_record& envoy, const std::vector<protocol::actor_checkpoint>& acks);
  void ping(envoy_record& envoy, millis now);
  void touch(actor_record& a);
  void due(actor_record& a, millis now);

  // actor_workflow.cpp: effects of events and deadlines on one actor
  void queue_events(
      envoy_record& envoy, const std::vector<protocol::event_wrapper>& events, millis now);
  void judge_batch(actor_record& a, const std::vector<protocol::event_wrapper>& batch, millis now);
  void on_running(actor_record& a, millis now);
  void on_intent(actor_record& a, const protocol::actor_intent& intent, millis now);
  void on_stopped(
      actor_record& a, const protocol::actor_state_stopped& stopped, bool fresh_run, millis now);
  void allocate(actor_record& a, millis now);
  void order_stop(
      actor_record& a, actor_phase phase, protocol::stop_actor_reason reason, millis now);
  void fall_asleep(actor_record& a, millis now);
  void finish(actor_record& a, millis now);
  void lose(actor_record& a, actor_error error, bool tell_envoy, millis now);
  envoy_record* choose_envoy(const actor_record& a);

  struct event_batch {
    std::string envoy;
    std::vector<protocol::event_wrapper> events;
    millis due = 0;
  };

  engine_limits limits_;
  std::mt19937_64 random_;
  engine_state state_;
  std::map<connection_id, std::string> connections_;
  std::map<actor_id, event_batch> batches_;
  std::set<std::pair<millis, actor_id>> timers_;
  std::map<std::tuple<std::string, std::string, std::string>, actor_id> keys_;
  std::vector<effect> effects_;
  state_changes changes_;
  core_counters counters_;
  std::uint64_t round_robin_ = 0;
};

}  // namespace nuncio::testing::engine

// The instances of a host: for each actor the one that lives, and the newer one that waits for its end. Carries out Starts and
// Stops, drives each instance's lifecycle and deadlines, and puts idle instances to sleep. Pure; part of host_machine.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <memory>
#include <nuncio/actor_key.hpp>
#include <nuncio/host/host_core.hpp>
#include <nuncio/instances/instance.hpp>
#include <nuncio/instances/keyed_instances.hpp>
#include <nuncio/instances/start_backoff.hpp>
#include <string>
#include <vector>

namespace nuncio {

class command_admission;
class request_routes;
class socket_routes;

/// What a host serves, and how its instances are made.
struct host_roster {
  /// The options of a name; null if it is not served.
  std::function<std::shared_ptr<const serve_options>(std::string_view name)> find;
  /// Makes what this instance shares with its host, for this lease term; the machine's driver adds what it needs.
  std::function<std::shared_ptr<instance_base>(const actor_ref& who, std::uint64_t term)> make;
};

/// What happened to the instances that ended while the host drained.
struct drain_counts {
  std::size_t slept = 0;
  std::size_t moved = 0;  ///< the engine placed them elsewhere
  std::size_t cut = 0;    ///< ended with an error, at the deadline or before
};

/// What to do with a spawned actor.
enum class spawned : std::uint8_t {
  lives,     ///< it is the expected one
  late,      ///< its instance is already down
  unwanted,  ///< its instance is over: end it
};

struct spawn_verdict {
  spawned what{};
  instance_number number = 0;  ///< where a living instance's handle belongs
};

class instance_table {
public:
  /// All outlive this; they may not be constructed yet.
  instance_table(
      host_core& core,
      host_roster roster,
      command_admission& commands,
      request_routes& requests,
      socket_routes& sockets)
      : core_(core),
        roster_(std::move(roster)),
        commands_(commands),
        requests_(requests),
        sockets_(sockets),
        written_(std::make_shared<waiting_pool>(core.limits.host_request_bytes_max)),
        outgoing_(std::make_shared<waiting_pool>(core.limits.waiting.host_bytes_max)) {}

  // -- commands, each once

  void handle_start(
      const actor_ref& who, protocol::command_start_actor& start, time_point allocated);
  void handle_stop(const actor_ref& who, protocol::stop_actor_reason reason);
  /// The engine has mentioned this generation, and older ones are here (I11).
  void handle_newer(const actor_ref& who);

  // -- what happens to instances

  /// The factory has made its actor.
  spawn_verdict handle_spawned(const actor_ref& who);
  void handle_down(const internal::instance_down& what);
  void handle_stored(const internal::storage_done& what);
  void handle_active(const internal::instance_active& what);
  void handle_alarm(const internal::alarm_called& what);
  void handle_drain();

  void handle_engine_acks() { engine_acks_ = true; }

  void apply(const actor_ref& who, lifecycle::input input, std::string why = {});
  /// `x` may be gone afterwards.
  void apply(instance& x, lifecycle::input input, std::string why = {});
  void apply_to_all(lifecycle::input input, const std::string& why);
  /// Counts it as down if it has ended, and nothing of it is under way any more. `x` may be gone afterwards.
  void count_as_down(instance& x);
  /// A request for this actor, perhaps for a given generation: an older one ends (I11). Null if it is not here.
  [[nodiscard]] instance* asked(const actor_id& actor, std::optional<std::uint32_t> generation);
  /// The instance gets a request: so the engine has accepted it.
  void handle_asked(instance& x);
  void note_use(instance& x);

  /// Handles everything that is due.
  void expire();

  [[nodiscard]] std::optional<time_point> poll_timeout() const { return due_times_.poll_timeout(); }

  // -- lookups

  [[nodiscard]] instance* find(const actor_ref& who);
  [[nodiscard]] instance* newest(const actor_id& actor);
  [[nodiscard]] instance* oldest(const actor_id& actor);

  /// The instance that runs under this name with this key.
  [[nodiscard]] const instance* find_keyed(std::string_view name, const actor_key& key) const {
    return keyed_.find(name, key);
  }

  [[nodiscard]] std::size_t actors() const { return slots_.size(); }

  /// Bytes kept of their Starts.
  [[nodiscard]] std::size_t start_bytes() const { return start_bytes_; }

  [[nodiscard]] const drain_counts& drained() const { return drained_; }

  void clear();

private:
  struct actor_slot {
    std::unique_ptr<instance> current;
    std::unique_ptr<instance> next;
  };

  std::shared_ptr<instance_base> make_context(
      const actor_ref& who, const protocol::command_start_actor& start);
  instance_number take_number();
  void begin(instance& x);
  void spawn(instance& x);
  void supersede(instance& x, std::uint32_t newer);
  void finish(instance& x);
  void unreach(instance& x);
  [[nodiscard]] bool may_be_asked(const instance& x, protocol::stop_actor_reason reason) const;
  void end_linger(instance& x);
  void act(instance& x, const lifecycle::transition& step);
  void cut(instance& x);
  void handle_ended(instance& x, const lifecycle::transition& step);
  void count_failure(instance& x, lifecycle::state from);
  void count_drained(const instance& over);
  void set_due(instance& x, instance_due what, duration after);
  void set_due(instance& x, instance_due what, time_point at);
  void handle_due(instance& x, instance_due what);
  void handle_start_limit(instance& x);
  void handle_silent_storage(instance& x);
  void watch_idle(instance& x, time_point at);
  void check_idle(instance& x);
  [[nodiscard]] bool is_busy(const instance& x) const;

  host_core& core_;
  host_roster roster_;
  command_admission& commands_;
  request_routes& requests_;
  socket_routes& sockets_;
  std::shared_ptr<waiting_pool> written_;   ///< of streaming responses
  std::shared_ptr<waiting_pool> outgoing_;  ///< of messages to clients while the link has no room
  start_backoff starts_;
  /// Flat: a fresh Start spends most of its time on cache misses, and std::unordered_map has two for each lookup.
  boost::unordered_flat_map<actor_id, actor_slot, std::hash<actor_id>> slots_;
  keyed_instances keyed_;
  due_of_instances due_times_;
  std::size_t start_bytes_ = 0;
  instance_number numbers_ = 0;  ///< handed out so far
  std::vector<instance_number> free_numbers_;
  bool engine_acks_ = false;
  drain_counts drained_;
};

}  // namespace nuncio

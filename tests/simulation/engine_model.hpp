// The engine as docs/protocol.md D, E, F and M describe it, as far as commands, events and placement are concerned: a pure
// model that shares no code with the machines or the dev engine. Driven by the world; never looks into the host.
#pragma once

#include <functional>
#include <map>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <string>
#include <vector>

#include "simulation/scheduler.hpp"
#include "simulation/storage_model.hpp"
#include "support/command_store.hpp"

namespace nuncio::simulation {

enum class place : std::uint8_t {
  starting,
  running,
  sleep_intent,
  stop_intent,
  going_away,
  destroying,
  sleeping,
  waiting,  ///< for a host
  elsewhere,
  destroyed,
};

struct placed_actor {
  actor_id id;
  std::string name;
  place at = place::sleeping;
  std::uint32_t generation = 0;
  std::int64_t next_command = 1, last_event = -1, last_acked = -1;
  bool wake = false, delete_wanted = false, may_be_destroyed = false;
  bool judging = false;
  bool orphan = false;     ///< of a predecessor's life
  bool lost_push = false;  ///< a command of this generation came, or will come, with a replay only
  std::vector<protocol::event_wrapper> batch;
  time_point last_push{};
  time_point changed{};
};

struct engine_faults {
  unsigned lose_push_permille = 0, duplicate_permille = 0, retry_permille = 0, delay_permille = 0;
  /// How often a Start is stored once more, at the next index, some time after the first.
  unsigned further_permille = 0;
  bool elsewhere = false;
  /// How long a Stop may go unanswered before the engine says Stop(LOST).
  duration stop_threshold = 30min;
};

class engine_model {
public:
  struct ports {
    std::function<void(protocol::to_envoy)> send;  ///< on the present connection
    std::function<void()> drop;                    ///< closes the present connection
    std::function<void(const actor_ref&)> ask;     ///< a client of this actor, which runs
    std::function<void(std::uint64_t connection, const protocol::to_rivet_tunnel_message&)>
        tunnel;  ///< for a client
    /// The WebSockets of this actor that hibernate.
    std::function<std::vector<protocol::hibernating_request>(const actor_id&)> hibernating;
    std::function<void()> connected;
    std::function<void(const actor_ref&)> runs;  ///< Running was accepted
    std::function<void(const actor_id&, place)>
        left;  ///< its generation is over, and what it is now
    std::function<void(const actor_id&, const protocol::to_rivet&)>
        stored;  ///< a request for storage was carried out
    std::function<void(const actor_ref&)> placed_elsewhere;
    std::function<void(const actor_ref&)>
        gave_up;  ///< with its host: no Ping went there for the lost threshold
    std::function<void(const char* check, const std::string&)> violated;
    std::function<void(int)> on_fault;  ///< 0 duplicate, 1 delay, 2 retry, 3 further
  };

  engine_model(scheduler& time, chance& random, ports to)
      : time_(time), random_(random), to_(std::move(to)), storage_(time, random, storage_ports()) {}

  // -- the connection
  void handle_connected(std::uint64_t connection);
  void handle_disconnected(std::uint64_t connection);
  void handle_frame(std::uint64_t connection, const protocol::to_rivet& frame);
  /// Killed and started again: what was read and not committed is lost.
  void restart();

  // -- its users
  std::size_t create(std::string name);
  /// A Stop that a predecessor's life left behind: the actor runs, as far as the engine knows.
  void create_orphan(std::string name);
  /// Stops that a predecessor's life left behind are followed by one more, if the host's outbox has forgotten the first and
  /// its ledger has not.
  void stop_orphans_again();
  void request(std::size_t n);
  /// For a client that is connected already.
  void wake(const actor_id& id);
  [[nodiscard]] bool runs(const actor_ref& who);
  void sleep(std::size_t n);
  void destroy(std::size_t n);
  void reschedule(std::size_t n);
  /// Gives the present generation up without a Stop and starts the next here; when `lost`, only a
  /// replay brings that Start.
  void supersede(std::size_t n, bool lost);

  /// Commands of long ago are stored once more, that many percent of all that ever were, of a generation all or none if
  /// `whole`; pushed, or left to the next replay.
  void send_all_again(unsigned percent, bool whole, bool pushed);

  void set_clock_back(duration by) { clock_back_ += by; }

  [[nodiscard]] std::vector<placed_actor>& actors() { return actors_; }

  /// Of how many generations commands are not acked.
  [[nodiscard]] std::size_t stored() const { return store_.unacked().size(); }

  [[nodiscard]] std::string first_stored() const;
  [[nodiscard]] engine_ms clock() const;

  [[nodiscard]] storage_model& storage() { return storage_; }

  engine_faults faults;
  duration ping_every = 3s;

private:
  placed_actor* find(const actor_id& id);
  void move(placed_actor& a, place to);
  void allocate(std::size_t n);
  void stop(placed_actor& a, protocol::stop_actor_reason why, place next);
  void store(placed_actor& a, protocol::command what);
  void push(const protocol::actor_checkpoint& at);
  void start_further(std::size_t n, const protocol::command_start_actor& start);
  void stop_further(std::size_t n);
  void stop_once_more(placed_actor& a);

  /// Nothing of it but Stops was ever sent to this host.
  [[nodiscard]] static bool is_orphan(const placed_actor& a) {
    return a.orphan && a.generation == orphan_generation;
  }

  static constexpr std::uint32_t orphan_generation = 3;
  void acknowledge(const protocol::actor_checkpoint& at);
  void judge(std::size_t n);
  void apply(std::size_t n, const protocol::event_wrapper& e, place before, bool& ended);
  void ended(std::size_t n, bool destroyed, bool again);
  void watch(std::size_t n, std::uint32_t generation);
  void ping(std::uint64_t connection);
  storage_model::ports storage_ports();

  scheduler& time_;
  chance& random_;
  ports to_;
  std::vector<placed_actor> actors_;
  std::map<actor_id, std::size_t> index_;
  test::command_store store_;
  storage_model storage_;
  std::uint64_t connection_ = 0;  // 0: none
  std::uint64_t life_ = 0;
  duration clock_back_{};
  time_point last_ping_{}, last_pong_{};
};

}  // namespace nuncio::simulation

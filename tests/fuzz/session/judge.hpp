// Watches a fuzzed session from outside: keeps its own record of what was delivered, started, acked and sent, and ends the
// process if an invariant of docs/design.md is broken. It knows nothing about the host's internals. One thread.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <nuncio/detail/clock.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <optional>
#include <set>
#include <string_view>

namespace nuncio::fuzz {

/// Ends the process with a line that names the invariant, unless `good`.
void expect(bool good, std::string_view invariant);

class judge {
public:
  // -- what the engine says
  void handle_connection(epoch connection);
  /// @param judged  whether the host can tell how old a Start is, so that it need not hold it back
  void handle_command(const protocol::actor_checkpoint& at, bool judged);
  /// The command just handled is a young Start of the newest generation of its actor, the first that is said of it.
  /// @param fails  it can't be carried out, and nothing keeps it from being tried at once
  void handle_fresh_start(const actor_ref& who, bool fails);
  void handle_clock_known();

  /// The engine stops it: it may have no time to fail.
  void handle_stop(const actor_ref& who) { must_fail_.erase(who); }

  /// Something is asked of `who`: older generations are over.
  void handle_asked(const actor_ref& who);

  void handle_request(const exchange_id& id) { ++exchanges_[id].requests; }

  void handle_socket(const exchange_id& id) { ++exchanges_[id].sockets; }

  // -- what the host's actors do
  /// @param recorded  how many commands the ledger has called fresh
  void handle_factory(const actor_ref& who, std::uint64_t recorded);

  void handle_alive(const actor_ref& who) { alive_[who.actor].insert(who.generation); }

  void handle_ended(const actor_ref& who) { alive_[who.actor].erase(who.generation); }

  // -- what the host sends
  void handle_acks(const protocol::to_rivet_ack_commands& frame);
  void handle_events(epoch connection, const protocol::to_rivet_events& frame);
  void handle_tunnel(const protocol::to_rivet_tunnel_message& message);

  /// Nothing is left to do. `acks_flow`: a connection is up and what is sent on it is reported as written.
  void check_settled(bool acks_flow);
  /// The session is over, the lease has ended, a connection is up: every instance must be down, and what was owed is said.
  void check_over() const;

  /// The engine has lied about time, so that what it re-sends may look fresh after it was forgotten.
  void handle_lie() { engine_lies_ = true; }

  [[nodiscard]] bool engine_lies() const { return engine_lies_; }

private:
  struct generation_record {
    std::set<std::int64_t> delivered;
    std::int64_t acked = std::numeric_limits<std::int64_t>::min();  ///< the highest index
    int factories = 0;
    epoch connection = 0;
    std::int64_t last_event = 0;          ///< on `connection`
    std::optional<std::int64_t> stopped;  ///< index of its Stopped
    bool failed = false;                  ///< which was Stopped(Error)
    bool owes_end = false;                ///< handle_fresh_start told of it
  };

  struct owed_ack {
    std::int64_t index = 0;
    bool again = false;  ///< it was acked before
  };

  using owed_acks = std::map<actor_ref, owed_ack>;

  void forgive_older(const actor_ref& who);
  static void owe(owed_acks& to, const actor_ref& who, const owed_ack& what);

  struct exchange_record {
    int requests = 0, responses = 0;
    int sockets = 0, accepts = 0;
    bool in_parts = false;
  };

  std::map<actor_ref, generation_record> generations_;
  std::map<actor_id, std::uint32_t> newest_factory_;
  std::map<actor_id, std::set<std::uint32_t>> alive_;
  std::set<actor_ref> must_fail_;  ///< what can't be carried out
  std::map<actor_id, std::uint32_t> newest_asked_;
  owed_acks owed_;  ///< the highest index of each to be acked on this connection
  owed_acks held_back_;
  std::map<actor_ref, std::set<std::int64_t>> delivered_now_;  ///< on this connection
  std::uint64_t factories_ = 0;
  std::map<exchange_id, exchange_record> exchanges_;
  epoch connection_ = 0;
  bool engine_lies_ = false;
};

}  // namespace nuncio::fuzz

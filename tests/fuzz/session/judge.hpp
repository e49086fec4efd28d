// Watches a fuzzed session from outside: keeps its own record of what was delivered, started, acked and said, and ends the
// process when an invariant of docs/design.md is broken. It knows nothing of the host's insides. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
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
  void handle_held_back_lost() { held_back_.clear(); }
  void handle_clock_known();
  void handle_request(const exchange_id& id) { ++exchanges_[id].requests; }
  void handle_socket(const exchange_id& id) { ++exchanges_[id].sockets; }

  // -- what the host's actors do
  void handle_factory(const actor_ref& who);
  void handle_alive(const actor_ref& who) { alive_[who.actor].insert(who.generation); }
  void handle_ended(const actor_ref& who) { alive_[who.actor].erase(who.generation); }

  // -- what the host sends
  void handle_acks(const protocol::to_rivet_ack_commands& frame);
  void handle_events(epoch connection, const protocol::to_rivet_events& frame);
  void handle_tunnel(const protocol::to_rivet_tunnel_message& message);

  /// Nothing is left to do. `acks_flow`: a connection is up and what is sent on it is reported as written.
  void check_settled(bool acks_flow) const;
  /// The session is over and every instance must be down.
  void check_over() const;

  /// The engine has lied about time, so that what it re-sends may look fresh after it was forgotten.
  void handle_lie() { engine_lies_ = true; }

  [[nodiscard]] bool engine_lies() const { return engine_lies_; }

private:
  struct generation_record {
    std::set<std::int64_t> delivered;
    int factories = 0;
    epoch connection = 0;
    std::int64_t last_event = 0;              ///< on `connection`
    std::optional<std::int64_t> stopped;      ///< index of its Stopped
  };

  struct exchange_record {
    int requests = 0, responses = 0;
    int sockets = 0, accepts = 0;
    bool in_parts = false;
  };

  std::map<actor_ref, generation_record> generations_;
  std::map<actor_id, std::uint32_t> newest_factory_;
  std::map<actor_id, std::set<std::uint32_t>> alive_;
  std::map<actor_ref, std::int64_t> owed_;  ///< highest index to be acked on this connection
  std::map<actor_ref, std::int64_t> held_back_;
  std::map<exchange_id, exchange_record> exchanges_;
  epoch connection_ = 0;
  bool engine_lies_ = false;
};

}  // namespace nuncio::fuzz

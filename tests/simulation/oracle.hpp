// Watches a simulated run from outside and knows nothing about the machines' internals: keeps its own record of everything that
// was delivered, dispatched, acked and sent, and throws `violated` if an invariant breaks.
#pragma once

#include <map>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <set>
#include <string>

#include "simulation/client_rows.hpp"
#include "simulation/coverage.hpp"
#include "simulation/scheduler.hpp"
#include "simulation/socket_watch.hpp"
#include "simulation/storage_watch.hpp"
#include "simulation/violated.hpp"

namespace nuncio::simulation {

class oracle {
public:
  explicit oracle(scheduler& time) : time_(time) {}

  // -- what the engine delivered and the host did with it
  void handle_delivered(const protocol::actor_checkpoint& at);
  void handle_judged(row r, column c, const protocol::actor_checkpoint& at, epoch connection);
  void handle_dispatched(const protocol::actor_checkpoint& at);
  void handle_factory(const actor_ref& who);
  void handle_actor_down(const actor_ref& who);
  void handle_abandoned(const actor_ref& who);
  /// This command can't be carried out: Stopped(Error) must follow unless a newer generation comes.
  void handle_hopeless(const actor_ref& who);
  /// It was refused as over: if nothing of it was ever dispatched, nothing may be said of it.
  void handle_refused(const actor_ref& who);

  /// The engine has said that it ended this one without asking.
  void handle_lost(const actor_ref& who) { lost_.insert(who); }

  /// Whose outputs pass this gate.
  void handle_speaker(const output_gate& gate, const actor_ref& who) { speakers_[&gate] = who; }

  /// Something leaves the host through this gate. What whoever is down by now said to a client may still leave, and again on
  /// a later connection: nobody acts any more.
  void handle_output(const output_gate& gate, const protocol::to_rivet& what);

  /// A Ping has come that the engine said at `said`.
  void handle_ping(time_point when) { ping_said_ = std::max(ping_said_, when); }

  /// All that was started until now has lost its outputs.
  void handle_lease_ended() { ++leases_ended_; }

  /// Parts of the host stand still, or did until just now.
  void handle_disturbed(time_point until) { disturbed_until_ = until; }

  /// From here on only what is over comes again.
  void handle_haunted() { haunted_ = true; }

  // -- what the host queued for a connection
  void handle_connection(epoch connection);
  void handle_ack_frame(epoch connection, const protocol::to_rivet_ack_commands& frame);
  void handle_event_frame(epoch connection, const protocol::to_rivet_events& frame);

  // -- what the engine did elsewhere
  /// It placed `who` on another host while `ours` (if any) could still act.
  void handle_placed_elsewhere(const actor_ref& who, std::optional<actor_ref> ours);
  /// The engine has given `who` up with its host; `ours`: what could still act here then.
  void handle_given_up(const actor_ref& who, std::optional<actor_ref> ours);

  /// How often that happened.
  [[nodiscard]] std::uint64_t given_up() const { return given_up_; }

  /// Of a client's request.
  void count(http_row r, http_mode m) { http_seen_.count(r, m); }

  /// Of a client's WebSocket.
  void count(socket_row r, bool hibernates) { sockets_seen_.count(r, mode_of(hibernates)); }

  /// Before the run begins: what comes again after a cut.
  void draw(bool resends) { resends_ = resends; }

  [[nodiscard]] const tally& sockets_seen() const { return sockets_seen_; }

  [[nodiscard]] socket_watch& sockets() { return sockets_; }

  /// Of the link, the newest.
  [[nodiscard]] epoch connection() const { return connection_; }

  [[nodiscard]] const tally& http_seen() const { return http_seen_; }

  void handle_fault(fault what);
  /// Everything was quiet for long, and a barrier has passed.
  void check_quiet() const;

  [[nodiscard]] const coverage& seen() const { return seen_; }

  storage_watch stored;

private:
  [[nodiscard]] socket_mode mode_of(bool hibernates) const {
    if (!hibernates) return socket_mode::plain;
    return resends_ ? socket_mode::resends : socket_mode::keeps;
  }

  struct owed {
    std::int64_t highest = 0;
    std::uint64_t judged = 0, acked = 0;
    bool due = false;
  };

  struct said {
    std::set<std::int64_t> indexes;  // all that were ever sent
    epoch connection = 0;
    std::set<std::int64_t> on_connection;
    std::int64_t last_on_connection = 0;
    std::int64_t stopped = 0;
  };

  scheduler& time_;
  coverage seen_;
  tally http_seen_ = http_tally();
  tally sockets_seen_ = socket_tally();
  socket_watch sockets_;
  bool resends_ = false;
  std::map<actor_ref, std::int64_t> delivered_, judged_, dispatched_;
  std::map<actor_id, std::uint32_t> newest_dispatched_;
  std::set<actor_ref> factories_;
  std::map<const output_gate*, actor_ref> speakers_;
  std::map<actor_id, actor_ref> alive_;
  std::map<actor_ref, owed> to_ack_;  // on the present connection
  std::map<actor_ref, said> said_;
  std::set<actor_ref> hopeless_, refused_, down_, lost_;
  time_point ping_said_{}, disturbed_until_{};
  std::uint64_t leases_ended_ = 0;
  bool haunted_ = false;
  std::map<actor_id, std::uint32_t> elsewhere_;
  std::uint64_t given_up_ = 0;
  epoch connection_ = 0;
  bool any_fault_ = false;
  std::array<time_point, static_cast<std::size_t>(fault::faults)> fault_until_{};
};

}  // namespace nuncio::simulation

// Plays a fuzzed session: the engine's side of each step against everything behind a host's link, and the judge that checks the
// results. One thread; a world lives for one session, the actor system for all.
#pragma once

#include <cstdlib>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "session/guest.hpp"
#include "session/step.hpp"
#include "support/command_store.hpp"
#include "support/fake_store.hpp"
#include "support/sim_host.hpp"

namespace nuncio::fuzz {

class world {
public:
  world(test::sim_system& system, session_head head);
  ~world();

  void play(std::span<const step> steps);

private:
  struct commanded {
    std::int64_t last = 0;
    std::optional<engine_ms> create_ts{};  ///< of its Starts
  };

  static ingress_options options_of(session_head head, guest_book& book);

  void play_one(const step& x);

  // -- commands
  [[nodiscard]] actor_ref choose(const step& x);
  [[nodiscard]] std::int64_t choose_index(const step& x, std::int64_t last) const;
  [[nodiscard]] engine_ms created(const step& x, const actor_ref& who);
  const commanded& allocate(const step& x, const actor_ref& who);
  void start(const step& x);
  void stop(const step& x);
  [[nodiscard]] bool must_be_heard(const actor_ref& who) const;
  void command(protocol::command_wrapper what);
  void deliver_command(protocol::command_wrapper what);
  void ack_events(const step& x);

  // -- connection and time
  /// @param replay  modulo 3: of nothing, of what is not acked, of everything; from 0x80 on no Ping follows
  void connect(std::uint8_t replay);
  void ping(const step& x);
  void pass_time(const step& x);
  void end_lease();
  void refuse(const step& x);
  void release_written();
  void tell(const step& x);

  // -- tunnel
  [[nodiscard]] static exchange_id exchange_of(const step& x);
  [[nodiscard]] static bytes body_of(const step& x);
  [[nodiscard]] std::uint16_t tunnel_index(const step& x, const exchange_id& id);
  void tunnel(const step& x, protocol::to_envoy_tunnel_message_kind what);
  void request(const step& x);
  void open_socket(const step& x);
  void say_on_socket(const step& x);

  // -- storage
  [[nodiscard]] protocol::to_envoy answer_to(
      const protocol::to_rivet& request, std::uint8_t how, std::uint8_t number);
  void answer_storage(const step& x);

  // -- delivering, and looking at what comes of it
  void say(protocol::to_envoy message);
  void say_too_long(const step& x);
  [[nodiscard]] std::optional<protocol::to_envoy> over_the_wire(
      const protocol::to_envoy& message) const;
  void deliver_batch();
  void settle();
  void read_sent();
  void note_written(epoch connection, frame_class what);
  void check();
  void finish();
  void check_nothing_left();

  session_head head_;
  std::uint16_t version_;
  judge judge_;
  guest_book book_{.of = &judge_, .counts = nullptr};
  test::sim_host host_;
  std::map<actor_id, std::uint32_t> newest_;
  std::map<actor_ref, commanded> commanded_;
  std::vector<protocol::command_wrapper> commands_;  ///< all that were ever said
  test::command_store unacked_;
  std::map<exchange_id, std::uint16_t> next_index_;  ///< of what the client says
  std::map<actor_ref, std::int64_t> events_;         ///< the last index of each
  std::deque<protocol::to_rivet> storage_;           ///< asked on this connection, not answered
  std::map<actor_id, test::fake_store> stores_;
  std::size_t at_once_ = 0;       ///< so many requests are answered at once
  std::uint8_t at_once_how_ = 0;  ///< see answer_to
  std::vector<protocol::to_envoy> batch_;
  std::optional<protocol::to_envoy> too_long_;             ///< before the batch
  std::vector<std::pair<epoch, frame_class>> unreported_;  ///< written, which nobody has said yet
  std::uint64_t delivered_ = 0;
  /// Steps, and what the host sends, go to standard error: to read a session that failed.
  bool trace_ = std::getenv("NUNCIO_FUZZ_TRACE") != nullptr;
  bool clock_known_ = false;
  bool draining_ = false;
  bool settled_ = true;  ///< nothing is on its way
  bool over_ = false;
};

}  // namespace nuncio::fuzz

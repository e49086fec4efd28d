// Decides which commands are carried out: each once, in the order of its generation, and none that the engine has given up.
// Owns the command ledger and the engine's clock; every judged command is acked. Pure; part of host_machine.
#pragma once

#include <cstdint>
#include <functional>
#include <nuncio/commands/command_ledger.hpp>
#include <nuncio/connection/lease.hpp>
#include <nuncio/host/host_core.hpp>
#include <vector>

namespace nuncio {

class instance_table;

/// The decision on a command.
struct judged_command {
  const protocol::actor_checkpoint& at;
  const protocol::command& command;
  verdict what;
  std::optional<std::uint32_t> known;  ///< the newest generation in the ledger before
};

/// For a trace: called for each command after it is recorded and before it is carried out.
using command_observer = std::function<void(const judged_command&)>;

class command_admission {
public:
  /// @param to  carries out fresh commands; outlives this
  command_admission(host_core& core, instance_table& to, command_observer observer)
      : core_(core), to_(to), observer_(std::move(observer)), ledger_(core.limits.ledger) {}

  /// A connection is up: commands judged on the last one are not acked on this one.
  void handle_up(epoch connection);

  /// Held commands come again on the next connection.
  void handle_down() { held_.clear(); }

  void handle_commands(protocol::to_envoy_commands& frame);
  /// The engine's clock. Commands that were held until now are judged, if the Ping begins a lease (engine_clock::handle_ping).
  void handle_ping(engine_ms ts);

  /// Commands are held until the next Ping.
  void handle_lease_ended() { lease_holds_ = false; }

  /// An instance lives, or has ended.
  void handle_live(const actor_ref& who) { ledger_.handle_live(who); }

  void handle_gone(const actor_ref& who) { ledger_.handle_gone(who, core_.now); }

  void expire() { ledger_.expire(core_.now); }

  [[nodiscard]] std::optional<time_point> poll_timeout() { return ledger_.poll_timeout(); }

  /// Passes on the checkpoints to ack.
  void flush();

  [[nodiscard]] epoch connection() const { return connection_; }

  [[nodiscard]] const command_ledger& ledger() const { return ledger_; }

private:
  void handle_command(protocol::command_wrapper& command, engine_ms engine_now);
  void log_odd(log_level level, std::string_view what, const actor_ref& who, std::int64_t index);
  void log_refused(const actor_ref& who, std::optional<engine_ms> created, engine_ms engine_now);

  host_core& core_;
  instance_table& to_;
  command_observer observer_;
  command_ledger ledger_;
  engine_clock clock_;
  bool lease_holds_ = false;
  epoch connection_ = 0;
  std::vector<protocol::to_envoy_commands> held_;  ///< while no lease holds
  std::vector<protocol::actor_checkpoint> processed_;
  /// The ledger's counters as last logged.
  std::uint64_t gaps_seen_ = 0, over_cap_seen_ = 0, further_starts_seen_ = 0;
};

}  // namespace nuncio

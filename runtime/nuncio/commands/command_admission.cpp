// See command_admission.hpp.
#include <fmt/format.h>

#include <cmath>
#include <nuncio/commands/command_admission.hpp>
#include <nuncio/instances/instance_table.hpp>

namespace nuncio {

void command_admission::handle_up(epoch connection) {
  connection_ = connection;
  held_.clear();
}

void command_admission::handle_commands(protocol::to_envoy_commands& frame) {
  const auto engine_now = clock_.at(core_.now);
  // Before the first Ping the age of a Start is unknown. Before the next one, once the lease has ended, nobody would notice that
  // the engine gives up what has started here (I14). A Ping follows each replay at once.
  if (!lease_holds_ || !engine_now) {
    held_.push_back(std::move(frame));
    return;
  }
  for (auto& command : frame.commands) handle_command(command, *engine_now);
}

void command_admission::handle_ping(engine_ms ts) {
  if (!clock_.handle_ping(ts, core_.now)) return;  // no lease begins with it either
  lease_holds_ = true;
  for (auto& frame : std::exchange(held_, {})) handle_commands(frame);
}

void command_admission::handle_command(protocol::command_wrapper& command, engine_ms engine_now) {
  const auto& at = command.checkpoint;
  const actor_ref who{at.actor_id, at.generation};
  auto* start = std::get_if<protocol::command_start_actor>(&command.inner);
  std::optional<engine_ms> created;
  if (start != nullptr) created = start->config.create_ts;
  const auto known = ledger_.newest_generation(who.actor);
  ++core_.stats.commands;
  const auto judged =
      ledger_.admit(at, created, engine_now, core_.now);  // I2: recorded before anything else
  processed_.push_back(at);                               // I7: whatever the verdict
  if (observer_) observer_({at, command.inner, judged, known});
  const auto& counted = ledger_.stats();
  if (std::exchange(further_starts_seen_, counted.further_starts) != counted.further_starts)
    log_odd(
        log_level::warning,
        "the engine started a generation twice; the second Start is not run",
        who,
        at.index);
  if (judged == verdict::duplicate || judged == verdict::superseded) return;
  if (known && *known < who.generation) to_.handle_newer(who);  // I11
  if (std::exchange(gaps_seen_, counted.gaps) != counted.gaps)
    log_odd(log_level::info, "the engine skipped an index", who, at.index);
  if (judged == verdict::expired) return log_refused(who, created, engine_now);
  ++core_.stats.dispatched;
  if (start != nullptr)
    to_.handle_start(who, *start, core_.now - *clock_.age(start->config.create_ts, core_.now));
  else
    to_.handle_stop(who, std::get<protocol::command_stop_actor>(command.inner).reason);
}

void command_admission::log_odd(
    log_level level, std::string_view what, const actor_ref& who, std::int64_t index) {
  core_.limiter.log(
      core_.now,
      level,
      what,
      {{"actor", who.actor.str()},
       {"generation", fmt::to_string(who.generation)},
       {"index", fmt::to_string(index)}});
}

void command_admission::log_refused(
    const actor_ref& who, std::optional<engine_ms> created, engine_ms engine_now) {
  if (!created) return;
  const auto age = static_cast<double>(engine_now) / 1e3 - static_cast<double>(*created) / 1e3;
  const auto limit = std::chrono::duration<double>{core_.limits.ledger.start_limit}.count();
  // Young, yet not created after the forgotten ones: the reader of this line can do something about it.
  const auto set_back = std::abs(age) < limit;
  core_.limiter.log(
      core_.now,
      log_level::warning,
      set_back ? "a Start is not run: the engine's clock was set back, and this Start may be a "
                 "forgotten one; restarting the host helps at once"
               : "a Start is not run: the engine has already given it up",
      {{"actor", who.actor.str()},
       {"generation", fmt::to_string(who.generation)},
       {"age_s", fmt::format("{:.1f}", age)}});
}

void command_admission::flush() {
  if (!processed_.empty())
    core_.out.push_back(internal::processed{connection_, std::exchange(processed_, {})});
  if (const auto times = ledger_.stats().over_cap; times != over_cap_seen_) {
    over_cap_seen_ = times;
    log_to(
        core_.log,
        log_level::warning,
        "the command ledger is over its limit, and none of it may be forgotten yet",
        {{"entries", fmt::to_string(ledger_.stats().entries)},
         {"bytes", fmt::to_string(ledger_.stats().bytes)}});
  }
}

}  // namespace nuncio

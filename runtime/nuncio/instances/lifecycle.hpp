// The life of one instance (actor, generation) on this host as a table: state x input -> next state and actions. Pure; ingress
// drives it. "Down" states have no CAF actor any more and wait for the engine.
//
// An actor that ends without having been told to is never reported as Stopped(OK), which would destroy it. Quitting means
// sleep, so the intent is sent first, and only once Running was accepted; Stopped(OK) only answers a Stop command.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace nuncio::lifecycle {

enum class state : std::uint8_t {
  queued,            ///< waits for an older instance to be down
  starting,          ///< the factory runs
  running,           ///< Running sent, not known to be accepted
  accepted,          ///< Running accepted: acked, or a request or Stop came
  sleep_wanted,      ///< alive, sleeps as soon as Running is accepted
  destroy_wanted,    ///< alive, to be destroyed as soon as Running is accepted
  sleep_intent,      ///< alive, intent sent, Stop(SLEEP_INTENT) expected
  stop_intent,       ///< alive, intent sent, Stop(STOP_INTENT) expected
  quit_wanted,       ///< down, sleeps as soon as Running is accepted
  quit_intent,       ///< down, intent sent, Stop(SLEEP_INTENT) expected
  destroyed_wanted,  ///< down after destroy(), Running not accepted yet
  destroyed_intent,  ///< down after destroy(), Stop(STOP_INTENT) expected
  stopping,          ///< told to stop by the engine
  ending,            ///< being ended by us; Stopped(Error) follows
  ending_silently,   ///< being ended by us; the engine must not be told
  stopped,           ///< over
};

enum class input : std::uint8_t {
  older_down,      ///< the older instance is down, or there was none
  started,         ///< the factory returned
  accepted,        ///< the engine accepted Running
  sleep_called,    ///< the actor called sleep()
  destroy_called,  ///< the actor called destroy()
  quit,            ///< the CAF actor ended of its own accord, without an error
  failed,          ///< the factory or a handler failed, or the actor quit with an error
  stop_command,    ///< Stop(SLEEP_INTENT | STOP_INTENT | DESTROY | GOING_AWAY)
  lost_command,    ///< Stop(LOST): the engine has given up this generation
  superseded,      ///< a newer generation exists
  lease_ended,     ///< the engine may have given up this host
  evicted,         ///< another host took over the envoy key
  given_up,        ///< Running was not accepted by the start limit
  start_limit,     ///< the factory took longer than the start limit
  drain,           ///< the host is draining and no Stop came
  deadline,        ///< the drain deadline, or the wait for an answer to an intent, has passed
  stop_limit,      ///< the grace period after stop_command has passed
  end_limit,       ///< the actor did not end in time after exit
};

/// Actions of a transition; several are carried out in this order.
enum action : std::uint16_t {
  none = 0,
  spawn = 1U << 0U,          ///< run the factory
  tell_stop = 1U << 1U,      ///< send stop_command to the CAF actor
  cut = 1U << 2U,            ///< close the instance's outputs
  exit = 1U << 3U,           ///< send exit to the CAF actor
  abandon = 1U << 4U,        ///< it ignores exit: log its name and continue without it
  say_running = 1U << 5U,    ///< event Running
  say_sleep = 1U << 6U,      ///< event IntentSleep
  say_destroy = 1U << 7U,    ///< event IntentStop
  stopped_ok = 1U << 8U,     ///< event Stopped(OK)
  stopped_error = 1U << 9U,  ///< event Stopped(Error, why)
};

struct transition {
  state from;
  input in;
  state to;
  std::uint16_t actions;
};

/// Every legal transition, including those that change nothing.
std::span<const transition> table();

/// The transition of `in` at `from`; none means that it can't happen, which is the caller's bug.
std::optional<transition> step(state from, input in);

/// Whether a CAF actor belongs to an instance in this state.
constexpr bool has_actor(state s) {
  switch (s) {
    case state::queued:
    case state::quit_wanted:
    case state::quit_intent:
    case state::destroyed_wanted:
    case state::destroyed_intent:
    case state::stopped:
      return false;
    default:
      return true;
  }
}

std::string_view to_string(state s);
std::string_view to_string(input in);

}  // namespace nuncio::lifecycle

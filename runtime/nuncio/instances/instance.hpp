// One generation of an actor on this host, as host_machine keeps it, with what its requests and WebSockets hold there. Values
// of host_machine's parts, on its thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nuncio/host/host_outputs.hpp>
#include <nuncio/instances/due_times.hpp>
#include <nuncio/instances/lifecycle.hpp>
#include <nuncio/tunnel/doubted_clients.hpp>
#include <nuncio/tunnel/request_room.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace nuncio {

/// What can be due for an instance.
enum class instance_due : std::uint8_t {
  start_after_failures,  ///< its factory may run
  start_limit,           ///< its factory must have returned
  acceptance,            ///< the engine must have accepted Running
  idle_check,            ///< it may be idle
  drain,                 ///< the engine has had its time to stop it
  end_of_linger,         ///< it is told of its Stop, unless a request has come
  stop_grace,            ///< it must have ended after stop_command
  end_limit,             ///< it must have ended after exit
  intent_limit,          ///< the engine must have answered its intent
  response_grace,        ///< it counts as down, whatever still waits for its clients
};

struct instance;
using due_of_instances = due_times<instance, instance_due>;

struct instance {
  instance(request_room& room, request_limits limits) : requests(room, limits) {}

  actor_ref who;
  instance_number number = 0;
  lifecycle::state state = lifecycle::state::queued;
  protocol::stop_actor_reason reason{};
  bool reachable = false;  ///< it was spawned, and is not known to have ended: messages go there
  bool handed = false;     ///< it was given to the driver, which was not told to forget it yet
  bool used = false;       ///< a client has sent it a request
  /// The CAF actor has ended, and does not count as down while its writes are not answered.
  bool storing = false;
  std::shared_ptr<instance_base> context;
  std::string why;  ///< for Stopped(Error)
  std::size_t start_bytes = 0;
  /// The deadline for the engine to accept Running: after it, the engine may run the next generation elsewhere (I14).
  time_point limit{};
  std::unordered_map<exchange_id, std::uint64_t> attempts;  ///< exchange -> ticket
  request_share requests;
  /// By ticket: replaced or aborted attempts that are still in the instance's mailbox.
  std::unordered_map<std::uint64_t, request_place> cancelled;
  std::unordered_set<exchange_id> sockets;
  doubted_clients<doubted_of_actor> doubted_sockets;
  std::shared_ptr<waiting_pool> heads;       ///< of its WebSockets; null before the first
  std::shared_ptr<waiting_pool> waiting;     ///< of its clients' messages; null before the first
  std::vector<internal::socket_ptr> listed;  ///< to tell the instance once it exists
  bool lists = false;                        ///< whether it must be told
  bool restoring = false;                    ///< it has not said yet which sockets continue
  std::size_t responses = 0;                 ///< attempts that are answered and wait for credit
  /// The CAF actor has ended with this error, and does not count as down while `responses` are being sent, or it is `storing`.
  std::optional<std::string> down;
  due_of_instances::own times;
  time_point busy_at{};   ///< when something that keeps it awake was last seen
  time_point asked_at{};  ///< when its last request came
  /// The engine has told it to stop; the actor is told by this time at the latest: requests are on their way.
  std::optional<time_point> lingers;

  [[nodiscard]] std::shared_ptr<const output_gate> gate() const {
    return {context, &context->gate};
  }

  [[nodiscard]] bool takes_requests() const {
    using enum lifecycle::state;
    return !down && state != ending && state != ending_silently && lifecycle::has_actor(state);
  }

  [[nodiscard]] bool told_to_stop() const { return lingers || state == lifecycle::state::stopping; }

  [[nodiscard]] bool runs() const {
    return state == lifecycle::state::running || state == lifecycle::state::accepted;
  }

  /// An instance that is starting, was told to stop or is down has no handle to give.
  [[nodiscard]] bool can_be_found() const { return reachable && !down && runs(); }
};

}  // namespace nuncio

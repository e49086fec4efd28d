// The messages between host_machine and the instances of its host, and from it to ack, outbox and storage. Values without
// behaviour; never leave the process. Those that are CAF messages of their own have their types in the actors' room.
#pragma once

#include <cstdint>
#include <nuncio/detail/clock.hpp>
#include <nuncio/http.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <nuncio/tunnel/client_socket.hpp>
#include <nuncio/tunnel/http_exchange.hpp>
#include <nuncio/tunnel/shared_request.hpp>
#include <nuncio/tunnel/waiting_room.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace nuncio::internal {

/// Where the tickets of attempts and WebSockets start: as CAF request ids they can't collide with those of an actor's own
/// requests.
inline constexpr std::uint64_t ticket_first = std::uint64_t{1} << 56U;

// -- from an instance ---------------------------------------------------------------
struct instance_started {
  actor_ref who;
};

struct sleep_called {
  actor_ref who;
};

struct destroy_called {
  actor_ref who;
};

/// The actor wants to be woken at this time; none: not any more.
struct alarm_called {
  actor_ref who;
  std::optional<std::int64_t> at_ms;  ///< unix time
};

/// The answer to idle_probe: busy until now with something that the host does not see.
struct instance_active {
  actor_ref who;
  time_point at{};
};

/// An attempt was answered, or needs no response any more: it takes no place in the instance any longer.
struct attempt_done {
  actor_ref who;
  exchange_id exchange;
  std::uint64_t ticket = 0;
};

/// An attempt was answered with more than the engine accepts at once: the host sends it as credit comes.
struct response_waits {
  actor_ref who;
  std::uint64_t ticket = 0;
  http_exchange exchange{exchange_position{}};
};

/// A streaming response has begun.
struct response_begun {
  actor_ref who;
  exchange_id exchange;
  std::uint64_t ticket = 0;
};

/// To an instance: this upload is over, unless it has just been answered. Only the instance knows at which index that belongs.
struct upload_over {
  std::uint64_t ticket = 0;
  exchange_id exchange;
  std::uint16_t status = 0;  ///< what its client gets; 0: the exchange is cut, answered or not
  std::string_view why;      ///< of static storage
};

/// The instance's answer if no handler has had the upload yet: nothing was sent in it.
struct upload_untouched {
  upload_over what;
};

struct socket_accepted {
  actor_ref who;
  exchange_id exchange;
  std::uint64_t ticket = 0;
  bool hibernates = false;
};

/// The instance has closed it, or can't use it.
struct socket_over {
  actor_ref who;
  exchange_id exchange;
  std::uint64_t ticket = 0;
};

/// The instance knows which of its listed sockets continue: their messages may come.
struct sockets_restored {
  actor_ref who;
  /// Sockets that continue as well: too young to be in the engine's list.
  std::vector<socket_ptr> unlisted;
};

/// The CAF actor is down. All attempts that its handlers had begun are answered; `error` is empty if it quit.
struct instance_down {
  actor_ref who;
  std::string error;
  std::vector<attempt_done> answered;
  bool storing = false;  ///< storage_done follows: its writes are not all answered yet
};

/// From storage: the last write of an instance that is down was answered or given up.
struct storage_done {
  actor_ref who;
  std::string lost;  ///< why a required write may not be stored; empty if all are stored
};

// -- to an instance -------------------------------------------------------------------
/// The host sees nothing that keeps the instance awake: the instance sleeps unless it knows better.
struct idle_probe {};

/// The attempt was replaced or aborted: the handler's response is dropped.
struct attempt_cancelled {
  std::uint64_t ticket = 0;
  text why{};
};

/// An engine message in a streaming exchange.
struct exchange_input {
  std::uint64_t ticket = 0;
  std::uint16_t index = 0;
  std::variant<
      protocol::to_envoy_request_chunk,
      protocol::to_envoy_request_body_cancel,
      protocol::to_envoy_response_body_window_update>
      kind;
};

/// The client of a streaming response has read more of it.
struct response_credited {
  std::uint64_t ticket = 0;
  std::shared_ptr<response_credit> credit;
};

/// To an instance: the engine has been silent about this stream for too long.
struct stream_quiet {
  std::uint64_t ticket = 0;
};

/// Hibernating sockets that the engine holds for this actor, for the instance to continue.
struct sockets_listed {
  std::vector<socket_ptr> all;
};

/// A message of the client was repeated: its ack was lost.
struct socket_repeated {
  socket_ptr socket;
};

/// The host has no route for the socket any more; it must be closed with these values.
struct socket_failed {
  socket_ptr socket;
  std::uint16_t code = 0;
  std::string why;
};

/// The text of a 504 for the client, and for the handlers.
inline constexpr std::string_view answered_too_late = "the actor did not answer in time";

// -- to ack and outbox ------------------------------------------------------------------
struct processed {
  epoch connection = 0;
  std::vector<protocol::actor_checkpoint> checkpoints;
};

struct say_running {
  actor_ref who;
};

struct say_intent {
  actor_ref who;
  protocol::actor_intent intent;
};

struct say_alarm {
  actor_ref who;
  std::optional<std::int64_t> at_ms;
};

struct say_stopped {
  actor_ref who;
  protocol::stop_code code = protocol::stop_code::ok;
  std::string message;
};

struct answer_orphan_stop {
  actor_ref who;
};

struct superseded {
  actor_id actor;
  std::uint32_t newest = 0;
};

using outbox_input = std::variant<
    say_running,
    say_intent,
    say_alarm,
    say_stopped,
    answer_orphan_stop,
    superseded,
    protocol::to_envoy_ack_events>;

struct outbox_batch {
  std::vector<outbox_input> inputs;
};

}  // namespace nuncio::internal

// What the actors of one host say to each other. Values without behaviour; never leave the process.
#pragma once

#include <caf/actor.hpp>
#include <caf/actor_addr.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <chrono>
#include <nuncio/http.hpp>
#include <nuncio/http_exchange.hpp>
#include <nuncio/link.hpp>
#include <nuncio/socket.hpp>
#include <nuncio/start_info.hpp>
#include <string>
#include <variant>
#include <vector>

namespace nuncio {

class response_credit;

/// The engine tells this actor to stop. Without a handler it ends when its open requests are answered. A handler does what
/// it has to, and then calls engine_actor::finish() for the same; `quit()` ends at once, and answers open requests with 500.
/// Within host_options::stop_grace.
struct stop_command {
  protocol::stop_actor_reason reason = protocol::stop_actor_reason::sleep_intent;
};

/// The time that engine_actor::set_alarm() named has come. At least once: it may come again when the actor ended before
/// it was dealt with.
struct alarm_due {
  std::chrono::system_clock::time_point due;
};

namespace internal {

// -- from the link --------------------------------------------------------------
struct link_up {
  epoch connection = 0;
};

struct link_down {
  epoch connection = 0;
  std::string why;
};

struct link_written {
  epoch connection = 0;
  frame_class what = frame_class::ack;
};

struct link_fence {
  epoch connection = 0;
  std::uint64_t id = 0;
};

struct lease_ended {};

struct link_final {
  failure why;
};

// -- from an instance to ingress ------------------------------------------------
struct instance_started {
  actor_ref who;
};

/// A factory whose constructor runs on a thread of its own has made its actor.
struct instance_spawned {
  actor_ref who;
  caf::actor handle;
};

struct sleep_called {
  actor_ref who;
};

struct destroy_called {
  actor_ref who;
};

/// The actor wants to be woken then; nothing: not any more.
struct alarm_called {
  actor_ref who;
  std::optional<std::int64_t> at_ms;  ///< unix time
};

/// What idle_probe asked for: busy until now with what ingress does not see.
struct instance_active {
  actor_ref who;
  time_point at{};
};

/// An attempt was answered, or needs no answer any more: it takes no place in the instance any longer.
struct attempt_done {
  actor_ref who;
  exchange_id exchange;
  std::uint64_t ticket = 0;
};

/// An attempt was answered with more than the engine takes at once: ingress sends it as credit comes.
struct response_waits {
  actor_ref who;
  std::uint64_t ticket = 0;
  http_exchange exchange;
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

/// A response that is written bit by bit has begun.
struct response_begun {
  actor_ref who;
  exchange_id exchange;
  std::uint64_t ticket = 0;
};

/// The instance knows which of the sockets that were listed for it go on: their messages may come.
struct sockets_restored {
  actor_ref who;
  /// With which it goes on as well: too young for the engine to have listed them.
  std::vector<std::shared_ptr<socket>> unlisted;
};

/// The CAF actor is down. All attempts that its handlers had begun are answered; `error` is empty
/// when it quit.
struct instance_down {
  actor_ref who;
  std::string error;
  std::vector<attempt_done> answered;
  bool storing = false;  ///< storage_done follows: what it has written is not answered yet
};

/// From storage: the last write of an instance that is down was answered or given up.
struct storage_done {
  actor_ref who;
  std::string lost;  ///< why what it had to leave behind is not known to be stored; empty if it is
};

// -- from ingress to an instance --------------------------------------------------
/// The first message of what was spawned with lazy_init: says nothing, but gets it scheduled.
struct launch {};

/// Ingress sees nothing that keeps the instance awake: it goes to sleep unless it knows better.
struct idle_probe {};

/// The attempt was replaced or aborted: whatever the handler says is dropped.
struct attempt_cancelled {
  std::uint64_t ticket = 0;
  text why{};
};

/// What the engine says in an exchange that goes bit by bit.
struct exchange_input {
  std::uint64_t ticket = 0;
  std::uint16_t index = 0;
  std::variant<
      protocol::to_envoy_request_chunk,
      protocol::to_envoy_request_body_cancel,
      protocol::to_envoy_response_body_window_update>
      kind;
};

/// The client of a response that goes bit by bit has read more of it.
struct response_credited {
  std::uint64_t ticket = 0;
  std::shared_ptr<response_credit> credit;
};

/// Hibernating sockets that the engine holds for this actor, for the instance to go on with.
struct sockets_listed {
  std::vector<std::shared_ptr<socket>> all;
};

/// A message of the client came again: its ack was lost.
struct socket_repeated {
  connection socket;
};

/// Ingress has no route for the socket any more; it is to be closed with this.
struct socket_failed {
  connection socket;
  std::uint16_t code = 0;
  std::string why;
};

// -- from anybody to an instance --------------------------------------------------
/// What was said through a `connection` outside of the handlers of the actor that serves it.
struct socket_order {
  connection socket;
  bytes data;
  bool binary = false;
  std::uint16_t close_code = 0;  ///< 0: send `data`
  text reason;
};

// -- from ingress to ack and outbox -------------------------------------------------
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

/// Answered by `drained` to ingress as soon as all that is kept has been handed to the kernel.
struct drain_outbox {
  caf::actor_addr reply_to;  // weak: nothing but its owners may keep a detached actor
};

struct drained {};

// -- to ingress from the host -------------------------------------------------------
struct drain {
  time_point deadline;
};

// -- to itself ------------------------------------------------------------------------
struct tick {
  std::uint64_t serial = 0;
};

/// To an instance: its alarm may be due.
struct alarm_tick {
  std::uint64_t serial = 0;
};

/// To a persistent_actor: it may save its state.
struct state_tick {};

/// To an instance: handlers of a stream have something to do.
struct stream_turn {
  std::uint64_t ticket = 0;
};

/// To an instance: its streams that found no room in the link may ask again.
struct room_tick {};

/// What the client of a 504 reads, and its handlers hear.
inline constexpr std::string_view answered_too_late = "the actor did not answer in time";

/// To an instance: this upload is over, unless it has just been answered. Only the instance knows at which index that belongs.
struct upload_over {
  std::uint64_t ticket = 0;
  exchange_id exchange;
  std::uint16_t status = 0;  ///< what its client gets; 0: the exchange is cut, answered or not
  std::string_view why;      ///< of static storage
};

/// What an instance says to that when no handler has had the upload yet: it has said nothing in it.
struct upload_untouched {
  upload_over what;
};

/// To an instance: the engine has said nothing of this stream for long.
struct stream_quiet {
  std::uint64_t ticket = 0;
};

struct stream;

/// To an instance: this stream is over, and its handlers have not heard of it.
struct stream_over {
  std::shared_ptr<stream> which;
};

/// To an instance: its handlers are to hear which sockets are restored.
struct tell_restored {};

/// To an instance: acks of its sockets are due.
struct socket_tick {};

/// To an instance: what it says to clients may find room in the link again.
struct socket_room_tick {};

/// All that was in the mailbox when it was sent has been dealt with.
struct flush {};

}  // namespace internal
}  // namespace nuncio

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::http_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::http_response)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::stop_command)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::socket_opened)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::socket_restored)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::socket_message)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::socket_closed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::alarm_due)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::inbound_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::link_up)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::link_down)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::link_written)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::link_fence)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::lease_ended)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::link_final)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::instance_started)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::instance_spawned)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::sleep_called)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::destroy_called)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::attempt_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::response_waits)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_accepted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::alarm_called)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::instance_active)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::idle_probe)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::alarm_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::state_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::sockets_restored)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::sockets_listed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::response_begun)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::response_credited)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::instance_down)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::exchange_input)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::room_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::stream_turn)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::stream_quiet)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::upload_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::upload_untouched)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::stream_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::storage_done)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::launch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::attempt_cancelled)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_repeated)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_failed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_order)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::socket_room_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::tell_restored)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::processed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::outbox_batch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::drain_outbox)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::drained)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::drain)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nuncio::internal::flush)

// The actor that everything from the engine passes: the only owner of the command ledger, of the instances' lifecycles
// and of the routes of exchanges. It forwards only fresh commands. One for each host, detached by default; it must never
// wait for anybody.
#pragma once

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <caf/event_based_actor.hpp>
#include <deque>
#include <map>
#include <nuncio/absent_sockets.hpp>
#include <nuncio/command_ledger.hpp>
#include <nuncio/counters.hpp>
#include <nuncio/directory.hpp>
#include <nuncio/doubted_clients.hpp>
#include <nuncio/due_times.hpp>
#include <nuncio/factory.hpp>
#include <nuncio/http_exchange.hpp>
#include <nuncio/instance_sockets.hpp>
#include <nuncio/internal_messages.hpp>
#include <nuncio/known_for.hpp>
#include <nuncio/lease.hpp>
#include <nuncio/lifecycle.hpp>
#include <nuncio/log_limiter.hpp>
#include <nuncio/request_room.hpp>
#include <nuncio/room_pause.hpp>
#include <nuncio/start_backoff.hpp>
#include <nuncio/system_watch.hpp>
#include <nuncio/waiting_room.hpp>
#include <unordered_map>
#include <unordered_set>
#include <variant>

namespace nuncio {

struct ingress_options {
  internal::factories factories;
  std::shared_ptr<link_port> link;
  caf::actor storage;
  std::shared_ptr<counters> counts;
  log_sink log;
  std::function<time_point()> now = boot_clock::now;
  ledger_options ledger;
  /// From the engine's allocation of a generation to Running: 30 s less 2 s (docs/protocol.md F.3).
  duration start_limit = std::chrono::seconds{28};
  /// A streaming gateway does not ask again: what it had sent when the engine told an actor to stop is still answered by it. So
  /// the actor hears of its Stop only when no request has come for stop_linger, or after stop_linger_max.
  duration stop_linger = std::chrono::milliseconds{100};
  duration stop_linger_max = std::chrono::seconds{1};
  /// From stop_command to exit.
  duration stop_grace = std::chrono::seconds{15};
  /// From exit to being abandoned.
  duration end_limit = std::chrono::seconds{2};
  /// How long an intent may wait for the engine's Stop.
  duration intent_limit = std::chrono::seconds{60};
  /// After Stopping: how long an actor waits for its Stop before it asks for sleep itself.
  duration drain_patience = std::chrono::seconds{1};
  /// Attempts that one instance may have open or in its mailbox, and their bodies; above it 503.
  std::size_t requests_max = 256;
  std::size_t request_bytes_max = 64UL << 20U;
  /// The same for all instances of the host together.
  std::size_t host_requests_max = 16384;
  std::size_t host_request_bytes_max = 512UL << 20U;
  /// How long a client must have sent nothing of a request that is not whole for this to be ended with 408 where another one
  /// finds no room; and how long one that was open through a reconnect must not have been heard of to be ended likewise.
  duration upload_patience = std::chrono::seconds{10};
  http_exchange_options http;
  /// What instances keep of their Starts for as long as they live: input, key, preloaded values; at least 4 KiB for each. A
  /// Start above it is answered with Stopped(Error).
  std::size_t host_start_bytes_max = 4UL << 30U;
  /// Threads of detached actors in the actor system, the application's own and four of the runtime among them; a Start of one
  /// more is answered with Stopped(Error). Far below what a process may have.
  std::size_t detached_max = 1024;
  /// WebSockets of one instance and of the host; above it they are closed with 1013.
  std::size_t sockets_max = 32768;
  std::size_t host_sockets_max = 65536;
  /// Paths and headers that they were opened with, and 512 bytes each, which stay for as long as they are open, or wait in
  /// the mailbox of an instance that has not heard of them.
  std::size_t socket_head_bytes_max = 64UL << 20U;
  std::size_t host_socket_head_bytes_max = 256UL << 20U;
  /// What clients may have said before their instances hear it: who has more waiting than its own bound is closed with
  /// 1008, who has more than is left for others with 1013.
  waiting_limits waiting;
  /// From WebSocketOpen to the actor's accept: less than the gateway's 15 s (docs/protocol.md G.6).
  duration accept_limit = std::chrono::seconds{10};
  /// How long a hibernating WebSocket that is gone may still be listed: the engine's 90 s since it last saw it, and the
  /// age of the oldest Start that is run (docs/protocol.md G.7).
  duration listed_limit = std::chrono::minutes{2};
  /// What may be remembered of such, of one actor no more than it leaves free; and of the actors that had them.
  std::size_t left_bytes_max = 16UL << 20U;
  /// How long a client may neither send of its request nor read of its response: as long as the gateway waits for the
  /// beginning of a response (docs/protocol.md G.3).
  duration stall_limit = std::chrono::minutes{5};
  /// How long an actor that is down counts as alive because responses of it still wait for credit: within stop_grace.
  duration response_grace = std::chrono::seconds{10};
  /// What every connection begins with.
  std::vector<protocol::to_rivet> greeting;
  /// Called on ingress's thread: the first replay barrier has passed; the link is over; the host is done.
  std::function<void()> on_ready;
  std::function<void(const failure&)> on_final;
  std::function<void()> on_done;
  /// Much has been freed: gives back what the allocator keeps of it. Must not block.
  std::function<void()> release_memory;
  /// The actor system is shutting down under the host: nothing may hold ingress any longer once this has returned.
  std::function<void()> on_system_end;
};

class ingress final : public caf::event_based_actor {
public:
  ingress(caf::actor_config& cfg, ingress_options options, caf::actor ack, caf::actor outbox);

  caf::behavior make_behavior() override;

  const char* name() const override { return "nuncio.ingress"; }

  void on_exit() override;

private:
  struct instance;

  /// What is due of an instance.
  enum class due : std::uint8_t {
    start_after_failures,  ///< its factory may run
    start_limit,           ///< its factory must have returned
    acceptance,            ///< the engine must have accepted Running
    idle_check,            ///< it may be idle
    drain,                 ///< the engine has had its time to stop it
    end_of_linger,         ///< it hears of its Stop, unless a request has come
    stop_grace,            ///< it must have ended after stop_command
    end_limit,             ///< and after exit
    intent_limit,          ///< the engine must have answered its intent
    response_grace,        ///< it counts as down, whatever still waits for its clients
  };

  /// What has become of the instances that a drain ends, for its log.
  struct drain_progress {
    std::size_t slept = 0;
    std::size_t moved = 0;  ///< the engine placed them elsewhere
    std::size_t cut = 0;    ///< ended with an error, at the deadline or before
    time_point log_at{};
  };

  struct instance {
    instance(request_room& room, request_limits limits) : requests(room, limits) {}

    actor_ref who;
    lifecycle::state state = lifecycle::state::queued;
    std::shared_ptr<instance_context> context;
    caf::actor handle;
    std::string why;  ///< for Stopped(Error)
    std::size_t start_bytes = 0;
    /// By when the engine must have accepted Running: from then on it may run the next generation elsewhere (I14).
    time_point limit{};
    protocol::stop_actor_reason reason{};
    std::unordered_map<exchange_id, std::uint64_t> attempts;  ///< exchange -> ticket
    request_share requests;
    /// By ticket those of attempts that were replaced or aborted, but are still in the instance's mailbox.
    std::unordered_map<std::uint64_t, request_place> cancelled;
    std::unordered_set<exchange_id> sockets;
    doubted_clients<doubted_of_actor> doubted_sockets;
    std::shared_ptr<waiting_pool> heads;       ///< of its WebSockets; none before the first
    std::shared_ptr<waiting_pool> waiting;     ///< of what its clients say; none before the first
    std::vector<internal::socket_ptr> listed;  ///< to tell the instance of, once it is there
    bool lists = false;                        ///< and whether it must be told
    bool restoring = false;                    ///< it has not said yet with which it goes on
    std::size_t responses = 0;                 ///< attempts that are answered and wait for credit
    /// The CAF actor has ended, with this error, and is not counted as down while `responses` are going out.
    std::optional<std::string> down;
    bool storing = false;  ///< nor while what it has written is not answered
    due_times<instance, due>::own times;
    time_point busy_at{};   ///< when something that keeps it awake was last seen
    time_point asked_at{};  ///< when its last request came
    bool used = false;      ///< a client has asked something of it
    /// The engine has told it to stop, and until when at most it is not told: requests are on their way.
    std::optional<time_point> lingers;

    [[nodiscard]] std::shared_ptr<const output_gate> gate() const {
      return {context, &context->gate};
    }
  };

  /// The instances of one actor: the one that lives, and the newer one that waits for its end.
  struct actor_slot {
    std::unique_ptr<instance> current;
    std::unique_ptr<instance> next;
  };

  using stall_map = std::multimap<time_point, exchange_id>;

  struct route {
    route(http_exchange start, instance& to, std::uint64_t attempt)
        : exchange(std::move(start)),
          who(to.who),
          ticket(attempt),
          place(to.requests, exchange.position().exchange) {}

    http_exchange exchange;
    actor_ref who;
    std::uint64_t ticket;
    request_place place;
    std::shared_ptr<answer_claim> claim = std::make_shared<answer_claim>();
    std::size_t head_bytes = 0;
    /// The head of a request whose body comes in chunks and is not whole yet.
    std::unique_ptr<http_request> partial;
    time_point due = time_point::max();  ///< when its response must have begun
    /// Of a request whose parts go to the instance as they come, what that has not taken; else null.
    std::shared_ptr<upload_on_way> passes;
    bool uploading = false;  ///< more of these parts may come, and go on
    /// Of a response that its instance writes; null until its client has read some of it.
    std::shared_ptr<response_credit> credit;
    bool begun = false;       ///< the instance has begun a response that it writes bit by bit
    bool responding = false;  ///< answered; the response waits for credit
    bool crowded = false;     ///< or for room in the link
    std::optional<stall_map::iterator>
        stall;  ///< while the next word is the engine's: when to look
  };

  using route_map = std::unordered_map<exchange_id, route>;

  struct socket_route {
    socket_route(internal::socket_ptr made, socket_intake from)
        : socket(std::move(made)), intake(from) {}

    [[nodiscard]] const actor_ref& who() const { return socket->context->start.self; }

    std::unique_ptr<client_doubt> doubt;  ///< while it is doubted
    internal::socket_ptr socket;
    socket_intake intake;
    bool accepted = false;
    bool hibernates = false;
    bool restoring = false;  ///< its instance has not said yet whether it goes on with it
    std::unique_ptr<std::vector<socket_message>> held;  ///< until then
  };

  using socket_map = std::unordered_map<exchange_id, socket_route>;

  /// Whose time to accept runs out next is the first.
  struct opening {
    time_point until;
    exchange_id exchange;
    std::uint64_t ticket;
  };

  // -- from the link
  void handle_inbound(inbound_batch& batch);
  void handle_commands(protocol::to_envoy_commands& frame);
  void handle_command(protocol::command_wrapper& command, time_point now, engine_ms engine_now);
  void log_refused(
      const actor_ref& who, std::optional<engine_ms> created, engine_ms engine_now, time_point now);
  void handle_start(
      const actor_ref& who, protocol::command_start_actor& start, time_point allocated);
  void handle_stop(const actor_ref& who, protocol::stop_actor_reason reason);
  [[nodiscard]] bool may_be_asked(const instance& x, protocol::stop_actor_reason reason) const;
  void end_linger(instance& x);
  static bool told_to_stop(const instance& x);
  void handle_acked_events(const protocol::to_envoy_ack_events& acks);
  void handle_ping(engine_ms ts);
  void handle_final(const failure& why);
  void handle_drain(time_point deadline);

  // -- tunnel
  void handle_tunnel(protocol::to_envoy_tunnel_message& message);
  void handle_too_long(const protocol::to_envoy& head);
  void handle_long_request(const protocol::message_id& id);
  void handle_long_chunk(route_map::iterator at);
  void handle_request_start(
      const protocol::message_id& id, protocol::to_envoy_request_start& start);
  void handle_request_chunk(
      route_map::iterator at, std::uint16_t index, const protocol::to_envoy_request_chunk& chunk);
  bool pass_on(
      route_map::iterator at, std::uint16_t index, protocol::to_envoy_tunnel_message_kind& kind);
  static void handle_uploaded(route& r);
  bool take_part(route_map::iterator at, std::size_t size, bool last);
  route_map::iterator find_attempt(
      const actor_ref& who, const exchange_id& exchange, std::uint64_t ticket);
  void handle_response_begun(const internal::response_begun& what);
  void handle_request_abort(
      const exchange_id& id, const protocol::http_stream_abort_reason& reason);
  void handle_response(internal::response_waits& what);
  void deliver(instance& to, route_map::iterator at, http_request request);
  void advance(route_map::iterator at);
  void say_last(http_exchange& exchange, const std::shared_ptr<const output_gate>& gate);
  void advance_crowded(time_point now);
  void wait_for_room(route_map::iterator at);
  void ask_for_room();
  void log_lost(const failure& why);
  void send_answer(
      protocol::to_rivet_tunnel_message message, const std::shared_ptr<const output_gate>& gate);
  request_bound make_room(instance& to, std::size_t requests, std::size_t bytes);
  void end_silent(route_map::iterator at);
  void end_doubted(route_map::iterator at);
  void end_upload(const internal::upload_over& what);
  bool end_unanswered(route_map::iterator at, std::uint16_t status, std::string_view why);
  void tell_over(route_map::iterator at, std::uint16_t status, std::string_view why);
  void watch(route_map::iterator at);
  void unwatch(route& r);
  void end_stalled(time_point now);
  void end_late(time_point now);
  void forget_attempt(const internal::attempt_done& what);
  void cancel_route(route_map::iterator at, text why);
  void abort_routes(instance& x, bool with_responses = true);
  void erase(instance& x, route_map::iterator at);

  // -- sockets
  void handle_socket_open(const protocol::message_id& id, protocol::to_envoy_web_socket_open& open);
  void handle_socket_message(
      socket_map::iterator at, std::uint16_t index, protocol::to_envoy_web_socket_message& message);
  void handle_long_socket_message(const protocol::message_id& id);
  void handle_socket_close(
      socket_map::iterator at, const protocol::to_envoy_web_socket_close& close);
  void handle_socket_accepted(const internal::socket_accepted& what);
  void handle_socket_over(const internal::socket_over& what);
  void await_sockets(
      instance& x, const instance* older, const std::vector<protocol::hibernating_request>& listed);
  void list_socket(instance& x, const exchange_id& exchange);
  void tell_listed(instance& x);
  void handle_sockets_restored(const internal::sockets_restored& what);
  void route_unlisted(instance& x, const internal::socket_ptr& socket);
  void give_room(instance& x, internal::socket& to);
  bool make_socket_room(instance& x);
  void make_head_room(instance& x, std::size_t bytes);
  client_doubt* doubted_socket(instance& x, bool own);
  void end_doubted(socket_map::iterator at);
  bool charge_head(instance& x, internal::socket& socket) const;
  void end_restoring(instance& x);
  void close_unaccepted(
      const exchange_id& id,
      std::uint16_t code,
      std::string_view why,
      const std::shared_ptr<const output_gate>& gate);
  void refuse_socket(
      const actor_id& of, const exchange_id& id, std::uint16_t code, std::string_view why);
  void end_unaccepted(time_point now);
  [[nodiscard]] bool is_stale(const opening& x) const;
  void drop_stale_openings();
  void end_socket(socket_map::iterator at, std::uint16_t code, std::string_view why);
  void drop_socket(socket_map::iterator at, std::string_view why);
  void erase_socket(socket_map::iterator at);
  void forget_sockets(instance& x);

  // -- lifecycle
  static bool takes_requests(const instance& x);
  instance* find(const actor_ref& who);
  instance* newest(const actor_id& actor);
  void supersede(instance& x, std::uint32_t newer);
  void apply(const actor_ref& who, lifecycle::input input, std::string why = {});
  void apply(instance& x, lifecycle::input input, std::string why = {});
  void apply_to_all(lifecycle::input input, const std::string& why);
  std::shared_ptr<instance_context> make_context(
      const actor_ref& who, const protocol::actor_config& config);
  void begin(instance& x);
  void note_use(instance& x);
  void spawn(instance& x);
  void count_failure(instance& x, lifecycle::state from);
  void finish(instance& x);
  void handle_down(const internal::instance_down& what);
  void count_as_down(instance& x);
  void set_due(instance& x, due what, duration after);
  void set_due(instance& x, due what, time_point at);
  void handle_due(instance& x, due what, time_point now);
  void watch_idle(instance& x, time_point at);
  void check_idle(instance& x, time_point now);
  [[nodiscard]] bool is_busy(const instance& x, time_point now) const;
  void doubt_clients();
  [[nodiscard]] bool may_be_there(const client_doubt* x, time_point now) const;
  void say(internal::outbox_input what);

  // -- time
  void handle_tick(std::uint64_t serial);
  void after_input();
  void flush();
  void launch_fresh();
  void publish();
  void check_drained();
  void count_drained(const instance& over);
  void log_drain(time_point now);

  // -- directory
  caf::result<caf::actor> found(const instance* x) const;
  instance* find_keyed(const nuncio::find& q);

  ingress_options options_;
  caf::actor ack_;
  caf::actor outbox_;
  command_ledger ledger_;
  /// Of what the ledger counts, logged.
  std::uint64_t gaps_seen_ = 0, over_cap_seen_ = 0, further_starts_seen_ = 0;
  engine_clock clock_;
  start_backoff starts_;
  log_limiter limiter_;
  std::shared_ptr<internal::error_log> errors_;
  ingress_stats stats_;
  gateway_watch gateways_;
  doubted_clients<doubted_of_host> doubted_sockets_;
  request_room requests_;  ///< of all instances
  /// Flat: a fresh Start spends most of its time in misses of the cache, and std::unordered_map takes two for a look.
  boost::unordered_flat_map<actor_id, actor_slot, std::hash<actor_id>> slots_;
  /// Instances that were created with a key, by the hash of name and key.
  std::unordered_multimap<std::size_t, instance*> keyed_;
  std::size_t start_bytes_ = 0;  ///< of all instances
  route_map routes_;
  stall_map stalls_;
  std::vector<exchange_id> crowded_;  ///< routes whose response found no room in the link
  std::optional<time_point> crowded_until_;
  room_pause pause_;
  /// Short messages that found no room in the link, of exchanges that have no route.
  std::deque<std::pair<protocol::to_rivet_tunnel_message, std::shared_ptr<const output_gate>>>
      owed_;
  socket_map sockets_;
  std::shared_ptr<waiting_pool> heads_;  ///< of the WebSockets of all instances
  std::deque<opening> openings_;
  std::shared_ptr<waiting_pool> waiting_;   ///< what clients of all instances say
  std::shared_ptr<waiting_pool> outgoing_;  ///< of what is said to them while the link has no room
  std::shared_ptr<waiting_pool> written_;   ///< of responses that are written bit by bit
  release_watch release_;
  /// Aborts that overtook their start: not executed when it comes.
  known_for<exchange_id, std::monostate> aborted_early_;
  absent_sockets absent_;
  due_times<instance, due> due_times_;
  std::vector<protocol::to_envoy_commands> held_;  ///< until the engine's clock is known
  std::vector<protocol::actor_checkpoint> processed_;
  std::vector<internal::outbox_input> said_;
  std::vector<caf::actor> launching_;  ///< spawned, not yet scheduled
  bool flush_asked_ = false;
  std::shared_ptr<const output_gate> own_gate_;  ///< for answers that are no instance's
  epoch connection_ = 0;
  std::uint64_t term_ = 0;
  std::uint64_t next_ticket_ = internal::ticket_first;
  std::uint64_t tick_serial_ = 0;
  std::optional<time_point> tick_at_;
  std::optional<time_point> sweep_at_;  ///< when to look for requests that are late
  time_point now_{};                    ///< of the batch in hand
  bool barrier_passed_ = false;
  bool ready_ = false;
  bool engine_acks_ = false;
  bool streaming_gateway_ = false;  ///< a request has come from one
  bool draining_ = false;
  bool drain_asked_ = false;
  bool given_up_ = false;  ///< the lease has ended, and no Ping has come since
  bool over_ = false;
  bool system_over_ = false;
  internal::system_watch system_watch_;
  time_point drain_deadline_{};
  drain_progress drain_;
};

}  // namespace nuncio

// Ingress, ack, outbox and storage over a fake link under a test-driven scheduler, and the engine's side as short calls: the
// vocabulary of the actor suite.
#pragma once

#include <doctest/doctest.h>

#include <caf/actor_ostream.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <functional>
#include <nuncio/codec.hpp>
#include <nuncio/host/ack.hpp>
#include <nuncio/host/ingress.hpp>
#include <nuncio/host/outbox.hpp>
#include <nuncio/parts.hpp>
#include <nuncio/storage/storage.hpp>

#include "support/fake_link.hpp"
#include "support/sim_system.hpp"

namespace nuncio::test {

using namespace std::chrono_literals;

inline actor_ref instance_of(std::string_view id, std::uint32_t generation = 1) {
  return {actor_id{id}, generation};
}

inline exchange_id exchange(std::uint32_t n) {
  exchange_id out;
  std::memcpy(out.request.value.data(), &n, 4);
  return out;
}

class sim_host {
  std::unique_ptr<sim_system> own_;  // first: it outlives all that is spawned in it

public:
  /// @param shared  an actor system that outlives this host, for tests that play one host after the other
  explicit sim_host(ingress_options options = {}, sim_system* shared = nullptr)
      : own_(shared != nullptr ? nullptr : std::make_unique<sim_system>()),
        sim(shared != nullptr ? *shared : *own_),
        options_(std::move(options)) {
    options_.link = link;
    options_.counts = counts;
    options_.log =
        [this](log_level level, std::string_view message, std::span<const log_field> fields) {
          auto line = std::string{message};
          for (const auto& f : fields) line += fmt::format(" {}={}", f.name, f.value);
          log.emplace_back(level, std::move(line));
        };
    options_.now = [this] { return sim.now(); };
  }

  ~sim_host() {
    end();
    sim.run();
    link->meters.clear();  // a socket's meter is part of it, and it holds the link
  }

  sim_host(const sim_host&) = delete;
  sim_host& operator=(const sim_host&) = delete;

  /// An actor that sleeps only when it is told to.
  template <class F, class... Args>
  void serve(std::string name, F f, Args... args) {
    serve(
        serve_options{.name = std::move(name), .idle_timeout = 0ms},
        std::move(f),
        std::move(args)...);
  }

  template <class F, class... Args>
  void serve(serve_options how, F f, Args... args) {
    auto name = how.name;
    options_.factories.insert_or_assign(
        std::move(name),
        internal::served{
            internal::function_factory(std::move(f), std::move(args)...), std::move(how)});
  }

  template <class T, class... Args>
  void serve(std::string name, Args... args) {
    options_.factories.insert_or_assign(
        std::move(name), internal::class_factory<T>(std::move(args)...));
  }

  /// Spawns the host's actors and connects, unless told otherwise.
  void boot(bool connects = true) {
    acks_ = (*sim).spawn<ack, caf::hidden>(link, counts);
    outbox_ = (*sim).spawn<outbox, caf::hidden>(link, counts, [this] { return sim.now(); });
    storage_ = (*sim).spawn<storage, caf::hidden>(storage_options{
        .link = link,
        .counts = counts,
        .now = [this] { return sim.now(); },
        .limits = storage_bounds,
        .flow = storage_flow});
    options_.storage = storage_;
    ingress_ = (*sim).spawn<ingress, caf::hidden>(options_, acks_, outbox_);
    settle();
    if (connects) connect();
  }

  void end() {
    options_.storage = nullptr;
    for (auto* x : {&ingress_, &acks_, &outbox_, &storage_}) {
      if (*x) caf::anon_send_exit(*x, caf::exit_reason::kill);
      *x = nullptr;
    }
    settle();
  }

  // -- the link -------------------------------------------------------------------
  /// Opens a connection: Init, `replay` in one frame, then the first Ping.
  void connect(std::vector<protocol::command_wrapper> replay = {}) {
    open();
    if (!replay.empty()) deliver(protocol::to_envoy_commands{std::move(replay)});
    ping();
  }

  /// Opens a connection up to and with Init.
  void open() {
    link->connection = ++epoch_;
    to_all(internal::link_up{epoch_});
    deliver(protocol::to_envoy_init{{15'000, 1'800'000, 20'971'520}});
  }

  void cut() {
    const auto was = std::exchange(link->connection, 0U);
    std::erase_if(link->to_report, [&](const auto& x) { return x.first == was; });
    link->fences.clear();
    to_all(internal::link_down{was, "cut"});
    settle();
  }

  /// The connection is cut and the next one is up before any actor has looked into its mailbox.
  void swap_connection() {
    const auto was = std::exchange(link->connection, ++epoch_);
    link->to_report.clear();
    link->fences.clear();
    for (const auto& to : {ingress_, acks_, outbox_}) {
      caf::anon_send(to, internal::link_down{was, "cut"});
      caf::anon_send(to, internal::link_up{epoch_});
    }
  }

  /// The link has room again, and whoever was refused is told.
  void free_room() {
    link->room_for_bodies = true;
    link->refuse_tunnel.reset();
    link->refuse_storage.reset();
    tell_of_room();
  }

  /// Whoever was refused is told, whether there is room or not.
  void tell_of_room() {
    bool host = false, storage = false;
    std::vector<std::shared_ptr<const instance_base>> told;
    for (const auto& who : std::exchange(link->waiting, {})) {
      if (who.what == room_waiter::kind::host && !std::exchange(host, true))
        caf::anon_send(ingress_, internal::room_freed{});
      if (who.what == room_waiter::kind::storage && !std::exchange(storage, true))
        caf::anon_send(storage_, internal::room_freed{});
      const auto instance = who.instance.lock();
      if (!instance || std::find(told.begin(), told.end(), instance) != told.end()) continue;
      told.push_back(instance);
      internal::tell_of_room(who);
    }
    settle();
  }

  void ping() { deliver(protocol::to_envoy_ping{sim.engine_now()}); }

  void deliver(protocol::to_envoy message) {
    batch({std::move(message)});
    settle();
  }

  /// As deliver, without running anything. `head`: of a message before them that the link could not take.
  void batch(
      std::vector<protocol::to_envoy> messages, std::optional<protocol::to_envoy> head = {}) {
    for (auto& each : messages)
      if (auto* said = std::get_if<protocol::to_envoy_tunnel_message>(&each);
          said != nullptr && gateway != 0)
        said->message_id.gateway_id.value.front() = gateway;
    const auto to_storage = head               ? answers_storage(*head)
                            : messages.empty() ? false
                                               : answers_storage(messages.front());
    if (to_storage)
      return caf::anon_send(
          storage_, internal::storage_inbound{std::move(messages), 100, std::move(head)});
    caf::anon_send(
        ingress_,
        inbound_batch{epoch_, term, std::move(messages), 100, sim.now(), std::move(head)});
  }

  /// What the link hands on of a message that begins like this one and is too long.
  static protocol::to_envoy head_of(
      const protocol::to_envoy& message, std::uint16_t version = wire::version_max) {
    const auto raw = protocol::encode(message, version);
    auto head = protocol::decode_head(
        std::span{*raw}.first(std::min(raw->size(), protocol::head_bytes)), version);
    REQUIRE(head.ok());
    return std::move(*head);
  }

  /// The link could not take a message that begins like this one: the actors get its head, and then `after`.
  void too_long(const protocol::to_envoy& message, std::vector<protocol::to_envoy> after = {}) {
    batch(std::move(after), head_of(message));
    settle();
  }

  template <class T>
  void to_ingress(T x) {
    caf::anon_send(ingress_, std::move(x));
    settle();
  }

  template <class T>
  void to_all(const T& x) {
    for (const auto& to : {ingress_, acks_, outbox_}) caf::anon_send(to, x);
    if constexpr (!std::is_same_v<T, internal::link_up>) caf::anon_send(storage_, x);
    settle();
  }

  /// Runs until nothing is left to do; what was sent is reported as written, fences come back.
  void settle() {
    while (sim.run() != 0 || !link->to_report.empty() || (!hold_fences && !link->fences.empty())) {
      for (const auto& [on, what] : std::exchange(link->to_report, {})) {
        const auto& to = what == frame_class::ack ? acks_ : outbox_;
        if (to) caf::anon_send(to, internal::link_written{on, what});
      }
      if (hold_fences) continue;
      for (const auto& [on, id] : std::exchange(link->fences, {}))
        if (outbox_) caf::anon_send(outbox_, internal::link_fence{on, id});
    }
  }

  /// Lets time pass in steps, with a Ping each three seconds if connected.
  void pass(duration d, duration step = 1s, bool pings = true) {
    auto since_ping = 0ns;
    while (d > 0ns) {
      const auto part = std::min(d, step);
      sim.pass(part);
      settle();
      d -= part;
      since_ping += part;
      if (pings && link->connection != 0 && since_ping >= 3s) {
        since_ping = 0ns;
        ping();
      }
    }
  }

  // -- commands -------------------------------------------------------------------
  [[nodiscard]] protocol::command_wrapper start_command(
      const actor_ref& who,
      std::string_view name = "echo",
      std::int64_t index = 1,
      duration age = 0s) {
    protocol::command_start_actor start;
    start.config.name = text{name};
    start.config.create_ts =
        sim.engine_now() - std::chrono::duration_cast<std::chrono::milliseconds>(age).count();
    return {{who.actor, who.generation, index}, std::move(start)};
  }

  [[nodiscard]] static protocol::command_wrapper stop_command_for(
      const actor_ref& who,
      protocol::stop_actor_reason reason = protocol::stop_actor_reason::sleep_intent,
      std::int64_t index = 2) {
    return {{who.actor, who.generation, index}, protocol::command_stop_actor{reason}};
  }

  void command(protocol::command_wrapper x) {
    deliver(protocol::to_envoy_commands{{std::move(x)}});
  }

  void start(const actor_ref& who, std::string_view name = "echo", std::int64_t index = 1) {
    command(start_command(who, name, index));
  }

  /// Starts an actor and acks its Running, as the engine does.
  void start_accepted(const actor_ref& who, std::string_view name = "echo") {
    start(who, name);
    accept(who);
  }

  void stop(
      const actor_ref& who,
      protocol::stop_actor_reason reason = protocol::stop_actor_reason::sleep_intent,
      std::int64_t index = 2) {
    command(stop_command_for(who, reason, index));
  }

  /// The engine acks the events of `who` up to `index`.
  void accept(const actor_ref& who, std::int64_t index = event_index_first) {
    deliver(protocol::to_envoy_ack_events{{{who.actor, who.generation, index}}});
  }

  // -- requests -------------------------------------------------------------------
  [[nodiscard]] static protocol::to_envoy request_message(
      const actor_ref& who,
      std::uint32_t n,
      std::string_view method = "GET",
      std::string_view path = "/",
      std::string body = {}) {
    protocol::to_envoy_request_start x;
    x.actor_id = who.actor;
    if (who.generation != 0) x.actor_generation = who.generation;
    x.method = text{method};
    x.path = text{path};
    if (!body.empty()) x.body = bytes{std::move(body)};
    return tunnel(n, 0, std::move(x));
  }

  [[nodiscard]] static protocol::to_envoy tunnel(
      std::uint32_t n, std::uint16_t index, protocol::to_envoy_tunnel_message_kind what) {
    const auto id = exchange(n);
    return protocol::to_envoy_tunnel_message{{id.gateway, id.request, index}, std::move(what)};
  }

  void request(
      const actor_ref& who,
      std::uint32_t n,
      std::string_view method = "GET",
      std::string_view path = "/",
      std::string body = {}) {
    deliver(request_message(who, n, method, path, std::move(body)));
  }

  // -- sockets
  /// The engine starts `who`, with these hibernating WebSockets.
  /// A Start that lists these WebSockets.
  [[nodiscard]] protocol::command_wrapper wake_command(
      const actor_ref& who, std::string_view name, const std::vector<std::uint32_t>& sockets) {
    auto woken = start_command(who, name);
    auto& start = std::get<protocol::command_start_actor>(woken.inner);
    for (const auto n : sockets)
      start.hibernating_requests.push_back({exchange(n).gateway, exchange(n).request});
    return woken;
  }

  void wake(
      const actor_ref& who, std::string_view name, const std::vector<std::uint32_t>& sockets) {
    command(wake_command(who, name, sockets));
  }

  void open_socket(const actor_ref& who, std::uint32_t n, std::string_view path = "/") {
    protocol::to_envoy_web_socket_open x{who.actor, std::nullopt, text{path}, {}};
    x.headers.entries.emplace_back("user-agent", "test");
    deliver(tunnel(n, 0, std::move(x)));
  }

  void socket_says(
      std::uint32_t n, std::uint16_t index, std::string_view message, bool binary = false) {
    deliver(tunnel(
        n, index, protocol::to_envoy_web_socket_message{bytes{std::string{message}}, binary}));
  }

  void close_socket(
      std::uint32_t n, std::uint16_t index, std::uint16_t code, std::string_view why = {}) {
    deliver(tunnel(n, index, protocol::to_envoy_web_socket_close{code, text{why}}));
  }

  // -- what the engine saw ------------------------------------------------------------
  /// One line for each frame, in order: "ack a/1:1", "event a/1:250 running", "7 #0 200 text", "7 #0 abort", ... An error
  /// whose text is hidden reads "hidden: ", and what the log says under its id.
  [[nodiscard]] std::vector<std::string> lines(std::size_t from = 0) const {
    std::vector<std::string> out;
    for (auto i = from; i < link->sent.size(); ++i) describe(link->sent[i], out);
    for (auto& line : out) reveal(line);
    return out;
  }

  /// The storage requests that were sent, in order.
  [[nodiscard]] std::vector<protocol::to_rivet> storage_requests_sent() const {
    std::vector<protocol::to_rivet> out;
    for (const auto& x : link->sent) {
      const auto* message = std::get_if<protocol::to_rivet>(&x.content);
      if (message != nullptr && is_storage(*message)) out.push_back(*message);
    }
    return out;
  }

  /// The first of them among the frames from number `from` on, and moves `from` behind it; null if there is none.
  [[nodiscard]] const protocol::to_rivet* next_storage_request(std::size_t& from) const {
    while (from < link->sent.size()) {
      const auto* message = std::get_if<protocol::to_rivet>(&link->sent[from++].content);
      if (message != nullptr && is_storage(*message)) return message;
    }
    return nullptr;
  }

  /// Forgets what was sent so far, so that lines() begins here.
  void clear() { link->sent.clear(); }

  [[nodiscard]] std::string log_text() const {
    std::string out;
    for (const auto& [level, line] : log) out += line + "\n";
    return out;
  }

  [[nodiscard]] ingress_stats stats() const { return counts->ingress.get(); }

  [[nodiscard]] ledger_stats ledger() const { return counts->ledger.get(); }

  [[nodiscard]] outbox_stats events() const { return counts->outbox.get(); }

  ingress_options& options() { return options_; }

  [[nodiscard]] const caf::actor& ingress_handle() const { return ingress_; }

  [[nodiscard]] epoch connection() const { return epoch_; }

  sim_system& sim;
  std::shared_ptr<fake_link> link = std::make_shared<fake_link>();
  std::shared_ptr<counters> counts = std::make_shared<counters>();
  std::vector<std::pair<log_level, std::string>> log;
  bool hold_fences = false;
  std::uint8_t gateway = 0;  ///< of what batch() and deliver() say of exchanges; 0: as it is
  storage_limits storage_bounds{};
  /// A link that carries anything at once.
  answer_flow_limits storage_flow{
      .window_first = 4UL << 30U, .window_min = 4UL << 30U, .window_max = 4UL << 30U};
  std::uint64_t term = 0;

  /// What every instance but an actor's first asks by itself.
  static bool recalls_alarm(const protocol::to_rivet& x) {
    const auto* request = std::get_if<protocol::to_rivet_kv_request>(&x);
    const auto* get =
        request != nullptr ? std::get_if<protocol::kv_get_request>(&request->data) : nullptr;
    return get != nullptr && get->keys.size() == 1 && get->keys[0].view() == "\x06";
  }

private:
  void reveal(std::string& line) const {
    constexpr std::string_view hidden = "an internal error occurred (error_id ",
                               reason = " reason=";
    const auto at = line.find(hidden);
    if (at == line.npos) return;
    const auto id = line.substr(at + hidden.size(), 16);
    for (const auto& [level, said] : log)
      if (const auto from = said.find(reason);
          said.find(" error_id=" + id) != said.npos && from != said.npos) {
        line.replace(at, hidden.size() + 17, "hidden: " + said.substr(from + reason.size()));
        return;  // the first that names it has its text
      }
  }

  static bool is_storage(const protocol::to_rivet& x) {
    return std::visit(
        []<class T>(const T& message) {
          return requires { message.request_id; };
        },
        x);
  }

  static std::string at(const protocol::actor_checkpoint& x) {
    return fmt::format("{}/{}:{}", x.actor_id.view(), x.generation, x.index);
  }

  static std::string describe(const protocol::event& x) {
    if (const auto* intent = std::get_if<protocol::event_actor_intent>(&x))
      return intent->intent.index() == 0 ? "intent sleep" : "intent stop";
    if (const auto* update = std::get_if<protocol::event_actor_state_update>(&x)) {
      const auto* stopped = std::get_if<protocol::actor_state_stopped>(&update->state);
      if (stopped == nullptr) return "running";
      auto out =
          std::string{stopped->code == protocol::stop_code::ok ? "stopped ok" : "stopped error"};
      if (stopped->message) out += ": " + stopped->message->str();
      return out;
    }
    return "alarm";
  }

  static std::string describe(const protocol::to_rivet_tunnel_message_kind& x) {
    if (const auto* start = std::get_if<protocol::to_rivet_response_start>(&x))
      return fmt::format(
          "{} {}",
          start->status,
          start->stream ? "in parts"
          : start->body ? start->body->view()
                        : std::string_view{});
    if (const auto* part = std::get_if<protocol::to_rivet_response_chunk>(&x))
      return fmt::format("chunk {}{}", part->body.size(), part->finish ? " end" : "");
    if (std::holds_alternative<protocol::to_rivet_request_body_cancel>(x)) return "cancel body";
    if (std::holds_alternative<protocol::to_rivet_response_abort>(x)) return "abort";
    if (const auto* w = std::get_if<protocol::to_rivet_request_body_window_update>(&x))
      return fmt::format("window {}", w->consumed_bytes);
    if (std::holds_alternative<protocol::to_rivet_web_socket_open>(x)) return "socket open";
    if (const auto* c = std::get_if<protocol::to_rivet_web_socket_close>(&x))
      return fmt::format("socket close {}", c->code.value_or(0));
    if (const auto* m = std::get_if<protocol::to_rivet_web_socket_message>(&x))
      return fmt::format("socket {} {}", m->binary ? "bytes" : "text", m->data.view());
    if (const auto* ack = std::get_if<protocol::to_rivet_web_socket_message_ack>(&x))
      return fmt::format("socket ack {}", ack->index);
    return "other";
  }

  static void describe(const fake_link::frame& x, std::vector<std::string>& out) {
    if (const auto* tunnelled = std::get_if<protocol::to_rivet_tunnel_message>(&x.content)) {
      std::uint32_t n = 0;
      std::memcpy(&n, tunnelled->message_id.request_id.value.data(), 4);
      out.push_back(fmt::format(
          "{} #{} {}", n, tunnelled->message_id.message_index, describe(tunnelled->message_kind)));
      return;
    }
    const auto& message = std::get<protocol::to_rivet>(x.content);
    if (const auto* acked = std::get_if<protocol::to_rivet_ack_commands>(&message))
      for (const auto& each : acked->last_command_checkpoints) out.push_back("ack " + at(each));
    if (const auto* events = std::get_if<protocol::to_rivet_events>(&message))
      for (const auto& each : events->events)
        out.push_back("event " + at(each.checkpoint) + " " + describe(each.inner));
    if (std::holds_alternative<protocol::to_rivet_stopping>(message)) out.emplace_back("stopping");
    if (is_storage(message) && !recalls_alarm(message))
      out.emplace_back(protocol::name_of(message));
  }

  ingress_options options_;
  caf::actor acks_, outbox_, storage_, ingress_;
  epoch epoch_ = 0;
};

}  // namespace nuncio::test

// The link's thread: a thin shell around websocket, connection_policy and lease.
#include <fmt/format.h>

#include <cassert>
#include <deque>
#include <mutex>
#include <nuncio/codec.hpp>
#include <nuncio/link.hpp>
#include <nuncio/outbound_room.hpp>
#include <nuncio/parts.hpp>
#include <nuncio/token_source.hpp>
#include <nuncio/url.hpp>
#include <nuncio/wire_limits.hpp>

namespace nuncio {
namespace {

using namespace std::chrono_literals;

// How long written tunnel messages wait for others before a ping asks whether the engine has read them.
constexpr duration confirm_interval = 100ms;
// And after so many bytes, or a queue that never empties would be held here up to its bound.
constexpr std::size_t confirm_bytes = 1UL << 20U;

struct outbound {
  enum class kind : std::uint8_t { frame, storage, tunnel, fence };

  kind what = kind::frame;
  frame_class frames = frame_class::ack;
  epoch connection = 0;       // all but tunnel: what it was queued for
  std::uint64_t fence = 0;    // fence: its id
  std::uint16_t version = 0;  // that `encoded` is in; 0 when it was spent
  std::vector<std::uint8_t> encoded;
  std::size_t charge = 0;                     // bytes counted against the bound
  bool bulk = false;                          // and against the part of it for what is_bulk()
  protocol::to_rivet_tunnel_message message;  // tunnel: to encode again
  std::shared_ptr<const output_gate> gate;
  std::shared_ptr<output_meter> meter;
};

// What a message takes while it waits: commands share the memory of their frame.
std::size_t kept_bytes(const protocol::to_envoy& message, const bytes& payload) {
  const auto* commands = std::get_if<protocol::to_envoy_commands>(&message);
  return payload.size() + (commands != nullptr
                               ? commands->commands.capacity() * sizeof(protocol::command_wrapper)
                               : 0);
}

connection_end to_end(const websocket_gone& gone) {
  using from = websocket_gone::kind;
  using to = connection_end::kind;
  const auto end = [&](to what) {
    return connection_end{what, gone.http_status, gone.close_code, gone.reason};
  };
  switch (gone.what) {
    case from::bad_target:
      return end(to::bad_target);
    case from::name_not_found:
    case from::connect_failed:
    case from::handshake_timeout:
      return end(to::unreachable);
    case from::tls_failed:
      return end(to::tls_failed);
    case from::handshake_refused:
      return end(to::http_refused);
    case from::closed_by_peer:
      return end(to::closed);
    case from::closed_by_us:
    case from::lost:
      return end(to::lost);
  }
  return end(to::lost);
}

}  // namespace

struct link::impl final : websocket_handler {
  impl(link_listener& to, link_options opts)
      : listener(to),
        options(std::move(opts)),
        policy(options.policy),
        our_lease(options.lease),
        room({options.outbound_bytes_max, options.outbound_storage_bytes_max}),
        socket(*this, socket_options(options)) {}

  static websocket_options socket_options(const link_options& from) {
    auto to = from.socket;
    to.tls = from.target.endpoint.tls;
    return to;
  }

  // -- service thread: the connection -------------------------------------------

  void dial() {
    policy.handle_dial();
    connection.store(policy.connection());
    ++counters.dials;
    const auto& t = options.target;
    websocket_target to;
    to.host = t.endpoint.host;
    to.port = t.endpoint.port;
    to.tls = t.endpoint.tls;
    to.path_and_query = fmt::format(
        "{}/envoys/connect?protocol_version={}&namespace={}&envoy_key={}&version={}&pool_name={}",
        t.endpoint.path_prefix,
        terms.protocol_version,
        percent_encoded(t.namespace_name),
        percent_encoded(t.envoy_key),
        t.actors_version,
        percent_encoded(t.pool));
    to.subprotocols = {"rivet"};
    if (!terms.token.empty()) to.subprotocols.push_back("rivet_token." + terms.token);
    version.store(terms.protocol_version);
    end_reason.reset();
    socket.connect(std::move(to));
  }

  void on_open(std::string_view) override {
    policy.handle_open(boot_clock::now());
    ++counters.connections;
    {
      const std::lock_guard guard{mutex};
      take_incoming();
      greeting_at = 0;
      up.store(true);
    }
    carry_over();
    listener.on_up(policy.connection());
    socket.request_write();
    arm_timer();
  }

  void on_message(bytes payload, bool is_text) override {
    if (end_reason) return;
    received_before = socket.bytes_received();
    counters.bytes_in += payload.size();
    ++counters.messages_in;
    if (is_text) return;  // the engine sends none; nothing of ours depends on it
    auto decoded = protocol::decode_to_envoy(payload, terms.protocol_version);
    if (!decoded) return refuse_frame(decoded.error().message, payload.size());
    const auto* ping = std::get_if<protocol::to_envoy_ping>(&*decoded);
    const auto as_it_came = ping != nullptr ? ping->ts : 0;
    keep_in_range(*decoded);
    const auto now = boot_clock::now();
    if (const auto* init = std::get_if<protocol::to_envoy_init>(&*decoded)) {
      if (!policy.handle_init(now)) return refuse_frame("a second Init", payload.size());
      our_lease.handle_init(std::chrono::milliseconds{init->metadata.envoy_lost_threshold});
      log_reached("connected to the engine");
      arm_timer();
    } else if (auto good = policy.handle_message(kept_bytes(*decoded, payload), now); !good) {
      return refuse_frame(
          fmt::format("{} {}", protocol::name_of(*decoded), good.error().message), payload.size());
    } else if (ping != nullptr) {
      if (policy.handle_ping(now)) log_reached("ready");
      our_lease.handle_ping(ping->ts, now);
      pong_due = as_it_came;
      socket.request_write();
      arm_timer();
    }
    batch_bytes += payload.size();
    batch.push_back(std::move(*decoded));
  }

  // Commands are taken at any length. Of all else that is longer than what is kept the head says whose it is: so it costs
  // that one its message, and nobody the connection.
  long_message on_long_message(std::span<const std::uint8_t> first, bool is_text) override {
    if (end_reason || is_text) return long_message::skip;
    const auto refuse = [&](std::string_view what) {
      refuse_frame(
          fmt::format("{} is longer than {} bytes", what, options.socket.message_bytes_max),
          first.size());
      return long_message::skip;
    };
    auto head = protocol::decode_head(first, terms.protocol_version);
    if (!head) return refuse("a message of no known kind");
    if (std::holds_alternative<protocol::to_envoy_init>(*head) ||
        std::holds_alternative<protocol::to_envoy_ping>(*head))
      return refuse(protocol::name_of(*head));
    if (auto good = policy.handle_message(0, boot_clock::now()); !good) {
      refuse_frame(
          fmt::format("{} {}", protocol::name_of(*head), good.error().message), first.size());
      return long_message::skip;
    }
    if (std::holds_alternative<protocol::to_envoy_commands>(*head)) {
      commands.emplace(terms.protocol_version, options.socket.message_bytes_max);
      return long_message::take;
    }
    ++counters.messages_in;
    ++counters.too_long;
    if (std::holds_alternative<protocol::to_envoy_ack_events>(*head))
      log_to(
          options.log,
          log_level::warning,
          "a message of the engine is too long and was skipped",
          {{"message", std::string{protocol::name_of(*head)}},
           {"bytes_max", fmt::to_string(options.socket.message_bytes_max)}});
    on_batch_end();  // what came before it
    too_long = std::move(*head);
    return long_message::skip;
  }

  void on_part(std::span<const std::uint8_t> part, bool last) override {
    if (end_reason) return;
    counters.bytes_in += part.size();
    protocol::to_envoy_commands whole;
    auto good = commands->handle_bytes(part, whole.commands);
    if (good && last) good = commands->handle_end(whole.commands);
    batch_bytes += part.size();
    if (auto allowed = policy.handle_message(part.size(), boot_clock::now()); good && !allowed)
      good = allowed;
    if (!whole.commands.empty()) {
      protocol::to_envoy message{std::move(whole)};
      keep_in_range(message);
      batch.push_back(std::move(message));
    }
    if (last) {
      ++counters.messages_in;
      commands.reset();
    }
    if (!good) refuse_frame(good.error().message, part.size());
  }

  void on_batch_end() override {
    if (batch.empty() && !too_long) return;
    inbound_batch out{
        policy.connection(),
        term.load(),
        std::move(batch),
        std::exchange(batch_bytes, 0),
        boot_clock::now(),
        std::exchange(too_long, std::nullopt)};
    batch.clear();
    const auto messages = held_messages.fetch_add(out.messages.size()) + out.messages.size();
    const auto held = held_bytes.fetch_add(out.bytes) + out.bytes;
    listener.on_inbound(std::move(out));
    if (!paused && (messages > options.inbound_messages_max || held > options.inbound_bytes_max)) {
      paused = true;
      ++counters.reading_paused;
      socket.pause_reading(true);
      resume_if_granted();  // a grant may have come before `paused` was seen
    }
  }

  void refuse_frame(std::string_view why, std::size_t size) {
    ++counters.bad_frames;
    log_to(
        options.log,
        log_level::error,
        "the engine sent a frame that is no message; renewing the connection",
        {{"reason", std::string{why}}, {"bytes", fmt::to_string(size)}});
    end_connection(connection_end{connection_end::kind::protocol, 0, 0, std::string{why}});
  }

  // Ends the connection with a reset; on_gone follows with our reason instead of the socket's.
  void end_connection(connection_end why) {
    if (end_reason) return;
    end_reason = std::move(why);
    socket.reset(end_reason->reason);
  }

  void on_pong(std::span<const std::uint8_t> payload) override {
    std::uint64_t number = 0;
    if (payload.size() != sizeof number) return;
    std::memcpy(&number, payload.data(), sizeof number);
    if (number != ping_number) return;
    ping_out = false;
    for (; !unconfirmed.empty() && unconfirmed.front().first <= number; unconfirmed.pop_front())
      free_charge(unconfirmed.front().second);
    tell_of_room();
    const auto id = std::exchange(fence_out, std::nullopt);
    if (id) listener.on_fence(policy.connection(), *id);
    if (!unconfirmed.empty()) arm_timer();
    socket.request_write();
  }

  void on_gone(const websocket_gone& gone) override {
    on_batch_end();
    commands.reset();
    batch_bytes = 0;
    const auto old = policy.connection();
    up.store(false);
    room.handle_connection_lost();
    tell_of_room();
    auto why = end_reason ? *std::exchange(end_reason, std::nullopt) : to_end(gone);
    // Whoever closes may repeat what he was sent.
    why.said = without_token(why.reason, terms.token);
    ping_out = false;
    fence_out.reset();
    pong_due.reset();
    paused = false;
    if (closing.load()) return finish({errc::cancelled, "closed"});
    const auto decision = policy.handle_end(why, boot_clock::now());
    using what = reconnect_decision::kind;
    if (decision.what == what::retry || decision.what == what::ask)
      listener.on_down(old, decision.message, decision.after);
    if (decision.what == what::ask) {
      asking = true;
      arm_timer();
      return listener.on_ask();
    }
    carry_out(decision);
  }

  void log_reached(std::string_view what) {
    if (policy.reached_is_news()) log_connection(log_level::info, what);
  }

  // Who speaks with whom, and `more`.
  void log_connection(
      log_level level, std::string_view what, std::initializer_list<log_field> more = {}) {
    if (!options.log) return;
    std::vector<log_field> fields{
        {"endpoint", options.target.endpoint.base_url()},
        {"pool", options.target.pool},
        {"envoy_key", options.target.envoy_key},
        {"protocol_version", fmt::to_string(terms.protocol_version)}};
    fields.insert(fields.end(), more.begin(), more.end());
    options.log(level, what, fields);
  }

  // At once, and then now and then: an engine may refuse us, or break what it has taken, for hours.
  void carry_out(const reconnect_decision& decision) {
    if (decision.what == reconnect_decision::kind::evicted)
      return finish(
          {errc::evicted, decision.message + "; this host's key was " + options.target.envoy_key});
    if (decision.what == reconnect_decision::kind::refused)
      return finish({errc::refused, decision.message});
    if (decision.news)
      log_connection(
          log_level::warning,
          policy.was_connected() ? "lost the engine; trying again"
                                 : "no connection to the engine; trying again",
          {{"reason", decision.message},
           {"retry_ms",
            fmt::to_string(std::chrono::ceil<std::chrono::milliseconds>(decision.after).count())},
           {"failures", fmt::to_string(policy.failures())}});
    dial_at = boot_clock::now() + decision.after;
    arm_timer();
  }

  void handle_renewed(outcome<dial_terms> known) {
    if (!std::exchange(asking, false) || over.load()) return;
    if (!known) {
      const auto& why = known.error();
      if (why.code == errc::refused) return finish(why);
      return carry_out(policy.handle_no_terms(why.message));
    }
    const auto changed = *known != terms;
    terms = std::move(*known);
    carry_out(policy.handle_terms(changed, options.target.token_renewable));
  }

  void finish(failure why) {
    over.store(true);
    room.handle_connection_lost();
    tell_of_room();
    socket.clear_timer();
    dial_at.reset();
    listener.on_final(why);
  }

  // -- service thread: writing ----------------------------------------------------

  bool next_frame(websocket_frame& frame) override {
    const auto more = take_next(frame);
    tell_of_room();
    return more;
  }

  bool take_next(websocket_frame& frame) {
    if (!check_lease() || end_reason) return false;
    if (pong_due) {
      ++counters.pongs;
      return fill(
          frame, encoded(protocol::to_rivet_pong{*std::exchange(pong_due, std::nullopt)}), 0);
    }
    {
      const std::lock_guard guard{mutex};
      while (greeting_at < greeting.size())
        if (auto first = encoded(greeting[greeting_at++]); !first.empty())
          return fill(frame, std::move(first), 0);
      take_incoming();
    }
    if (unpinged_bytes >= confirm_bytes && !ping_out) return ping(frame);
    while (!queue.empty()) {
      auto entry = std::move(queue.front());
      if (entry.what == outbound::kind::fence) {
        if (ping_out) {  // one ping at a time; its pong brings us back here
          queue.front() = std::move(entry);
          return false;
        }
        queue.pop_front();
        if (entry.connection != policy.connection()) continue;
        fence_out = entry.fence;
        return ping(frame);
      }
      queue.pop_front();
      if (!wanted(entry)) {
        ++counters.discarded;
        free_charge(entry);
        continue;
      }
      if (entry.what != outbound::kind::tunnel) {
        const auto cookie =
            entry.what == outbound::kind::frame ? 1 + static_cast<std::uint64_t>(entry.frames) : 0;
        free_charge(entry);
        return fill(frame, std::move(entry.encoded), cookie);
      }
      auto bytes_out = entry.version == terms.protocol_version ? std::move(entry.encoded)
                                                               : encoded(entry.message);
      entry.version = 0;
      entry.encoded = {};
      if (bytes_out.empty()) {
        free_charge(entry);
        continue;
      }
      // The gateway passes on a client's WebSocket messages without a look at their index: one that may have been delivered
      // would arrive twice, so it goes once. Of all else a second copy does at most what a missing one does: it ends
      // its exchange (docs/protocol.md M).
      if (std::holds_alternative<protocol::to_rivet_web_socket_message>(
              entry.message.message_kind)) {
        free_charge(entry);
        return fill(frame, std::move(bytes_out), 0);
      }
      unpinged_bytes += entry.charge;
      unconfirmed.emplace_back(ping_number + 1, std::move(entry));
      if (unconfirmed.size() == 1) {
        confirm_at = boot_clock::now() + confirm_interval;
        arm_timer();
      }
      return fill(frame, std::move(bytes_out), 0);
    }
    if (!unconfirmed.empty() && !ping_out && boot_clock::now() >= confirm_at) return ping(frame);
    return false;
  }

  bool fill(websocket_frame& frame, std::vector<std::uint8_t> buffer, std::uint64_t cookie) {
    frame.buffer = std::move(buffer);
    frame.what = websocket_frame::kind::binary;
    frame.cookie = cookie;
    return true;
  }

  bool ping(websocket_frame& frame) {
    ping_out = true;
    unpinged_bytes = 0;
    ++ping_number;
    confirm_at = boot_clock::now() + confirm_interval;
    frame.buffer.assign(websocket_headroom + sizeof ping_number, 0);
    std::memcpy(frame.buffer.data() + websocket_headroom, &ping_number, sizeof ping_number);
    frame.what = websocket_frame::kind::ping;
    frame.cookie = 0;
    return true;
  }

  // Any thread.
  [[nodiscard]] outcome<std::vector<std::uint8_t>> encode(
      const protocol::to_rivet& message, std::uint16_t at_version) const {
    auto out = protocol::encode(message, at_version, websocket_headroom);
    if (out && out->size() - websocket_headroom > options.outbound_message_bytes_max)
      return failure{
          errc::too_large,
          fmt::format(
              "{} of {} bytes: the engine takes at most {}",
              protocol::name_of(message),
              out->size() - websocket_headroom,
              options.outbound_message_bytes_max)};
    return out;
  }

  template <class T>
  std::vector<std::uint8_t> encoded(const T& message) {
    auto out = encode(protocol::to_rivet{message}, terms.protocol_version);
    if (out) return std::move(*out);
    log_to(
        options.log,
        log_level::error,
        "dropped an outbound message",
        {{"reason", out.error().message}});
    return {};
  }

  [[nodiscard]] bool wanted(const outbound& x) const {
    if (x.gate && !(x.gate->open.load() && x.gate->term == term.load())) return false;
    return x.what == outbound::kind::tunnel || x.connection == policy.connection();
  }

  void on_written(std::uint64_t cookie, std::size_t payload_bytes) override {
    ++counters.frames_out;
    counters.bytes_out += payload_bytes;
    if (cookie != 0) listener.on_written(policy.connection(), static_cast<frame_class>(cookie - 1));
  }

  // What the last connection may not have delivered comes first on the new one, in its order.
  void carry_over() {
    std::deque<outbound> kept;
    const auto keep = [&](outbound& x) {
      if (x.what == outbound::kind::tunnel && wanted(x)) {
        ++counters.moved;
        kept.push_back(std::move(x));
      } else if (x.what != outbound::kind::fence && x.connection == policy.connection()) {
        kept.push_back(std::move(x));
      } else {
        if (x.what != outbound::kind::fence) ++counters.discarded;
        free_charge(x);
      }
    };
    for (auto& [number, x] : unconfirmed) keep(x);
    for (auto& x : queue) keep(x);
    unconfirmed.clear();
    unpinged_bytes = 0;
    queue = std::move(kept);
    tell_of_room();
  }

  void take_incoming() {  // with mutex held
    for (auto& x : incoming) queue.push_back(std::move(x));
    incoming.clear();
  }

  void free_charge(const outbound& x) {
    if (x.charge == 0) return;
    if (x.what == outbound::kind::storage) return room.give_back_of_storage(x.charge);
    if (x.meter) x.meter->fetch_sub(x.charge);
    room.give_back_of_client(x.charge, x.bulk);
  }

  void tell_of_room() {
    if (!room.due()) return;
    for (const auto& who : room.poll_told()) listener.on_room(who);
  }

  // -- service thread: time -------------------------------------------------------

  // I14: nothing leaves once the lease has ended, however long this process was frozen.
  bool check_lease() {
    if (!our_lease.ended(boot_clock::now())) return true;
    our_lease.handle_ended();
    ++counters.leases_ended;
    term.fetch_add(1);
    {
      const std::lock_guard guard{mutex};
      take_incoming();
    }
    for (auto& [number, x] : unconfirmed) free_charge(x);
    counters.discarded += queue.size() + unconfirmed.size();
    unconfirmed.clear();
    for (auto& x : queue) free_charge(x);
    queue.clear();
    tell_of_room();
    on_batch_end();
    log_to(
        options.log,
        log_level::error,
        "the lease ended: no Ping from the engine for too long; all actors are ended");
    listener.on_lease_ended();
    if (up.load()) end_connection({connection_end::kind::lease, 0, 0, "lease ended"});
    return false;
  }

  void on_timer() override {
    check_lease();
    const auto now = boot_clock::now();
    if (dial_at && now >= *dial_at && !over.load()) {
      dial_at.reset();
      if (closing.load()) return finish({errc::cancelled, "closed"});
      dial();
    }
    if (up.load() && !unconfirmed.empty() && !ping_out && now >= confirm_at) socket.request_write();
    check_first_words(now);
    arm_timer();
  }

  void check_first_words(time_point now) {
    const auto due = policy.poll_timeout();
    if (!due || now < *due || end_reason) return;
    // A long replay may be on its way, or wait for us.
    if (std::exchange(received_before, socket.bytes_received()) != socket.bytes_received() ||
        paused)
      return policy.handle_progress(now);
    log_to(
        options.log,
        log_level::error,
        "the engine says nothing; renewing the connection",
        {{"reason", policy.awaited()}});
    end_connection({connection_end::kind::silent, 0, 0, policy.awaited()});
  }

  void arm_timer() {
    if (over.load()) return;
    std::optional<time_point> next = dial_at;
    const auto earlier = [&](time_point t) { next = next ? std::min(*next, t) : t; };
    if (our_lease.end()) earlier(*our_lease.end());
    if (const auto due = policy.poll_timeout(); due && up.load() && !end_reason) earlier(*due);
    if (up.load() && !unconfirmed.empty() && !ping_out) earlier(confirm_at);
    if (!next) return;
    const auto left = std::max<duration>(*next - boot_clock::now(), 1ms);
    socket.set_timer(std::chrono::duration_cast<websocket::clock::duration>(left));
  }

  void resume_if_granted() {
    if (!paused) return;
    if (held_messages.load() > options.inbound_messages_max / 2 ||
        held_bytes.load() > options.inbound_bytes_max / 2)
      return;
    paused = false;
    socket.pause_reading(false);
  }

  void on_wake() override {
    if (!dialled) {
      dialled = true;
      return dial();
    }
    resume_if_granted();
    tell_of_room();
    if (over.load()) return;
    if (closing.load()) {
      if (up.load()) return socket.close(1000, "host is done");
      if (dial_at || asking) return finish({errc::cancelled, "closed"});
      return socket.reset("closed");
    }
    std::optional<outcome<dial_terms>> known;
    {
      const std::lock_guard guard{mutex};
      known = std::exchange(renewed, std::nullopt);
    }
    if (known) return handle_renewed(std::move(*known));
    if (up.load()) socket.request_write();
  }

  // -- any thread -------------------------------------------------------------------

  // Queues and says whether the thread must be woken: only for the first entry of a burst.
  void push(outbound x) {
    bool first = false;
    {
      const std::lock_guard guard{mutex};
      first = incoming.empty();
      incoming.push_back(std::move(x));
    }
    if (first) socket.wake();
  }

  // Who was refused just when the last of it was freed would hear of nothing else.
  outcome<void> refused(outcome<void> why) {
    if (room.due()) socket.wake();
    return why;
  }

  link_listener& listener;
  const link_options options;

  // service thread
  connection_policy policy;
  lease our_lease;
  std::deque<outbound> queue;
  std::deque<std::pair<std::uint64_t, outbound>>
      unconfirmed;  // number of the ping that confirms it
  std::vector<protocol::to_envoy> batch;
  std::size_t batch_bytes = 0;
  std::optional<protocol::to_envoy> too_long;        // before `batch`
  std::optional<protocol::command_stream> commands;  // of a message that is too long to be kept
  std::uint64_t received_before = 0;  // by the socket, when the engine's first words were last due
  std::optional<connection_end> end_reason;
  std::optional<engine_ms> pong_due;
  std::optional<std::uint64_t> fence_out;
  std::uint64_t ping_number = 0;
  bool ping_out = false;
  bool paused = false;
  bool dialled = false;
  bool asking = false;
  dial_terms terms;
  std::size_t unpinged_bytes = 0;  // of unconfirmed, since the last ping
  time_point confirm_at{};
  std::optional<time_point> dial_at;

  // shared
  mutable std::mutex mutex;
  std::vector<outbound> incoming;
  std::vector<protocol::to_rivet> greeting;
  std::size_t greeting_at = 0;
  std::optional<outcome<dial_terms>> renewed;
  std::atomic<std::uint16_t> version = 0;  // that of the newest dial
  std::atomic<epoch> connection = 0;
  std::atomic<std::uint64_t> term = 1;
  std::atomic<bool> up = false, closing = false, over = false;
  outbound_room room;
  std::atomic<std::size_t> held_messages = 0, held_bytes = 0;

  struct {  // written by the service thread only
    std::atomic<std::uint64_t> dials, connections, messages_in, bytes_in, frames_out, bytes_out,
        pongs, discarded, moved, bad_frames, too_long, leases_ended, reading_paused;
  } counters{};

  websocket socket;  // last: its thread uses all of the above
};

link::link(link_listener& listener, link_options options)
    : impl_(std::make_unique<impl>(listener, std::move(options))) {}

link::~link() { stop(); }

outcome<void> link::start(dial_terms terms) {
  impl_->terms = std::move(terms);
  return impl_->socket.start();
}

void link::renew(outcome<dial_terms> terms) {
  {
    const std::lock_guard guard{impl_->mutex};
    impl_->renewed = std::move(terms);
  }
  impl_->socket.wake();
}

void link::stop() { impl_->socket.stop(); }

void link::close() {
  impl_->closing.store(true);
  impl_->socket.wake();
}

outcome<void> link::send_frame(
    frame_class what, epoch connection, const protocol::to_rivet& message) {
  auto& self = *impl_;
  if (!self.up.load() || connection != self.connection.load())
    return failure{errc::link_lost, "the connection is over"};
  const auto version = self.version.load();
  auto encoded = self.encode(message, version);
  if (!encoded) return encoded.error();
  outbound x;
  x.frames = what;
  x.connection = connection;
  x.version = version;
  x.encoded = std::move(*encoded);  // bounded by its actor: one frame in flight
  self.push(std::move(x));
  return {};
}

outcome<void> link::send_for_connection(
    std::shared_ptr<const output_gate> gate, epoch connection, const protocol::to_rivet& request) {
  auto& self = *impl_;
  if (!self.up.load() || connection != self.connection.load())
    return failure{errc::link_lost, "the connection is over"};
  if (!gate->open.load()) return failure{errc::cancelled, "the instance has no outputs any more"};
  outbound x;
  x.what = outbound::kind::storage;
  x.connection = connection;
  x.version = self.version.load();
  auto encoded = self.encode(request, x.version);
  if (!encoded) return encoded.error();
  if (auto taken = self.room.take_for_storage(encoded->size()); !taken) return self.refused(taken);
  x.charge = encoded->size();
  x.encoded = std::move(*encoded);
  x.gate = std::move(gate);
  self.push(std::move(x));
  return {};
}

outcome<void> link::send_across_connections(
    tunnel_source from, protocol::to_rivet_tunnel_message&& message) {
  auto& self = *impl_;
  if (!from.gate->open.load())
    return failure{errc::cancelled, "the instance has no outputs any more"};
  outbound x;
  x.what = outbound::kind::tunnel;
  x.version = self.version.load();
  protocol::to_rivet whole{std::move(message)};
  auto& kept = std::get<protocol::to_rivet_tunnel_message>(whole);
  const auto refuse = [&](failure why) {
    message = std::move(kept);
    return why;
  };
  auto encoded = self.encode(whole, x.version);
  if (!encoded) return refuse(encoded.error());
  x.charge = encoded->size();
  x.bulk = is_bulk(kept.message_kind);
  if (auto taken = self.room.take_for_client(x.charge, x.bulk, from.waiter); !taken)
    return refuse(self.refused(taken).error());
  x.encoded = std::move(*encoded);
  x.message = std::move(kept);
  x.gate = std::move(from.gate);
  if (from.meter) from.meter->fetch_add(x.charge);
  x.meter = std::move(from.meter);
  self.push(std::move(x));
  return {};
}

bool link::has_room_for_bodies(const room_waiter& who) {
  if (impl_->room.has_room_for_bodies(who)) return true;
  if (impl_->room.due()) impl_->socket.wake();
  return false;
}

void link::fence(epoch connection, std::uint64_t id) {
  outbound x;
  x.what = outbound::kind::fence;
  x.connection = connection;
  x.fence = id;
  impl_->push(std::move(x));
}

void link::greet(std::vector<protocol::to_rivet> first, bool now) {
  {
    const std::lock_guard guard{impl_->mutex};
    const auto sent_all = impl_->greeting_at >= impl_->greeting.size();
    impl_->greeting = std::move(first);
    impl_->greeting_at = now ? 0 : (sent_all ? impl_->greeting.size() : 0);
  }
  impl_->socket.wake();
}

void link::grant(std::size_t messages, std::size_t size) {
  impl_->held_messages.fetch_sub(messages);
  const auto before = impl_->held_bytes.fetch_sub(size);
  const auto& o = impl_->options;
  const auto left = before - size;
  // Only the grant that crosses a half wakes the thread.
  const auto messages_left = impl_->held_messages.load();
  const auto crossed = (before > o.inbound_bytes_max / 2 && left <= o.inbound_bytes_max / 2) ||
                       (messages_left + messages > o.inbound_messages_max / 2 &&
                        messages_left <= o.inbound_messages_max / 2);
  if (crossed) impl_->socket.wake();
}

link_stats link::stats() const {
  const auto& c = impl_->counters;
  return {
      .dials = c.dials,
      .connections = c.connections,
      .messages_in = c.messages_in,
      .bytes_in = c.bytes_in,
      .frames_out = c.frames_out,
      .bytes_out = c.bytes_out,
      .pongs = c.pongs,
      .outbound_bytes = impl_->room.used(),
      .discarded = c.discarded,
      .moved = c.moved,
      .bad_frames = c.bad_frames,
      .too_long = c.too_long,
      .leases_ended = c.leases_ended,
      .reading_paused = c.reading_paused};
}

}  // namespace nuncio

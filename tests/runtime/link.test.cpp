// The link against a scripted server: what dies with a connection and what moves to the next, what goes first, what is
// bounded, and how it ends.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <limits>
#include <mutex>
#include <nuncio/codec.hpp>
#include <nuncio/connection/link.hpp>
#include <string>
#include <thread>
#include <vector>

#include "raw_server.hpp"

namespace link_test {

using namespace nuncio;
using namespace std::chrono_literals;
using nuncio::test::raw_peer;
using nuncio::test::raw_server;

namespace {

constexpr std::uint16_t version = 8;
constexpr std::size_t part = std::size_t{256} << 10U;
constexpr std::uint16_t bulk =
    100;  // parts: 25 MiB, more than the kernel takes of what nobody reads

/// A flag that the script's thread waits for, with a limit.
class signal {
public:
  void set() {
    {
      const std::lock_guard guard{mutex_};
      set_ = true;
    }
    changed_.notify_all();
  }

  bool await() {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, 20s, [this] { return set_; });
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

engine_ms wall_clock() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// The engine's side of one connection.
struct engine_side {
  explicit engine_side(raw_peer& to) : peer(to) {}

  /// Upgrade, Init and the first Ping, whose Pong may come behind what the link has carried over.
  void open(std::chrono::milliseconds lost_threshold = 15s) {
    peer.accept("rivet");
    send(protocol::to_envoy_init{{lost_threshold.count(), 1'800'000, 20'971'520}});
    send(protocol::to_envoy_ping{wall_clock()});
  }

  void send(const protocol::to_envoy& x) {
    const auto raw = protocol::encode(x, version);
    peer.send(raw_peer::frame(2, {reinterpret_cast<const char*>(raw->data()), raw->size()}));
  }

  /// The next message that is no Pong. None at the end of the stream.
  std::optional<protocol::to_rivet> next() {
    for (;;) {
      auto x = next_or_pong();
      if (!x || !std::holds_alternative<protocol::to_rivet_pong>(*x)) return x;
    }
  }

  /// The next message; WebSocket pings on the way are answered. None at the end of the stream, and `closed` then holds
  /// the code of the close frame, if one came.
  std::optional<protocol::to_rivet> next_or_pong() {
    for (std::string whole;;) {
      auto frame = peer.read_frame();
      if (frame.opcode == 9) {
        peer.send(raw_peer::frame(10, frame.payload));
      } else if (frame.opcode == 8) {
        if (frame.payload.size() >= 2)
          closed = static_cast<unsigned char>(frame.payload[0]) << 8 |
                   static_cast<unsigned char>(frame.payload[1]);
        peer.send(raw_peer::frame(8, frame.payload));
        return std::nullopt;
      } else if (frame.opcode < 0) {
        return std::nullopt;
      } else {
        whole += frame.payload;
        if (!frame.final) continue;
        auto message = protocol::decode_to_rivet(bytes{std::move(whole)}, version);
        if (!message) return std::nullopt;
        return std::move(*message);
      }
    }
  }

  /// Whether the next message is a Pong.
  bool pong() {
    const auto message = next_or_pong();
    return message && std::holds_alternative<protocol::to_rivet_pong>(*message);
  }

  raw_peer& peer;
  int closed = 0;
};

/// "ack 7", "events", "kv 3", "tunnel 12", "pong".
std::string line(const protocol::to_rivet& x) {
  if (const auto* acks = std::get_if<protocol::to_rivet_ack_commands>(&x))
    return "ack " + std::to_string(acks->last_command_checkpoints.at(0).index);
  if (std::holds_alternative<protocol::to_rivet_events>(x)) return "events";
  if (const auto* kv = std::get_if<protocol::to_rivet_kv_request>(&x))
    return "kv " + std::to_string(kv->request_id);
  if (const auto* t = std::get_if<protocol::to_rivet_tunnel_message>(&x))
    return "tunnel " + std::to_string(t->message_id.message_index);
  return std::string{protocol::name_of(x)};
}

/// A link and its owner, which records what it is told and never grants by itself.
struct hosting : link_listener {
  explicit hosting(
      std::uint16_t port, std::function<void(link_options&)> change = {}, std::string token = {})
      : uplink(*this, options(port, change)) {
    REQUIRE(uplink.start({.protocol_version = version, .token = std::move(token)}).ok());
  }

  ~hosting() override { uplink.stop(); }

  static link_options options(
      std::uint16_t port, const std::function<void(link_options&)>& change) {
    link_options o;
    o.target.endpoint.host = "127.0.0.1";
    o.target.endpoint.port = port;
    o.target.envoy_key = "link-test";
    if (change) change(o);
    return o;
  }

  static protocol::to_rivet ack(std::int64_t index) {
    return protocol::to_rivet_ack_commands{{{actor_id{"a"}, 1, index}}};
  }

  static protocol::to_rivet events() { return protocol::to_rivet_events{}; }

  static protocol::to_rivet kv(std::uint32_t id, std::size_t size = 1) {
    protocol::kv_get_request get;
    get.keys.emplace_back(bytes{std::string(size, 'k')});
    return protocol::to_rivet_kv_request{actor_id{"a"}, id, std::move(get)};
  }

  outcome<void> tunnel(std::uint16_t index, std::size_t size = part) {
    return tunnel(gate, index, size);
  }

  outcome<void> tunnel(
      const std::shared_ptr<output_gate>& through, std::uint16_t index, std::size_t size = part) {
    protocol::to_rivet_tunnel_message x;
    x.message_id.message_index = index;
    x.message_kind = protocol::to_rivet_response_chunk{bytes{std::string(size, 'b')}, false};
    return uplink.send_across_connections({through, {}}, std::move(x));
  }

  template <class Predicate>
  bool until(Predicate p) {
    std::unique_lock lock{mutex};
    return changed.wait_for(lock, 20s, p);
  }

  bool await_live(std::size_t connections = 1) {
    return until([&] { return pings >= connections && ups.size() >= connections; });
  }

  template <class F>
  auto read(F f) {
    const std::lock_guard guard{mutex};
    return f();
  }

  template <class F>
  void note(F f) {
    {
      const std::lock_guard guard{mutex};
      f();
    }
    changed.notify_all();
  }

  void on_up(epoch connection) override {
    note([&] { ups.push_back(connection); });
  }

  void on_inbound(inbound_batch batch) override {
    note([&] {
      for (const auto& x : batch.messages)
        pings += std::holds_alternative<protocol::to_envoy_ping>(x) ? 1U : 0U;
      if (batch.too_long)
        heard.push_back("too long: " + std::string{protocol::name_of(*batch.too_long)});
      for (const auto& x : batch.messages) hear(x);
      messages += batch.messages.size();
      held_bytes += batch.bytes;
      held_messages += batch.messages.size();
    });
  }

  // Commands by the actors' names; answers and tunnel messages by their numbers.
  void hear(const protocol::to_envoy& x) {
    if (const auto* all = std::get_if<protocol::to_envoy_commands>(&x))
      for (const auto& each : all->commands)
        heard.push_back("command " + each.checkpoint.actor_id.str());
    if (const auto* kv = std::get_if<protocol::to_envoy_kv_response>(&x))
      heard.push_back("kv " + std::to_string(kv->request_id));
    if (const auto* t = std::get_if<protocol::to_envoy_tunnel_message>(&x))
      heard.push_back("tunnel " + std::to_string(t->message_id.message_index));
  }

  void on_written(epoch connection, frame_class what) override {
    note([&] { written.emplace_back(connection, what); });
  }

  void on_room(const room_waiter& who) override {
    note([&] { told.push_back(who.what); });
  }

  void on_fence(epoch connection, std::uint64_t id) override {
    note([&] { fences.emplace_back(connection, id); });
  }

  void on_down(epoch connection, std::string_view why, duration retry_after) override {
    note([&] {
      downs.emplace_back(connection, why);
      delays.push_back(retry_after);
    });
  }

  void on_lease_ended() override {
    note([&] { ++leases_ended; });
  }

  void on_ask() override {}

  void on_final(const failure& why) override {
    note([&] { final_word = why; });
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<epoch> ups;
  std::vector<std::pair<epoch, std::string>> downs;
  std::vector<duration> delays;  // after each of `downs`
  std::vector<std::pair<epoch, frame_class>> written;
  std::vector<room_waiter::kind> told;  // of room
  std::vector<std::pair<epoch, std::uint64_t>> fences;
  std::size_t pings = 0, messages = 0, held_messages = 0, held_bytes = 0;
  int leases_ended = 0;
  std::vector<std::string> heard;
  std::optional<failure> final_word;
  std::shared_ptr<output_gate> gate = std::make_shared<output_gate>(1);
  nuncio::link uplink;
};

}  // namespace

TEST_CASE(
    "link: a tunnel message that was written but not confirmed is sent again; a confirmed one is "
    "not") {
  signal done;
  std::vector<std::string> seen;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    if (p.index() == 0) {
      engine.next();  // "tunnel 0"; the fence behind it is answered on the way to the next message
      const auto second = engine.next();
      if (second) seen.push_back("read " + line(*second));
      p.reset();
      return;
    }
    while (seen.back() != "ack 9") {
      const auto x = engine.next();
      if (!x) break;
      seen.push_back(line(*x));
    }
    done.set();
    while (engine.next()) {
    }
  }};
  hosting host{server.port()};
  REQUIRE(host.await_live());
  REQUIRE(host.tunnel(0, 10).ok());
  host.uplink.fence(1, 5);
  REQUIRE(host.until([&] { return host.fences == decltype(host.fences){{1, 5}}; }));
  REQUIRE(host.tunnel(1, 10).ok());
  REQUIRE(host.await_live(2));
  REQUIRE(host.uplink.send_frame(frame_class::ack, 2, hosting::ack(9)).ok());
  REQUIRE(done.await());
  CHECK(seen == std::vector<std::string>{"read tunnel 1", "tunnel 1", "ack 9"});
}

TEST_CASE(
    "link: Pings are answered while the owner handles nothing, and reading stops at the inbound "
    "limit") {
  signal done;
  int answered = 0;
  constexpr int rounds = 20;
  constexpr std::size_t flood = 200;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    if (!engine.pong()) return;
    for (int i = 0; i < rounds; ++i) {
      engine.send(protocol::to_envoy_ack_events{});
      engine.send(protocol::to_envoy_ping{wall_clock()});
      if (engine.pong()) ++answered;
    }
    done.set();
    protocol::to_envoy_tunnel_message x;
    x.message_kind = protocol::to_envoy_request_chunk{bytes{std::string(part, 'r')}, false};
    for (std::size_t i = 0; i < flood; ++i) engine.send(x);
    while (engine.next()) {
    }
  }};
  hosting host{server.port(), [](link_options& o) { o.inbound_bytes_max = std::size_t{1} << 20U; }};
  REQUIRE(done.await());
  CHECK(answered == rounds);
  REQUIRE(host.until([&] { return host.held_bytes > std::size_t{1} << 20U; }));
  // Each grant lets it read on, and what is held stays near the bound: one turn's worth above it.
  std::size_t most = 0;
  while (host.read([&] { return host.messages; }) < flood + 2 + 2 * rounds) {
    std::size_t messages = 0, size = 0;
    REQUIRE(host.until([&] { return host.held_messages != 0; }));
    host.note([&] {
      most = std::max(most, host.held_bytes);
      messages = std::exchange(host.held_messages, 0);
      size = std::exchange(host.held_bytes, 0);
    });
    host.uplink.grant(messages, size);
  }
  CHECK(host.uplink.stats().reading_paused > 0);
  CHECK_MESSAGE(most < std::size_t{16} << 20U, "held at most ", most, " bytes of ", flood * part);
}

namespace {

void small_messages(link_options& o) { o.socket.message_bytes_max = 2000; }

protocol::to_envoy kv_answer(std::uint32_t id, std::size_t size) {
  protocol::kv_get_response got;
  got.values.emplace_back(std::string(size, 'v'));
  return protocol::to_envoy_kv_response{id, std::move(got)};
}

protocol::to_envoy said(std::uint16_t index, std::size_t size) {
  return protocol::to_envoy_tunnel_message{
      {{}, {}, index}, protocol::to_envoy_web_socket_message{bytes{std::string(size, 's')}, true}};
}

protocol::command_wrapper start(std::string_view actor, std::size_t input) {
  protocol::command_start_actor x;
  x.config.input = bytes{std::string(input, 'i')};
  return {{actor_id{actor}, 1, 1}, std::move(x)};
}

}  // namespace

TEST_CASE(
    "1.2: link: a message that is too long is reported by its head, in order, and costs no "
    "connection") {
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    engine.send(kv_answer(1, 10));
    engine.send(kv_answer(2, 300'000));
    engine.send(said(3, 10));
    engine.send(said(4, 300'000));
    engine.send(said(5, 10));
    engine.send(protocol::to_envoy_ack_events{
        std::vector<protocol::actor_checkpoint>(100, {actor_id{"some-actor-of-the-host"}, 1, 1})});
    engine.send(protocol::to_envoy_ping{wall_clock()});
    while (engine.next()) {
    }
  }};
  hosting host{server.port(), small_messages};
  REQUIRE(host.until([&] { return host.pings == 2; }));
  CHECK(
      host.read([&] { return host.heard; }) == std::vector<std::string>{
                                                   "kv 1",
                                                   "too long: ToEnvoyKvResponse",
                                                   "tunnel 3",
                                                   "too long: ToEnvoyTunnelMessage",
                                                   "tunnel 5",
                                                   "too long: ToEnvoyAckEvents"});
  CHECK(host.uplink.stats().connections == 1);
  CHECK(host.uplink.stats().too_long == 3);
  CHECK(host.uplink.stats().bad_frames == 0);
  CHECK(host.read([&] { return host.held_bytes; }) < 2000);  // nothing of them is kept
}

TEST_CASE("1.2: link: a message that takes much memory fails alone, unless it has commands") {
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    protocol::kv_list_response many;
    many.keys.resize(2000);  // one byte each on the wire
    engine.send(protocol::to_envoy_kv_response{1, std::move(many)});
    engine.send(kv_answer(2, 10));
    protocol::to_envoy_commands all;
    for (int i = 0; i < 300; ++i) all.commands.push_back(start("a" + std::to_string(i), 1));
    engine.send(std::move(all));
    engine.send(protocol::to_envoy_ping{wall_clock()});
    while (engine.next()) {
    }
  }};
  hosting host{server.port(), [](link_options& o) { o.inbound_elements_bytes_max = 50'000; }};
  REQUIRE(host.until([&] { return host.pings == 2; }));
  std::vector<std::string> right{"too long: ToEnvoyKvResponse", "kv 2"};
  for (int i = 0; i < 300; ++i) right.push_back("command a" + std::to_string(i));
  CHECK(host.read([&] { return host.heard; }) == right);
  CHECK(host.uplink.stats().connections == 1);
  CHECK(host.uplink.stats().bad_frames == 0);
}

TEST_CASE(
    "1.2: link: commands are accepted at any length, each once it is complete, within the inbound "
    "limit") {
  constexpr std::size_t count = 60;  // encoding it all must not take long
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    p.accept("rivet");
    engine.send(protocol::to_envoy_init{{15'000, 1'800'000, 20'971'520}});
    protocol::to_envoy_commands all;
    for (std::size_t i = 0; i < count; ++i)
      all.commands.push_back(start("a" + std::to_string(i), 100'000));
    engine.send(std::move(all));
    engine.send(protocol::to_envoy_ping{wall_clock()});
    while (engine.next()) {
    }
  }};
  hosting host{server.port(), [](link_options& o) {
                 o.socket.message_bytes_max = 1'000'000;
                 o.inbound_bytes_max = 2'000'000;
               }};
  REQUIRE(host.until([&] { return host.held_bytes > 2'000'000U; }));
  std::size_t most = 0;
  while (host.read([&] { return host.pings; }) == 0) {
    std::size_t messages = 0, size = 0;
    REQUIRE(host.until([&] { return host.held_messages != 0; }));
    host.note([&] {
      most = std::max(most, host.held_bytes);
      messages = std::exchange(host.held_messages, 0);
      size = std::exchange(host.held_bytes, 0);
    });
    host.uplink.grant(messages, size);
  }
  std::vector<std::string> right;
  for (std::size_t i = 0; i < count; ++i) right.push_back("command a" + std::to_string(i));
  CHECK(host.read([&] { return host.heard; }) == right);
  CHECK(host.read([&] { return host.downs; }) == decltype(host.downs){});
  CHECK(host.uplink.stats().reading_paused > 0);
  CHECK_MESSAGE(most < 8'000'000U, "held at most ", most);
}

TEST_CASE(
    "link: long commands that are damaged renew the connection, and what came before stands") {
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    if (p.index() == 0) {
      auto raw = *protocol::encode(
          protocol::to_envoy{protocol::to_envoy_commands{{start("a", 1500), start("b", 1500)}}},
          version);
      raw[raw.size() - 1] = 7;  // neither none nor some
      p.send(raw_peer::frame(2, {reinterpret_cast<const char*>(raw.data()), raw.size()}));
    }
    while (engine.next()) {
    }
  }};
  hosting host{server.port(), small_messages};
  REQUIRE(host.await_live(2));
  CHECK(host.read([&] { return host.heard; }) == std::vector<std::string>{"command a"});
  CHECK(host.uplink.stats().bad_frames == 1);
}

TEST_CASE(
    "link: a message that is too long and of unknown kind, or before Init, renews the connection") {
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    if (p.index() == 0) {
      engine.open();
      p.send(raw_peer::frame(2, std::string(3000, '\x70')));
    } else if (p.index() == 1) {
      p.accept("rivet");
      engine.send(protocol::to_envoy_commands{{start("early", 3000)}});
    } else {
      engine.open();
    }
    while (engine.next()) {
    }
  }};
  hosting host{server.port(), small_messages};
  REQUIRE(host.until([&] { return host.ups.size() == 3 && host.pings == 2; }));
  CHECK(host.read([&] { return host.heard.size(); }) == 0);
  CHECK(host.uplink.stats().bad_frames == 2);
}

TEST_CASE(
    "1.2: link: a message that the engine would answer with a cut is refused, from any sender") {
  signal done;
  std::vector<std::string> seen;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    while (const auto x = engine.next()) {
      seen.push_back(line(*x));
      if (seen.back() == "ack 2") done.set();
    }
  }};
  hosting host{server.port(), [](link_options& o) { o.outbound_message_bytes_max = 1000; }};
  // A greeting that can't be said is left out.
  host.uplink.greet(
      {protocol::to_rivet_metadata{{}, text{std::string(2000, 'm')}}, hosting::ack(1)}, false);
  REQUIRE(host.await_live());
  host.uplink.greet(
      {protocol::to_rivet_metadata{{}, text{std::string(2000, 'm')}}, hosting::ack(1)}, true);
  const auto too_large = [](const outcome<void>& x) {
    return !x && x.error().code == errc::too_large;
  };
  CHECK(too_large(host.tunnel(7, 1000)));
  CHECK(too_large(host.uplink.send_for_connection(host.gate, 1, hosting::kv(7, 1000))));
  protocol::to_rivet_ack_commands many;
  many.last_command_checkpoints.resize(100, {actor_id{"a"}, 1, 7});
  CHECK(too_large(host.uplink.send_frame(frame_class::ack, 1, many)));
  CHECK(host.uplink.stats().outbound_bytes == 0);
  CHECK(host.tunnel(8, 900).ok());
  REQUIRE(host.uplink.send_frame(frame_class::ack, 1, hosting::ack(2)).ok());
  REQUIRE(done.await());
  CHECK(std::count(seen.begin(), seen.end(), "tunnel 8") == 1);
  CHECK(std::count(seen.begin(), seen.end(), "tunnel 7") == 0);
  CHECK(std::count(seen.begin(), seen.end(), "ack 1") >= 1);
  CHECK(host.uplink.stats().connections == 1);
}

TEST_CASE(
    "link: the lease's end cuts the connection and everything of the instances that it ended") {
  signal done;
  std::vector<std::string> seen;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open(p.index() == 0 ? 500ms : 15s);
    if (p.index() == 0) return p.wait_for_end();  // no Ping any more
    while (const auto x = engine.next()) {
      seen.push_back(line(*x));
      if (seen.back() == "ack 9") done.set();
    }
  }};
  hosting host{server.port(), [](link_options& o) {
                 o.lease.margin = 0s;
                 o.lease.end_limit = 0s;
               }};
  REQUIRE(host.await_live());
  const auto next_term = std::make_shared<output_gate>(2);
  REQUIRE(host.tunnel(0, 10).ok());  // written, never confirmed
  REQUIRE(host.until([&] { return host.leases_ended == 1; }));
  REQUIRE(host.tunnel(1, 10).ok());  // an instance that has not heard of it yet
  REQUIRE(host.tunnel(next_term, 2, 10).ok());
  REQUIRE(host.await_live(2));
  REQUIRE(host.uplink.send_frame(frame_class::ack, 2, hosting::ack(9)).ok());
  REQUIRE(done.await());
  CHECK(seen == std::vector<std::string>{"tunnel 2", "ack 9"});
  CHECK(host.uplink.stats().leases_ended == 1);
}

TEST_CASE(
    "link: messages for a connection that is cut die with it, tunnel messages move in order") {
  signal full, done;
  std::vector<std::string> seen;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    if (p.index() == 0) {
      full.await();
      return p.reset();
    }
    while (const auto x = engine.next()) {
      seen.push_back(line(*x));
      if (seen.back() == "ack 9") done.set();
    }
  }};
  hosting host{server.port()};
  REQUIRE(host.await_live());
  // The peer reads nothing: the kernel takes some parts, the others and all behind them wait.
  for (std::uint16_t i = 0; i < bulk; ++i) REQUIRE(host.tunnel(i).ok());
  REQUIRE(host.uplink.send_frame(frame_class::ack, 1, hosting::ack(7)).ok());
  REQUIRE(host.uplink.send_frame(frame_class::events, 1, hosting::events()).ok());
  REQUIRE(host.uplink.send_for_connection(host.gate, 1, hosting::kv(3)).ok());
  host.uplink.fence(1, 1);
  REQUIRE(host.tunnel(bulk, 10).ok());
  full.set();
  REQUIRE(host.await_live(2));
  CHECK(
      host.uplink.send_frame(frame_class::ack, 1, hosting::ack(8)).error().code == errc::link_lost);
  CHECK(
      host.uplink.send_for_connection(host.gate, 1, hosting::kv(4)).error().code ==
      errc::link_lost);
  REQUIRE(host.uplink.send_frame(frame_class::ack, 2, hosting::ack(9)).ok());
  REQUIRE(done.await());
  std::vector<std::string> moved;
  for (std::uint16_t i = 0; i <= bulk; ++i) moved.push_back("tunnel " + std::to_string(i));
  moved.emplace_back("ack 9");
  CHECK(seen == moved);
  const decltype(host.written) only_the_last{{2, frame_class::ack}};
  CHECK(host.until([&] { return host.written == only_the_last; }));
  CHECK(host.read([&] { return host.fences.empty(); }));
  const auto stats = host.uplink.stats();
  CHECK(stats.discarded == 3);
  CHECK(stats.moved == bulk + 1U);
}

TEST_CASE(
    "link: a Ping that comes while bulk is being sent is answered before the rest of the bulk") {
  signal queued, pinged, done;
  std::uint16_t parts = 0;
  std::uint16_t parts_before_pong = bulk;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    if (!engine.pong() || !queued.await()) return;
    engine.send(protocol::to_envoy_ping{wall_clock()});
    if (!pinged.await()) return;
    while (parts < bulk) {
      const auto x = engine.next_or_pong();
      if (!x) break;
      if (std::holds_alternative<protocol::to_rivet_pong>(*x))
        parts_before_pong = parts;
      else
        ++parts;
    }
    done.set();
    p.wait_for_end();
  }};
  hosting host{server.port()};
  REQUIRE(host.await_live());
  for (std::uint16_t i = 0; i < bulk; ++i) REQUIRE(host.tunnel(i).ok());
  queued.set();
  REQUIRE(host.until([&] { return host.pings == 2; }));
  pinged.set();
  REQUIRE(done.await());
  CHECK(parts == bulk);
  // Loopback takes about 10 MiB of what nobody reads, 40 parts; a Pong at its turn would come behind all 100.
  CHECK_MESSAGE(
      parts_before_pong < bulk * 3 / 4, "after ", parts_before_pong, " of ", bulk, " parts");
}

TEST_CASE("link: the outbound queue is bounded in bytes, and free again once the engine has read") {
  signal full, done;
  std::vector<std::string> seen;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    if (!full.await()) return;
    while (const auto x = engine.next()) {
      seen.push_back(line(*x));
      if (seen.back() == "tunnel 100") done.set();
    }
  }};
  hosting host{server.port(), [](link_options& o) {
                 o.outbound_bytes_max = std::size_t{16} << 20U;
                 o.outbound_storage_bytes_max = 2 * part;
               }};
  REQUIRE(host.await_live());
  std::uint16_t taken = 0;
  const auto meter = std::make_shared<output_meter>(0);
  while (taken < bulk) {
    protocol::to_rivet_tunnel_message x;
    x.message_id.message_index = taken;
    x.message_kind = protocol::to_rivet_response_chunk{bytes{std::string(part, 'b')}, false};
    const auto sent = host.uplink.send_across_connections({host.gate, {}, meter}, std::move(x));
    if (!sent) {
      CHECK(sent.error().code == errc::queue_full);
      CHECK(sent.error().message.find("16777216") != std::string::npos);
      break;
    }
    ++taken;
  }
  // Written is not read: parts in the kernel count until a pong has said so. 64 parts would be 16 MiB but for their heads.
  CHECK(taken == 63);
  CHECK(*meter + taken * outbound_message_bytes == host.uplink.stats().outbound_bytes);
  CHECK(!host.uplink.has_room_for_bodies({}));
  CHECK(host.read([&] { return host.told.empty(); }));
  // What actors store has room of its own, with a bound of its own: two parts and their heads are above it.
  const auto clients = meter->load();
  REQUIRE(host.uplink.send_for_connection(host.gate, 1, hosting::kv(3, part)).ok());
  CHECK(
      host.uplink.send_for_connection(host.gate, 1, hosting::kv(4, part)).error().code ==
      errc::queue_full);
  CHECK(*meter == clients);
  // Acks and events have a bound of their own, one frame in flight.
  CHECK(host.uplink.send_frame(frame_class::ack, 1, hosting::ack(7)).ok());
  full.set();
  REQUIRE(host.until([&] { return !host.written.empty(); }));
  host.uplink.fence(1, 1);
  REQUIRE(host.until([&] { return !host.fences.empty(); }));
  CHECK(*meter == 0);
  CHECK(host.uplink.stats().outbound_bytes == 0);
  using kind = room_waiter::kind;
  REQUIRE(
      host.until([&] { return host.told.size() == 2; }));  // each of both that were refused, once
  CHECK(std::count(host.told.begin(), host.told.end(), kind::host) == 1);
  CHECK(std::count(host.told.begin(), host.told.end(), kind::storage) == 1);
  CHECK(host.uplink.has_room_for_bodies({}));
  REQUIRE(host.tunnel(bulk).ok());
  REQUIRE(done.await());
  CHECK(seen.size() == taken + 3U);
}

TEST_CASE("link: waiters for room are notified of the connection's end, and of the link's") {
  signal full;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    static_cast<void>(full.await());  // and goes
  }};
  hosting host{server.port(), [](link_options& o) { o.outbound_bytes_max = 3 * part; }};
  REQUIRE(host.await_live());
  while (host.tunnel(1).ok()) {
  }
  CHECK(host.read([&] { return host.told.empty(); }));
  full.set();
  REQUIRE(host.until([&] { return !host.downs.empty() && host.told.size() == 1; }));
  CHECK(host.tunnel(2).error().code == errc::queue_full);
  host.uplink.close();
  REQUIRE(host.until([&] { return host.final_word.has_value(); }));
  REQUIRE(host.until([&] { return host.told.size() == 2; }));
}

TEST_CASE("link: however many short messages wait, long ones have room of their own") {
  signal over;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    static_cast<void>(over.await());
  }};
  hosting host{
      server.port(), [](link_options& o) { o.outbound_bytes_max = std::size_t{16} << 20U; }};
  REQUIRE(host.await_live());
  const auto say = [&](std::size_t size) {
    protocol::to_rivet_tunnel_message x;
    x.message_kind = protocol::to_rivet_web_socket_message{bytes{std::string(size, 's')}, true};
    return host.uplink.send_across_connections({host.gate, {}}, std::move(x)).ok();
  };
  for (int i = 0; i < 64; ++i) REQUIRE(say(short_message_bytes_max));  // 4 MiB, above an eighth
  CHECK(host.uplink.has_room_for_bodies({}));
  for (int i = 0; i < 2; ++i) REQUIRE(say(std::size_t{1} << 20U));
  CHECK(!host.uplink.has_room_for_bodies({}));
  REQUIRE(say(1));
  over.set();
}

TEST_CASE("link: a storage request longer than the room of all of them goes alone") {
  signal full;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    if (!full.await()) return;
    while (engine.next()) {
    }
  }};
  hosting host{server.port(), [](link_options& o) { o.outbound_storage_bytes_max = 1000; }};
  REQUIRE(host.await_live());
  // More than the kernel takes of what nobody reads: what follows stays in the queue.
  for (std::uint16_t i = 0; i < 32; ++i) REQUIRE(host.tunnel(i, std::size_t{1} << 20U).ok());
  REQUIRE(host.uplink.send_for_connection(host.gate, 1, hosting::kv(1, 5000)).ok());
  const auto refused = host.uplink.send_for_connection(host.gate, 1, hosting::kv(2, 10));
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::queue_full);
  full.set();
  host.uplink.fence(1, 1);
  REQUIRE(host.until([&] { return !host.fences.empty(); }));
  CHECK(host.uplink.send_for_connection(host.gate, 1, hosting::kv(3, 10)).ok());
}

TEST_CASE(
    "link: each connection is logged once when it begins, is ready and is lost, with both ends") {
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    if (p.index() == 0 && engine.pong()) p.send(raw_peer::close_frame(1001, "ws.going_away#r"));
    p.wait_for_end();
  }};
  std::mutex mutex;
  std::vector<std::string> log;
  hosting host{
      server.port(),
      [&](link_options& o) {
        o.target.pool = "rooms";
        o.log = [&](log_level level, std::string_view message, std::span<const log_field> fields) {
          std::string line = level == log_level::info      ? "info "
                             : level == log_level::warning ? "warning "
                                                           : "other ";
          std::vector<log_field> known;
          for (const auto& x : fields)
            if (x.name != "retry_ms") known.push_back(x);
          line += log_line(message, known);
          const std::lock_guard guard{mutex};
          log.push_back(std::move(line));
        };
      },
      "tok-en-4711"};
  REQUIRE(host.await_live(2));
  host.uplink.close();
  REQUIRE(host.until([&] { return host.final_word.has_value(); }));
  const auto who = " endpoint=http://127.0.0.1:" + std::to_string(server.port()) +
                   " pool=rooms envoy_key=link-test protocol_version=8";
  const std::lock_guard guard{mutex};
  CHECK(
      log == std::vector<std::string>{
                 "info connected to the engine" + who,
                 "info ready" + who,
                 "warning lost the engine; trying again" + who +
                     " reason=\"the engine is restarting (ws.going_away#r)\" failures=1",
                 "info connected to the engine" + who,
                 "info ready" + who});
}

TEST_CASE("link: an engine that is not there is logged with its address, and as no loss") {
  std::uint16_t port = 0;
  {
    port = raw_server{[](raw_peer&) {}}.port();
  }
  std::mutex mutex;
  std::string first;
  hosting host{
      port, [&](link_options& o) {
        o.log = [&](log_level, std::string_view message, std::span<const log_field> fields) {
          const std::lock_guard guard{mutex};
          if (first.empty()) first = log_line(message, fields);
        };
      }};
  REQUIRE(host.until([&] { return !host.downs.empty(); }));
  host.uplink.stop();
  const std::lock_guard guard{mutex};
  CHECK(first.starts_with(
      "no connection to the engine; trying again endpoint=http://127.0.0.1:" +
      std::to_string(port) +
      " pool=default envoy_key=link-test protocol_version=8 reason=\"nobody answers at "
      "host_options::endpoint"));
}

TEST_CASE("5.3: link: a token repeated in a close reason is printed nowhere") {
  const std::string token = "tok-en-4711";
  std::string reason;
  bool ends = false;
  SUBCASE("and the link dials again") { reason = "core.internal_error#r you sent rivet_token."; }
  SUBCASE("in place of a code") { reason = "rivet_token."; }
  SUBCASE("and the host is evicted") {
    reason = "ws.eviction#r you sent rivet_token.";
    ends = true;
  }
  SUBCASE("and the host is refused") {
    reason = "guard.websocket_not_supported#r you sent rivet_token.";
    ends = true;
  }
  std::atomic<bool> was_sent = false;
  raw_server server{[&](raw_peer& p) {
    if (p.accept("rivet").find(token) != std::string::npos) was_sent = true;
    p.send(raw_peer::close_frame(1011, reason + token));
    p.wait_for_end();
  }};
  std::mutex mutex;
  std::string log;
  hosting host{
      server.port(),
      [&](link_options& o) {
        o.log = [&](log_level, std::string_view message, std::span<const log_field> fields) {
          const std::lock_guard guard{mutex};
          log += fmt::format("{}\n", message);
          for (const auto& x : fields) log += fmt::format("{}={}\n", x.name, x.value);
        };
      },
      token};
  std::string words;
  if (ends) {
    REQUIRE(host.until([&] { return host.final_word.has_value(); }));
    words = host.read([&] { return host.final_word->message; });
  } else {
    REQUIRE(host.until([&] { return host.downs.size() >= 2; }));
    words = host.read([&] { return host.downs.front().second; });
  }
  CHECK(was_sent);
  CHECK(words.find("rivet_token.***") != std::string::npos);
  const std::lock_guard guard{mutex};
  CHECK((words + log).find("4711") == std::string::npos);
}

TEST_CASE("link: close() sends everything queued, then a close frame, and then it is over") {
  signal full;
  std::vector<std::string> seen;
  std::promise<int> code;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    if (!full.await()) return;
    while (const auto x = engine.next()) seen.push_back(line(*x));
    code.set_value(engine.closed);
  }};
  // All that is queued leaves in that time, on a slow machine and under a sanitizer too.
  hosting host{server.port(), [](link_options& o) { o.socket.close_limit = 60s; }};
  REQUIRE(host.await_live());
  for (std::uint16_t i = 0; i < bulk; ++i) REQUIRE(host.tunnel(i).ok());
  REQUIRE(host.uplink.send_frame(frame_class::events, 1, hosting::events()).ok());
  REQUIRE(host.uplink.send_frame(frame_class::ack, 1, hosting::ack(7)).ok());
  host.uplink.close();
  full.set();
  auto closed = code.get_future();
  REQUIRE(closed.wait_for(60s) == std::future_status::ready);
  CHECK(closed.get() == 1000);
  REQUIRE(seen.size() == bulk + 2U);
  CHECK(seen[bulk - 1] == "tunnel 99");
  CHECK(seen[bulk] == "events");
  CHECK(seen[bulk + 1] == "ack 7");
  REQUIRE(host.until([&] { return host.final_word.has_value(); }));
  CHECK(host.read([&] { return host.final_word->code; }) == errc::cancelled);
  CHECK(host.uplink.stats().dials == 1);
}

TEST_CASE("link: close() towards an engine that reads nothing ends by its limit") {
  signal over;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    over.await();
  }};
  hosting host{server.port(), [](link_options& o) { o.socket.close_limit = 300ms; }};
  REQUIRE(host.await_live());
  for (std::uint16_t i = 0; i < bulk; ++i) REQUIRE(host.tunnel(i).ok());
  host.uplink.close();
  REQUIRE(host.until([&] { return host.final_word.has_value(); }));
  CHECK(host.read([&] { return host.final_word->code; }) == errc::cancelled);
  over.set();
}

TEST_CASE(
    "1.4: link: an engine that accepts the WebSocket but sends no Init, or no Ping after it, is "
    "dialled again") {
  for (const auto says_init : {false, true}) {
    CAPTURE(says_init);
    raw_server server{[&](raw_peer& p) {
      engine_side engine{p};
      p.accept("rivet");
      if (p.index() == 0) {
        if (says_init) engine.send(protocol::to_envoy_init{{15'000, 1'800'000, 20'971'520}});
      } else {
        engine.send(protocol::to_envoy_init{{15'000, 1'800'000, 20'971'520}});
        engine.send(protocol::to_envoy_ping{wall_clock()});
      }
      while (engine.next()) {  // WebSocket pings are answered
      }
    }};
    hosting host{server.port(), [](link_options& o) { o.policy.first_words_limit = 200ms; }};
    REQUIRE(host.until([&] { return host.ups.size() == 2 && host.pings == 1; }));
    CHECK(
        host.read([&] { return host.downs.at(0).second; })
            .find(says_init ? "no first Ping came" : "no Init came") != std::string::npos);
  }
}

TEST_CASE("link: a long replay under way is not silence") {
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    p.accept("rivet");
    engine.send(protocol::to_envoy_init{{15'000, 1'800'000, 20'971'520}});
    protocol::command_start_actor start;
    start.config.input = bytes{std::string(1U << 20U, 'i')};
    const auto raw = protocol::encode(
        protocol::to_envoy{protocol::to_envoy_commands{{{{actor_id{"a"}, 1, 1}, start}}}}, version);
    p.send(raw_peer::frame_head(2, raw->size()));
    // In more time than the limit, with no pause as long as that.
    std::string_view rest{reinterpret_cast<const char*>(raw->data()), raw->size()};
    const auto piece = rest.size() / 20;
    for (int i = 0; i < 20; ++i) {
      p.send(rest.substr(0, piece));
      rest.remove_prefix(piece);
      std::this_thread::sleep_for(100ms);
    }
    p.send(rest);
    engine.send(protocol::to_envoy_ping{wall_clock()});
    while (engine.next()) {
    }
  }};
  hosting host{server.port(), [](link_options& o) { o.policy.first_words_limit = 1s; }};
  REQUIRE(host.await_live());
  CHECK(host.read([&] { return host.ups.size(); }) == 1);
}

TEST_CASE(
    "1.4: link: an engine that breaks each connection after its first Ping is dialled more and "
    "more "
    "slowly") {
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    engine.open();
    p.send(raw_peer::frame(2, "garbage"));
    p.wait_for_end();
  }};
  hosting host{server.port()};
  REQUIRE(host.until([&] { return host.delays.size() >= 5; }));
  CHECK(host.read([&] { return host.delays.at(4); }) >= 1120ms);  // 70 of a hundred of 1.6 s
}

TEST_CASE("1.4: link: too much before the first Ping ends the connection, with the reason") {
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    p.accept("rivet");
    engine.send(protocol::to_envoy_init{{15'000, 1'800'000, 20'971'520}});
    protocol::command_start_actor start;
    start.config.input = bytes{std::string(part, 'i')};
    const protocol::to_envoy commands{
        protocol::to_envoy_commands{{{{actor_id{"a"}, 1, 1}, start}}}};
    for (int i = 0; i < 8; ++i) engine.send(commands);
    engine.send(protocol::to_envoy_ping{wall_clock()});
    while (engine.next()) {
    }
  }};
  hosting host{server.port(), [](link_options& o) { o.policy.replay_bytes_max = 4 * part; }};
  REQUIRE(host.until([&] { return !host.downs.empty(); }));
  CHECK(
      host.read([&] { return host.downs.at(0).second; }).find("replay_bytes_max") !=
      std::string::npos);
  CHECK(host.read([&] { return host.pings; }) == 0);
}

TEST_CASE("link: a Ping of any time is answered with its own") {
  constexpr std::array times{
      std::numeric_limits<std::int64_t>::min(),
      std::int64_t{-1},
      std::int64_t{0},
      std::numeric_limits<std::int64_t>::max()};
  signal done;
  std::vector<std::int64_t> answers;
  raw_server server{[&](raw_peer& p) {
    engine_side engine{p};
    p.accept("rivet");
    engine.send(protocol::to_envoy_init{
        {std::numeric_limits<std::int64_t>::max(), 0, std::numeric_limits<std::uint64_t>::max()}});
    for (const auto ts : times) {
      engine.send(protocol::to_envoy_ping{ts});
      const auto answer = engine.next_or_pong();
      if (!answer) break;
      answers.push_back(std::get<protocol::to_rivet_pong>(*answer).ts);
    }
    done.set();
    while (engine.next()) {
    }
  }};
  hosting host{server.port()};
  REQUIRE(done.await());
  CHECK(answers == std::vector<std::int64_t>{times.begin(), times.end()});
  CHECK(host.read([&] { return host.leases_ended; }) == 0);
}

}  // namespace link_test

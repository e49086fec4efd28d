// The WebSocket transport against a scripted server: every way in which a handshake or a connection can end gives one
// on_gone, and whole messages pass both ways.
#include <doctest/doctest.h>

#include <future>
#include <mutex>
#include <nuncio/connection/websocket.hpp>

#include "raw_server.hpp"
#include "websocket_owner.hpp"

namespace websocket_test {

using namespace std::chrono_literals;
using nuncio::long_message;
using nuncio::long_message_head_bytes;
using nuncio::websocket;
using nuncio::websocket_frame;
using nuncio::websocket_gone;
using nuncio::websocket_options;
using nuncio::websocket_target;
using nuncio::test::owner;
using nuncio::test::raw_peer;
using nuncio::test::raw_server;
using kind = websocket_gone::kind;

namespace {

void refuse(raw_peer& p, const std::string& status, const std::string& more = {}) {
  p.read_head();
  p.send("HTTP/1.1 " + status + "\r\nContent-Length: 5\r\n" + more + "\r\nhello");
  p.wait_for_end();
}

}  // namespace

TEST_CASE("a connection that nothing accepts fails once") {
  std::uint16_t port = 0;
  {
    raw_server s{[](raw_peer&) {}};
    port = s.port();
  }
  owner o;
  o.connect(port);
  CHECK(o.await_gone().what == kind::connect_failed);
  o.connect(port);  // and the next try is not hindered
  CHECK(o.await_gone(2).what == kind::connect_failed);
}

TEST_CASE("a name that does not exist is reported as such") {
  owner o;
  websocket_target t;
  t.host = "no-such-host.invalid";
  t.port = 1;
  o.connect(t);
  const auto gone = o.await_gone();
  CHECK(gone.what == kind::name_not_found);
  CHECK(gone.reason.find("no-such-host.invalid") != std::string::npos);
}

TEST_CASE(
    "targets that libwebsockets would silently truncate or drop are refused before they are "
    "tried") {
  owner o;
  websocket_target t;
  t.host = "127.0.0.1";
  t.port = 1;
  SUBCASE("long path") {
    t.path_and_query = "/" + std::string(websocket_target::path_bytes_max, 'x');
  }
  SUBCASE("many subprotocols") {
    t.subprotocols.assign(1, std::string(websocket_target::subprotocol_bytes_max + 1, 'x'));
  }
  SUBCASE("line break") { t.path_and_query = "/a\r\nb: c"; }
  SUBCASE("no host") { t.host.clear(); }
  o.connect(t);
  CHECK(o.await_gone().what == kind::bad_target);
}

TEST_CASE("a name below localhost is this machine, whatever the system's resolver knows") {
  raw_server s{[](raw_peer& p) {
    const auto head = p.read_head();
    if (head.empty()) return;  // it was only looked whether somebody answers at this address
    CHECK(raw_peer::header(head, "Host").starts_with("engine.localhost:"));
    p.accept_with(head);
    p.wait_for_end();
  }};
  owner o;
  websocket_target t;
  t.host = "engine.localhost";
  t.port = s.port();
  o.connect(t);
  CHECK(o.until([&] { return o.opened.size() == 1; }));
}

TEST_CASE("a peer that resets at once") {
  raw_server s{[](raw_peer& p) { p.reset(); }};
  owner o;
  o.connect(s.port());
  CHECK(o.await_gone().what == kind::connect_failed);
}

TEST_CASE(
    "a handshake that never ends is ended by the deadline, and the next try may follow at once") {
  raw_server s{[](raw_peer& p) {
    if (p.index() == 1) {
      p.accept();
    } else {
      p.read_head();
      p.send("HTTP/1.1 101 Switching Protocols\r\nX-Half: ");
    }
    p.wait_for_end();
  }};
  auto options = owner::quick();
  options.connect_limit = 150ms;
  owner o{options};
  websocket_target t;
  t.host = "127.0.0.1";
  t.port = s.port();
  o.again = t;
  o.connect(t);
  REQUIRE(o.until([&] { return o.opened.size() == 1; }));
  const std::lock_guard guard{o.mutex};
  REQUIRE(o.gone.size() == 1);
  CHECK(o.gone[0].what == kind::handshake_timeout);
}

TEST_CASE("a server that never answers") {
  raw_server s{[](raw_peer& p) { p.wait_for_end(); }};
  auto options = owner::quick();
  options.connect_limit = 150ms;
  owner o{options};
  o.connect(s.port());
  CHECK(o.await_gone().what == kind::handshake_timeout);
}

TEST_CASE("a refusal is reported with its status") {
  for (const int status : {401, 403, 404, 503, 302}) {
    CAPTURE(status);
    raw_server s{[status](raw_peer& p) {
      refuse(
          p,
          std::to_string(status) + " No",
          status == 302 ? "Location: http://127.0.0.1:1/x\r\n" : "");
    }};
    owner o;
    o.connect(s.port());
    const auto gone = o.await_gone();
    CHECK(gone.what == kind::handshake_refused);
    CHECK(gone.http_status == status);
  }
}

TEST_CASE("subprotocols: one of the offered, none, or one that was not offered") {
  for (const std::string answer : {"b", "", "zzz"}) {
    CAPTURE(answer);
    std::promise<std::string> asked;
    raw_server s{[&](raw_peer& p) {
      asked.set_value(p.accept(answer));
      p.wait_for_end();
    }};
    owner o;
    o.connect(s.port(), {"a", "b"});
    const auto head = asked.get_future().get();
    CHECK(raw_peer::header(head, "Sec-WebSocket-Protocol") == "a, b");
    CHECK(raw_peer::header(head, "Host") == "127.0.0.1:" + std::to_string(s.port()));
    CHECK(head.starts_with("GET /envoys/connect?x=1 HTTP/1.1\r\n"));
    if (answer == "zzz") {
      CHECK(o.await_gone().what == kind::handshake_refused);
    } else {
      REQUIRE(o.until([&] { return !o.opened.empty(); }));
      CHECK(o.opened[0] == answer);
    }
  }
}

TEST_CASE("a path and a token of the greatest size arrive whole") {
  std::promise<std::string> asked;
  raw_server s{[&](raw_peer& p) {
    asked.set_value(p.accept("rivet"));
    p.wait_for_end();
  }};
  owner o;
  websocket_target t;
  t.host = "127.0.0.1";
  t.port = s.port();
  t.path_and_query = "/" + std::string(websocket_target::path_bytes_max - 1, 'p');
  t.subprotocols = {"rivet", std::string(websocket_target::subprotocol_bytes_max - 7, 't')};
  o.connect(t);
  REQUIRE(o.until([&] { return !o.opened.empty() || !o.gone.empty(); }));
  REQUIRE(o.gone.empty());
  const auto head = asked.get_future().get();
  CHECK(head.starts_with("GET " + t.path_and_query + " HTTP/1.1\r\n"));
  CHECK(raw_peer::header(head, "Sec-WebSocket-Protocol") == "rivet, " + t.subprotocols[1]);
}

TEST_CASE("TLS to a port without TLS fails as TLS") {
  raw_server s{[](raw_peer& p) {
    p.read(1);
    p.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    p.wait_for_end();
  }};
  owner o;
  o.connect(s.port(), {}, true);
  CHECK(o.await_gone().what == kind::tls_failed);
}

TEST_CASE("the peer's close is reported with code and reason") {
  for (const int code : {1000, 1001, 1011, 4001}) {
    CAPTURE(code);
    raw_server s{[code](raw_peer& p) {
      p.accept();
      p.send(raw_peer::close_frame(code, "ws.eviction#x"));
      p.wait_for_end();
    }};
    owner o;
    o.connect(s.port());
    const auto gone = o.await_gone();
    CHECK(gone.what == kind::closed_by_peer);
    CHECK(gone.opened);
    CHECK(gone.close_code == code);
    CHECK(gone.reason == "ws.eviction#x");
  }
}

TEST_CASE("a connection cut inside a frame is lost, and the half message is thrown away") {
  for (const bool hard : {false, true}) {
    raw_server s{[hard](raw_peer& p) {
      p.accept();
      p.send(raw_peer::frame(2, std::string(100000, 'x')).substr(0, 50000));
      if (hard) p.reset();
    }};
    owner o;
    o.connect(s.port());
    CHECK(o.await_gone().what == kind::lost);
    CHECK(o.messages.empty());
  }
}

TEST_CASE("fragments, a ping between them, text and empty messages") {
  std::promise<std::string> pong;
  raw_server s{[&](raw_peer& p) {
    p.accept();
    p.send(
        raw_peer::frame(2, std::string(1000, 'x'), false) + raw_peer::frame(9, "ping!") +
        raw_peer::frame(0, std::string(70000, 'y'), false) + raw_peer::frame(0, "z") +
        raw_peer::frame(1, "text") + raw_peer::frame(2, ""));
    const auto f = p.read_frame();
    pong.set_value(f.opcode == 10 ? f.payload : "not a pong");
    p.wait_for_end();
  }};
  owner o;
  o.connect(s.port());
  REQUIRE(o.until([&] { return o.messages.size() == 2 && o.texts.size() == 1; }));
  CHECK(o.messages[0].view() == std::string(1000, 'x') + std::string(70000, 'y') + "z");
  CHECK(o.messages[1].empty());
  CHECK(o.texts[0].view() == "text");
  CHECK(pong.get_future().get() == "ping!");
  REQUIRE(o.until([&] { return o.batches > 0; }));
}

TEST_CASE("32 MiB pass both ways, outbound in fragments") {
  std::string big(std::size_t{32} << 20, '\0');
  for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 31 >> 3);
  std::promise<std::pair<std::string, int>> got;
  raw_server s{[&](raw_peer& p) {
    p.accept();
    p.send(raw_peer::frame(2, big));
    std::string all;
    int frames = 0;
    for (;;) {
      auto f = p.read_frame();
      if (f.opcode < 0) break;
      if (f.opcode > 2) continue;
      all += f.payload;
      ++frames;
      if (f.final) break;
    }
    got.set_value({std::move(all), frames});
    p.wait_for_end();
  }};
  auto options = owner::quick();
  options.ping_after = options.hangup_after = 0ms;
  owner o{options};
  o.connect(s.port());
  o.send(big, websocket_frame::kind::binary, 7);  // before the handshake is over: taken once it is
  REQUIRE(o.until([&] { return o.messages.size() == 1; }));
  CHECK(o.messages[0].view() == big);
  const auto [all, frames] = got.get_future().get();
  CHECK(all == big);
  CHECK(frames == 128);
  REQUIRE(o.until([&] { return o.written.size() == 1; }));
  CHECK(o.written[0] == std::pair<std::uint64_t, std::size_t>{7, big.size()});
}

TEST_CASE("many small frames keep their order") {
  std::promise<bool> in_order;
  raw_server s{[&](raw_peer& p) {
    p.accept();
    bool right = true;
    for (int i = 0; i < 2000; ++i) right = right && p.read_frame().payload == std::to_string(i);
    in_order.set_value(right);
    p.wait_for_end();
  }};
  owner o;
  o.connect(s.port());
  for (int i = 0; i < 2000; ++i) o.send(std::to_string(i));
  CHECK(in_order.get_future().get());
  CHECK(o.until([&] { return o.written.size() == 2000; }));
}

namespace {

std::string numbered(std::size_t size) {
  std::string x(size, '\0');
  for (std::size_t i = 0; i < size; ++i) x[i] = static_cast<char>(i * 31 >> 3);
  return x;
}

// A peer says `sent`, then "after" and a ping, to who collects 1000 bytes.
void say_long(owner& o, const std::string& sent) {
  std::promise<std::string> pong;
  raw_server s{[&](raw_peer& p) {
    p.accept();
    p.send(sent + raw_peer::frame(2, "after") + raw_peer::frame(9, "ping!"));
    const auto f = p.read_frame();
    pong.set_value(f.opcode == 10 ? f.payload : "not a pong");
    p.wait_for_end();
  }};
  o.connect(s.port());
  REQUIRE(o.until([&] { return !o.messages.empty() || !o.gone.empty(); }));
  CHECK(pong.get_future().get() == "ping!");
  const std::lock_guard guard{o.mutex};
  CHECK(o.gone.empty());
  REQUIRE(o.messages.size() == 1);
  CHECK(o.messages[0].view() == "after");
}

websocket_options small_messages() {
  auto options = owner::quick();
  options.message_bytes_max = 1000;
  return options;
}

// Forms of one message of `all`: in a frame; in two of which the first or the second is long; in many.
std::vector<std::string> framed(const std::string& all) {
  const auto two = [&](std::size_t first) {
    return raw_peer::frame(2, all.substr(0, first), false) + raw_peer::frame(0, all.substr(first));
  };
  std::string many = raw_peer::frame(2, all.substr(0, 7), false);
  for (std::size_t at = 7; at < all.size(); at += 400)
    many += raw_peer::frame(0, all.substr(at, 400), at + 400 >= all.size());
  return {raw_peer::frame(2, all), two(1), two(600), two(all.size() - 1), two(all.size()), many};
}

}  // namespace

TEST_CASE("a message over the limit that is skipped costs nothing but itself") {
  for (const std::size_t size : {1001U, 100'000U, 4'000'000U})
    for (const auto& sent : framed(numbered(size))) {
      owner o{small_messages()};
      say_long(o, sent);
      const std::lock_guard guard{o.mutex};
      REQUIRE(o.long_heads.size() == 1);
      CHECK(o.long_heads[0].size() >= long_message_head_bytes);
      CHECK(numbered(size).starts_with(o.long_heads[0]));
      CHECK(o.part_count == 0);
    }
}

TEST_CASE("a message over the limit that is taken comes whole, in parts") {
  for (const std::size_t size : {1001U, 100'000U, 4'000'000U})
    for (const auto& sent : framed(numbered(size))) {
      owner o{small_messages()};
      o.of_long = long_message::take;
      say_long(o, sent);
      const std::lock_guard guard{o.mutex};
      CHECK(o.long_heads.size() == 1);
      CHECK(o.long_ends == 1);
      CHECK(o.parts == numbered(size));
    }
}

TEST_CASE("a message at the limit is collected") {
  owner o{small_messages()};
  raw_server s{[&](raw_peer& p) {
    p.accept();
    p.send(raw_peer::frame(2, numbered(600), false) + raw_peer::frame(0, numbered(400)));
    p.wait_for_end();
  }};
  o.connect(s.port());
  REQUIRE(o.until([&] { return !o.messages.empty(); }));
  CHECK(o.messages[0].size() == 1000);
  CHECK(o.long_heads.empty());
}

TEST_CASE(
    "the head of a long message is shown once there is enough of it, however it trickles in") {
  raw_server s{[&](raw_peer& p) {
    p.accept();
    const auto sent = raw_peer::frame(2, numbered(2000));
    for (const char c : sent) p.send({&c, 1});
    p.send(raw_peer::frame(2, "after"));
    p.wait_for_end();
  }};
  owner o{small_messages()};
  o.of_long = long_message::take;
  o.connect(s.port());
  REQUIRE(o.until([&] { return !o.messages.empty(); }));
  const std::lock_guard guard{o.mutex};
  REQUIRE(o.long_heads.size() == 1);
  CHECK(o.long_heads[0].size() >= long_message_head_bytes);
  CHECK(o.parts == numbered(2000));
}

TEST_CASE("no PONG can arrive within a frame: a long, slow one is not a lost connection") {
  auto options = owner::quick();
  options.ping_after = 50ms;
  options.hangup_after = 300ms;
  raw_server s{[](raw_peer& p) {
    p.accept();
    const auto sent = raw_peer::frame(2, numbered(1'500'000));
    for (std::size_t at = 0; at < sent.size(); at += 100'000) {  // 900 ms, of which no gap is 300
      p.send(std::string_view{sent}.substr(at, 100'000));
      std::this_thread::sleep_for(60ms);
    }
    while (p.read_frame().opcode >= 0) {  // and answers none of them
    }
  }};
  owner o{options};
  o.connect(s.port());
  REQUIRE(o.until([&] { return !o.messages.empty() || !o.gone.empty(); }));
  CHECK(o.messages.size() == 1);
  CHECK(o.await_gone().reason.find("PONG") != std::string::npos);  // between frames it can
}

TEST_CASE("half-open: a peer that answers no PING is lost, though it sends data") {
  raw_server s{[](raw_peer& p) {
    p.accept();
    while (p.read_frame().opcode >= 0 && p.send(raw_peer::frame(2, "still here"))) {
    }
  }};
  auto options = owner::quick();
  options.ping_after = 50ms;
  options.hangup_after = 200ms;
  owner o{options};
  o.connect(s.port());
  const auto gone = o.await_gone();
  CHECK(gone.what == kind::lost);
  CHECK(gone.reason.find("PONG") != std::string::npos);
  CHECK(!o.messages.empty());
}

TEST_CASE("a peer that answers PINGs is kept, and the owner's pings come back with their payload") {
  raw_server s{[](raw_peer& p) {
    p.accept();
    for (int pings = 0;;) {
      const auto f = p.read_frame();
      if (f.opcode < 0) return;
      if (f.opcode == 9) p.send(raw_peer::frame(10, f.payload));
      if (++pings == 12) p.send(raw_peer::frame(2, "enough"));
    }
  }};
  auto options = owner::quick();
  options.ping_after = 20ms;
  options.hangup_after = 200ms;
  owner o{options};
  o.connect(s.port());
  o.send("fence 1", websocket_frame::kind::ping);
  REQUIRE(o.until([&] { return !o.messages.empty() || !o.gone.empty(); }));
  CHECK(o.gone.empty());
  CHECK(o.pongs == std::vector<std::string>{"fence 1"});
}

TEST_CASE("a clean close first sends what is queued") {
  std::promise<std::vector<int>> seen;
  raw_server s{[&](raw_peer& p) {
    p.accept();
    std::vector<int> opcodes;
    for (;;) {
      const auto f = p.read_frame();
      opcodes.push_back(f.opcode);
      if (f.opcode < 0 || f.opcode == 8) break;
    }
    p.send(raw_peer::close_frame(1000, "bye"));
    seen.set_value(opcodes);
    p.wait_for_end();
  }};
  owner o;
  o.connect(s.port());
  REQUIRE(o.until([&] { return !o.opened.empty(); }));
  o.send("one");
  o.send("two");
  o.run([&] { o.ws.close(1000, "done"); });
  const auto gone = o.await_gone();
  CHECK(gone.what == kind::closed_by_us);
  CHECK(seen.get_future().get() == std::vector<int>{2, 2, 8});
}

TEST_CASE("a close that the peer does not answer ends by its limit") {
  raw_server s{[](raw_peer& p) {
    p.accept();
    p.wait_for_end();
  }};
  auto options = owner::quick();
  options.close_limit = 100ms;
  owner o{options};
  o.connect(s.port());
  REQUIRE(o.until([&] { return !o.opened.empty(); }));
  const auto begun = std::chrono::steady_clock::now();
  o.run([&] { o.ws.close(1000, "done"); });
  CHECK(o.await_gone().what == kind::closed_by_us);
  CHECK(std::chrono::steady_clock::now() - begun >= 100ms);  // the answer was waited for
}

TEST_CASE("reset is a TCP reset") {
  std::promise<bool> reset;
  raw_server s{[&](raw_peer& p) {
    p.accept();
    p.wait_for_end();
    reset.set_value(p.was_reset());
  }};
  owner o;
  o.connect(s.port());
  REQUIRE(o.until([&] { return !o.opened.empty(); }));
  o.run([&] { o.ws.reset(); });
  CHECK(o.await_gone().what == kind::closed_by_us);
  CHECK(reset.get_future().get());
}

TEST_CASE("a connect that is taken back at once still ends once") {
  owner o;
  o.run([&] {
    websocket_target t;
    t.host = "127.0.0.1";
    t.port = 1;
    o.ws.connect(t);
    o.ws.reset();
  });
  CHECK(o.await_gone().what == kind::closed_by_us);
}

TEST_CASE("stop ends an open connection with one on_gone") {
  raw_server s{[](raw_peer& p) {
    p.accept();
    p.wait_for_end();
  }};
  owner o;
  o.connect(s.port());
  REQUIRE(o.until([&] { return !o.opened.empty(); }));
  o.ws.stop();
  o.ws.stop();
  CHECK(o.await_gone().what == kind::closed_by_us);
}

TEST_CASE("paused reading holds the peer back and then continues without loss") {
  constexpr std::size_t count = 256;
  std::atomic<std::size_t> sent{0};
  raw_server s{[&](raw_peer& p) {
    p.accept();
    p.send(raw_peer::frame(2, "first"));
    if (p.read_frame().opcode != 2) return;
    for (; sent < count; ++sent) p.send(raw_peer::frame(2, std::string(1 << 17, 'x')));
    p.wait_for_end();
  }};
  auto options = owner::quick();
  options.ping_after = 20ms;
  options.hangup_after = 60ms;
  owner o{options};
  o.connect(s.port());
  REQUIRE(o.until([&] { return o.messages.size() == 1; }));
  o.run([&] { o.ws.pause_reading(true); });
  o.send("go");
  o.run([&] {
    o.ws.set_timer(400ms);
  });  // several hangup times: the pause must not look like a dead peer
  REQUIRE(o.until([&] { return o.timers == 1; }));
  CHECK(sent < count);
  CHECK(o.gone.empty());
  o.run([&] { o.ws.pause_reading(false); });
  REQUIRE(o.until([&] { return o.messages.size() == count + 1 || !o.gone.empty(); }));
}

TEST_CASE("wakes from many threads are coalesced, and none is lost") {
  owner o;
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) o.run([&] { ++done; });
    });
  for (auto& t : threads) t.join();
  o.run([&] { o.note([] {}); });
  int wakes = 0;  // read where the owner's lock is held: the last wake may still be counting itself
  CHECK(o.until([&] {
    wakes = o.wakes;
    return done == 4000;
  }));
  CHECK(wakes <= 4002);
}

TEST_CASE("a timer is replaced by the next") {
  owner o;
  o.run([&] {
    o.ws.set_timer(10s);
    o.ws.set_timer(5ms);
  });
  REQUIRE(o.until([&] { return o.timers == 1; }));
  o.run([&] {
    o.ws.set_timer(10s);
    o.ws.set_timer(30ms);
  });
  REQUIRE(o.until([&] { return o.timers == 2; }));
}

TEST_CASE("several in one process do not affect each other") {
  raw_server s1{[](raw_peer& p) {
    p.accept("one");
    p.wait_for_end();
  }};
  raw_server s2{[](raw_peer& p) {
    p.accept("two");
    p.wait_for_end();
  }};
  auto plain = owner::quick();
  plain.tls = false;  // libwebsockets 4.1.6 loses the authorities of a second context
  owner a{plain};
  owner b{plain};
  a.connect(s1.port(), {"one"});
  b.connect(s2.port(), {"two"});
  REQUIRE(a.until([&] { return !a.opened.empty(); }));
  REQUIRE(b.until([&] { return !b.opened.empty(); }));
  a.run([&] { a.ws.reset(); });
  a.await_gone();
  CHECK(b.gone.empty());
  CHECK(b.opened[0] == "two");
}

TEST_CASE("a TLS target where TLS is off is a bad target") {
  auto plain = owner::quick();
  plain.tls = false;
  owner a{plain};
  a.connect(1, {"one"}, true);
  a.await_gone();
  CHECK(a.gone[0].what == websocket_gone::kind::bad_target);
}

TEST_CASE("start reports a TLS file that cannot be read") {
  struct nobody : nuncio::websocket_handler {
    void on_open(std::string_view) override {}

    void on_message(nuncio::bytes, bool) override {}

    bool next_frame(websocket_frame&) override { return false; }

    void on_gone(const websocket_gone&) override {}
  } handler;

  websocket_options options;
  options.trust.ca_file = "/nonexistent/ca.pem";
  websocket ws{handler, options};
  const auto started = ws.start();
  REQUIRE(!started.ok());
  CHECK(started.error().message.find("/nonexistent/ca.pem") != std::string::npos);
}

}  // namespace websocket_test

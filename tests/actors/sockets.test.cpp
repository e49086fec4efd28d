// Client WebSockets: what handlers see, what the client sees, and which limits hold.
#include <numeric>
#include <nuncio/actor/access.hpp>
#include <nuncio/actor/instance_sockets.hpp>
#include <nuncio/actor/socket_record.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/support/known_by_owner.hpp>

#include "actors/watched_actors.hpp"
#include "support/fake_store.hpp"

namespace sockets_test {

using namespace nuncio;
using namespace nuncio::test;
using reason = protocol::stop_actor_reason;
using strings = std::vector<std::string>;
// As ingress keeps them.
using left = known_by_owner<actor_id, exchange_id, std::uint8_t>;

namespace {

struct notes {
  strings seen;
  std::vector<connection> sockets;
  caf::actor self;
  caf::actor other;
};

using notes_ptr = std::shared_ptr<notes>;

// Accepts by the path, echoes, and does what a message says.
caf::behavior doorman(engine_actor* self, notes_ptr n) {
  n->self = self;
  return {
      [=](const socket_opened& s) {
        n->seen.push_back(fmt::format("open {}", s.socket.path()));
        n->sockets.push_back(s.socket);
        if (s.socket.path().starts_with("/later")) return;
        if (s.socket.path() == "/refuse") return static_cast<void>(s.socket.refuse(4003, "no"));
        if (s.socket.path() == "/throw") throw std::runtime_error("no socket today");
        CHECK(s.socket.accept({.hibernate = s.socket.path() == "/hibernate"}));
      },
      [=](const socket_restored& s) {
        n->seen.push_back(fmt::format("restored {} {}", s.socket.path(), s.socket.state().view()));
        n->sockets.push_back(s.socket);
      },
      [=](const socket_message& m) {
        n->seen.push_back(fmt::format("{} {}", m.binary ? "bytes" : "text", m.text()));
        if (m.text() == "throw") throw std::runtime_error("boom");
        if (m.text() == "close") return static_cast<void>(m.socket.close(4001, "bye"));
        if (m.text() == "all") return self->broadcast(text{"to all"});
        if (m.text() == "large") return m.socket.set_state(bytes{std::string(131'072, 'x')});
        if (m.text() == "remember") return m.socket.set_state(bytes{std::string{"remembered"}});
        CHECK(m.socket.send(m.data, m.binary));
      },
      [=](const socket_closed& s) {
        n->seen.push_back(fmt::format("closed {} {}", s.code, s.reason.view()));
        CHECK_FALSE(s.socket.is_open());
      },
      [=](const http_request& r) {
        if (r.path.view() == "/all") {
          n->seen.emplace_back("asked");
          self->broadcast(text{"to all"});
        }
        return http_response{};
      },
      [=](const std::string& order) {
        if (order == "fail") throw std::runtime_error("as ordered");
        if (order.starts_with("say ")) self->broadcast(text{order.substr(4)});
        if (order == "accept") {
          const auto accepted = n->sockets.back().accept();
          n->seen.push_back(accepted ? "accepted" : describe(self->system(), accepted.error()));
        }
        if (order == "fill")  // more than one actor may ask of storage at once
          for (int i = 0; i < 5000; ++i)
            self->kv()
                .list({.limit = 1})
                .then([](const std::vector<kv_entry>&) {}, [](const caf::error&) {});
        if (order == "await")
          self->request(n->other, caf::infinite, 1).await([=](int) {
            n->seen.emplace_back("awaited");
          });
      },
  };
}

/// Answers what it is asked once it is sent a unit.
caf::actor spawn_holder(caf::actor_system& sys, caf::response_promise& held) {
  return spawn_plain(sys, [&held](caf::event_based_actor* self) -> caf::behavior {
    return {
        [&held, self](int) -> caf::result<int> {
          held = self->make_response_promise();
          return caf::delegated<int>{};
        },
        [&held](caf::unit_t) { held.deliver(7); }};
  });
}

struct fixture : hosted {
  actor_ref a = instance_of("a");
  notes_ptr n = std::make_shared<notes>();
  fake_store store;

  static ingress_options small() {
    ingress_options x;
    x.sockets_max = 4;
    x.waiting.socket_bytes_max = 4 * (waiting_message_bytes + 1);
    return x;
  }

  fixture() : fixture(small()) {}

  explicit fixture(ingress_options options) : hosted(std::move(options)) {
    host.serve("doorman", doorman, n);
    host.boot();
    host.start_accepted(a, "doorman");
    host.clear();
  }

  ~fixture() {
    n->sockets.clear();
    n->self = nullptr;
    n->other = nullptr;
  }

  void order(std::string what) {
    caf::anon_send(n->self, std::move(what));
    host.settle();
  }

  strings said() { return std::exchange(n->seen, {}); }

  /// What the engine saw, but for what it stored, since the last call.
  strings sent() {
    store.serve(host);
    auto out = host.lines();
    std::erase_if(out, [](const auto& line) { return line.starts_with("ToRivetKv"); });
    host.clear();
    store.handle_cleared();
    return out;
  }

  /// How many of the lines since the last call close one with 1013, and how many open one; -1 where there are others.
  std::pair<int, int> closed_and_opened() {
    std::pair<int, int> out;
    for (const auto& line : sent()) {
      if (line.ends_with(" socket close 1013"))
        ++out.first;
      else if (line.ends_with(" socket open"))
        ++out.second;
      else
        return {-1, -1};
    }
    return out;
  }

  /// The engine wakes the actor, with these WebSockets.
  void wake(std::uint32_t generation, const std::vector<std::uint32_t>& sockets) {
    host.wake(instance_of("a", generation), "doorman", sockets);
    host.accept(instance_of("a", generation));
  }

  void sleep(std::uint32_t generation = 1) {
    host.stop(instance_of("a", generation));
    sent();
    said();
    let_go();
  }

  /// Nothing here refers to a WebSocket any more.
  void let_go() {
    n->sockets.clear();
    host.link->meters.clear();
  }

  /// Everything that is stored was accepted so long ago that the engine has listed it since.
  void let_age() {
    for (auto& [key, value] : store.content) {
      auto record = internal::decode_socket_record(bytes{value});
      REQUIRE(record);
      record->accepted_ms -=
          std::uint64_t{std::chrono::milliseconds{internal::listing_delay}.count()};
      value = std::string{internal::encode(*record).view()};
    }
  }

  void tell(std::string order) {
    caf::anon_send(n->self, std::move(order));
    host.settle();
  }
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "a WebSocket's life") {
  host.open_socket(a, 1, "/x?name=M%C3%BCller+k&b");
  CHECK(sent() == strings{"1 #0 socket open"});
  CHECK(host.stats().sockets_open == 1);
  REQUIRE(n->sockets.size() == 1);
  CHECK(n->sockets[0].query("name") == "Müller k");
  CHECK(n->sockets[0].query("b") == "");
  CHECK_FALSE(n->sockets[0].query("c"));
  CHECK(n->sockets[0].header("user-agent") == "test");
  host.socket_says(1, 1, "hello");
  host.socket_says(1, 2, std::string_view{"\0\xff", 2}, true);
  CHECK(sent() == strings{"1 #1 socket text hello", std::string{"1 #2 socket bytes \0\xff", 20}});
  host.close_socket(1, 3, 4000, "had enough");
  CHECK(
      said() == strings{
                    "open /x?name=M%C3%BCller+k&b",
                    "text hello",
                    std::string{"bytes \0\xff", 8},
                    "closed 4000 had enough"});
  CHECK(sent().empty());
  CHECK(host.stats().sockets_open == 0);
  CHECK(host.stats().sockets == 1);
  CHECK(host.stats().socket_messages == 2);
}

TEST_CASE_FIXTURE(fixture, "a WebSocket that the actor has closed sends nothing more") {
  host.open_socket(a, 1);
  host.socket_says(1, 1, "close");
  CHECK(sent() == strings{"1 #0 socket open", "1 #1 socket close 4001"});
  host.close_socket(1, 2, 1000);
  host.socket_says(1, 3, "late");
  CHECK(said() == strings{"open /", "text close"});
  CHECK(host.stats().sockets_open == 0);
}

TEST_CASE_FIXTURE(fixture, "a WebSocket that is refused is accepted first") {
  host.open_socket(a, 1, "/refuse");
  CHECK(sent() == strings{"1 #0 socket open", "1 #1 socket close 4003"});
  CHECK(host.stats().sockets_refused == 1);
  CHECK(host.stats().sockets_open == 0);
}

TEST_CASE_FIXTURE(fixture, "a WebSocket may be accepted later, but not too late") {
  host.open_socket(a, 1, "/later");
  CHECK(sent().empty());
  tell("accept");
  CHECK(sent() == strings{"1 #0 socket open"});
  host.open_socket(a, 2, "/later");
  host.pass(9s);
  CHECK(sent().empty());
  host.pass(2s);
  CHECK(sent() == strings{"2 #0 socket open", "2 #1 socket close 1011"});
  CHECK(host.stats().sockets_open == 1);
  CHECK(n->sockets.back().accept().error() == errc::invalid_argument);
}

TEST_CASE_FIXTURE(fixture, "a repeated open replaces the WebSocket") {
  host.open_socket(a, 1, "/x");
  host.open_socket(a, 1, "/y");
  CHECK(
      said() ==
      strings{"open /x", "closed 1006 the gateway opened this WebSocket again", "open /y"});
  CHECK(sent() == strings{"1 #0 socket open", "1 #0 socket open"});
  host.socket_says(1, 1, "hello");
  CHECK(sent() == strings{"1 #1 socket text hello"});
  CHECK(host.stats().sockets_open == 1);
}

TEST_CASE_FIXTURE(fixture, "a client's messages are handed out in order, each once") {
  host.open_socket(a, 1);
  host.socket_says(1, 1, "one");
  host.socket_says(1, 1, "one");
  host.socket_says(1, 2, "two");
  CHECK(said() == strings{"open /", "text one", "text two"});
  sent();
  host.socket_says(1, 4, "four");
  CHECK(sent() == strings{"1 #3 socket close 1011"});
  CHECK(said() == strings{"closed 1011 a message of this WebSocket was lost"});
}

TEST_CASE_FIXTURE(fixture, "text that is not UTF-8 closes the WebSocket") {
  host.open_socket(a, 1);
  host.socket_says(1, 1, "\xc3");
  CHECK(sent() == strings{"1 #0 socket open", "1 #1 socket close 1007"});
  CHECK(said() == strings{"open /", "closed 1007 a text message was not UTF-8"});
}

TEST_CASE_FIXTURE(fixture, "I13 backpressure: a client that floods is closed, others are not") {
  host.open_socket(a, 1);
  host.open_socket(a, 2);
  std::vector<protocol::to_envoy> flood;
  for (std::uint16_t i = 1; i <= 6; ++i)
    flood.push_back(sim_host::tunnel(
        1, i, protocol::to_envoy_web_socket_message{bytes{std::string{"x"}}, false}));
  flood.push_back(sim_host::tunnel(
      2, 1, protocol::to_envoy_web_socket_message{bytes{std::string{"y"}}, false}));
  said();
  sent();
  host.batch(std::move(flood));
  host.settle();
  CHECK(host.stats().sockets_flooded == 1);
  const auto lines = sent();
  CHECK(std::count(lines.begin(), lines.end(), "1 #1 socket close 1008") == 1);
  CHECK(std::count(lines.begin(), lines.end(), "2 #1 socket text y") == 1);
  const auto seen = said();
  CHECK(
      std::count(
          seen.begin(), seen.end(), "closed 1008 more messages than this actor can accept") == 1);
  CHECK(std::count(seen.begin(), seen.end(), "text x") == 0);
}

TEST_CASE_FIXTURE(
    fixture, "a message that is too long closes its WebSocket with 1009, and no other") {
  host.open_socket(a, 1);
  host.open_socket(a, 2);
  host.socket_says(1, 1, "before");
  said();
  sent();
  const auto message = [](std::uint32_t n, std::uint16_t index) {
    return sim_host::tunnel(
        n, index, protocol::to_envoy_web_socket_message{bytes{std::string{"x"}}, false});
  };
  host.too_long(message(1, 2), {message(1, 3), message(2, 1)});
  CHECK(sent() == strings{"1 #2 socket close 1009", "2 #1 socket text x"});
  CHECK(said() == strings{"text x", "closed 1009 a message is larger than this host accepts"});
  CHECK(host.stats().too_long == 1);
  CHECK(host.stats().sockets_open == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "a hibernating client whose message is too long hears 1009, however it wakes its actor") {
  host.open_socket(a, 1, "/hibernate");
  sent();
  let_age();
  const auto message = [](std::uint16_t index) {
    return sim_host::tunnel(
        1, index, protocol::to_envoy_web_socket_message{bytes{std::string{"x"}}, false});
  };
  // What comes while it stops is for the next generation, to which it comes again.
  host.stop(a, reason::sleep_intent);
  sent();
  said();
  n->sockets.clear();
  host.wake(instance_of("a", 2), "doorman", {1});
  host.accept(instance_of("a", 2));
  host.too_long(message(1));
  const auto lines = sent();
  CHECK(std::count(lines.begin(), lines.end(), "1 #1 socket close 1009") == 1);
  CHECK(host.stats().sockets_open == 0);
}

TEST_CASE_FIXTURE(fixture, "a WebSocket whose opening is too long is refused with 1009") {
  host.too_long(sim_host::tunnel(1, 0, protocol::to_envoy_web_socket_open{a.actor, {}, {}, {}}));
  CHECK(sent() == strings{"1 #0 socket open", "1 #1 socket close 1009"});
  CHECK(said().empty());
}

TEST_CASE_FIXTURE(fixture, "one message may be longer than the limit for waiting messages") {
  host.open_socket(a, 1);
  host.socket_says(1, 1, std::string(5000, 'x'));
  host.socket_says(1, 2, std::string(5000, 'x'));
  CHECK(said().size() == 3);
  CHECK(host.stats().sockets_open == 1);
}

TEST_CASE_FIXTURE(fixture, "I13 backpressure: a client that reads too slowly is closed") {
  host.open_socket(a, 1);
  REQUIRE(host.link->meters.size() == 1);
  host.link->meters[0]->store(9UL << 20U);
  sent();
  caf::anon_send(
      n->self, internal::socket_order{n->sockets[0], bytes{std::string{"more"}}, false, 0, {}});
  host.settle();
  CHECK(sent() == strings{"1 #2 socket close 1013"});
  CHECK(said() == strings{"open /", "closed 1013 the client reads too slowly"});
  CHECK(host.stats().sockets_open == 0);
}

TEST_CASE_FIXTURE(
    fixture, "I13 backpressure: messages sent while the link has no room go later, in order") {
  host.open_socket(a, 1);
  sent();
  host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  host.open_socket(a, 2);
  host.socket_says(1, 1, "one");
  order("say two");
  host.socket_says(2, 1, "close");
  CHECK(sent().empty());
  CHECK(host.stats().sockets_open == 1);
  host.free_room();
  auto lines = sent();
  std::stable_sort(lines.begin(), lines.end(), [](const auto& x, const auto& y) {
    return x[0] < y[0];  // a broadcast has no order among its clients
  });
  CHECK(
      lines == strings{
                   "1 #1 socket text one",
                   "1 #2 socket text two",
                   "2 #0 socket open",
                   "2 #1 socket text two",
                   "2 #2 socket close 4001"});
  order("say three");
  CHECK(sent() == strings{"1 #3 socket text three"});
  CHECK(host.stats().sockets_open == 1);
}

TEST_CASE_FIXTURE(fixture, "long messages leave room in the link for short ones of other actors") {
  const auto b = instance_of("b");
  host.open_socket(a, 1);
  const auto of_a = n->self;
  host.start_accepted(b, "doorman");
  host.open_socket(b, 2);
  sent();
  host.link->room_for_bodies = false;
  caf::anon_send(of_a, "say " + std::string(http_chunk_bytes_max + 1, 'x'));
  host.settle();
  CHECK(sent().empty());
  host.socket_says(2, 1, "short");
  CHECK(sent() == strings{"2 #1 socket text short"});
  host.free_room();
  CHECK(sent().size() == 1);
}

TEST_CASE(
    "I13 backpressure: messages waiting for room in the link have a limit, and a broadcast counts "
    "once") {
  auto options = fixture::small();
  options.waiting.actor_bytes_max = 1'000'000;
  fixture x{options};
  for (std::uint32_t i = 1; i <= 3; ++i) x.host.open_socket(x.a, i);
  x.sent();
  x.host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  x.order("say " + std::string(600'000, 'x'));
  CHECK(x.host.stats().sockets_open == 3);
  x.order("say " + std::string(600'000, 'y'));
  CHECK(x.host.stats().sockets_open == 0);
  x.host.free_room();
  const auto lines = x.sent();
  REQUIRE(lines.size() == 6);  // nobody has a gap: what was said first, then the close
  for (std::size_t i = 3; i < 6; ++i) CHECK(lines[i].ends_with("socket close 1013"));
  // All room is back.
  x.host.open_socket(x.a, 4);
  x.host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  x.order("say " + std::string(600'000, 'z'));
  CHECK(x.host.stats().sockets_open == 1);
}

TEST_CASE_FIXTURE(fixture, "an actor that is to stop first sends what waits for room") {
  host.open_socket(a, 1, "/hibernate");
  sent();
  host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  order("say last words");
  host.stop(a);
  host.pass(1s);
  host.free_room();
  const auto lines = sent();
  CHECK(std::count(lines.begin(), lines.end(), "1 #1 socket text last words") == 1);
  CHECK(lines.back() == "event a/1:501 stopped ok");
}

TEST_CASE_FIXTURE(
    fixture, "a long message delays its own client only: everything else is sent at once") {
  host.open_socket(a, 1);
  host.open_socket(a, 2);
  sent();
  host.link->room_for_bodies = false;
  host.socket_says(1, 1, std::string(short_message_bytes_max + 1, 'x'));
  host.socket_says(2, 1, "short");
  CHECK(sent() == strings{"2 #1 socket text short"});
  host.socket_says(1, 2, "behind it");
  host.open_socket(a, 3);
  host.socket_says(2, 2, "close");
  CHECK(sent() == strings{"3 #0 socket open", "2 #2 socket close 4001"});
  host.free_room();
  const auto lines = sent();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].starts_with("1 #1 socket text x"));
  CHECK(lines[1] == "1 #2 socket text behind it");
}

TEST_CASE_FIXTURE(fixture, "an actor that ends may use all the room: waiting messages are sent") {
  host.open_socket(a, 1, "/hibernate");
  sent();
  host.link->room_for_bodies = false;
  order("say " + std::string(short_message_bytes_max + 1, 'x'));
  CHECK(sent().empty());
  SUBCASE("because it is told to stop") { host.stop(a); }
  SUBCASE("because it fails") { order("fail"); }
  const auto lines = sent();
  CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& x) {
          return x.starts_with("1 #1 socket text x");
        }) == 1);
  CHECK(std::none_of(lines.begin(), lines.end(), [](const auto& x) {
    return x.find("socket close") != std::string::npos;
  }));
}

TEST_CASE_FIXTURE(
    fixture,
    "a hibernating client that can't be told what its actor said before it ended is closed") {
  host.open_socket(a, 1, "/hibernate");
  host.open_socket(a, 2, "/hibernate");
  sent();
  host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  host.socket_says(1, 1, "lost");
  order("fail");
  host.link->refuse_tunnel.reset();
  sent();
  said();
  let_go();
  // Nothing is stored of it any more, so the next instance closes it; the other goes on.
  wake(2, {1, 2});
  store.serve(host);
  CHECK(said() == strings{"restored /hibernate "});
  CHECK(host.stats().sockets_open == 1);
}

TEST_CASE(
    "room for waiting messages is given back with the actor, even if a handle to it is held") {
  fixture x;
  x.host.open_socket(x.a, 1);
  const caf::actor held = x.n->self;
  const auto& context = internal::access::context(
      *static_cast<engine_actor*>(caf::actor_cast<caf::abstract_actor*>(held)));
  const auto pool = context.outgoing;
  x.host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  x.order("say " + std::string(600'000, 'x'));
  CHECK(pool->used() > 500'000);
  x.order("fail");
  CHECK(pool->used() == 0);
}

template <class T>
concept sayable = requires(const connection& to, engine_actor& self, T x) {
  to.send(x);
  self.broadcast(x);
};

// A literal is as good as a text.
static_assert(sayable<const char*> && sayable<std::string> && sayable<std::string_view>);
static_assert(sayable<text> && sayable<bytes>);

TEST_CASE_FIXTURE(fixture, "a close without room is sent later") {
  host.open_socket(a, 1);
  sent();
  host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  host.socket_says(1, 1, "close");
  CHECK(sent().empty());
  host.free_room();
  CHECK(sent() == strings{"1 #1 socket close 4001"});
}

TEST_CASE_FIXTURE(fixture, "too many WebSockets") {
  for (std::uint32_t i = 1; i <= 5; ++i) host.open_socket(a, i);
  CHECK(
      sent() == strings{
                    "1 #0 socket open",
                    "2 #0 socket open",
                    "3 #0 socket open",
                    "4 #0 socket open",
                    "5 #0 socket open",
                    "5 #1 socket close 1013"});
  host.close_socket(1, 1, 1000);
  host.open_socket(a, 6);
  CHECK(sent() == strings{"6 #0 socket open"});
}

TEST_CASE(
    "I13 backpressure: WebSockets that a crashed engine has left make room, at the bound of an "
    "actor and of its "
    "host") {
  auto options = fixture::small();
  SUBCASE("of an actor") {}
  SUBCASE("of the host") {
    options.sockets_max = 100;
    options.host_sockets_max = 4;
  }
  fixture x{options};
  for (std::uint32_t i = 1; i <= 4; ++i)
    x.host.open_socket(x.a, i, i % 2 == 0 ? "/hibernate" : "/");
  for (std::uint8_t crash = 1; crash <= 3; ++crash) {
    x.host.cut();
    x.host.connect();
    x.sent();
    x.said();
    x.host.gateway = crash;
    for (std::uint32_t i = 1; i <= 4; ++i) {
      x.host.open_socket(x.a, i, i % 2 == 0 ? "/hibernate" : "/");
      CHECK(x.closed_and_opened() == std::pair{1, 1});
    }
    const auto said = x.said();
    CHECK(
        std::count(
            said.begin(),
            said.end(),
            "closed 1013 this client was silent after a reconnect, and others need its "
            "place") == 4);
    x.host.open_socket(x.a, 5);
    CHECK(x.sent() == strings{"5 #0 socket open", "5 #1 socket close 1013"});
    CHECK(x.host.stats().sockets_open == 4);
    CHECK(x.host.stats().clients_doubted == 4U * crash);
  }
}

TEST_CASE_FIXTURE(
    fixture,
    "I13 backpressure: after a cut a WebSocket that sends something stays, a silent one makes "
    "room") {
  for (std::uint32_t i = 1; i <= 4; ++i) host.open_socket(a, i);
  host.cut();
  host.connect();
  host.pass(9s);
  sent();
  host.open_socket(a, 5);
  CHECK(sent() == strings{"5 #0 socket open", "5 #1 socket close 1013"});
  host.socket_says(1, 1, "here");
  host.close_socket(2, 1, 1000);
  host.pass(1s);
  host.open_socket(a, 6);  // in the place of 2
  sent();
  for (std::uint32_t i = 7; i <= 8; ++i) {
    host.open_socket(a, i);
    CHECK(closed_and_opened() == std::pair{1, 1});
  }
  host.open_socket(a, 9);
  CHECK(sent() == strings{"9 #0 socket open", "9 #1 socket close 1013"});
  host.socket_says(1, 2, "still here");
  CHECK(sent().back() == "1 #2 socket text still here");
}

TEST_CASE("I13 backpressure: the heads of WebSockets that a crashed engine has left make room") {
  auto options = fixture::small();
  SUBCASE("of an actor") { options.socket_head_bytes_max = 2200; }
  SUBCASE("of the host") { options.host_socket_head_bytes_max = 2200; }
  fixture x{options};
  const auto path = "/" + std::string(550, 'x');
  for (std::uint32_t i = 1; i <= 2; ++i) x.host.open_socket(x.a, i, path);
  x.host.cut();
  x.host.connect();
  x.sent();
  x.host.gateway = 1;
  // The first is refused: that room is there once its actor has let go.
  x.host.open_socket(x.a, 3, path);
  CHECK(x.closed_and_opened() == std::pair{2, 1});
  CHECK(x.host.stats().clients_doubted == 1);
  x.let_go();
  x.host.open_socket(x.a, 4, path);
  CHECK(x.sent() == strings{"4 #0 socket open"});
  CHECK(x.host.stats().sockets_open == 2);
}

TEST_CASE("2.4: what WebSockets were opened with has a bound, of an actor and of its host") {
  auto options = fixture::small();
  // Two of them, 512 bytes each beside the path, fit in.
  SUBCASE("of an actor") { options.socket_head_bytes_max = 2200; }
  SUBCASE("of the host") { options.host_socket_head_bytes_max = 2200; }
  fixture x{options};
  const auto path = "/" + std::string(550, 'x');
  for (std::uint32_t i = 1; i <= 3; ++i) x.host.open_socket(x.a, i, path);
  CHECK(
      x.sent() ==
      strings{
          "1 #0 socket open", "2 #0 socket open", "3 #0 socket open", "3 #1 socket close 1013"});
  x.host.close_socket(1, 1, 1000);
  x.let_go();
  x.host.open_socket(x.a, 4, path);
  CHECK(x.sent() == strings{"4 #0 socket open"});
  x.let_go();
  // All of it comes back with the instance.
  x.host.stop(x.a);
  x.sent();
  x.host.start_accepted(instance_of("a", 2), "doorman");
  for (std::uint32_t i = 5; i <= 6; ++i) x.host.open_socket(instance_of("a", 2), i, path);
  x.sent();
  CHECK(x.host.stats().sockets_open == 2);
}

TEST_CASE("2.1: WebSockets that end before a busy actor has handled them count until it has") {
  auto options = fixture::small();
  options.socket_head_bytes_max = 2200;
  fixture x{options};
  caf::response_promise held;
  x.n->other = spawn_holder(*x.host.sim, held);
  const auto path = "/" + std::string(550, 'x');
  x.tell("await");
  for (std::uint32_t i = 1; i <= 2; ++i) x.host.open_socket(x.a, i, path);
  SUBCASE("their clients leave") {
    for (std::uint32_t i = 1; i <= 2; ++i) x.host.close_socket(i, 1, 1001);
  }
  SUBCASE("they are not accepted in time") { x.host.pass(options.accept_limit + 1s, 1s); }
  x.sent();
  CHECK(x.host.stats().sockets_open == 0);
  x.host.open_socket(x.a, 3, path);
  CHECK(x.sent() == strings{"3 #0 socket open", "3 #1 socket close 1013"});
  caf::anon_send(x.n->other, caf::unit);
  x.host.settle();
  x.sent();
  x.let_go();
  x.host.open_socket(x.a, 4, path);
  CHECK(x.sent() == strings{"4 #0 socket open"});
  caf::anon_send_exit(x.n->other, caf::exit_reason::kill);
  x.host.settle();
}

TEST_CASE("2.4: what WebSockets that come back were opened with counts as well") {
  auto options = fixture::small();
  // Each of those of "a" takes 26 bytes, that of "b" 17, and each 512 more.
  options.host_socket_head_bytes_max = 60 + 3 * 512;
  fixture x{options};
  x.host.open_socket(x.a, 1, "/hibernate");
  x.host.open_socket(x.a, 2, "/hibernate");
  x.sleep();
  std::vector<std::uint32_t> listed;
  SUBCASE("listed") {
    x.let_age();
    listed = {1, 2};
  }
  SUBCASE("not listed, but young") {}
  x.host.start_accepted(instance_of("b"), "doorman");
  x.host.open_socket(instance_of("b"), 11);
  x.sent();
  x.wake(2, listed);
  const auto lines = x.sent();
  CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) {
          return line.ends_with("socket close 1013");
        }) == 1);
  CHECK(x.host.stats().sockets_open == 2);
  x.host.close_socket(11, 1, 1000);
  x.host.open_socket(instance_of("a", 2), 12);
  CHECK(x.sent() == strings{"12 #0 socket open"});
}

TEST_CASE_FIXTURE(
    fixture,
    "a WebSocket that is accepted as its time is over is accepted or refused, never both") {
  host.open_socket(a, 1, "/later");
  said();
  const auto limit = small().accept_limit;
  const auto time_over = [&] { host.sim.pass(limit + 1s); };
  SUBCASE("its actor comes first") {
    caf::anon_send(n->self, std::string{"accept"});
    time_over();
    host.settle();
    CHECK(sent() == strings{"1 #0 socket open"});
    CHECK(said() == strings{"accepted"});
    CHECK(host.stats().sockets_open == 1);
    CHECK(host.stats().sockets_refused == 0);
    // Nor does it end later.
    host.pass(2 * limit, 1s);
    CHECK(sent().empty());
    CHECK(n->sockets.back().is_open());
  }
  SUBCASE("ingress comes first") {
    time_over();
    caf::anon_send(n->self, std::string{"accept"});
    host.settle();
    CHECK(sent() == strings{"1 #0 socket open", "1 #1 socket close 1011"});
    CHECK(
        said() ==
        strings{
            "this WebSocket was not accepted in time", "closed 1006 it was not accepted in time"});
    CHECK(host.stats().sockets_open == 0);
    CHECK(host.stats().sockets_refused == 1);
  }
}

TEST_CASE("1.4: a hibernating WebSocket that is listed twice counts once, also without room") {
  auto options = fixture::small();
  options.sockets_max = 2;
  fixture x{options};
  x.host.open_socket(x.a, 1, "/hibernate");
  x.host.open_socket(x.a, 2, "/hibernate");
  x.sleep();
  x.let_age();
  x.wake(2, {1, 2, 1, 2});
  CHECK(x.host.stats().sockets_open == 2);
  x.sent();
  CHECK(x.said() == strings{"restored /hibernate ", "restored /hibernate "});
  x.host.close_socket(1, 1, 1000);
  x.host.close_socket(2, 1, 1000);
  CHECK(x.host.stats().sockets_open == 0);
}

TEST_CASE_FIXTURE(fixture, "an open for an actor that is not here is left to the next generation") {
  host.open_socket(instance_of("b"), 1);
  CHECK(sent() == strings{"1 #0 socket close 1011"});
}

TEST_CASE_FIXTURE(fixture, "a broadcast goes to all that are open") {
  host.open_socket(a, 1);
  host.open_socket(a, 2);
  host.open_socket(a, 3, "/later");
  sent();
  host.socket_says(1, 1, "all");
  auto lines = sent();
  std::sort(lines.begin(), lines.end());
  CHECK(lines == strings{"1 #1 socket text to all", "2 #1 socket text to all"});
}

TEST_CASE_FIXTURE(fixture, "other actors write to a WebSocket through its connection") {
  host.open_socket(a, 1);
  host.open_socket(a, 2);
  sent();
  CHECK(n->sockets[0].send(text{"from outside"}));
  CHECK(n->sockets[1].close(4002, "outside"));
  CHECK(n->sockets[1].close(1, "").error() == errc::invalid_argument);
  CHECK(n->sockets[0].accept().error() == errc::invalid_argument);
  host.settle();
  CHECK(sent() == strings{"1 #1 socket text from outside", "2 #1 socket close 4002"});
  host.stop(a);
  host.pass(20s);
  CHECK_FALSE(connection{}.send(text{"x"}));
}

TEST_CASE("messages of a WebSocket given to another engine actor are ordinary messages to it") {
  hosted x;

  struct seen {
    strings back;
    caf::actor to;
  };

  const auto n = std::make_shared<seen>();
  x.host.serve(
      "front",
      [](engine_actor* self, std::shared_ptr<seen> s) -> caf::behavior {
        return {
            [=](const socket_opened& o) {
              CHECK(o.socket.accept());
              self->send(s->to, o);
            },
            [=](const socket_message& m) { self->send(s->to, m); },
            [=](const socket_closed& c) { self->send(s->to, c); },
        };
      },
      n);
  x.host.serve(
      "back",
      [](engine_actor* self, std::shared_ptr<seen> s) -> caf::behavior {
        s->to = self;
        return {
            [=](const socket_opened& o) {
              if (!o.socket.accept()) s->back.emplace_back("opened elsewhere");
            },
            [=](const socket_message& m) {
              s->back.push_back(fmt::format("said {}", m.text()));
              m.socket.send(m.data, m.binary);
            },
            [=](const socket_closed& c) { s->back.push_back(fmt::format("closed {}", c.code)); },
        };
      },
      n);
  x.host.boot();
  x.host.start_accepted(instance_of("b"), "back");
  x.host.start_accepted(instance_of("a"), "front");
  const auto hears_all = [&] {
    n->back.clear();
    x.host.clear();
    x.host.open_socket(instance_of("a"), 1);
    x.host.socket_says(1, 1, "one");
    x.host.socket_says(1, 2, "two");
    x.host.close_socket(1, 3, 4000);
    CHECK(n->back == strings{"opened elsewhere", "said one", "said two", "closed 4000"});
    CHECK(
        x.host.lines() ==
        strings{"1 #0 socket open", "1 #1 socket text one", "1 #2 socket text two"});
  };
  SUBCASE("that has no WebSockets") { hears_all(); }
  SUBCASE("that has its own, which go on") {
    x.host.open_socket(instance_of("b"), 2);
    x.host.socket_says(2, 1, "own");
    hears_all();
    x.host.socket_says(2, 2, "more");
    CHECK(x.host.lines().back() == "2 #2 socket text more");
    CHECK(x.host.stats().sockets_open == 1);
  }
  SUBCASE("that are of no WebSocket at all") {
    caf::anon_send(n->to, socket_message{});
    caf::anon_send(n->to, socket_closed{});
    x.host.settle();
    CHECK(n->back == strings{"said ", "closed 0"});
  }
  n->to = nullptr;
}

TEST_CASE_FIXTURE(
    fixture,
    "a handler that throws for one WebSocket ends its actor; the next generation has the others") {
  host.open_socket(a, 1, "/throw");
  CHECK(host.stats().sockets_open == 0);
  const auto lines = sent();
  CHECK(
      std::count(
          lines.begin(), lines.end(), "event a/1:501 stopped error: hidden: no socket today") == 1);
}

TEST_CASE_FIXTURE(fixture, "hibernating: messages are acked once their handler has returned") {
  host.open_socket(a, 1, "/hibernate");
  host.socket_says(1, 1, "one");
  host.socket_says(1, 2, "two");
  CHECK(sent() == strings{"1 #0 socket open", "1 #1 socket text one", "1 #2 socket text two"});
  host.pass(1s);
  CHECK(sent() == strings{"1 #3 socket ack 2"});
  host.pass(5s);
  CHECK(sent().empty());
  host.socket_says(1, 2, "two");  // the ack was lost
  host.pass(1s);
  CHECK(sent() == strings{"1 #4 socket ack 2"});
  CHECK(said() == strings{"open /hibernate", "text one", "text two"});
}

TEST_CASE_FIXTURE(
    fixture,
    "I13 backpressure: a busy actor is notified once of a message that is repeated again and "
    "again") {
  host.open_socket(a, 1, "/hibernate");
  host.socket_says(1, 1, "one");
  host.pass(1s);
  sent();
  const auto& socket = internal::access::socket_of(n->sockets.front());
  const auto refer_to_it = [&] {
    std::vector<protocol::to_envoy> again;
    for (int i = 0; i < 100; ++i)
      again.push_back(sim_host::tunnel(
          1, 1, protocol::to_envoy_web_socket_message{bytes{std::string{"one"}}, false}));
    const auto before = socket.use_count();
    host.batch(std::move(again));
    host.sim.run_once();  // ingress alone
    const auto more = socket.use_count() - before;
    host.settle();
    return more;
  };
  CHECK(refer_to_it() == 1);  // each message about it that waits in a mailbox does
  host.pass(1s);
  CHECK(sent() == strings{"1 #3 socket ack 1"});
  CHECK(refer_to_it() == 1);
  host.pass(1s);
  CHECK(sent() == strings{"1 #4 socket ack 1"});
}

TEST_CASE_FIXTURE(
    fixture, "hibernating: a message whose handler threw is acked, those behind it are not") {
  host.open_socket(a, 1, "/hibernate");
  sent();
  host.batch(
      {sim_host::tunnel(
           1, 1, protocol::to_envoy_web_socket_message{bytes{std::string{"throw"}}, false}),
       sim_host::tunnel(
           1, 2, protocol::to_envoy_web_socket_message{bytes{std::string{"next"}}, false})});
  host.settle();
  const auto lines = sent();
  REQUIRE(!lines.empty());
  CHECK(lines[0] == "1 #1 socket ack 1");
  CHECK(std::count(lines.begin(), lines.end(), "1 #2 socket ack 2") == 0);
}

TEST_CASE_FIXTURE(fixture, "hibernating: what comes after the Stop is for the next generation") {
  host.serve(
      "lingerer",
      [](engine_actor* self, notes_ptr to) -> caf::behavior {
        return {
            [](const socket_opened& s) {
              CHECK(s.socket.accept({.hibernate = s.socket.path() == "/hibernate"}));
            },
            [=](const socket_message& m) {
              to->seen.push_back(m.data.view() == "quit" ? (self->quit(), "quit") : "heard");
            },
            [](nuncio::stop_command) {},
        };
      },
      n);
  host.end();
  host.boot();
  const auto b = instance_of("b");
  host.start_accepted(b, "lingerer");
  host.open_socket(b, 1, "/hibernate");
  host.open_socket(b, 2, "/plain");
  host.stop(b);
  host.socket_says(1, 1, "late");
  host.socket_says(2, 1, "served still");
  CHECK(said() == strings{"heard"});
  sent();
  host.socket_says(2, 2, "quit");
  const auto lines = sent();
  REQUIRE(lines.size() == 1);
  CHECK(lines[0] == "event b/1:501 stopped ok");
}

TEST_CASE_FIXTURE(fixture, "hibernating: when the actor is destroyed, its clients are closed") {
  host.open_socket(a, 1, "/hibernate");
  host.open_socket(a, 2);
  sent();
  host.stop(a, reason::destroy);
  CHECK(sent() == strings{"1 #1 socket close 1000", "ack a/1:2", "event a/1:501 stopped ok"});
}

TEST_CASE_FIXTURE(fixture, "hibernating: while the actor sleeps, its clients get nothing") {
  host.open_socket(a, 1, "/hibernate");
  sent();
  host.stop(a);
  CHECK(sent() == strings{"ack a/1:2", "event a/1:501 stopped ok"});
}

TEST_CASE_FIXTURE(
    fixture, "messages of a WebSocket wait in order while its actor awaits something") {
  caf::response_promise held;
  n->other = spawn_holder(*host.sim, held);
  host.open_socket(a, 1);
  tell("await");
  host.socket_says(1, 1, "one");
  host.socket_says(1, 2, "two");
  host.close_socket(1, 3, 4001, "left");
  CHECK(said() == strings{"open /"});
  CHECK(
      internal::access::socket_of(n->sockets[0])->waiting.used() ==
      2 * (waiting_message_bytes + 3));
  caf::anon_send(n->other, caf::unit);
  host.settle();
  CHECK(said() == strings{"awaited", "text one", "text two", "closed 4001 left"});
  CHECK(internal::access::socket_of(n->sockets[0])->waiting.used() == 0);
  caf::anon_send_exit(n->other, caf::exit_reason::kill);
  host.settle();
}

TEST_CASE_FIXTURE(fixture, "hibernating: the next instance continues where the last one stopped") {
  host.open_socket(a, 1, "/hibernate");
  host.open_socket(a, 2, "/hibernate");
  host.socket_says(1, 1, "remember");
  host.socket_says(1, 2, "two");
  sleep();
  CHECK(store.content.size() == 2);
  wake(2, {1, 2});
  store.serve(host);
  auto seen = said();
  std::sort(seen.begin(), seen.end());
  CHECK(seen == strings{"restored /hibernate ", "restored /hibernate remembered"});
  CHECK(n->sockets.back().header("user-agent") == "test");
  CHECK(host.stats().sockets_open == 2);
  sent();
  host.socket_says(1, 2, "two");  // its ack was lost
  host.socket_says(1, 3, "three");
  CHECK(said() == strings{"text three"});
  CHECK(sent() == strings{"1 #3 socket text three"});
  host.pass(1s);
  CHECK(sent() == strings{"1 #4 socket ack 3"});
}

TEST_CASE("2.1: records of many hibernating WebSockets are read page by page") {
  constexpr std::uint32_t count = 1100;
  auto options = fixture::small();
  options.sockets_max = 2000;
  fixture x{options};
  std::vector<std::uint32_t> all;
  for (std::uint32_t i = 1; i <= count; ++i) {
    x.host.open_socket(x.a, i, "/hibernate");
    all.push_back(i);
  }
  x.host.socket_says(700, 1, "remember");
  x.sleep();
  x.let_age();
  REQUIRE(x.store.content.size() == count);
  const auto closed_with = [&](std::string_view code) {
    const auto lines = x.sent();
    return std::count_if(
        lines.begin(), lines.end(), [&](const auto& line) { return line.ends_with(code); });
  };
  const auto restored = [&] {
    const auto seen = x.said();
    CHECK(std::count(seen.begin(), seen.end(), "restored /hibernate remembered") == 1);
    return std::count_if(
        seen.begin(), seen.end(), [](const auto& line) { return line.starts_with("restored "); });
  };
  SUBCASE("three pages") {
    x.wake(2, all);
    CHECK(closed_with("socket close 1012") == 0);
    CHECK(x.store.lists == 3);
    CHECK(restored() == count);
  }
  SUBCASE("pages that are longer than the host takes are asked for in smaller ones") {
    x.store.answer_entries_max = 200;
    x.wake(2, all);
    CHECK(closed_with("socket close 1012") == 0);
    CHECK(x.store.lists == 2 + 9);  // of 512, 256, and then 128
    CHECK(restored() == count);
  }
  SUBCASE("of a page that can't be read all are closed, and no others") {
    // Keys are in the order of the ids' bytes, the lowest first.
    x.store.lists_until_failure = 2;
    x.wake(2, all);
    CHECK(closed_with("socket close 1012") == count - 1024);
    CHECK(restored() == 1024);
    CHECK(x.host.stats().sockets_open == 1024);
  }
  SUBCASE("what clients say in the meantime waits for the last page") {
    x.store.silent = true;
    x.wake(2, all);
    x.store.silent = false;
    REQUIRE((x.store.process(x.host) && x.store.answer(x.host)));
    x.host.socket_says(256, 1, "first");  // of the first page: the lowest byte stands first
    CHECK(x.said().empty());
    x.store.serve(x.host);
    const auto seen = x.said();
    REQUIRE(seen.size() == count + 1);
    CHECK(seen.back() == "text first");
  }
}

TEST_CASE_FIXTURE(
    fixture, "hibernating: what clients say before they are restored waits, in order") {
  host.open_socket(a, 1, "/hibernate");
  sleep();
  store.silent = true;
  wake(2, {1});
  host.socket_says(1, 1, "one");
  host.socket_says(1, 2, "two");
  CHECK(said().empty());
  store.silent = false;
  store.serve(host);
  CHECK(said() == strings{"restored /hibernate ", "text one", "text two"});
}

TEST_CASE_FIXTURE(fixture, "hibernating: whatever wakes an actor finds its WebSockets restored") {
  host.open_socket(a, 1, "/hibernate");
  host.open_socket(a, 2, "/hibernate");
  sleep();
  store.silent = true;
  wake(2, {1});
  host.request(instance_of("a", 2), 7, "GET", "/all");
  CHECK(said().empty());
  store.silent = false;
  const auto lines = sent();
  CHECK(said() == strings{"restored /hibernate ", "restored /hibernate ", "asked"});
  for (const auto* each : {"1 #1 socket text to all", "2 #1 socket text to all"})
    CHECK(std::count(lines.begin(), lines.end(), each) == 1);
}

TEST_CASE_FIXTURE(fixture, "hibernating: an actor that skips unknown messages is not blocked") {
  host.serve(
      "skipper",
      [](engine_actor* self, notes_ptr to) -> caf::behavior {
        self->set_default_handler(caf::skip);
        return {
            [](const socket_opened& s) { CHECK(s.socket.accept({.hibernate = true})); },
            [=](const socket_message& m) { to->seen.emplace_back(m.text()); },
            [=](const http_request&) {
              to->seen.emplace_back("asked");
              return http_response{};
            },
        };
      },
      n);
  host.end();
  host.boot();
  auto b = instance_of("b");
  host.start_accepted(b, "skipper");
  host.open_socket(b, 1);
  host.open_socket(b, 2);
  sent();
  host.stop(b);
  sent();
  b = instance_of("b", 2);
  host.wake(b, "skipper", {1, 2});
  host.accept(b);
  host.request(b, 7, "GET", "/");
  host.socket_says(2, 1, "said");
  sent();
  auto seen = said();
  std::sort(seen.begin(), seen.end());
  CHECK(seen == strings{"asked", "said"});
}

TEST_CASE_FIXTURE(fixture, "hibernating: a WebSocket of which nothing is stored is closed") {
  sleep();
  wake(2, {7});
  const auto lines = sent();
  CHECK(std::count(lines.begin(), lines.end(), "7 #0 socket close 1012") == 1);
  CHECK(said().empty());
  CHECK(host.stats().sockets_open == 0);
}

TEST_CASE_FIXTURE(
    fixture, "hibernating: a message missing after the record stored at sleep ends it") {
  host.open_socket(a, 1, "/hibernate");
  host.socket_says(1, 1, "one");
  sent();
  said();
  sleep();
  wake(2, {1});
  sent();
  said();
  host.socket_says(1, 3, "three");
  const auto lines = sent();
  CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& x) {
          return x.ends_with("socket close 1011");
        }) == 1);
  CHECK(said() == strings{"closed 1011 a message of this WebSocket was lost"});
  CHECK(host.stats().sockets_open == 0);
}

TEST_CASE_FIXTURE(
    fixture,
    "hibernating: after a crash of the process, handled messages are not considered missing") {
  host.open_socket(a, 1, "/hibernate");
  host.socket_says(1, 1, "one");
  sent();
  sleep();
  wake(2, {1});
  host.socket_says(1, 2, "two");
  sent();
  said();
  const auto stored = store.content;  // and then the process is killed, with "three" dealt with
  host.socket_says(1, 3, "three");
  sleep(2);
  store.content = stored;
  wake(3, {1});
  sent();
  said();
  host.socket_says(1, 4, "four");
  CHECK(said() == strings{"text four"});
  CHECK(host.stats().sockets_open == 1);
}

TEST_CASE_FIXTURE(
    fixture, "hibernating: a client that left while the actor slept is reported, and forgotten") {
  host.open_socket(a, 1, "/hibernate");
  host.open_socket(a, 2, "/hibernate");
  sleep();
  let_age();
  wake(2, {2});
  sent();
  CHECK(
      said() ==
      strings{"restored /hibernate ", "closed 1006 the client left while the actor slept"});
  CHECK(store.content.size() == 1);
}

TEST_CASE("2.3: of 5,000 hibernating clients that leave while their actor sleeps none comes back") {
  constexpr std::uint32_t n = 5000;
  ingress_options options;
  fixture x{options};
  std::vector<std::uint32_t> all;
  for (std::uint32_t i = 1; i <= n; ++i) {
    x.host.open_socket(x.a, i, "/hibernate");
    all.push_back(i);
    if (i % 500 == 0) x.sent();
  }
  REQUIRE(x.host.stats().sockets_open == n);
  x.sleep();
  SUBCASE("before any of them may be missing in the list") {}
  SUBCASE("long after they came") { x.let_age(); }
  // The gateway gives the closes to the instance that has just ended, and lists all of them with the next Start.
  for (const auto i : all) x.host.close_socket(i, 1, 1000);
  x.wake(2, all);
  for (int i = 0; i < 50; ++i) x.sent();
  CHECK(x.host.stats().sockets_open == 0);
  const auto seen = x.said();
  CHECK(std::count_if(seen.begin(), seen.end(), [](const auto& line) {
          return line.starts_with("closed 1006");
        }) == n);
}

TEST_CASE_FIXTURE(fixture, "2.3: one that closes before the next instance exists stays closed") {
  host.open_socket(a, 1, "/hibernate");
  host.open_socket(a, 2, "/hibernate");
  sent();
  said();
  let_age();
  n->sockets.clear();
  // In one turn of ingress: the newer instance still waits for the end of the older one.
  host.batch(
      {protocol::to_envoy_commands{{host.wake_command(instance_of("a", 2), "doorman", {1, 2})}},
       sim_host::tunnel(1, 1, protocol::to_envoy_web_socket_close{4001, text{"bye"}})});
  host.settle();
  host.accept(instance_of("a", 2));
  sent();
  CHECK(host.stats().sockets_open == 1);
  const auto seen = said();
  CHECK(std::count(seen.begin(), seen.end(), "restored /hibernate ") == 1);
  CHECK(
      std::count(seen.begin(), seen.end(), "closed 1006 the client left while the actor slept") ==
      1);
}

TEST_CASE("2.3: hibernating clients that can't be remembered are closed, not taken for open") {
  auto options = fixture::small();
  options.left_bytes_max = 2 * (left::owner_bytes + 2 * left::entry_bytes);
  fixture x{options};
  for (std::uint32_t i = 1; i <= 4; ++i) x.host.open_socket(x.a, i, "/hibernate");
  x.sleep();
  x.let_age();
  SUBCASE("at once") {
    x.wake(2, {1, 2, 3, 4});
    const auto lines = x.sent();
    CHECK(x.host.stats().sockets_open == 2);
    CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) {
            return line.ends_with("socket close 1012");
          }) == 2);
  }
  SUBCASE("after the engine can have listed any that has gone") {
    x.host.pass(3min, 30s);
    x.wake(2, {1, 2, 3, 4});
    x.sent();
    CHECK(x.host.stats().sockets_open == 4);
  }
}

TEST_CASE("2.3: an actor that leaves too many hibernating clients costs no other actor any") {
  auto options = fixture::small();
  options.sockets_max = 16;
  options.left_bytes_max = 2 * (left::owner_bytes + 8 * left::entry_bytes);
  fixture x{options};
  for (std::uint32_t i = 1; i <= 12; ++i) x.host.open_socket(x.a, i, "/hibernate");
  x.sleep();
  x.let_age();
  const auto of_a = std::exchange(x.store.content, {});
  x.host.start_accepted(instance_of("b"), "doorman");
  for (std::uint32_t i = 21; i <= 22; ++i) x.host.open_socket(instance_of("b"), i, "/hibernate");
  x.sent();
  x.host.stop(instance_of("b"));
  x.sent();
  x.said();
  x.let_go();
  x.let_age();
  x.host.wake(instance_of("b", 2), "doorman", {21, 22});
  x.host.accept(instance_of("b", 2));
  x.sent();
  CHECK(x.host.stats().sockets_open == 2);
  CHECK(x.said() == strings{"restored /hibernate ", "restored /hibernate "});
  x.store.content = of_a;
  std::vector<std::uint32_t> all(12);
  std::iota(all.begin(), all.end(), 1);
  x.wake(2, all);
  const auto lines = x.sent();
  CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) {
          return line.ends_with("socket close 1012");
        }) == 4);
  CHECK(x.host.stats().sockets_open == 10);
}

TEST_CASE(
    "2.4: WebSockets that come back count like others; one without room is closed with 1013") {
  auto options = fixture::small();
  options.host_sockets_max = 4;
  fixture x{options};
  x.host.open_socket(x.a, 1, "/hibernate");
  x.host.open_socket(x.a, 2, "/hibernate");
  x.sleep();
  const auto crowd = [&] {
    x.host.start_accepted(instance_of("b"), "doorman");
    for (std::uint32_t i = 11; i <= 13; ++i) x.host.open_socket(instance_of("b"), i);
    x.sent();
    x.said();
  };
  auto restored = 1;
  SUBCASE("listed") {
    x.let_age();
    crowd();
    x.wake(2, {1, 2});
  }
  SUBCASE("not listed, but young: its instance goes on with it first") {
    crowd();
    x.wake(2, {});
    restored = 2;
  }
  const auto lines = x.sent();
  CHECK(x.host.stats().sockets_open == 4);
  CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) {
          return line.ends_with("socket close 1013");
        }) == 1);
  const auto seen = x.said();
  CHECK(std::count(seen.begin(), seen.end(), "restored /hibernate ") == restored);
  CHECK(std::count_if(seen.begin(), seen.end(), [](const auto& line) {
          return line.starts_with("closed ");
        }) == 1);
}

TEST_CASE_FIXTURE(fixture, "hibernating: it is also reported if all clients have left") {
  host.open_socket(a, 1, "/hibernate");
  sleep();
  let_age();
  SUBCASE("by the host that served them, at once") {
    wake(2, {});
    sent();
    CHECK(said() == strings{"closed 1006 the client left while the actor slept"});
    CHECK(store.content.empty());
  }
  SUBCASE("by another host, with the next accept") {
    host.end();
    host.boot();
    wake(2, {});
    sent();
    CHECK(store.content.size() == 1);
    host.open_socket(instance_of("a", 2), 5, "/hibernate");
    sent();
    CHECK(
        said() == strings{"open /hibernate", "closed 1006 the client left while the actor slept"});
    REQUIRE(store.content.size() == 1);
    CHECK(store.content.begin()->first == internal::socket_record_key(exchange(5)).view());
  }
}

TEST_CASE_FIXTURE(
    fixture, "hibernating: one too young to be listed continues, and is gone the next time") {
  host.open_socket(a, 1, "/hibernate");
  host.open_socket(a, 2, "/hibernate");
  sleep();
  SUBCASE("others are listed") { wake(2, {2}); }
  SUBCASE("none is listed") { wake(2, {}); }
  sent();
  CHECK(said() == strings{"restored /hibernate ", "restored /hibernate "});
  CHECK(host.stats().sockets_open == 2);
  host.socket_says(1, 1, "all");
  const auto heard = sent();
  CHECK(std::count(heard.begin(), heard.end(), "1 #1 socket text to all") == 1);
  CHECK(std::count(heard.begin(), heard.end(), "2 #1 socket text to all") == 1);
  said();
  sleep(2);
  let_age();
  wake(3, {2});
  sent();
  CHECK(
      said() ==
      strings{"restored /hibernate ", "closed 1006 the client left while the actor slept"});
  CHECK(host.stats().sockets_open == 1);
}

TEST_CASE_FIXTURE(
    fixture, "hibernating: messages of an unlisted one are kept while its record is looked up") {
  host.open_socket(a, 1, "/hibernate");
  host.open_socket(a, 2, "/hibernate");
  sleep();
  store.silent = true;
  wake(2, {2});
  host.socket_says(9, 1, "of nobody");
  SUBCASE("in order") {
    host.socket_says(1, 1, "one");
    host.socket_says(1, 2, "two");
    store.silent = false;
    sent();
    CHECK(
        said() == strings{"restored /hibernate ", "restored /hibernate ", "text one", "text two"});
  }
  SUBCASE("more than has room: it is closed, others are not") {
    for (std::uint16_t i = 1; i <= 4; ++i) host.socket_says(1, i, "again");
    store.silent = false;
    const auto lines = sent();
    CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) {
            return line.starts_with("1 ") && line.ends_with("socket close 1011");
          }) == 1);
    CHECK(
        said() == strings{
                      "restored /hibernate ",
                      "restored /hibernate ",
                      "closed 1011 a message of this WebSocket was lost"});
    CHECK(host.stats().sockets_open == 1);
    host.socket_says(2, 1, "still here");
    CHECK(said() == strings{"text still here"});
    CHECK(store.content.size() == 1);
  }
  SUBCASE("and hears what another says first") {
    host.socket_says(2, 1, "all");
    store.silent = false;
    const auto lines = sent();
    for (const auto* each : {"1 #1 socket text to all", "2 #1 socket text to all"})
      CHECK(std::count(lines.begin(), lines.end(), each) == 1);
  }
  SUBCASE("then its client leaves") {
    host.socket_says(1, 1, "one");
    host.close_socket(1, 2, 1000);
    store.silent = false;
    sent();
    CHECK(
        said() == strings{
                      "restored /hibernate ",
                      "restored /hibernate ",
                      "closed 1006 the client left while the actor slept"});
    CHECK(host.stats().sockets_open == 1);
  }
  SUBCASE("then another's client leaves, that is listed") {
    host.close_socket(2, 1, 4001, "left");
    store.silent = false;
    sent();
    CHECK(said() == strings{"restored /hibernate ", "restored /hibernate ", "closed 4001 left"});
    CHECK(host.stats().sockets_open == 1);
    CHECK(store.content.size() == 1);
  }
  SUBCASE("then the gateway opens it again") {
    host.open_socket(instance_of("a", 2), 1, "/hibernate");
    store.silent = false;
    sent();
    CHECK(
        said() == strings{
                      "restored /hibernate ",
                      "restored /hibernate ",
                      "open /hibernate",
                      "closed 1006 the gateway opened this WebSocket again"});
    CHECK(host.stats().sockets_open == 2);
    CHECK(store.content.size() == 2);
    host.socket_says(1, 1, "again");
    CHECK(said() == strings{"text again"});
  }
  SUBCASE("and the gateway opens it again afterwards") {
    store.silent = false;
    sent();
    said();
    host.open_socket(instance_of("a", 2), 1, "/hibernate");
    sent();
    auto seen = said();
    std::sort(seen.begin(), seen.end());
    CHECK(
        seen == strings{"closed 1006 the gateway opened this WebSocket again", "open /hibernate"});
    CHECK(host.stats().sockets_open == 2);
    CHECK(store.content.size() == 2);
    host.socket_says(1, 1, "again");
    CHECK(said() == strings{"text again"});
  }
  SUBCASE("then the actor ends: it is for the next") {
    host.socket_says(1, 1, "one");
    host.stop(instance_of("a", 2));
    store.silent = false;
    sent();
    said();
    wake(3, {1, 2});
    host.socket_says(1, 1, "one");
    sent();
    CHECK(said() == strings{"restored /hibernate ", "restored /hibernate ", "text one"});
  }
}

TEST_CASE(
    "2.1: however much others send while WebSockets are restored, one that keeps little is heard") {
  auto options = fixture::small();
  options.waiting.actor_bytes_max = 4 * (waiting_message_bytes + 1);
  fixture x{options};
  const auto b = instance_of("b");
  x.host.open_socket(x.a, 1, "/hibernate");
  x.sleep();
  x.host.start_accepted(b, "doorman");
  const auto of_b = x.n->self;
  x.host.open_socket(b, 5);
  x.sent();
  caf::response_promise held;
  x.n->other = spawn_holder(*x.host.sim, held);
  x.store.silent = true;
  x.wake(2, {});
  x.said();
  const auto waiting = [&] {
    x.host.ping();
    return x.host.stats().socket_bytes_waiting;
  };
  std::uint32_t flooder = 0;
  SUBCASE("on one that nobody knows") { flooder = 9; }
  SUBCASE("on one that was just closed for it") {
    flooder = 5;
    caf::anon_send(of_b, std::string{"await"});
    for (std::uint16_t i = 1; i <= 6; ++i) x.host.socket_says(5, i, "flood");
    CHECK(x.host.stats().sockets_flooded == 1);
  }
  SUBCASE("on one that its actor has just closed") {
    flooder = 5;
    x.host.socket_says(5, 1, "close");
  }
  x.said();
  const auto before = waiting();
  for (std::uint16_t i = 7; i <= 20; ++i) x.host.socket_says(flooder, i, "flood");
  x.host.too_long(sim_host::tunnel(flooder, 21, protocol::to_envoy_web_socket_message{}));
  CHECK(waiting() - before == (flooder == 5 ? 0 : waiting_message_bytes + 5));
  x.host.socket_says(1, 1, "one");
  caf::anon_send(x.n->other, caf::unit);
  x.store.silent = false;
  x.sent();
  const auto seen = x.said();
  CHECK(std::count(seen.begin(), seen.end(), "text one") == 1);
  CHECK(x.host.stats().sockets_open == (flooder == 5 ? 1 : 2));
  CHECK(waiting() == 0);
  caf::anon_send_exit(x.n->other, caf::exit_reason::kill);
  x.host.settle();
}

TEST_CASE_FIXTURE(
    fixture, "hibernating: one that was closed here is not restored, whatever is stored") {
  host.open_socket(a, 1, "/hibernate");
  host.open_socket(a, 2, "/hibernate");
  sent();
  const auto stored = store.content;
  host.socket_says(1, 1, "close");
  host.stop(a);
  sent();
  said();
  store.content = stored;  // its end was not stored
  wake(2, {});
  sent();
  CHECK(
      said() == strings{
                    "restored /hibernate ",
                    "restored /hibernate ",
                    "closed 1006 the client left while the actor slept"});
  CHECK(host.stats().sockets_open == 1);
}

TEST_CASE_FIXTURE(
    fixture, "hibernating: a gap before it is restored ends it, whatever is stored of it") {
  host.open_socket(a, 1, "/hibernate");
  sleep();
  store.silent = true;
  wake(2, {1});
  host.socket_says(1, 1, "one");
  host.socket_says(1, 3, "three");
  store.silent = false;
  const auto lines = sent();
  CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) {
          return line.ends_with("socket close 1011");
        }) == 1);
  CHECK(
      said() ==
      strings{"restored /hibernate ", "closed 1011 a message of this WebSocket was lost"});
  CHECK(host.stats().sockets_open == 0);
  CHECK(store.content.empty());
}

TEST_CASE_FIXTURE(fixture, "hibernating: a WebSocket that is closed is forgotten") {
  host.open_socket(a, 1, "/hibernate");
  host.open_socket(a, 2, "/hibernate");
  sent();
  CHECK(store.content.size() == 2);
  host.close_socket(1, 1, 1000);
  host.socket_says(2, 1, "close");
  sent();
  CHECK(store.content.empty());
}

TEST_CASE_FIXTURE(
    fixture,
    "hibernating: a WebSocket that storage has no room for is stored, or forgotten, later") {
  const auto records = [&] {
    return std::count_if(store.content.begin(), store.content.end(), [](const auto& each) {
      return internal::socket_record_id(bytes{each.first}).has_value();
    });
  };
  host.open_socket(a, 1, "/hibernate");
  sent();
  CHECK(records() == 1);
  store.silent = true;
  tell("fill");
  host.open_socket(a, 2, "/hibernate");
  host.close_socket(1, 1, 1000);
  store.silent = false;
  store.serve(host);
  CHECK(records() == 1);
  CHECK(store.content.contains(std::string{internal::socket_record_key(exchange(1)).view()}));
  host.pass(1s);
  store.serve(host);
  CHECK(records() == 1);
  CHECK(store.content.contains(std::string{internal::socket_record_key(exchange(2)).view()}));
}

TEST_CASE_FIXTURE(
    fixture, "hibernating: a state that is too large to store does not affect others") {
  host.open_socket(a, 1, "/hibernate");
  host.open_socket(a, 2, "/hibernate");
  host.socket_says(1, 1, "large");
  host.socket_says(2, 1, "remember");
  sleep();
  wake(2, {1, 2});
  sent();
  auto seen = said();
  std::sort(seen.begin(), seen.end());
  CHECK(seen == strings{"restored /hibernate ", "restored /hibernate remembered"});
}

TEST_CASE_FIXTURE(fixture, "hibernating: an actor sleeps only once its connections are stored") {
  host.open_socket(a, 1, "/hibernate");
  host.socket_says(1, 1, "one");
  sent();
  host.stop(a);
  auto lines = host.lines();
  CHECK(std::count(lines.begin(), lines.end(), "event a/1:501 stopped ok") == 0);
  lines = sent();
  CHECK(std::count(lines.begin(), lines.end(), "event a/1:501 stopped ok") == 1);
}

TEST_CASE_FIXTURE(fixture, "hibernating: an unreadable record is not a connection") {
  host.open_socket(a, 1, "/hibernate");
  sleep();
  store.content.begin()->second = "\x01garbage";
  wake(2, {1});
  const auto lines = sent();
  CHECK(std::count(lines.begin(), lines.end(), "1 #0 socket close 1012") == 1);
  CHECK(store.content.empty());
}

TEST_CASE("a WebSocket's record: how long a list may be without it") {
  internal::socket_record x;
  x.accepted_ms = 100'000;
  CHECK(internal::may_be_unlisted(x, 100'000));
  CHECK(internal::may_be_unlisted(x, 109'999));
  CHECK_FALSE(internal::may_be_unlisted(x, 110'000));
  CHECK(internal::may_be_unlisted(x, 90'001));  // another host's clock
  CHECK_FALSE(internal::may_be_unlisted(x, 90'000));
  CHECK_FALSE(internal::may_be_unlisted({}, ~std::uint64_t{}));
}

TEST_CASE("a WebSocket's record: every prefix and every changed byte is a value or an error") {
  internal::socket_record x{
      "/p?q", {}, bytes{std::string{"state"}}, 7, 65'000, false, 1'790'000'000'000};
  x.headers.entries.emplace_back("host", "example");
  const auto whole = internal::encode(x);
  REQUIRE(internal::decode_socket_record(whole));
  CHECK(*internal::decode_socket_record(whole) == x);
  for (std::size_t n = 0; n < whole.size(); ++n)
    CHECK_FALSE(internal::decode_socket_record(bytes{whole.part(0, n)}));
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (unsigned value = 0; value < 256; ++value) {
      std::vector<std::uint8_t> changed{whole.begin(), whole.end()};
      changed[at] = static_cast<std::uint8_t>(value);
      const auto read = internal::decode_socket_record(bytes{std::move(changed)});
      if (read) CHECK(internal::encode(*read).size() == whole.size());
    }
  const auto key = internal::socket_record_key(exchange(9));
  CHECK(internal::socket_record_id(key) == exchange(9));
  CHECK_FALSE(internal::socket_record_id(bytes{key.part(0, 8)}));
  CHECK_FALSE(internal::socket_record_id(bytes{std::string(9, 'x')}));
}

}  // namespace sockets_test

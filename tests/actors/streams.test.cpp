// Streaming bodies: what handlers see of an upload, what the engine sees of a download, and how both end.
#include <nuncio/actor/instance_streams.hpp>

#include "actors/watched_actors.hpp"

namespace streams_test {

using namespace nuncio;
using namespace nuncio::test;
using reason = protocol::stop_actor_reason;
using strings = std::vector<std::string>;

namespace {

struct notes {
  strings seen;
  std::size_t read = 0;
  std::size_t written = 0;  ///< by /down
  std::string why;
  int calls = 0;
  body_writer out;
  std::vector<body_writer> outs;
  body_reader in;
  caf::typed_response_promise<http_response> answer;
  caf::actor self;
  caf::actor other;
  std::weak_ptr<int> kept;  ///< what the handler of /keep keeps
};

using notes_ptr = std::shared_ptr<notes>;

constexpr std::size_t mib = 1UL << 20U;
constexpr std::size_t ahead = http_outstanding_bytes_max;

void note(notes& n, const request_part& p) {
  n.read += p.data.size();
  if (p.last) n.seen.push_back(fmt::format("all {}", n.read));
  if (p.failed) n.seen.push_back(fmt::format("failed {}", n.read));
  if (p.failed) n.why = p.why.str();
}

caf::behavior streamer(engine_actor* self, notes_ptr n) {
  n->self = self;
  return {
      [=](const http_request& r) -> caf::result<http_response> {
        n->seen.push_back(fmt::format("{}{}", r.path.view(), r.streamed ? " in parts" : ""));
        if (r.path == "/down") {  // as much as there is room, in parts of 100,000
          auto out = self->stream(r, {.status = 200, .headers = {}, .body = {}});
          self->on_writable(out, [n](body_writer& w) {
            if (!w.is_open()) n->seen.emplace_back("gone");
            if (!w.is_open()) n->why = w.why();
            while (w.room() >= 100'000) {
              CHECK(w.write(bytes{std::string(100'000, 'x')}));
              n->written += 100'000;
            }
          });
          n->out = out;
        } else if (r.path == "/count") {  // a handler that keeps a state of its own
          const auto out = self->stream(r, {.status = 200, .headers = {}, .body = {}});
          self->on_writable(out, [i = 0](body_writer& w) mutable {
            if (w.room() < 200'000) return;
            CHECK(w.write(bytes{std::string(200'000, static_cast<char>('0' + i++))}));
            if (i == 9) w.finish();
          });
        } else if (r.path == "/collect") {
          n->outs.push_back(self->stream(r, {.status = 200, .headers = {}, .body = {}}));
          const auto written = n->outs.back().write(bytes{std::string(20'000'000, 'x')});
          n->seen.emplace_back(written ? "took it" : describe(self->system(), written.error()));
        } else if (r.path == "/stubborn") {  // does not ask whether there is room
          const auto out = self->stream(r, {.status = 200, .headers = {}, .body = {}});
          self->on_writable(out, [n](body_writer& w) {
            if (++n->calls > 1000) return;
            while (w.write(bytes{std::string(300'000, 'x')})) {
            }
          });
        } else if (r.path == "/manual") {
          n->out =
              self->stream(r, {.status = 201, .headers = {}, .body = bytes{std::string{"first"}}});
        } else if (r.path == "/up") {
          auto answer = self->make_response_promise<http_response>();
          n->answer = answer;
          n->in = self->on_body(r, [n, answer](const request_part& p) mutable {
            note(*n, p);
            if (p.last) answer.deliver(http_response{.body = bytes{std::to_string(n->read)}});
            if (p.failed) answer.deliver(http_response{.status = 400});
          });
          return answer;
        } else if (r.path == "/whole") {
          return http_response{.body = bytes{std::string(3 * mib, 'x')}};
        } else if (
            r.path ==
            "/keep") {  // its own reader, and the promise, which is a reference to the actor
          const auto own = std::make_shared<std::pair<body_reader, int>>();
          n->kept = std::shared_ptr<int>{own, &own->second};
          auto answer = self->make_response_promise<http_response>();
          own->first = self->on_body(r, [own, answer](const request_part&) {});
          return answer;
        } else if (r.path == "/ignore") {
          return http_response{.body = bytes{std::string{"not read"}}};
        } else if (r.path == "/echo") {
          auto out = self->stream(r, {.status = 200, .headers = {}, .body = {}});
          static_cast<void>(self->on_body(r, [out](const request_part& p) {
            CHECK(out.write(p.data));
            if (p.last) out.finish();
          }));
        } else if (r.path == "/both") {  // reads, and has begun its response
          n->out = self->stream(r, {.status = 200, .headers = {}, .body = {}});
          n->in = self->on_body(r, [n](const request_part& part) { note(*n, part); });
        } else if (r.path == "/throw") {
          static_cast<void>(
              self->on_body(r, [](const request_part&) { throw std::runtime_error("boom"); }));
          n->answer = self->make_response_promise<http_response>();
          return n->answer;
        }
        return caf::delegated<http_response>{};
      },
      [=](const std::string& order) {
        if (order == "write") CHECK(n->out.write(bytes{std::string{"more"}}));
        if (order == "finish") n->out.finish();
        if (order == "finish first") n->outs.front().finish();
        if (order == "fail") n->out.fail("out of words");
        if (order == "open") n->seen.push_back(fmt::format("open {}", self->open_requests()));
        if (order == "quit") self->quit();
        if (order == "throw") throw std::runtime_error("boom");
        if (order == "pause") n->in.pause();
        if (order == "resume") n->in.resume();
        if (order == "cancel") n->in.cancel();
        if (order == "answer")
          n->answer.deliver(http_response{.body = bytes{std::string{"enough"}}});
        if (order == "answer long")
          n->answer.deliver(http_response{.body = bytes{std::string(3 * mib, 'x')}});
        if (order == "await")
          self->request(n->other, caf::infinite, 1).await([=](int) {
            n->seen.emplace_back("awaited");
          });
      },
  };
}

struct fixture : hosted {
  actor_ref a = instance_of("a");
  notes_ptr n = std::make_shared<notes>();

  explicit fixture(ingress_options options = {}) : hosted(std::move(options)) {
    host.serve(serve_options{.name = "streamer", .stream_requests = true}, streamer, n);
    host.boot();
    host.start_accepted(a, "streamer");
    host.clear();
  }

  ~fixture() { *n = {}; }

  void open(std::string_view path, bool with_body, std::uint32_t id = 1, bool streams = true) {
    auto message = sim_host::request_message(a, id, with_body ? "POST" : "GET", path);
    auto& start = std::get<protocol::to_envoy_request_start>(
        std::get<protocol::to_envoy_tunnel_message>(message).message_kind);
    start.stream = with_body;
    start.response_stream = streams;
    host.deliver(std::move(message));
  }

  void chunk(std::uint16_t index, std::size_t size, bool finish = false, std::uint32_t id = 1) {
    host.deliver(sim_host::tunnel(
        id, index, protocol::to_envoy_request_chunk{bytes{std::string(size, 'x')}, finish}));
  }

  void credit(std::uint64_t total, std::uint32_t id = 1) {
    host.deliver(sim_host::tunnel(id, 0, protocol::to_envoy_response_body_window_update{total}));
  }

  void abort(std::uint32_t id = 1) {
    host.deliver(sim_host::tunnel(id, 1, protocol::to_envoy_request_abort{}));
  }

  void tell(std::string order) {
    caf::anon_send(n->self, std::move(order));
    host.settle();
  }

  strings sent() {
    auto out = host.lines();
    host.clear();
    return out;
  }

  strings said() { return std::exchange(n->seen, {}); }

  /// `n` updates of how much the client has read reach ingress, while the actor is busy.
  /// @returns in how many turns it has dealt with them, a message each
  std::size_t flood(std::uint64_t n, std::uint64_t total_each) {
    std::vector<protocol::to_envoy> all;
    for (std::uint64_t i = 1; i <= n; ++i)
      all.push_back(sim_host::tunnel(
          1,
          static_cast<std::uint16_t>(i),
          protocol::to_envoy_response_body_window_update{i * total_each}));
    host.batch(std::move(all));
    host.sim.run_once();  // ingress alone
    std::size_t turns = 0;
    while (host.sim.run_once()) ++turns;
    return turns;
  }

  std::size_t sent_body() {
    std::size_t total = 0;
    for (const auto& frame : host.link->sent)
      if (const auto* x = std::get_if<protocol::to_rivet_tunnel_message>(&frame.content))
        if (const auto* part = std::get_if<protocol::to_rivet_response_chunk>(&x->message_kind))
          total += part->body.size();
    host.clear();
    return total;
  }
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "a streaming response") {
  open("/manual", false);
  CHECK(sent() == strings{"1 #0 201 in parts", "1 #1 chunk 5"});
  CHECK(host.stats().requests_open == 1);
  tell("write");
  CHECK(sent() == strings{"1 #2 chunk 4"});
  tell("finish");
  CHECK(sent() == strings{"1 #3 chunk 0 end"});
  CHECK(host.stats().requests_open == 0);
  CHECK_FALSE(n->out.is_open());
}

TEST_CASE_FIXTURE(fixture, "a gateway without streaming gets the whole response at its end") {
  open("/manual", false, 1, false);
  tell("write");
  CHECK(sent().empty());
  tell("finish");
  CHECK(sent() == strings{"1 #0 201 firstmore"});
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(
    fixture,
    "I13 backpressure: a full window is reported by the call, and nothing is buffered beyond it") {
  open("/down", false);
  CHECK(sent_body() == ahead);
  credit(300'000);
  CHECK(sent_body() == 300'000);
  CHECK(n->out.room() < 100'000 + 100'000);
  credit(mib);
  CHECK(sent_body() == mib - 300'000);
  abort();
  CHECK(said() == strings{"/down", "gone"});
  CHECK(host.stats().requests_open == 0);
  CHECK(sent().empty());
}

TEST_CASE_FIXTURE(
    fixture,
    "I13 backpressure: however often a client reads a little, one credit notice waits for its "
    "actor") {
  open("/down", false);
  sent_body();
  CHECK(flood(100, 1000) < 10);
  host.settle();
  CHECK(sent_body() == 100'000);
  credit(150'000);
  CHECK(sent_body() == 50'000);
}

TEST_CASE(
    "I13 backpressure: credit for a response counts like the parts of a request that is still "
    "arriving") {
  ingress_options options;
  options.request_bytes_max = 2 * http_window_bytes;
  fixture x{options};
  x.open("/both", true);
  x.host.clear();
  x.said();
  SUBCASE("until its actor has looked at it") {
    for (int i = 0; i < 40; ++i) {
      CHECK(x.flood(1000, 1) >= 1000);
      x.host.settle();
    }
    CHECK(x.sent().empty());
    CHECK(x.host.stats().requests_rejected == 0);
  }
  SUBCASE("and has no other bound") {
    const auto room = options.request_bytes_max / waiting_message_bytes;
    const auto turns = x.flood(2 * room, 1);
    CHECK(turns > room / 2);
    CHECK(turns < room + 10);  // it is over, and told so
    x.host.settle();
    CHECK(x.sent() == strings{"1 #1 abort"});
    CHECK(x.said() == strings{"failed 0"});
    CHECK(x.host.stats().requests_open == 0);
  }
}

TEST_CASE_FIXTURE(fixture, "I13 backpressure: a body that finds the link full waits for room") {
  host.link->room_for_bodies = false;
  open("/down", false, 1);   // written bit by bit
  open("/whole", false, 2);  // more than a window, given at once
  CHECK(sent_body() == 0);
  CHECK(host.stats().requests_open == 2);
  host.tell_of_room();
  CHECK(sent_body() == 0);
  host.free_room();
  CHECK(sent_body() == 2 * ahead);
  host.link->room_for_bodies = false;
  credit(ahead, 1);
  credit(ahead, 2);
  CHECK(sent_body() == 0);
  abort(1);
  host.free_room();
  CHECK(sent_body() == ahead);
  credit(2 * ahead, 2);
  CHECK(sent_body() == ahead);
  credit(3 * ahead, 2);
  CHECK(sent_body() == 3 * (mib - ahead));
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(
    fixture, "a sender without room in the link retries when it is notified, and not before") {
  host.link->room_for_bodies = false;
  SUBCASE("beside its actor") { open("/down", false, 1); }
  SUBCASE("at ingress") { open("/whole", false, 1); }
  const auto refused_while = [&](auto what) {
    const auto before = host.link->refused;
    what();
    return host.link->refused - before;
  };
  CHECK(refused_while([&] { host.pass(20s); }) == 0);
  CHECK(refused_while([&] { host.tell_of_room(); }) >= 1);  // in vain
  CHECK(refused_while([&] { host.pass(20s); }) == 0);
  host.free_room();
  CHECK(sent_body() == ahead);
  CHECK(host.link->waiting.empty());
}

TEST_CASE_FIXTURE(fixture, "a response that made progress lets others go first the next time") {
  bool at_ingress = false;
  SUBCASE("beside their actor") {}
  SUBCASE("at ingress") { at_ingress = true; }
  const auto* const path = at_ingress ? "/whole" : "/down";
  host.link->room_for_bodies = false;
  for (std::uint32_t i = 1; i <= 3; ++i) open(path, false, i);
  std::string order;
  for (int turn = 0; turn < 6; ++turn) {
    host.link->bodies_left = 1;
    host.tell_of_room();
    for (const auto& line : sent()) order.push_back(line[0]);
  }
  CHECK(order == "123123");
}

TEST_CASE_FIXTURE(
    fixture, "a complete response that was written in parts waits for room, beside its actor") {
  open("/manual", false, 1, false);
  host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  tell("write");
  tell("finish");
  CHECK(host.stats().requests_open == 1);
  tell("quit");
  host.free_room();
  const auto lines = sent();
  CHECK(std::count(lines.begin(), lines.end(), "1 #0 201 firstmore") == 1);
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "a part that the link refuses is sent later, in its place") {
  open("/manual", false);
  CHECK(sent() == strings{"1 #0 201 in parts", "1 #1 chunk 5"});
  host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  tell("write");
  tell("write");
  tell("finish");
  CHECK(host.stats().requests_open == 1);
  host.free_room();
  CHECK(sent() == strings{"1 #2 chunk 8 end"});
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(
    fixture, "a handler whose write found no room is called when there is some, and not before") {
  open("/stubborn", false);
  CHECK(sent_body() == ahead);
  const auto before = n->calls;
  CHECK(before < 10);
  host.pass(10s);
  CHECK(n->calls == before);
  credit(900'000);
  CHECK(sent_body() > 0);
  CHECK(n->calls > before);
  CHECK(n->calls < 2 * before + 10);
}

TEST_CASE_FIXTURE(fixture, "open requests are those that a handler has and has not finished") {
  const auto open_now = [&] {
    said();
    tell("open");
    return said();
  };
  open("/ignore", false, 1);
  CHECK(open_now() == strings{"open 0"});
  open("/up", true, 2);
  CHECK(open_now() == strings{"open 1"});
  open("/manual", false, 3);
  CHECK(open_now() == strings{"open 2"});
  open("/down", false, 4);  // fills its window
  CHECK(open_now() == strings{"open 3"});
  chunk(1, 5, true, 2);
  CHECK(open_now() == strings{"open 2"});
  abort(4);
  CHECK(open_now() == strings{"open 1"});
  abort(3);
  CHECK(open_now() == strings{"open 0"});
}

TEST_CASE_FIXTURE(fixture, "a handler keeps what it captured from one call to the next") {
  open("/count", false);
  credit(1'000'000);
  credit(2'000'000);
  std::string body;
  for (const auto& x : host.link->sent) {
    const auto* sent = std::get_if<protocol::to_rivet_tunnel_message>(&x.content);
    if (sent == nullptr) continue;
    if (const auto* chunk = std::get_if<protocol::to_rivet_response_chunk>(&sent->message_kind))
      body += chunk->body.view();
  }
  REQUIRE(body.size() == 1'800'000);
  for (std::size_t i = 0; i < body.size(); i += 100'000)
    CHECK(body[i] == static_cast<char>('0' + i / 200'000));
}

TEST_CASE_FIXTURE(
    fixture, "a download that is complete outlives its actor; one that is not is cut") {
  open("/down", false, 1);
  open("/down", false, 2);
  tell("finish");  // the second
  host.clear();
  tell("quit");
  const auto lines = sent();
  REQUIRE(!lines.empty());
  CHECK(lines[0].starts_with("1 #"));
  CHECK(lines[0].ends_with(" abort"));
  CHECK(std::count_if(lines.begin(), lines.end(), [](auto& x) {
          return x.starts_with("event a/1");
        }) == 0);
  credit(ahead, 2);
  credit(2 * ahead, 2);
  CHECK(sent_body() > 900'000);
  host.pass(1s);
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "an actor that fails before its response has begun to go answers 500") {
  open("/manual", false, 1, false);
  tell("throw");
  const auto lines = sent();
  REQUIRE(!lines.empty());
  CHECK(lines[0].starts_with("1 #0 500 hidden: boom"));
}

TEST_CASE_FIXTURE(fixture, "a writer that fails cuts its response") {
  open("/manual", false);
  sent();
  tell("fail");
  CHECK(sent() == strings{"1 #2 abort"});
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "a request's body in parts, credited as the handler takes them") {
  open("/up", true);
  for (std::uint16_t i = 1; i <= 10; ++i) chunk(i, 65536);
  CHECK(n->read == 655'360);
  CHECK(sent() == strings{"1 #0 window 524288"});
  chunk(11, 0, true);
  CHECK(said() == strings{"/up in parts", "all 655360"});
  CHECK(sent() == strings{"1 #1 200 655360"});
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "I13 backpressure: a reader that pauses holds its client up") {
  open("/up", true);
  tell("pause");
  for (std::uint16_t i = 1; i <= 16; ++i) chunk(i, 65536);
  CHECK(n->read == 0);
  CHECK(sent().empty());
  tell("resume");
  CHECK(n->read == mib);
  CHECK(sent() == strings{"1 #0 window 524288", "1 #1 window 1048576"});
  tell("pause");
  for (std::uint16_t i = 17; i <= 32; ++i) chunk(i, 65536);
  chunk(33, 65536);  // beyond the window
  const auto lines = sent();
  CHECK(lines == strings{"1 #2 abort"});
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "I13 backpressure: bytes beyond an upload's window fill no mailbox") {
  open("/up", true);
  const auto part = bytes{std::string(65536, 'x')};
  std::vector<protocol::to_envoy> all;
  for (std::uint16_t i = 1; i <= 100; ++i)
    all.push_back(sim_host::tunnel(1, i, protocol::to_envoy_request_chunk{part, false}));
  host.batch(std::move(all));
  const auto before = part.owner().use_count();
  host.sim.run_once();  // ingress alone
  CHECK(before - part.owner().use_count() == 100 - 16);
  host.settle();
  CHECK(sent() == strings{"1 #0 abort"});
  CHECK(n->seen.back().starts_with("failed"));
  CHECK(n->why == "the request body's window was exceeded");
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE("I13 backpressure: an upload in many small parts counts by its stored size") {
  ingress_options options;
  options.request_bytes_max = 2 * mib;
  fixture x{options};
  caf::response_promise held;
  x.n->other = spawn_plain(*x.host.sim, [&held](caf::event_based_actor* self) -> caf::behavior {
    return {
        [&held, self](int) -> caf::result<int> {
          held = self->make_response_promise();
          return caf::delegated<int>{};
        },
        [&held](caf::unit_t) { held.deliver(7); }};
  });
  x.open("/up", true);
  x.tell("await");
  std::uint16_t parts = 0;
  while (x.host.stats().requests_rejected == 0 && parts < 5000) x.chunk(++parts, 1);
  CHECK(parts > 4000);
  CHECK(parts < 2 * mib / waiting_message_bytes);
  CHECK(x.sent() == strings{"1 #0 abort"});
  x.chunk(++parts, 1);
  caf::anon_send(x.n->other, caf::unit);
  x.host.settle();
  CHECK(x.n->why == "this actor has too many requests waiting");
  CHECK(x.host.stats().requests_open == 0);
  x.open("/up", true, 2);
  x.chunk(1, 5, true, 2);
  CHECK(x.sent() == strings{"2 #0 200 5"});
  caf::anon_send_exit(x.n->other, caf::exit_reason::kill);
  x.host.settle();
}

TEST_CASE(
    "2.1: an upload that has stopped coming makes room at a bound, and its handler hears why") {
  ingress_options options;
  SUBCASE("of places") { options.requests_max = 2; }
  SUBCASE("of the host's places") { options.host_requests_max = 2; }
  SUBCASE("of bytes") { options.request_bytes_max = 2 * mib + 1000; }
  fixture x{options};
  x.open("/up", true, 1);
  x.chunk(1, 100, false, 1);
  x.open("/up", true, 2);
  x.tell("pause");
  x.chunk(1, 10, false, 2);  // its handler holds it up
  x.sent();
  x.open("/up", true, 3);
  CHECK(x.sent().front().starts_with("3 #0 cancel body"));
  x.host.pass(11s);
  x.said();
  x.open("/up", true, 4);
  CHECK(x.said() == strings{"/up in parts", "failed 100"});
  CHECK(x.n->why == "the request body stopped arriving, and others need its place");
  CHECK(
      x.sent() == strings{
                      "1 #0 cancel body",
                      "1 #1 408 the request body stopped arriving, and others need its place\n"});
  CHECK(x.host.stats().requests_open == 2);
  CHECK(x.host.stats().requests_silent == 1);
  x.chunk(1, 10, false, 4);
  x.host.pass(9s);
  x.open("/up", true, 5);
  CHECK(x.sent().size() == 2);  // refused: nobody has been silent for long
  x.chunk(2, 10, true, 4);
  CHECK(x.sent() == strings{"4 #0 200 120"});
  CHECK(x.host.stats().requests_open == 1);
}

TEST_CASE(
    "I13 backpressure: responses whose clients went with their engine make room, and their "
    "handlers hear") {
  ingress_options options;
  options.requests_max = 2;
  fixture x{options};
  auto up = false;
  SUBCASE("streamed") {
    x.open("/manual", false, 1);
    x.open("/manual", false, 2);
  }
  SUBCASE("that wait for credit") {
    x.open("/whole", false, 1);
    x.open("/whole", false, 2);
  }
  SUBCASE("with an upload that is held up") {
    up = true;
    for (auto n = 1U; n <= 2; ++n) {
      x.open("/up", true, n);
      x.tell("pause");
      x.chunk(1, 100, false, n);
    }
  }
  x.host.cut();
  x.host.connect();
  x.sent();
  x.host.gateway = 1;
  for (auto n = 1U; n <= 2; ++n) x.open("/manual", false, n);
  const auto sent = x.sent();
  REQUIRE(sent.size() >= 6);
  for (auto n = 1U; n <= 2; ++n) {
    const auto own = [&](std::string_view what) {
      return std::count_if(sent.begin(), sent.end(), [&](const auto& line) {
        return line.starts_with(fmt::format("{} #", n)) && line.ends_with(what);
      });
    };
    CHECK(own("201 in parts") == 1);
    CHECK(own("chunk 5") == 1);
    CHECK(own("abort") == (up ? 0 : 1));
    CHECK(own("others need its place\n") == (up ? 1 : 0));
  }
  CHECK(x.host.stats().requests_open == 2);
  CHECK(x.host.stats().clients_doubted == 2);
  CHECK(x.host.stats().requests_rejected == 0);
  x.tell("finish");
  CHECK(x.sent() == strings{"2 #2 chunk 0 end"});
}

TEST_CASE(
    "I13 backpressure: a response makes no room for itself, however long its client is doubted") {
  ingress_options options;
  options.request_bytes_max = 2 * mib;
  fixture x{options};
  x.open("/up", true, 1);
  x.host.cut();
  x.host.connect();
  x.host.pass(11s);
  x.sent();
  x.tell("answer long");
  CHECK(x.host.stats().clients_doubted == 0);
  CHECK(x.host.log_text().find("a response found no room to wait in") != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "a body that arrived whole is handed out as one part") {
  host.request(a, 1, "POST", "/up", "hello");
  CHECK(said() == strings{"/up", "all 5"});
  CHECK(sent() == strings{"1 #0 200 5"});
}

TEST_CASE_FIXTURE(fixture, "a part of an upload that is too long ends that upload alone") {
  open("/up", true, 1);
  open("/up", true, 2);
  chunk(1, 10, false, 1);
  said();
  sent();
  host.too_long(sim_host::tunnel(1, 2, protocol::to_envoy_request_chunk{}));
  CHECK(sent() == strings{"1 #0 abort"});
  const auto seen = said();
  REQUIRE(seen.size() == 1);
  CHECK(seen.front().find("failed") != std::string::npos);
  chunk(3, 10, true, 1);
  CHECK(sent().empty());
  chunk(1, 5, true, 2);
  CHECK(sent() == strings{"2 #0 200 15"});  // it counts what both have read
}

TEST_CASE_FIXTURE(fixture, "a request that is answered without reading its body stops the upload") {
  open("/ignore", true);
  CHECK(sent() == strings{"1 #0 cancel body", "1 #1 200 not read"});
  chunk(1, 100);
  CHECK(sent().empty());
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "a reader that cancels stops the upload and answers later") {
  open("/up", true);
  chunk(1, 100);
  tell("cancel");
  CHECK(sent() == strings{"1 #0 cancel body"});
  tell("answer");
  CHECK(sent() == strings{"1 #1 200 enough"});
}

TEST_CASE_FIXTURE(fixture, "both bodies at once") {
  open("/echo", true);
  chunk(1, 100);
  chunk(2, 200);
  chunk(3, 0, true);
  CHECK(
      sent() ==
      strings{"1 #0 200 in parts", "1 #1 chunk 100", "1 #2 chunk 200", "1 #3 chunk 0 end"});
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "a client that leaves in the middle of its upload") {
  open("/up", true);
  chunk(1, 100);
  abort();
  CHECK(said() == strings{"/up in parts", "failed 100"});
  CHECK(sent().empty());
  CHECK(host.stats().requests_open == 0);
  open("/up", true, 2);
  chunk(1, 50, false, 2);
  host.deliver(sim_host::tunnel(2, 2, protocol::to_envoy_request_body_cancel{}));
  CHECK(said() == strings{"/up in parts", "failed 150"});
}

TEST_CASE_FIXTURE(fixture, "the engine's reason for an abort reaches both handlers") {
  using protocol::http_stream_abort_reason_kind;
  const auto aborted = [&](std::uint32_t id, protocol::http_stream_abort_reason reason) {
    protocol::to_envoy_request_abort x;
    x.reason = std::move(reason);
    host.deliver(sim_host::tunnel(id, 1, std::move(x)));
    return std::exchange(n->why, {});
  };
  open("/up", true, 1);
  CHECK(
      aborted(1, {http_stream_abort_reason_kind::cancelled, text{"the tab was closed"}}) ==
      "the client gave up: the tab was closed");
  open("/down", false, 2);
  CHECK(aborted(2, {http_stream_abort_reason_kind::internal_error, {}}) == "the engine cut it");
  open("/up", true, 3);
  open("/up", true, 3);
  CHECK(n->why == "the gateway repeated the request");
}

TEST_CASE_FIXTURE(
    fixture, "I13 backpressure: responses that wait to be complete have a common limit") {
  for (std::uint32_t i = 1; i <= 4; ++i) open("/collect", false, i, false);
  const auto full = "too many responses wait to be complete";
  CHECK(
      said() ==
      strings{
          "/collect", "took it", "/collect", "took it", "/collect", "took it", "/collect", full});
  CHECK(sent() == strings{fmt::format("4 #0 503 {}\n", full)});
  tell("finish first");
  CHECK(sent().size() == 1);
  abort(2);
  for (std::uint32_t i = 5; i <= 6; ++i) open("/collect", false, i, false);
  CHECK(said() == strings{"/collect", "took it", "/collect", "took it"});
  CHECK(sent().empty());
}

TEST_CASE(
    "I13 backpressure: responses that wait for their clients have a bound together, and leave room "
    "to each") {
  ingress_options options;
  options.request_bytes_max = 2 * mib;
  fixture x{options};
  for (std::uint32_t i = 1; i <= 10; ++i) x.open("/down", false, i);
  const auto waits = x.n->written - x.sent_body();
  CHECK(waits > mib);
  CHECK(waits <= 2 * mib + 10 * http_chunk_bytes_max);
  // The last has less room than a window, and is asked again when others have left.
  CHECK(x.n->out.room() < 100'000);
  CHECK(x.n->out.room() > 0);
  x.host.pass(10s);
  CHECK(x.sent_body() == 0);
  for (std::uint32_t i = 1; i <= 9; ++i) x.abort(i);
  x.n->written = 0;
  x.host.pass(100ms);
  CHECK(x.n->written >= 800'000);
  CHECK(x.n->out.room() < 200'000);
  // A writer that does not ask hears it, and nothing of it is taken.
  x.abort(10);
  for (std::uint32_t i = 11; i <= 18; ++i) x.open("/down", false, i);
  x.open("/manual", false, 20);
  const auto room = x.n->out.room();
  CHECK(room >= http_chunk_bytes_max);
  const auto refused = x.n->out.write(bytes{std::string(room + 1, 'x')});
  REQUIRE_FALSE(refused);
  CHECK(refused.error() == errc::queue_full);
  CHECK(x.n->out.room() == room);
}

TEST_CASE("I13 backpressure: actors whose responses fill the host's room leave others theirs") {
  ingress_options options;
  options.host_request_bytes_max = 4 * mib;
  options.request_bytes_max = 3 * mib;
  fixture x{options};
  for (std::uint32_t i = 1; i <= 8; ++i) x.open("/down", false, i);
  x.a = instance_of("b");
  x.host.start_accepted(x.a, "streamer");
  for (std::uint32_t i = 9; i <= 24; ++i) x.open("/down", false, i);
  const auto waits = x.n->written - x.sent_body();
  CHECK(waits > 3 * mib);
  CHECK(waits <= 4 * mib + 24 * http_chunk_bytes_max);
  CHECK(x.n->out.room() > 0);
}

TEST_CASE_FIXTURE(fixture, "a repeated request starts over, its old parts go nowhere") {
  open("/up", true);
  chunk(1, 100);
  open("/up", true);
  CHECK(said() == strings{"/up in parts", "failed 100", "/up in parts"});
  n->read = 0;
  chunk(1, 30);
  chunk(2, 0, true);
  CHECK(said() == strings{"all 30"});
  CHECK(sent() == strings{"1 #0 200 30"});
  CHECK(host.stats().requests_open == 0);
}

// Word that the client has gone is lost when the link is down at that moment.
TEST_CASE_FIXTURE(
    fixture, "I13 backpressure: a response whose client takes nothing for long is cut, once") {
  open("/down", false);
  sent();
  host.pass(5min);
  CHECK(sent().empty());
  credit(65536);
  CHECK(sent().size() == 1);
  host.pass(5min);
  CHECK(sent().empty());
  host.pass(5min);
  CHECK(sent().size() == 1);
  CHECK(n->seen.back() == "gone");
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "an upload that is not answered in time: the 504 follows its credits") {
  open("/up", true);
  chunk(1, mib);
  host.pass(4min);
  chunk(2, 100);
  CHECK(sent().size() == 1);  // a credit, #0
  host.pass(61s);
  CHECK(sent() == strings{"1 #1 cancel body", "1 #2 504 the actor did not answer in time\n"});
  CHECK(said() == strings{"/up in parts", fmt::format("failed {}", mib + 100)});
  CHECK(n->why == "the actor did not answer in time");
  CHECK(host.stats().requests_late == 1);
  CHECK(host.stats().requests_open == 0);
  tell("open");
  CHECK(said() == strings{"open 0"});
  tell("answer");
  CHECK(sent().empty());
}

TEST_CASE_FIXTURE(fixture, "an upload that no handler got in time is answered 504 as well") {
  caf::response_promise held;
  n->other = spawn_plain(*host.sim, [&held](caf::event_based_actor* self) -> caf::behavior {
    return {
        [&held, self](int) -> caf::result<int> {
          held = self->make_response_promise();
          return caf::delegated<int>{};
        },
        [&held](caf::unit_t) { held.deliver(7); }};
  });
  tell("await");
  open("/up", true);
  host.pass(5min);
  CHECK(sent() == strings{"1 #0 cancel body", "1 #1 504 the actor did not answer in time\n"});
  CHECK(said().empty());
  CHECK(host.stats().requests_late == 1);
  CHECK(host.stats().requests_open == 0);
  caf::anon_send(n->other, caf::unit);
  host.settle();
  CHECK(said() == strings{"awaited"});
  CHECK(sent().empty());
  caf::anon_send_exit(n->other, caf::exit_reason::kill);
  host.settle();
}

TEST_CASE_FIXTURE(fixture, "an abandoned upload is not an open request of its actor") {
  open("/up", true);
  chunk(1, 100);
  chunk(3, 100);  // one was lost
  CHECK(host.stats().requests_open == 0);
  said();
  tell("open");
  CHECK(said() == strings{"open 0"});
  sent();
  tell("answer");  // too late: the client has had its answer
  CHECK(sent().empty());
  // Its end waits for nothing but requests that may be on their way.
  host.stop(a);
  host.pass(200ms, 200ms);
  const auto lines = sent();
  CHECK(std::any_of(lines.begin(), lines.end(), [](const auto& x) {
    return x.starts_with("event a/1:") && x.ends_with(" stopped ok");
  }));
}

TEST_CASE_FIXTURE(fixture, "a response with nothing to send may be silent for ever") {
  open("/manual", false);
  sent();
  for (int i = 0; i < 4; ++i) host.pass(5min);
  CHECK(sent().empty());
  tell("write");
  CHECK(sent().size() == 1);
  CHECK(host.stats().requests_open == 1);
}

TEST_CASE_FIXTURE(fixture, "a handler of parts that throws is answered 500") {
  open("/throw", true);
  chunk(1, 100);
  const auto lines = sent();
  REQUIRE(lines.size() >= 2);
  CHECK(lines[0] == "1 #0 cancel body");
  CHECK(lines[1].starts_with("1 #1 500 hidden: boom"));
}

TEST_CASE_FIXTURE(
    fixture, "the captures of a part handler are released with its actor, even a self-reference") {
  open("/keep", true);
  CHECK_FALSE(n->kept.expired());
  tell("throw");
  n->self = nullptr;
  host.settle();
  CHECK(n->kept.expired());
}

TEST_CASE_FIXTURE(fixture, "parts wait while their actor awaits something") {
  auto& sys = *host.sim;
  caf::response_promise held;
  n->other = spawn_plain(sys, [&held](caf::event_based_actor* self) -> caf::behavior {
    return {
        [&held, self](int) -> caf::result<int> {
          held = self->make_response_promise();
          return caf::delegated<int>{};
        },
        [&held](caf::unit_t) { held.deliver(7); }};
  });
  open("/up", true);
  tell("await");
  chunk(1, 100);
  chunk(2, 0, true);
  CHECK(n->read == 0);
  caf::anon_send(n->other, caf::unit);
  host.settle();
  CHECK(said() == strings{"/up in parts", "awaited", "all 100"});
  caf::anon_send_exit(n->other, caf::exit_reason::kill);
  host.settle();
}

TEST_CASE_FIXTURE(fixture, "I14 single writer: streaming bodies end with the lease") {
  open("/down", false);
  host.clear();
  host.to_ingress(internal::lease_ended{});
  credit(mib);
  CHECK(sent_body() == 0);
}

}  // namespace streams_test

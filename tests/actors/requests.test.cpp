// HTTP through the tunnel: each request gets the right response, once, and limits hold.
#include <doctest/doctest.h>

#include <nuncio/actor/access.hpp>
#include <nuncio/kv.hpp>
#include <optional>
#include <stdexcept>

#include "actors/watched_actors.hpp"

namespace requests_test {

using namespace nuncio;
using namespace nuncio::test;
using reason = protocol::stop_actor_reason;
using strings = std::vector<std::string>;

namespace {

ingress_options small() {
  ingress_options x;
  x.requests_max = 4;
  x.request_bytes_max = 1000;
  return x;
}

struct fixture : hosted {
  actor_ref a = instance_of("a");

  explicit fixture(ingress_options options = small()) : hosted(std::move(options)) {
    host.boot();
    host.start_accepted(a);
    host.clear();
  }

  ~fixture() {
    p->pending.clear();
    CHECK(host.stats().requests_open <= 4);
  }

  void chunk(std::uint32_t n, std::uint16_t index, std::string body, bool finish) {
    host.deliver(sim_host::tunnel(
        n, index, protocol::to_envoy_request_chunk{bytes{std::move(body)}, finish}));
  }

  void open_stream(std::uint32_t n) {
    auto message = sim_host::request_message(a, n, "POST", "/echo");
    std::get<protocol::to_envoy_request_start>(
        std::get<protocol::to_envoy_tunnel_message>(message).message_kind)
        .stream = true;
    host.deliver(std::move(message));
  }

  void abort(std::uint32_t n) {
    host.deliver(sim_host::tunnel(n, 1, protocol::to_envoy_request_abort{}));
  }
};

// A gateway that streams in both directions.
struct streaming : fixture {
  static ingress_options roomy() {
    ingress_options x;
    x.requests_max = 4;
    x.request_bytes_max = 30UL << 20U;
    return x;
  }

  streaming() : fixture(roomy()) {}

  void open(std::uint32_t n, std::string_view method, std::string_view path, bool with_body) {
    auto message = sim_host::request_message(a, n, method, path);
    auto& start = std::get<protocol::to_envoy_request_start>(
        std::get<protocol::to_envoy_tunnel_message>(message).message_kind);
    start.stream = with_body;
    start.response_stream = true;
    host.deliver(std::move(message));
  }

  void get(std::uint32_t n, std::string_view path) { open(n, "GET", path, false); }

  /// Sends as many parts of 64 KiB, the first under `index`.
  void upload(std::uint32_t n, std::uint16_t index, std::size_t parts, bool finish = false) {
    for (std::size_t i = 1; i <= parts; ++i)
      chunk(n, index++, std::string(65536, 'x'), finish && i == parts);
  }

  /// The client has taken `total` bytes of the response; `index` is of no account.
  void credit(std::uint32_t n, std::uint64_t total) {
    host.deliver(sim_host::tunnel(n, 0, protocol::to_envoy_response_body_window_update{total}));
  }

  /// Bytes of the response that were sent in chunks so far.
  [[nodiscard]] std::size_t sent_body(std::uint32_t n) const {
    std::size_t total = 0;
    const auto id = exchange(n);
    for (const auto& frame : host.link->sent)
      if (const auto* x = std::get_if<protocol::to_rivet_tunnel_message>(&frame.content))
        if (x->message_id.request_id == id.request)
          if (const auto* part = std::get_if<protocol::to_rivet_response_chunk>(&x->message_kind))
            total += part->body.size();
    return total;
  }
};

constexpr std::size_t mib = 1UL << 20U;
constexpr std::size_t ahead = http_outstanding_bytes_max;  // 15 chunks

}  // namespace

TEST_CASE_FIXTURE(fixture, "what handlers return") {
  host.request(a, 1, "POST", "/echo", "hello");
  host.request(a, 2, "GET", "/status");
  host.request(a, 3, "GET", "/error");
  host.request(a, 4, "GET", "/bad-header");
  host.request(a, 5, "GET", "/bad-value");
  const auto lines = host.lines();
  REQUIRE(lines.size() == 5);
  CHECK(lines[0] == "1 #0 200 hello");
  CHECK(lines[1].starts_with("2 #0 500 the handler answered with status 1234"));
  CHECK(lines[2].starts_with("3 #0 500 hidden: "));
  CHECK(lines[2].find("not today") != std::string::npos);
  CHECK(lines[3].starts_with("4 #0 500 the response header 'a b'"));
  CHECK(lines[4].starts_with("5 #0 500 the response header 'a'"));
  CHECK(p->ended == 0);
  CHECK(host.counts->responses == 5);
  CHECK(host.stats().requests_open == 0);
  CHECK(host.log_text().find("1234") != std::string::npos);
}

TEST_CASE_FIXTURE(
    fixture, "an http_error reaches the client as it is, thrown or delivered; the actor lives on") {
  host.request(a, 1, "GET", "/throw-http");
  host.request(a, 2, "GET", "/http-error");
  host.request(a, 3, "GET", "/later-then-throw-http");
  host.request(a, 4, "GET", "/stream-then-throw-http");
  CHECK(
      host.lines() == strings{
                          "1 #0 404 no such room\n",
                          "2 #0 402 no credit\n",
                          "3 #0 409 the room is full\n",
                          "4 #0 500 it is over\n"});
  CHECK(p->ended == 0);
  CHECK(host.stats().requests_open == 0);
  CHECK(host.stats().instances == 1);
  CHECK(host.log_text().empty());
}

TEST_CASE_FIXTURE(
    fixture,
    "a handler's mistake is logged ten times a second at most, however often clients ask") {
  host.serve("mistaken", [](engine_actor* self) -> caf::behavior {
    return {[=](const http_request& r) -> caf::result<http_response> {
      if (r.path == "/whole") return http_response{.status = 99, .headers = {}, .body = {}};
      if (r.path == "/begun") {
        static_cast<void>(self->stream(r, {.status = 99, .headers = {}, .body = {}}));
      } else {
        const auto to = self->stream(r, {.headers = {{"content-length", "1"}}, .body = {}});
        static_cast<void>(to.write(bytes{std::string{"longer"}}));
      }
      return http_response{};
    }};
  });
  host.end();
  host.boot();
  const auto m = instance_of("m");
  host.start_accepted(m, "mistaken");
  const auto logged = [&](std::string_view path) {
    host.log.clear();
    for (std::uint32_t n = 1; n <= 25; ++n) host.request(m, n, "GET", path);
    const auto lines = host.log.size();
    host.pass(1s);
    host.request(m, 26, "GET", path);
    CHECK(host.log_text().find("left_out=15") != std::string::npos);
    return lines;
  };
  CHECK(logged("/whole") == 10);
  host.pass(1s);
  CHECK(logged("/begun") == 10);
  host.pass(1s);
  CHECK(logged("/cut") == 10);
}

TEST_CASE_FIXTURE(fixture, "a HEAD is answered without a body, by its handler and by the host") {
  host.request(a, 1, "HEAD", "/throw-http");
  CHECK(host.lines() == strings{"1 #0 404 "});
  host.request(instance_of("gone"), 2, "HEAD", "/");
  host.request(a, 3, "HEAD", "/throw");
  CHECK(host.lines().at(2) == "3 #0 500 ");
}

namespace {

struct without_behavior : engine_actor {
  using engine_actor::engine_actor;
};

}  // namespace

TEST_CASE("an actor with an empty behavior answers 404, lives on, and is logged once") {
  sim_host host;
  SUBCASE("returned") {
    host.serve("empty", [](engine_actor*) -> caf::behavior { return {}; });
  }
  SUBCASE("never set") {
    host.serve("empty", [](engine_actor*) {});
  }
  SUBCASE("of a class that makes none") { host.serve<without_behavior>("empty"); }
  host.boot();
  const auto e = instance_of("e");
  host.start_accepted(e, "empty");
  host.clear();
  host.request(e, 1);
  host.request(e, 2);
  const std::string none = " #0 404 this actor has no handler for HTTP requests\n";
  CHECK(host.lines() == strings{"1" + none, "2" + none});
  host.stop(e);
  CHECK(host.lines().back() == "event e/1:501 stopped ok");
  CHECK(host.stats().actors_failed == 0);
  CHECK(
      host.log_text() ==
      "an actor has no behavior; its requests are answered with 404 name=empty actor=e "
      "generation=1\n");
}

TEST_CASE(
    "an actor without a behavior lives as long as it waits for an answer, or until it quits") {
  sim_host host;
  host.serve("quits", [](engine_actor* self) { self->quit(); });
  host.serve("waits", [](engine_actor* self) {
    self->kv().get("x").then(
        [self](const std::optional<bytes>&) { self->quit(); },
        [self](const caf::error&) { self->quit(); });
  });
  host.boot();
  host.start_accepted(instance_of("q"), "quits");
  host.start_accepted(instance_of("w"), "waits");
  CHECK(host.stats().instances == 2);
  CHECK(host.log_text().find("no behavior") == std::string::npos);
}

TEST_CASE("a crash is two lines of log, each with its actor and the id of its error") {
  sim_host host;
  host.serve("thrower", [](engine_actor*) -> caf::behavior {
    return {[](const http_request&) -> http_response { throw std::runtime_error{"boom"}; }};
  });
  host.boot();
  const auto who = instance_of("t", 3);
  auto start = host.start_command(who, "thrower");
  std::get<protocol::command_start_actor>(start.inner).config.key = text{"lobby"};
  host.command(std::move(start));
  host.accept(who);
  host.request(who, 1);
  std::vector<std::string> said;
  for (const auto& [level, line] : host.log)
    if (level == log_level::error) said.push_back(line);
  REQUIRE(said.size() == 2);
  const auto at = said[0].find("error_id=");
  REQUIRE(at != std::string::npos);
  const auto id = said[0].substr(at + 9, 16);
  const std::string of = " name=thrower key=lobby actor=t generation=3 error_id=" + id + " reason=";
  CHECK(said[0] == "an error whose text is hidden from clients" + of + "boom");
  CHECK(said[1] == "an actor failed" + of + "an internal error occurred (error_id " + id + ")");
}

TEST_CASE_FIXTURE(fixture, "a response larger than the engine accepts") {
  host.request(a, 1, "GET", "/largest");
  host.request(a, 2, "GET", "/large");
  CHECK(host.lines()[0].size() == 20'971'520 + std::string_view{"1 #0 200 "}.size());
  CHECK(
      host.lines()[1] ==
      "2 #0 500 the response body has 20971521 bytes, the engine takes at most 20971520\n");
}

TEST_CASE_FIXTURE(fixture, "an actor without a handler for HTTP answers 404 and lives on") {
  host.start_accepted(instance_of("d"), "deaf");
  host.request(instance_of("d"), 1);
  CHECK(host.lines().back() == "1 #0 404 this actor has no handler for HTTP requests\n");
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "a promise answered later, after others") {
  host.request(a, 1, "GET", "/later");
  host.request(a, 2);
  CHECK(host.stats().requests_open == 1);
  answer("at last", 202);
  CHECK(host.lines() == strings{"2 #0 200 0", "1 #0 202 at last"});
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE("2.1: what an actor keeps of a request keeps nothing large besides") {
  struct kept {
    std::optional<http_request> request;
  };

  hosted x;
  const auto keeps = std::make_shared<kept>();
  x.host.serve(
      "keeper",
      [](engine_actor*, std::shared_ptr<kept> to) -> caf::behavior {
        return {[to](const http_request& r) {
          to->request = r;
          return http_response{};
        }};
      },
      keeps);
  x.host.boot();
  x.host.start_accepted(instance_of("a"), "keeper");
  const auto ask = [&](std::size_t path_bytes, std::size_t body_bytes) {
    const auto frame =
        std::make_shared<const std::string>(std::string(path_bytes + body_bytes, 'x'));
    auto message = sim_host::request_message(instance_of("a"), 1, "GET", "/");
    auto& start = std::get<protocol::to_envoy_request_start>(
        std::get<protocol::to_envoy_tunnel_message>(message).message_kind);
    start.path = text{frame, std::span<const char>{*frame}.first(path_bytes)};
    start.headers.entries = {{start.path.part(0, 1), start.path.part(1, 1)}};
    start.method = start.path.part(0, 1);
    start.body = bytes{
        frame, {reinterpret_cast<const std::uint8_t*>(frame->data()) + path_bytes, body_bytes}};
    x.host.deliver(std::move(message));
    REQUIRE(keeps->request.has_value());
    CHECK(keeps->request->path.size() == path_bytes);
    CHECK(keeps->request->body.size() == body_bytes);
    return frame;
  };
  SUBCASE("a large body is not copied, and all else does not keep it") {
    const auto frame = ask(100, 100'000);
    CHECK(keeps->request->body.owner() == frame);
    CHECK(frame.use_count() == 2);
    keeps->request->body = {};
    CHECK(frame.use_count() == 1);
  }
  SUBCASE("a small body keeps no large path") {
    const auto frame = ask(100'000, 100);
    keeps->request->path = {};
    CHECK(frame.use_count() == 1);
  }
  SUBCASE("parts that are small together are not copied") {
    const auto frame = ask(100, http_request::shared_bytes_max - 103);
    CHECK(keeps->request->path.owner() == frame);
    CHECK(keeps->request->body.owner() == frame);
  }
  keeps->request.reset();
}

TEST_CASE("delegation to another actor") {
  hosted x;
  auto worker =
      (*x.host.sim)
          .spawn(
              [](caf::event_based_actor*, const std::string& prefix) -> caf::behavior {
                return {[prefix](const std::string& path) {
                  return http_response{.status = 200, .headers = {}, .body = prefix + path};
                }};
              },
              std::string{"for "});
  x.host.serve("delegating", delegating, worker);
  x.host.boot();
  x.host.start_accepted(instance_of("a"), "delegating");
  x.host.clear();
  x.host.request(instance_of("a"), 1, "GET", "/x");
  CHECK(x.host.lines() == strings{"1 #0 200 for /x"});
  // A dead worker: an error, not silence.
  caf::anon_send_exit(worker, caf::exit_reason::kill);
  worker = nullptr;
  x.host.settle();
  x.host.request(instance_of("a"), 2);
  CHECK(x.host.lines().back().starts_with("2 #0 500 "));
  CHECK(x.host.stats().requests_open == 0);
  x.host.options().factories.clear();
}

namespace {

// An actor that delegates what it is asked to another engine actor, which does what the path says.
struct delegated : hosted {
  struct notes {
    std::vector<caf::typed_response_promise<http_response>> pending;
    caf::actor to;
    bool part_failed = false;
  };

  std::shared_ptr<notes> n = std::make_shared<notes>();
  actor_ref front = instance_of("f");
  actor_ref back = instance_of("b");

  static http_response ok(std::string body) {
    return {.status = 200, .headers = {}, .body = std::move(body)};
  }

  delegated() {
    host.serve(
        serve_options{.name = "front", .stream_requests = true, .idle_timeout = 0ms},
        [](engine_actor* self, std::shared_ptr<notes> s) -> caf::behavior {
          return {[=](const http_request& r) -> caf::result<http_response> {
            if (r.path == "/open") return ok(std::to_string(self->open_requests()));
            if (r.path == "/throw") throw std::runtime_error{"boom"};
            self->delegate(s->to, r);
            return caf::delegated<http_response>{};
          }};
        },
        n);
    host.serve(
        "back",
        [](engine_actor* self, std::shared_ptr<notes> s) -> caf::behavior {
          s->to = self;
          return {
              [=](const http_request& r) -> caf::result<http_response> {
                const auto path = r.path_only();
                if (path == "/later") {
                  s->pending.push_back(self->make_response_promise<http_response>());
                  return s->pending.back();
                }
                if (path == "/throw-back") throw std::runtime_error{"boom"};
                if (path == "/throw-http") throw http_error{404, "no such room"};
                if (path == "/stream")
                  return ok(self->stream(r, {}).is_open() ? "streams" : "does not stream");
                if (path == "/upload")
                  self->on_body(r, [=](const request_part& x) { s->part_failed = x.failed; });
                if (path == "/forge") {
                  const auto& self_ref = self->start().self;
                  const auto& context = internal::access::context(*self);
                  internal::tell(context, internal::response_begun{self_ref, r.exchange, r.ticket});
                  internal::tell(context, internal::attempt_done{self_ref, r.exchange, r.ticket});
                  s->pending.push_back(self->make_response_promise<http_response>());
                  return s->pending.back();
                }
                return ok(std::to_string(self->open_requests()));
              },
              [=](const http_response& x) { s->pending.front().deliver(x); }};
        },
        n);
    host.boot();
    host.start_accepted(back, "back");
    host.start_accepted(front, "front");
    host.clear();
  }

  ~delegated() {
    n->pending.clear();
    n->to = nullptr;
  }

  void answer_pending(std::string body) {
    caf::anon_send(n->to, ok(std::move(body)));
    host.settle();
  }
};

}  // namespace

TEST_CASE_FIXTURE(
    delegated, "a request delegated to another engine actor is open in the one that was asked") {
  host.request(front, 1);
  host.request(front, 2);
  host.request(front, 3, "GET", "/later");
  host.request(front, 4, "GET", "/open");
  host.request(back, 5, "GET", "/own");
  CHECK(host.lines() == strings{"1 #0 200 0", "2 #0 200 0", "4 #0 200 2", "5 #0 200 1"});
  answer_pending("at last");
  CHECK(host.lines().back() == "3 #0 200 at last");
  CHECK(host.stats().requests_open == 0);
  host.request(front, 6, "GET", "/later");
  host.stop(back);  // it has nothing open of its own
  CHECK(host.lines().back() == "event b/1:501 stopped ok");
}

TEST_CASE_FIXTURE(delegated, "an engine actor that ends takes no delegated request with it") {
  host.request(front, 1, "GET", "/later");
  host.request(back, 2, "GET", "/throw-back");
  CHECK(host.stats().requests_open == 1);
  CHECK(host.stats().instances == 1);
  host.clear();
  host.request(front, 3, "GET", "/throw");
  auto lines = host.lines();
  REQUIRE(lines.size() == 3);
  std::sort(lines.begin(), lines.end());
  CHECK(
      lines == strings{
                   "1 #0 500 hidden: boom\n",
                   "3 #0 500 hidden: boom\n",
                   "event f/1:501 stopped error: hidden: boom"});
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(delegated, "what a handler throws answers the request that was delegated to it") {
  host.request(front, 1, "GET", "/throw-http");
  CHECK(host.lines() == strings{"1 #0 404 no such room\n"});
  CHECK(host.stats().instances == 2);
  host.request(front, 2, "GET", "/throw-back");
  CHECK(host.stats().instances == 1);
  CHECK(host.stats().requests_open == 0);
  const auto lines = host.lines();
  REQUIRE(lines.size() == 3);
  CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) {
          return line.starts_with("2 #0 500 hidden: ") && line.find("boom") != line.npos;
        }) == 1);
}

TEST_CASE_FIXTURE(delegated, "streaming bodies belong to the actor that got the request") {
  host.request(front, 1, "GET", "/stream");
  CHECK(host.lines() == strings{"1 #0 200 does not stream"});
  auto upload = sim_host::request_message(front, 2, "POST", "/upload");
  std::get<protocol::to_envoy_request_start>(
      std::get<protocol::to_envoy_tunnel_message>(upload).message_kind)
      .stream = true;
  host.deliver(std::move(upload));
  CHECK(n->part_failed);
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(delegated, "no instance ends or begins another instance's requests") {
  host.request(front, 1, "GET", "/forge");
  CHECK(host.stats().requests_open == 1);
  answer_pending("still here");
  CHECK(host.lines().back() == "1 #0 200 still here");
  CHECK(host.stats().requests_open == 0);
  host.stop(front);
  CHECK(host.lines().back() == "event f/1:501 stopped ok");
}

TEST_CASE_FIXTURE(
    fixture,
    "requests still in the mailbox are aborted, begun ones are answered 500, then Stopped") {
  host.request(a, 1, "GET", "/later");
  host.batch(
      {sim_host::request_message(a, 2, "GET", "/throw"),
       sim_host::request_message(a, 3),
       sim_host::request_message(a, 4)});
  host.settle();
  auto lines = host.lines();
  REQUIRE(lines.size() == 5);
  std::sort(lines.begin(), lines.begin() + 2);
  std::sort(lines.begin() + 2, lines.begin() + 4);
  CHECK(
      lines == strings{
                   "1 #0 500 hidden: boom\n",
                   "2 #0 500 hidden: boom\n",
                   "3 #0 abort",
                   "4 #0 abort",
                   "event a/1:501 stopped error: hidden: boom"});
  CHECK(host.stats().requests_aborted == 2);
  CHECK(host.stats().requests_open == 0);
  CHECK(p->seen.size() == 2);
}

TEST_CASE_FIXTURE(fixture, "a request answered before a crash keeps its response") {
  host.batch(
      {sim_host::request_message(a, 1, "POST"), sim_host::request_message(a, 2, "GET", "/throw")});
  host.settle();
  CHECK(
      host.lines() ==
      strings{
          "1 #0 200 1", "2 #0 500 hidden: boom\n", "event a/1:501 stopped error: hidden: boom"});
}

TEST_CASE_FIXTURE(
    fixture, "a request that is too long is answered 413, and other requests are not affected") {
  host.too_long(
      sim_host::request_message(a, 1, "POST"), {sim_host::request_message(a, 2, "POST", "/", "x")});
  const auto lines = host.lines();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].starts_with("1 #0 413 "));
  CHECK(lines[1].starts_with("2 #0 200 "));
  CHECK(host.stats().too_long == 1);
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "I13 backpressure: a flood is answered 503 at the bound, at once") {
  for (auto n = 1U; n <= 4; ++n) host.request(a, n, "GET", "/later");
  CHECK(host.lines().empty());
  host.request(a, 5);
  CHECK(host.lines() == strings{"5 #0 503 this actor has too many requests waiting\n"});
  CHECK(host.stats().requests_rejected == 1);
  // Others are unaffected, and a place is free once one is answered.
  host.start_accepted(instance_of("b"));
  host.request(instance_of("b"), 6);
  CHECK(host.lines().back() == "6 #0 200 0");
  answer("one");
  host.request(a, 7);
  CHECK(host.lines().back() == "7 #0 200 0");
}

TEST_CASE_FIXTURE(fixture, "I13 backpressure: bodies count too") {
  host.request(a, 1, "POST", "/later", std::string(600, 'x'));
  host.request(a, 2, "POST", "/later", std::string(600, 'x'));
  CHECK(host.lines() == strings{"2 #0 503 this actor has too many requests waiting\n"});
  answer("one");
  host.request(a, 3, "POST", "/later", std::string(600, 'x'));
  CHECK(p->seen.size() == 2);
}

TEST_CASE_FIXTURE(
    fixture,
    "I13 backpressure: at a bound the request whose body has been silent longest makes room") {
  constexpr auto stopped = "408 the request body stopped arriving, and others need its place\n";
  for (auto n = 1U; n <= 4; ++n) {
    open_stream(n);
    chunk(n, 1, "x", false);
  }
  host.request(a, 5);
  CHECK(host.lines() == strings{"5 #0 503 this actor has too many requests waiting\n"});
  host.pass(6s);
  chunk(1, 2, "x", false);
  host.pass(5s);
  host.clear();
  host.request(a, 6);
  CHECK(host.lines() == strings{fmt::format("2 #0 {}", stopped), "6 #0 200 0"});
  host.clear();
  chunk(3, 2, std::string(800, 'x'), false);
  host.request(a, 7, "POST", "/echo", std::string(165, 'y'));
  CHECK(
      host.lines() ==
      strings{fmt::format("4 #0 {}", stopped), "7 #0 200 " + std::string(165, 'y')});
  CHECK(host.stats().requests_silent == 2);
  CHECK(host.stats().requests_open == 2);
  host.clear();
  chunk(1, 3, "y", true);
  CHECK(host.lines() == strings{"1 #0 200 xxy"});
}

TEST_CASE_FIXTURE(fixture, "2.1: no client is silent while the connection is down") {
  for (auto n = 1U; n <= 4; ++n) open_stream(n);
  host.pass(5s);
  host.cut();
  host.pass(10s);
  host.connect();
  host.clear();
  host.request(a, 5);
  CHECK(host.lines() == strings{"5 #0 503 this actor has too many requests waiting\n"});
  host.pass(11s);
  host.request(a, 6);
  CHECK(host.lines().back() == "6 #0 200 0");
}

TEST_CASE(
    "I13 backpressure: what a crashed engine has left makes room for its clients when they come "
    "back, and no "
    "other's") {
  constexpr auto left = "503 the client was silent after a reconnect, and others need its place\n";
  auto options = small();
  SUBCASE("at the actor's bound") {}
  SUBCASE("at the host's bound") {
    options.requests_max = 100;
    options.host_requests_max = 4;
  }
  fixture x{options};
  for (auto n = 1U; n <= 3; ++n) x.host.request(x.a, n, "GET", "/later");
  x.open_stream(4);  // whose body is not whole
  x.host.cut();
  x.host.connect();
  x.host.clear();
  // A gateway that was there before the cut: its clients have their time.
  x.host.request(x.a, 5, "GET", "/later");
  CHECK(x.host.lines().size() == 1);
  CHECK(x.host.lines().front().starts_with("5 #0 503 this "));
  x.host.cut();
  x.host.connect();
  x.host.clear();
  x.host.gateway = 1;
  for (auto n = 1U; n <= 4; ++n) {
    x.host.request(x.a, n, "GET", "/later");
    CHECK(x.host.lines().size() == n);
  }
  auto lines = x.host.lines();
  std::sort(lines.begin(), lines.end());
  for (auto n = 1U; n <= 4; ++n) CHECK(lines[n - 1] == fmt::format("{} #0 {}", n, left));
  x.host.clear();
  CHECK(x.host.stats().clients_doubted == 4);
  CHECK(x.host.stats().requests_open == 4);
  // What comes too late of their handlers is dropped; who is there gets its answer.
  for (auto n = 1; n <= 3; ++n) x.answer("late");
  CHECK(x.host.lines().empty());
  for (auto n = 1; n <= 4; ++n) x.answer("there");
  CHECK(
      x.host.lines() ==
      strings{"1 #0 200 there", "2 #0 200 there", "3 #0 200 there", "4 #0 200 there"});
  CHECK(x.host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(
    fixture,
    "I13 backpressure: a client that is silent for ten seconds after a cut makes room, another "
    "does not") {
  for (auto n = 1U; n <= 4; ++n) open_stream(n);
  host.cut();
  host.connect();
  host.clear();
  for (auto n : {1U, 3U, 4U}) chunk(n, 1, "x", false);
  host.pass(9s);
  host.request(a, 5);
  CHECK(host.lines() == strings{"5 #0 503 this actor has too many requests waiting\n"});
  chunk(1, 2, "x", false);
  host.pass(1s);
  host.clear();
  host.request(a, 6);
  CHECK(
      host.lines() ==
      strings{
          "2 #0 503 the client was silent after a reconnect, and others need its place\n",
          "6 #0 200 0"});
  CHECK(host.stats().clients_doubted == 1);
  host.clear();
  chunk(1, 3, "y", true);
  CHECK(host.lines() == strings{"1 #0 200 xxy"});
}

TEST_CASE("2.1: actors that keep much of the host's room leave some for others") {
  auto options = small();
  options.host_request_bytes_max = 2500;
  hosted x{std::move(options)};
  x.host.boot();
  for (const auto* name : {"a", "b", "c", "d"}) x.host.start_accepted(instance_of(name));
  x.host.clear();
  const auto post = [&](const char* name, std::uint32_t n, std::size_t size) {
    x.host.request(instance_of(name), n, "POST", "/later", std::string(size, 'x'));
  };
  post("a", 1, 900);
  post("b", 2, 750);
  post("c", 3, 700);
  CHECK(x.host.lines() == strings{"3 #0 503 this host has too many requests waiting\n"});
  post("c", 4, 350);
  post("a", 5, 80);
  CHECK(x.host.lines().back() == "5 #0 503 this host has too many requests waiting\n");
  post("d", 6, 200);
  CHECK(x.host.lines().size() == 2);
  CHECK(x.host.stats().requests_open == 4);
  x.p->pending.clear();
}

TEST_CASE_FIXTURE(fixture, "2.4: paths and headers of requests count too") {
  const auto long_path = "/later?" + std::string(590, 'x');
  host.request(a, 1, "GET", long_path);
  host.request(a, 2, "GET", long_path);
  CHECK(host.lines() == strings{"2 #0 503 this actor has too many requests waiting\n"});
  answer("one");
  host.request(a, 3, "GET", long_path);
  CHECK(host.stats().requests_rejected == 1);
  CHECK(host.stats().requests_open == 1);
}

TEST_CASE_FIXTURE(
    fixture, "I13 backpressure: starts and aborts to a busy actor don't get round the bound") {
  // Nothing runs meanwhile: the actor is busy.
  std::vector<protocol::to_envoy> flood;
  for (auto n = 1U; n <= 100; ++n) {
    flood.push_back(sim_host::request_message(a, n, "POST", "/", std::string(100, 'x')));
    flood.push_back(sim_host::tunnel(n, 1, protocol::to_envoy_request_abort{}));
  }
  host.batch(std::move(flood));
  host.settle();
  CHECK(host.stats().requests_rejected == 96);
  CHECK(p->seen.size() <= 4);
  host.clear();
  host.request(a, 200);
  CHECK(host.lines().size() == 1);
  CHECK(host.lines().back().starts_with("200 #0 200"));
}

TEST_CASE_FIXTURE(
    fixture, "a repeated start replaces the attempt, and the old response is dropped") {
  host.request(a, 1, "GET", "/later");
  host.request(a, 1, "GET", "/later");
  CHECK(host.stats().requests_replaced == 1);
  REQUIRE(p->pending.size() == 2);
  answer("old");
  CHECK(host.lines().empty());
  answer("new");
  CHECK(host.lines() == strings{"1 #0 200 new"});
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "a repeated start while both are in the mailbox: answered once") {
  host.batch({sim_host::request_message(a, 1, "POST"), sim_host::request_message(a, 1, "POST")});
  host.settle();
  CHECK(host.lines().size() == 1);
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(
    fixture, "an abort drops the answer; one that overtakes its start keeps it from running") {
  host.request(a, 1, "GET", "/later");
  abort(1);
  answer("too late");
  CHECK(host.lines().empty());
  CHECK(host.stats().requests_open == 0);
  abort(2);
  host.request(a, 2);
  CHECK(host.lines().empty());
  CHECK(p->seen.size() == 1);
  host.request(a, 2);  // a new exchange under the same id runs
  CHECK(host.lines() == strings{"2 #0 200 0"});
}

TEST_CASE_FIXTURE(
    fixture, "a body in chunks is joined; a gateway that does not stream gets no credits") {
  open_stream(1);
  CHECK(p->seen.empty());
  chunk(1, 1, "one ", false);
  chunk(1, 2, "two ", false);
  chunk(1, 3, "three", true);
  CHECK(host.lines() == strings{"1 #0 200 one two three"});
  CHECK(host.stats().requests_open == 0);
  chunk(1, 4, "more", false);  // of an exchange that is over
  CHECK(host.lines().size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a chunked body over the limit is refused") {
  open_stream(1);
  chunk(1, 1, std::string(600, 'x'), false);
  chunk(1, 2, std::string(600, 'x'), false);
  CHECK(host.lines() == strings{"1 #0 503 this actor has too many requests waiting\n"});
  CHECK(host.stats().requests_open == 0);
  host.request(a, 2, "POST", "/echo", std::string(900, 'y'));  // its bytes were given back
  CHECK(host.lines().back() == "2 #0 200 " + std::string(900, 'y'));
}

TEST_CASE_FIXTURE(fixture, "an actor that ends with a body half here: aborted") {
  open_stream(1);
  chunk(1, 1, "half", false);
  host.stop(a);
  CHECK(host.lines() == strings{"ack a/1:2", "1 #0 abort", "event a/1:501 stopped ok"});
}

TEST_CASE_FIXTURE(
    streaming, "a long upload is credited each half window, echoed in parts, and then forgotten") {
  open(1, "POST", "/echo", true);
  upload(1, 1, 40, true);
  CHECK(p->seen.size() == 1);
  auto lines = host.lines();
  REQUIRE(lines.size() == 4 + 1 + 15);
  CHECK(
      strings(lines.begin(), lines.begin() + 6) == strings{
                                                       "1 #0 window 524288",
                                                       "1 #1 window 1048576",
                                                       "1 #2 window 1572864",
                                                       "1 #3 window 2097152",
                                                       "1 #4 200 in parts",
                                                       "1 #5 chunk 65536"});
  CHECK(host.stats().requests_open == 1);
  credit(1, mib / 2);
  CHECK(sent_body(1) == ahead + mib / 2);
  credit(1, ahead);
  credit(1, mib * 2);
  CHECK(sent_body(1) == mib * 5 / 2);
  CHECK(host.lines().back() == "1 #44 chunk 65536 end");
  CHECK(host.stats().requests_open == 0);
  // Its bytes were given back.
  get(2, "/largest");
  CHECK(host.lines().back() == "2 #15 chunk 65536");
}

TEST_CASE_FIXTURE(streaming, "I13 backpressure: responses that wait for their clients count") {
  get(1, "/largest");
  get(2, "/largest");
  CHECK(sent_body(1) == ahead);
  CHECK(
      host.lines().back() == "2 #0 503 too many responses of this actor wait for their clients\n");
  CHECK(host.stats().requests_open == 1);
  CHECK(host.stats().requests_rejected == 1);
  // And against the same bound as bodies of requests.
  host.request(a, 3, "POST", "/later", std::string(10 * mib + 1, 'x'));
  CHECK(host.lines().back() == "3 #0 503 this actor has too many requests waiting\n");
  host.request(a, 3, "POST", "/later", std::string(9 * mib, 'x'));
  CHECK(p->pending.size() == 1);
  // The client goes: room again.
  abort(1);
  answer("x");
  get(4, "/largest");
  CHECK(sent_body(4) == ahead);
  CHECK(host.stats().requests_open == 1);
}

TEST_CASE_FIXTURE(
    streaming, "I13 backpressure: a response never runs ahead of its client, whatever others do") {
  get(1, "/largest");
  get(2, "/n");
  host.pass(60s);
  CHECK(sent_body(1) == ahead);
  credit(1, 3);
  CHECK(sent_body(1) == ahead + 3);
  credit(1, 2);
  CHECK(sent_body(1) == ahead + 3);
  CHECK(host.stats().requests_open == 1);
}

TEST_CASE_FIXTURE(
    streaming, "an actor that is stopped while its response goes out is down after its end") {
  get(1, "/largest");
  host.clear();
  host.stop(a);
  host.pass(200ms, 200ms);  // what was on its way has come
  CHECK(p->ended == 1);
  CHECK(host.lines() == strings{"ack a/1:2"});
  // Nobody is left who could handle another one.
  host.request(a, 2);
  CHECK(host.lines().back() == "2 #0 abort");
  for (auto total = ahead; total < 20'971'520; total += ahead) credit(1, total);
  CHECK(sent_body(1) == 20'971'520 - ahead);
  const auto lines = host.lines();
  CHECK(lines[lines.size() - 2].ends_with(" end"));
  CHECK(lines.back() == "event a/1:501 stopped ok");
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(
    streaming, "an actor that fails while its response goes out says so after its end") {
  get(1, "/largest");
  host.request(a, 2, "GET", "/throw");
  CHECK(host.lines().back() == "2 #0 500 hidden: boom\n");
  abort(1);
  CHECK(host.lines().back() == "event a/1:501 stopped error: hidden: boom");
}

TEST_CASE_FIXTURE(
    streaming, "a client that does not read holds up a stopped actor for the grace, no longer") {
  get(1, "/largest");
  host.clear();
  host.stop(a);
  host.pass(9s);
  CHECK(host.lines() == strings{"ack a/1:2"});
  host.pass(2s);
  CHECK(host.lines() == strings{"ack a/1:2", "1 #16 abort", "event a/1:501 stopped ok"});
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(streaming, "I14 single writer: a response being sent ends with the lease") {
  get(1, "/largest");
  SUBCASE("its actor lives") {}
  SUBCASE("its actor has ended") { host.stop(a); }
  host.cut();
  host.clear();
  host.to_ingress(internal::lease_ended{});
  host.connect();
  credit(1, mib);
  CHECK(sent_body(1) == 0);
  const auto lines = host.lines();
  CHECK(std::count(lines.begin(), lines.end(), "1 #16 abort") == 1);
  CHECK(std::any_of(lines.begin(), lines.end(), [](const auto& x) {
    return x.starts_with("event a/1:501 stopped error");
  }));
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(streaming, "a response being sent survives a cut") {
  get(1, "/largest");
  host.clear();
  host.cut();
  host.connect();
  credit(1, mib);
  CHECK(sent_body(1) == ahead);
}

TEST_CASE_FIXTURE(streaming, "the next generation does not wait for downloads of the last one") {
  get(1, "/largest");
  SUBCASE("its actor lives") {}
  SUBCASE("its actor has ended") { host.stop(a); }
  host.clear();
  host.start(instance_of("a", 2));
  CHECK(host.lines() == strings{"1 #16 abort", "ack a/2:1", "event a/2:250 running"});
  CHECK(host.stats().requests_open == 0);
  CHECK(p->factories == 2);
}

TEST_CASE_FIXTURE(streaming, "a body that stops arriving is answered with 408") {
  open(1, "POST", "/echo", true);
  upload(1, 1, 1);
  host.pass(4min, 30s);
  upload(1, 2, 1);
  host.pass(290s, 10s);
  CHECK(host.lines().empty());
  host.pass(20s, 10s);
  CHECK(
      host.lines() == strings{"1 #0 cancel body", "1 #1 408 the request body stopped arriving\n"});
  CHECK(host.stats().requests_open == 0);
  CHECK(p->seen.empty());
}

TEST_CASE_FIXTURE(streaming, "a client that stops reading is cut off") {
  get(1, "/largest");
  host.pass(290s, 10s);
  credit(1, 1);
  host.pass(290s, 10s);
  CHECK(host.stats().requests_open == 1);
  host.pass(20s, 10s);
  CHECK(host.lines().back() == "1 #17 abort");
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(
    streaming, "an upload that its client gives up is answered 400, one with a gap is aborted") {
  open(1, "POST", "/echo", true);
  upload(1, 1, 1);
  host.deliver(sim_host::tunnel(1, 2, protocol::to_envoy_request_body_cancel{}));
  open(2, "POST", "/echo", true);
  upload(2, 2, 1);
  CHECK(host.lines() == strings{"1 #0 400 the request body ended early\n", "2 #0 abort"});
  CHECK(p->seen.empty());
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(
    fixture, "a WebSocket to an actor without a handler is accepted and closed with 1011") {
  host.deliver(
      sim_host::tunnel(1, 0, protocol::to_envoy_web_socket_open{a.actor, std::nullopt, "/", {}}));
  CHECK(host.lines() == strings{"1 #0 socket open", "1 #1 socket close 1011"});
  CHECK(host.stats().sockets_refused == 1);
}

TEST_CASE_FIXTURE(fixture, "requests for nobody, for an older generation, for the newest") {
  host.request(instance_of("nobody"), 1);
  host.request(instance_of("a", 0), 2);  // no generation named: the newest
  CHECK(host.lines() == strings{"1 #0 abort", "2 #0 200 0"});
  host.clear();
  host.start_accepted(instance_of("a", 2));
  host.clear();
  host.request(instance_of("a", 1), 3);
  host.request(instance_of("a", 2), 4);
  CHECK(host.lines() == strings{"3 #0 abort", "4 #0 200 0"});
}

TEST_CASE_FIXTURE(fixture, "a request means that Running was accepted") {
  host.start(instance_of("b"));
  host.request(instance_of("b"), 1, "GET", "/sleep");
  CHECK(host.lines().back() == "event b/1:501 intent sleep");
}

TEST_CASE_FIXTURE(
    fixture, "I13 backpressure: a response that finds the link's queue full waits for room") {
  host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  host.request(a, 1, "POST", "/echo", "first");
  host.request(a, 2, "POST", "/echo", "second");
  host.pass(10s);
  CHECK(host.lines().empty());
  CHECK(host.stats().requests_open == 2);
  host.free_room();
  CHECK(host.lines() == strings{"1 #0 200 first", "2 #0 200 second"});
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "a long response lets short ones pass while the link is full") {
  host.link->room_for_bodies = false;
  host.request(a, 1, "GET", "/largest");
  CHECK(host.lines().back().starts_with("1 #0 503 too many responses"));
  host.clear();
  host.request(a, 2, "POST", "/echo", "short");
  CHECK(host.lines() == strings{"2 #0 200 short"});
}

TEST_CASE_FIXTURE(fixture, "a response waits for room when its actor has ended") {
  host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  host.request(a, 1, "POST", "/echo", "kept");
  host.stop(a);
  host.pass(200ms, 200ms);
  CHECK(p->ended == 1);
  CHECK(host.lines() == strings{"ack a/1:2"});
  host.free_room();
  CHECK(host.lines() == strings{"ack a/1:2", "1 #0 200 kept", "event a/1:501 stopped ok"});
}

TEST_CASE_FIXTURE(fixture, "a response without room to wait becomes 503, once the link has room") {
  host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  host.request(a, 1, "POST", "/echo", std::string(900, 'x'));
  host.request(a, 2, "GET", "/largest");
  CHECK(host.lines().empty());
  CHECK(host.log_text().find("a response found no room to wait in") != std::string::npos);
  host.free_room();
  const auto lines = host.lines();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] == "1 #0 200 " + std::string(900, 'x'));
  CHECK(lines[1] == "2 #0 503 too many responses of this actor wait for their clients\n");
}

TEST_CASE_FIXTURE(fixture, "the host's own responses wait for room as well, in order") {
  host.link->refuse_tunnel = failure{errc::queue_full, "full"};
  host.request(instance_of("unknown"), 1);
  host.open_socket(instance_of("unknown"), 2);
  host.request(a, 3, "POST", "/", std::string(2000, 'x'));
  CHECK(host.stats().requests_open == 0);
  host.clear();
  host.free_room();
  CHECK(
      host.lines() == strings{
                          "1 #0 abort",
                          "2 #0 socket close 1011",
                          "3 #0 503 this actor has too many requests waiting\n"});
}

TEST_CASE_FIXTURE(
    fixture, "a response that no link accepts is answered 500, and the log says why") {
  host.link->refuse_tunnel_once = failure{errc::malformed, "no such text"};
  host.request(a, 1);
  CHECK(host.lines() == strings{"1 #0 500 no such text\n"});
  CHECK(host.log_text().find("no such text") != std::string::npos);
  CHECK(host.stats().requests_open == 0);
}

TEST_CASE_FIXTURE(fixture, "exchanges survive a cut; the answer goes out afterwards") {
  host.request(a, 1, "GET", "/later");
  host.cut();
  host.connect();
  answer("after");
  CHECK(host.lines().back() == "1 #0 200 after");
}

TEST_CASE_FIXTURE(fixture, "credit is granted to the link for every batch") {
  const auto messages = host.link->granted_messages;
  const auto bytes = host.link->granted_bytes;
  host.batch({sim_host::request_message(a, 1), sim_host::request_message(a, 2)});
  host.settle();
  CHECK(host.link->granted_messages == messages + 2);
  CHECK(host.link->granted_bytes == bytes + 100);
}

}  // namespace requests_test

// What puts an actor to sleep, what keeps it awake, and what wakes it: idle time, guards, alarms; and how long a request may
// wait.
#include "actors/watched_actors.hpp"
#include "support/fake_store.hpp"

namespace lifecycle_test {

using namespace nuncio;
using namespace nuncio::test;
using strings = std::vector<std::string>;
using system_clock = std::chrono::system_clock;

namespace {

struct notes {
  strings seen;
  caf::actor self;
  std::shared_ptr<const void> guard;
  std::vector<http_request> asked;
  std::vector<caf::typed_response_promise<http_response>> pending;
  std::vector<body_writer> writers;
  std::function<void()> meanwhile;
  std::vector<connection> sockets;
};

using notes_ptr = std::shared_ptr<notes>;

caf::behavior dozer(engine_actor* self, notes_ptr n) {
  n->self = self;
  return {
      [=](const http_request& r) -> caf::result<http_response> {
        if (r.path != "/later") return http_response{};
        n->asked.push_back(r);
        n->pending.push_back(self->make_response_promise<http_response>());
        return n->pending.back();
      },
      [](const socket_opened& s) {
        CHECK(s.socket.accept({.hibernate = s.socket.path() == "/hibernate"}));
      },
      [=](const alarm_due& a) {
        n->seen.emplace_back("alarm");
        if (n->guard) self->set_alarm(a.due + 3600s);
      },
      [=](const std::string& order) {
        if (order == "guard") n->guard = self->keep_awake();
        if (order == "past") self->set_alarm(system_clock::now() - 1s);
        if (order == "future") self->set_alarm(system_clock::now() + 3600s);
        if (order == "ever") self->set_alarm(system_clock::time_point::min());
        if (order == "never") self->set_alarm(system_clock::time_point::max());
        if (order == "clear") self->clear_alarm();
        if (order == "answer") {
          if (n->meanwhile) n->meanwhile();
          n->pending.front().deliver(http_response{});
        }
        if (order == "stream") {
          if (n->meanwhile) n->meanwhile();
          n->writers.push_back(self->stream(n->asked.front(), http_response{}));
        }
        if (order == "finish")
          for (const auto& x : n->writers) x.finish();
        if (order == "alarm?") n->seen.emplace_back(self->alarm_at() ? "set" : "none");
      },
  };
}

struct fixture : hosted {
  actor_ref a = instance_of("a");
  notes_ptr n = std::make_shared<notes>();
  fake_store store;

  fixture() {
    host.serve(
        serve_options{.name = "dozer", .idle_timeout = 30s, .request_timeout = 20s}, dozer, n);
    host.serve(
        serve_options{.name = "patient", .idle_timeout = 30s, .request_timeout = 0s}, dozer, n);
    host.boot();
    start(1);
  }

  ~fixture() { *n = {}; }

  void start(std::uint32_t generation) {
    host.start_accepted(instance_of("a", generation), "dozer");
    sent();
  }

  strings sent() {
    store.serve(host);
    auto out = host.lines();
    std::erase_if(out, [](const auto& line) { return line.starts_with("ToRivetKv"); });
    host.clear();
    store.handle_cleared();
    return out;
  }

  strings said() { return std::exchange(n->seen, {}); }

  void tell(std::string order) {
    caf::anon_send(n->self, std::move(order));
    host.settle();
  }

  [[nodiscard]] bool asleep() {
    const auto lines = sent();
    return std::count(lines.begin(), lines.end(), "event a/1:501 intent sleep") == 1;
  }
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "an idle actor is put to sleep after its idle timeout") {
  host.pass(29s);
  CHECK_FALSE(asleep());
  host.pass(2s);
  CHECK(asleep());
}

TEST_CASE_FIXTURE(fixture, "the idle time begins with the end of the last request") {
  host.pass(20s);
  host.request(a, 1);
  sent();
  host.pass(29s);
  CHECK_FALSE(asleep());
  host.pass(2s);
  CHECK(asleep());
}

TEST_CASE_FIXTURE(fixture, "the idle time begins with the last WebSocket that was opened") {
  for (const std::uint32_t n1 : {1U, 2U}) {
    host.pass(20s);
    host.open_socket(a, n1, "/hibernate");
    sent();
  }
  host.pass(29s);
  CHECK_FALSE(asleep());
  host.pass(2s);
  CHECK(asleep());
}

TEST_CASE_FIXTURE(
    fixture,
    "a client that was open through a cut and is silent keeps its actor awake for five more "
    "minutes") {
  SUBCASE("a WebSocket") { host.open_socket(a, 1); }
  SUBCASE("a request") {
    a = instance_of("b");
    host.start_accepted(a, "patient");
    host.request(a, 1, "GET", "/later");
  }
  sent();
  host.pass(10min);
  const auto sleeps = fmt::format("event {}/1:501 intent sleep", a.actor.view());
  const auto sleeps_now = [&] {
    const auto lines = sent();
    return std::count(lines.begin(), lines.end(), sleeps) == 1;
  };
  CHECK_FALSE(sleeps_now());
  host.cut();
  host.pass(5s);
  host.connect();
  host.pass(299s);
  CHECK_FALSE(sleeps_now());
  host.pass(32s);  // the idle time
  CHECK(sleeps_now());
  host.stop(a);
  CHECK(sent().back() == fmt::format("event {}/1:752 stopped ok", a.actor.view()));
}

TEST_CASE_FIXTURE(fixture, "a client that sends something after a cut keeps its actor awake") {
  host.open_socket(a, 1);
  sent();
  host.cut();
  host.connect();
  host.pass(4min);
  host.socket_says(1, 1, "here");
  host.pass(20min);
  CHECK_FALSE(asleep());
}

TEST_CASE_FIXTURE(fixture, "an open request keeps an actor awake") {
  host.pass(25s);
  host.request(a, 1, "GET", "/later");
  host.pass(15s);
  CHECK_FALSE(asleep());
  tell("answer");
  host.pass(29s);
  CHECK_FALSE(asleep());
  host.pass(3s);
  CHECK(asleep());
}

TEST_CASE_FIXTURE(fixture, "a WebSocket keeps an actor awake, unless it hibernates") {
  host.open_socket(a, 1, "/plain");
  host.pass(100s);
  CHECK_FALSE(asleep());
  host.close_socket(1, 1, 1000);
  host.open_socket(a, 2, "/hibernate");
  sent();
  host.pass(20s);
  host.socket_says(2, 1, "hello");
  host.pass(29s);
  CHECK_FALSE(asleep());
  host.pass(3s);
  CHECK(asleep());
}

TEST_CASE_FIXTURE(fixture, "keep_awake does, while a copy lives") {
  tell("guard");
  auto copy = n->guard;
  n->guard.reset();
  host.pass(100s);
  CHECK_FALSE(asleep());
  copy.reset();
  host.pass(61s);
  CHECK(asleep());
}

TEST_CASE_FIXTURE(fixture, "messages of other actors keep an actor awake, its own do not") {
  auto& sys = *host.sim;
  const auto other = spawn_plain(sys, [](caf::event_based_actor* self) -> caf::behavior {
    return {[self](caf::actor to) { self->send(to, std::string{"alarm?"}); }};
  });
  for (int i = 0; i < 10; ++i) {
    caf::anon_send(other, n->self);
    host.pass(10s);
  }
  CHECK_FALSE(asleep());
  for (int i = 0; i < 3; ++i) {
    caf::anon_send(n->self, std::string{"alarm?"});
    host.pass(11s);
  }
  const auto lines = sent();
  CAPTURE(lines);
  CHECK(std::count(lines.begin(), lines.end(), "event a/1:501 intent sleep") == 1);
  caf::anon_send_exit(other, caf::exit_reason::kill);
  host.settle();
}

TEST_CASE_FIXTURE(fixture, "an alarm is sent to the engine, replaced, and cleared") {
  tell("future");
  CHECK(sent() == strings{"event a/1:501 alarm"});
  CHECK(store.content.size() == 1);
  tell("future");
  CHECK(sent() == strings{"event a/1:752 alarm"});
  tell("clear");
  CHECK(sent() == strings{"event a/1:1003 alarm"});
  CHECK(store.content.empty());
  tell("alarm?");
  CHECK(said() == strings{"none"});
}

TEST_CASE_FIXTURE(
    fixture,
    "an alarm that is due while its actor is awake comes once, and is cleared at the engine") {
  tell("past");
  host.pass(1s);
  CHECK(said() == strings{"alarm"});
  CHECK(sent() == strings{"event a/1:501 alarm", "event a/1:752 alarm"});
  CHECK(store.content.empty());
  host.pass(5s);
  CHECK(said().empty());
}

TEST_CASE_FIXTURE(
    fixture, "4.2: an alarm at the beginning of time comes at once, one at its end never") {
  tell("ever");
  host.pass(1s);
  CHECK(said() == strings{"alarm"});
  CHECK(store.content.empty());
  tell("never");
  host.pass(300s);
  CHECK(said().empty());
  tell("alarm?");
  CHECK(said() == strings{"set"});
}

TEST_CASE_FIXTURE(
    fixture, "2.4: an alarm that is set again and again takes one timer, and the last one comes") {
  const auto timers = [&] { return host.sim.timers(); };
  tell("future");
  const auto with_one = timers();
  for (int i = 0; i < 1000; ++i) tell(i % 2 == 0 ? "never" : "future");
  for (int i = 0; i < 1000; ++i) tell(i % 2 == 0 ? "clear" : "future");
  CHECK(timers() <= with_one + 1);  // with what storage has for its requests
  tell("past");
  host.pass(1s);
  CHECK(said() == strings{"alarm"});
}

TEST_CASE("idle, request and stop limits without end never expire") {
  ingress_options endless;
  endless.stop_grace = duration::max();
  endless.stall_limit = duration::max();
  hosted x{std::move(endless)};
  const auto n = std::make_shared<notes>();
  x.host.serve(
      serve_options{
          .name = "for ever",
          .idle_timeout = std::chrono::milliseconds::max(),
          .request_timeout = std::chrono::milliseconds::max()},
      dozer,
      n);
  x.host.boot();
  const auto a = instance_of("a");
  x.host.start_accepted(a, "for ever");
  x.host.request(a, 1, "GET", "/later");
  x.host.pass(600s);
  CHECK(x.host.lines() == strings{"ack a/1:1", "event a/1:250 running"});
}

TEST_CASE_FIXTURE(fixture, "an alarm that its handler sets again stays set") {
  tell("guard");
  tell("past");
  host.pass(1s);
  CHECK(said() == strings{"alarm"});
  tell("alarm?");
  CHECK(said() == strings{"set"});
  sent();
  CHECK(store.content.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "an alarm that is due when its actor wakes comes then") {
  store.silent = true;
  tell("past");
  host.stop(a);  // before it could come
  store.silent = false;
  sent();
  store.content["\x06"] = std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(
                                             (system_clock::now() - 1s).time_since_epoch())
                                             .count());
  said();
  start(2);
  host.pass(1s);
  CHECK(said() == strings{"alarm"});
  sent();
  CHECK(store.content.empty());
}

TEST_CASE_FIXTURE(fixture, "an alarm that is not due yet when its actor wakes stays set") {
  tell("future");
  sent();
  host.stop(a);
  sent();
  start(2);
  host.pass(2s);
  tell("alarm?");
  CHECK(said() == strings{"set"});
  CHECK(sent().empty());
}

TEST_CASE_FIXTURE(fixture, "an unreadable alarm record counts as none") {
  host.stop(a);
  sent();
  store.content["\x06"] = "tomorrow";
  start(2);
  host.pass(1s);
  CHECK(said().empty());
  CHECK(host.stats().instances == 1);
}

TEST_CASE_FIXTURE(
    fixture, "a request that its actor does not answer in time is answered with 504") {
  host.request(a, 1, "GET", "/later");
  host.pass(19s);
  CHECK(sent().empty());
  host.pass(2s);
  CHECK(sent() == strings{"1 #0 504 the actor did not answer in time\n"});
  CHECK(host.stats().requests_late == 1);
  CHECK(host.stats().requests_open == 0);
  tell("answer");
  CHECK(sent().empty());
}

TEST_CASE_FIXTURE(
    fixture, "a request that is answered just when its time is over is answered once") {
  auto request = sim_host::request_message(a, 1, "GET", "/later");
  std::get<protocol::to_envoy_request_start>(
      std::get<protocol::to_envoy_tunnel_message>(request).message_kind)
      .response_stream = true;
  host.deliver(std::move(request));
  const auto time_over = [this] {
    host.sim.pass(21s);
    host.sim.run();
  };
  const auto actor_first = [&](const std::string& order) {
    caf::anon_send(n->self, order);
    time_over();
    host.settle();
    CHECK(host.stats().requests_late == 0);
    return sent();
  };
  const auto ingress_first = [&](const std::string& order) {
    n->meanwhile = time_over;  // the handler that answers is running
    tell(order);
    CHECK(host.stats().requests_late == 1);
    for (const auto& x : n->writers) CHECK_FALSE(x.is_open());
    return sent();
  };
  const strings late{"1 #0 504 the actor did not answer in time\n"};
  SUBCASE("whole, its actor comes first") { CHECK(actor_first("answer") == strings{"1 #0 200 "}); }
  SUBCASE("whole, ingress comes first") { CHECK(ingress_first("answer") == late); }
  SUBCASE("in parts, its actor comes first") {
    CHECK(actor_first("stream") == strings{"1 #0 200 in parts"});
  }
  SUBCASE("in parts, ingress comes first") { CHECK(ingress_first("stream") == late); }
  tell("finish");
  CHECK(host.stats().requests_open == 0);
}

}  // namespace lifecycle_test

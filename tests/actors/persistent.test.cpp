// persistent_actor: the state is there before the first message, is saved in time and no more often, and is never
// overwritten by what has not been loaded.
#include <caf/scoped_actor.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/persistent_actor.hpp>
#include <nuncio/socket.hpp>
#include <nuncio/storage_error.hpp>

#include "actors/sample_actors.hpp"
#include "support/fake_store.hpp"

namespace nuncio::test::persistent_test {

using reason = protocol::stop_actor_reason;

struct count {
  int n = 0;
  std::string pad{};
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(count, n, pad)

// Only CAF can read this one.
struct plain_count {
  int n = 0;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, plain_count& x) {
  return f(x.n);
}

static_assert(json_state<count> && !json_state<plain_count> && caf_state<plain_count>);

namespace {

http_response ok(std::string body) {
  return {.status = 200, .headers = {}, .body = std::move(body)};
}

template <class Self>
caf::result<http_response> serve(Self* self, const http_request& r) {
  const auto path = r.path.view();
  if (path == "/up") ++self->state.n;
  if (path == "/throw") {
    self->state.n = -1;
    throw std::runtime_error("thrown");
  }
  if (path == "/quit") {
    ++self->state.n;
    self->quit();
  }
  if (path == "/quit-error") {
    ++self->state.n;
    self->quit(caf::sec::runtime_error);
  }
  if (path == "/destroy") {
    ++self->state.n;
    self->destroy();
  }
  if (path == "/save") {
    ++self->state.n;
    return self->save_now().answer([] { return ok("saved"); });
  }
  return ok(fmt::format("{}{}", self->is_new() ? "new " : "", self->state.n));
}

caf::behavior tally(persistent_actor<count>* self) {
  return {[self](const http_request& r) -> caf::result<http_response> {
    if (r.path == "/pad") self->state.pad = std::string{r.body.view()};
    if (r.path == "/bad") self->state.pad = "\xff";
    if (r.path == "/size") return ok(std::to_string(self->state.pad.size()));
    return serve(self, r);
  }};
}

caf::behavior plain_tally(persistent_actor<plain_count>* self) {
  return {[self](const http_request& r) { return serve(self, r); }};
}

caf::behavior sql_tally(persistent_actor<count, state_in::sql>* self) {
  return {[self](const http_request& r) { return serve(self, r); }};
}

// As a user's class, with an end of its own.
class room : public persistent_actor<count> {
public:
  using persistent_actor::persistent_actor;

  caf::behavior make_behavior() override {
    state.n += 100;  // what was loaded is here
    return {
        [this](const http_request& r) { return serve(this, r); },
        [this](stop_command) {
          ++state.n;
          finish();
        },
    };
  }
};

const std::string key{"\x08\0", 2};

std::string stored(std::string_view content) {
  return std::string{"\x01j\x01", 3} + std::string{content};
}

struct fixture : hosted {
  fake_store store;
  std::uint32_t generation = 0;

  fixture() {
    host.serve("tally", tally);
    host.serve("plain", plain_tally);
    host.serve("sql", sql_tally);
    host.serve<room>("room");
    host.boot();
  }

  actor_ref start(std::string_view name = "tally", bool serves = true) {
    auto a = instance_of("a", ++generation);
    host.start(a, name);
    if (serves) settle();
    host.accept(a);
    return a;
  }

  void settle() { store.serve(host); }

  std::string ask(const actor_ref& a, std::string_view path, std::string body = {}) {
    static std::uint32_t n = 0;
    host.request(a, ++n, "POST", path, std::move(body));
    settle();
    for (const auto& line : host.lines())
      if (line.starts_with(fmt::format("{} #0 ", n))) return line.substr(line.find("#0 ") + 3);
    return "";
  }

  std::size_t puts() {
    std::size_t out = 0;
    for (const auto& x : host.storage_requests_sent())
      if (const auto* kv = std::get_if<protocol::to_rivet_kv_request>(&x))
        out += std::holds_alternative<protocol::kv_put_request>(kv->data) ? 1U : 0U;
    return out;
  }

  void pass(duration d) {
    host.pass(d, 100ms);
    settle();
  }

  bool says(std::string_view what) {
    const auto lines = host.lines();
    return std::find(lines.begin(), lines.end(), what) != lines.end();
  }
};

}  // namespace

TEST_CASE_FIXTURE(
    fixture,
    "a state is loaded before the first message, and what came meanwhile is handled in order") {
  store.content[key] = stored(R"({"n":41,"pad":""})");
  const auto a = start("tally", false);
  host.request(a, 900, "GET", "/up");
  host.request(a, 901, "GET", "/n");
  CHECK_FALSE(says("event a/1:250 running"));
  settle();
  CHECK(says("event a/1:250 running"));
  CHECK(says("900 #0 200 42"));
  CHECK(says("901 #0 200 42"));
}

TEST_CASE_FIXTURE(
    fixture, "a state and hibernating WebSockets are both there before the first message") {
  std::vector<std::string> seen;
  host.serve("lobby", [&seen](persistent_actor<count>* self) -> caf::behavior {
    return {
        [self](const socket_opened& s) {
          ++self->state.n;
          CHECK(s.socket.accept({.hibernate = true}));
        },
        [self, &seen](const socket_restored&) {
          seen.push_back(fmt::format("restored, state {}", self->state.n));
        },
        [self, &seen](const http_request&) {
          seen.push_back(
              fmt::format("asked, {} open, state {}", self->sockets().size(), self->state.n));
          return http_response{};
        },
    };
  });
  host.end();
  host.boot();
  auto a = start("lobby");
  host.open_socket(a, 1, "/");
  settle();
  host.stop(a);
  settle();
  a = instance_of("a", 2);
  host.wake(a, "lobby", {1});
  host.request(a, 900, "GET", "/");
  CHECK(seen.empty());
  settle();
  CHECK(seen == std::vector<std::string>{"restored, state 1", "asked, 1 open, state 1"});
}

TEST_CASE_FIXTURE(
    fixture, "is new: storage says so, and until something changes nothing is written") {
  const auto a = start();
  CHECK(ask(a, "/n") == "200 new 0");
  pass(5s);
  CHECK(puts() == 1);  // that it has been here
  host.stop(a);
  settle();
  CHECK(ask(start(), "/n") == "200 0");
}

TEST_CASE_FIXTURE(
    fixture,
    "changes are saved within a second, many of them at once, and nothing without a change") {
  const auto a = start();
  pass(2s);
  const auto from = puts();
  for (int i = 0; i < 10; ++i) ask(a, "/up");
  CHECK(puts() == from);
  pass(1s);
  CHECK(puts() == from + 1);
  CHECK(store.content[key] == stored(R"({"n":10,"pad":""})"));
  for (int i = 0; i < 50; ++i) {
    ask(a, "/n");
    pass(100ms);
  }
  CHECK(puts() == from + 1);
  for (int i = 0; i < 50; ++i) {
    ask(a, "/up");
    pass(100ms);
  }
  CHECK(puts() >= from + 5);
  CHECK(puts() <= from + 7);
}

TEST_CASE_FIXTURE(fixture, "a state is saved before its actor sleeps, and Stopped waits for it") {
  const auto a = start();
  ask(a, "/up");
  store.silent = true;
  host.stop(a);
  CHECK_FALSE(says("event a/1:501 stopped ok"));
  CHECK(ask(a, "/up") == "200 new 2");  // it goes on meanwhile, and this is saved as well
  store.silent = false;
  settle();
  CHECK(says("event a/1:501 stopped ok"));
  CHECK(store.content[key] == stored(R"({"n":2,"pad":""})"));
  CHECK(ask(start(), "/n") == "200 2");
}

TEST_CASE_FIXTURE(fixture, "quit() saves; a crash and an error do not") {
  CHECK(ask(start(), "/quit") == "500 the actor ended before it answered\n");
  CHECK(store.content[key] == stored(R"({"n":1,"pad":""})"));
  CHECK(ask(start(), "/throw").starts_with("500 thrown"));
  CHECK(store.content[key] == stored(R"({"n":1,"pad":""})"));
  CHECK(ask(start(), "/quit-error").starts_with("500"));
  CHECK(store.content[key] == stored(R"({"n":1,"pad":""})"));
  CHECK(ask(start(), "/n") == "200 1");
}

TEST_CASE_FIXTURE(fixture, "a destroyed actor's state is not written again") {
  const auto a = start();
  pass(2s);
  const auto from = puts();
  ask(a, "/destroy");
  host.stop(a, reason::destroy);
  settle();
  pass(5s);
  CHECK(puts() == from);
}

TEST_CASE_FIXTURE(fixture, "what can't be loaded fails its actor and stays as it is") {
  const auto left_alone = [&](const std::string& what, std::string_view name = "tally") {
    CAPTURE(what);
    store.content[key] = what;
    const auto a = start(name);
    pass(3s);
    const auto lines = host.lines();
    const auto failed = std::find_if(lines.begin(), lines.end(), [&](const auto& line) {
      return line.starts_with(fmt::format("event a/{}:", a.generation)) &&
             line.find("stopped error: the state can't be loaded, and stays as it is stored: ") !=
                 std::string::npos;
    });
    CHECK(failed != lines.end());
    CHECK(store.content[key] == what);
    CHECK(puts() == 0);
  };
  left_alone("");
  left_alone("anything");
  left_alone(stored("{"));
  left_alone(stored("[]"));
  left_alone(stored(R"({"n":"one","pad":""})"));
  left_alone(std::string{"\x01j\x02", 3} + "{");  // its second part is missing
  left_alone(stored(R"({"n":1,"pad":""})"), "plain");
}

TEST_CASE_FIXTURE(
    fixture, "storage refuses to read: the actor fails with its text, and nothing is written") {
  const auto a = start("tally", false);
  const auto request = std::get<protocol::to_rivet_kv_request>(host.storage_requests_sent().at(0));
  host.deliver(protocol::to_envoy_kv_response{
      request.request_id, protocol::kv_error_response{text{"no such store"}}});
  pass(3s);
  CHECK(
      says("event a/1:250 stopped error: the state can't be loaded, and stays as it is stored: "
           "KvGet: the engine refused it: "
           "no such store"));
  CHECK(puts() == 0);
}

TEST_CASE_FIXTURE(
    fixture,
    "a Stop while the state is being loaded ends the actor at once, with nothing written") {
  const auto a = start("tally", false);
  host.stop(a);
  settle();
  CHECK(puts() == 0);
  CHECK(host.stats().instances == 0);
}

TEST_CASE_FIXTURE(fixture, "save_now answers when the engine has the state") {
  const auto a = start();
  pass(2s);
  store.silent = true;
  CHECK(ask(a, "/save").empty());
  store.silent = false;
  settle();
  CHECK(host.lines().back().ends_with("#0 200 saved"));
  CHECK(store.content[key] == stored(R"({"n":1,"pad":""})"));
  const auto from = puts();
  pass(3s);
  CHECK(puts() == from);
}

TEST_CASE_FIXTURE(fixture, "a save_now that a cut has lost is told, and made up for before sleep") {
  const auto a = start();
  pass(2s);
  store.silent = true;
  CHECK(ask(a, "/save").empty());
  store.lose(host);
  host.cut();
  CHECK(host.lines().back().find("#0 500 ") != std::string::npos);
  host.connect();
  store.content.clear();
  store.silent = false;
  SUBCASE("at sleep") { host.stop(a); }
  SUBCASE("within a second") { pass(2s); }
  settle();
  CHECK(store.content[key] == stored(R"({"n":1,"pad":""})"));
}

TEST_CASE_FIXTURE(fixture, "a save that a cut may have lost is made again") {
  const auto a = start();
  pass(2s);
  ask(a, "/up");
  store.silent = true;
  pass(1s);
  store.lose(host);
  host.cut();
  host.connect();
  store.silent = false;
  store.content.clear();
  pass(2s);
  CHECK(store.content[key] == stored(R"({"n":1,"pad":""})"));
  SUBCASE("and so is the last before sleep") {
    ask(a, "/up");
    store.silent = true;
    host.stop(a);
    store.lose(host);
    host.cut();
    host.connect();
    store.content.clear();
    store.silent = false;
    settle();
    CHECK(store.content[key] == stored(R"({"n":2,"pad":""})"));
    CHECK(host.stats().instances == 0);
  }
}

TEST_CASE_FIXTURE(
    fixture,
    "a large state is stored in parts, all in one put; a smaller one after it is read as itself") {
  auto a = start();
  const std::string large(500'000, 'x');
  ask(a, "/pad", large);
  host.stop(a);
  settle();
  CHECK(store.content.size() == 4);
  a = start();
  CHECK(ask(a, "/size") == "200 500000");
  ask(a, "/pad", "x");
  host.stop(a);
  settle();
  a = start();
  CHECK(ask(a, "/size") == "200 1");
  // Too large, and not UTF-8: told once in the log, and the stored one stays.
  const auto before = store.content;
  for (int i = 0; i < 3; ++i) {
    ask(a, "/pad", std::string(1'000'000, 'x'));
    ask(a, "/up");
    pass(2s);
  }
  CHECK(store.content == before);
  CHECK(host.log_text().find("a state of 1000016 bytes: at most") != std::string::npos);
  CHECK(ask(a, "/save").find("it was not saved") != std::string::npos);
  ask(a, "/bad");
  host.stop(a);
  settle();
  CHECK(store.content == before);
}

TEST_CASE_FIXTURE(fixture, "a state that only CAF's inspect knows") {
  auto a = start("plain");
  CHECK(ask(a, "/up") == "200 new 1");
  host.stop(a);
  settle();
  CHECK(store.content[key].starts_with(std::string{
      "\x01"
      "c\x01",
      3}));
  CHECK(ask(start("plain"), "/n") == "200 1");
}

TEST_CASE_FIXTURE(fixture, "a class of the user's, with a handler of stop_command") {
  auto a = start("room");
  CHECK(ask(a, "/n") == "200 new 100");
  host.stop(a);
  settle();
  CHECK(ask(start("room"), "/n") == "200 201");
}

TEST_CASE_FIXTURE(fixture, "I14 single writer: an instance that is over saves nothing") {
  const auto a = start();
  pass(2s);
  const auto from = puts();
  ask(a, "/up");
  SUBCASE("lost") { host.stop(a, reason::lost); }
  SUBCASE("lease") { host.to_ingress(internal::lease_ended{}); }
  settle();
  pass(5s);
  CHECK(puts() == from);
}

TEST_CASE("a persistent actor that no host spawned begins with a new state") {
  sim_system sim;
  // An argument, as in factory.hpp: without one CAF binds a reference to null.
  const auto a = (*sim).spawn([](persistent_actor<count>* self, int) { return tally(self); }, 0);
  caf::scoped_actor self{*sim};
  http_request request;
  request.path = "/up";
  std::string body;
  self->send(a, request);
  sim.run();
  REQUIRE(self->has_next_message());
  self->receive([&](const http_response& r) { body = r.body.view(); });
  CHECK(body == "new 1");
  caf::anon_send_exit(a, caf::exit_reason::kill);
  sim.run();
}

}  // namespace nuncio::test::persistent_test

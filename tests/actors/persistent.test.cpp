// persistent_actor: the state is there before the first message, is saved in time and no more often, and is never overwritten
// by a state that was not loaded.
#include <caf/scoped_actor.hpp>
#include <cmath>
#include <limits>
#include <nuncio/errors.hpp>
#include <nuncio/kv.hpp>
#include <nuncio/persistent_actor.hpp>
#include <nuncio/socket.hpp>
#include <random>

#include "actors/watched_actors.hpp"
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
internal::inspect_result inspect(Inspector& f, plain_count& x) {
  return internal::inspect_field(f, x.n);
}

// What a user's types can do: hold what JSON can't, and not read what they have written.
struct reading {
  double number = 1;
  nlohmann::json any{};
  std::string word{};
};

void to_json(nlohmann::json& to, const reading& from) {
  to = {{"number", from.number}, {"any", from.any}, {"word", from.word}};
}

void from_json(const nlohmann::json& from, reading& to) {
  from.at("number").get_to(to.number);
  to.any = from.at("any");
  from.at("word").get_to(to.word);
  if (to.word == "unreadable") throw std::runtime_error{"no such word"};
}

// Of which the user says what to make when it can't be read.
struct renamed {
  int points = 0;
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(renamed, points)

void recover_state(renamed& to, const unreadable_state& what) {
  to.points = nlohmann::json::parse(what.stored.view()).at("score");
}

static_assert(recoverable_state<renamed> && !recoverable_state<count>);
static_assert(json_state<count> && !json_state<plain_count> && caf_state<plain_count>);

namespace {

http_response ok(std::string body) {
  return {.status = 200, .headers = {}, .body = std::move(body)};
}

template <class Self>
caf::result<http_response> serve(Self* self, const http_request& r) {
  const auto path = r.path.view();
  if (path == "/up") ++self->state.n;
  if (path == "/set") self->state.n = std::stoi(std::string{r.body.view()});
  if (path == "/throw") {
    self->state.n = -1;
    throw std::runtime_error("thrown");
  }
  if (path == "/quit") {
    ++self->state.n;
    self->quit();
  }
  if (path == "/last") self->quit();
  if (path == "/quit-error") {
    ++self->state.n;
    self->quit(caf::sec::runtime_error);
  }
  if (path == "/destroy") {
    ++self->state.n;
    self->destroy();
  }
  if (path == "/store") return self->save_now().answer([] { return ok("saved"); });
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

nlohmann::json nested(std::size_t levels) {
  return nlohmann::json::parse(std::string(levels, '[') + std::string(levels, ']'));
}

// Its state is whatever a client sends.
caf::behavior scrapbook(persistent_actor<nlohmann::json>* self, std::vector<std::string>* told) {
  return {
      [self](const http_request& r) {
        if (r.method == "POST") self->state = nlohmann::json::parse(r.body.view());
        return ok(self->state.is_array() ? "a list" : self->state.dump());
      },
      [told](const state_not_saved& x) { told->push_back(x.why); },
  };
}

// Says what it was told of its state, and mends it if it was told how.
caf::behavior gauge(persistent_actor<reading>* self, std::vector<std::string>* told, bool mends) {
  return {
      [self](const http_request& r) -> caf::result<http_response> {
        const auto path = r.path.view();
        auto& state = self->state;
        if (path == "/as-stored") state.number = 1;
        if (path == "/nan") state.number = std::numeric_limits<double>::quiet_NaN();
        if (path == "/any-infinity") state.any = {1, {{"x", HUGE_VAL}}};
        if (path == "/binary") state.any = nlohmann::json::binary({1, 2});
        if (path == "/deep") state.any = nested(json_depth_max);  // and the state is one more
        if (path == "/as-deep-as-may-be") state.any = nested(json_depth_max - 1);
        if (path == "/not-utf8") state.word = "\xff";
        if (path == "/unreadable") state.word = "unreadable";
        if (path == "/good") state = {2, {}, "good"};
        if (path == "/sleep") self->sleep();
        if (path == "/last") self->quit();
        if (path == "/store") return self->save_now().answer([] { return ok("saved"); });
        return ok("done");
      },
      [self, told, mends](const state_not_saved& x) {
        told->push_back(x.why);
        if (mends) self->state = {3, {}, "mended"};
      },
  };
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
  std::vector<std::string> told;

  fixture() {
    host.serve("tally", tally);
    host.serve("plain", plain_tally);
    host.serve("sql", sql_tally);
    host.serve<room>("room");
    host.serve("gauge", gauge, &told, false);
    host.serve("mending gauge", gauge, &told, true);
    host.serve("scrapbook", scrapbook, &told);
    host.serve("renamed", [](persistent_actor<renamed>* self) -> caf::behavior {
      return {[self](const http_request&) { return ok(std::to_string(self->state.points)); }};
    });
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
    "a state is loaded before the first message, and messages meanwhile are handled in order") {
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

TEST_CASE_FIXTURE(fixture, "with an empty behavior it answers 404 once its state is loaded") {
  host.serve("empty", [](persistent_actor<count>*) -> caf::behavior { return {}; });
  host.end();
  host.boot();
  const auto a = start("empty");
  CHECK(ask(a, "/") == "404 this actor has no handler for HTTP requests\n");
  CHECK(host.log_text().find("an actor has no behavior") != std::string::npos);
}

TEST_CASE_FIXTURE(
    fixture, "is_new: storage says so, and nothing is written until something changes") {
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
    "changes are saved within a second, many at once, and nothing is saved without a change") {
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
  CHECK(ask(start(), "/throw").starts_with("500 hidden: thrown"));
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

TEST_CASE_FIXTURE(
    fixture,
    "4.1: stored state that can't be read stays, and its actor answers 500 with the reason") {
  const std::string answer =
      "500 the stored state of this actor can't be read; it is kept, and the host's log says why\n";
  const auto left_alone = [&](const std::string& what, std::string_view name = "tally") {
    CAPTURE(what);
    store.content = {{key, what}, {"\x06", "1"}};
    host.log.clear();
    const auto a = start(name);
    CHECK(ask(a, "/up") == answer);
    host.open_socket(a, 70 + generation, "/");
    settle();
    CHECK(says(fmt::format("{} #1 socket close 1011", 70 + generation)));
    pass(3s);
    CHECK(ask(a, "/up") == answer);
    CHECK(
        host.log_text().find("the stored state of an actor can't be read; it stays as it is") !=
        std::string::npos);
    host.stop(a);
    settle();
    CHECK(says(fmt::format("event a/{}:501 stopped ok", a.generation)));
    CHECK(store.content == std::map<std::string, std::string>{{key, what}, {"\x06", "1"}});
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

TEST_CASE_FIXTURE(fixture, "an SQL state that can't be read stays, and its actor answers 500") {
  store.table = {bytes{std::string_view{"anything"}}};
  const auto a = start("sql");
  CHECK(ask(a, "/up").starts_with("500 the stored state of this actor can't be read"));
  host.stop(a);
  settle();
  CHECK(store.table == std::vector<bytes>{bytes{std::string_view{"anything"}}});
}

TEST_CASE_FIXTURE(fixture, "4.1: recover_state recovers a state that can't be read, or leaves it") {
  store.content[key] = stored(R"({"score":7})");
  auto a = start("renamed");
  CHECK(ask(a, "/") == "200 7");
  host.stop(a);
  settle();
  CHECK(store.content[key] == stored(R"({"points":7})"));
  store.content[key] = stored(R"({"neither":7})");
  a = start("renamed");
  CHECK(ask(a, "/").starts_with("500 the stored state of this actor can't be read"));
  host.stop(a);
  settle();
  CHECK(store.content[key] == stored(R"({"neither":7})"));
}

TEST_CASE_FIXTURE(
    fixture,
    "4.1: a state that can't be saved is reported at once, keeps its actor awake, and is not "
    "stored") {
  const auto good = stored(R"({"any":null,"number":1.0,"word":""})");
  const auto a = start("gauge");
  pass(2s);
  REQUIRE(store.content[key] == good);
  const auto bad = [&](std::string_view path, std::string_view why) {
    told.clear();
    host.log.clear();
    ask(a, path);
    pass(1s);
    REQUIRE(told.size() == 1);
    CHECK(told.front().find(why) != std::string::npos);
    CHECK(
        host.log_text().find("the state of an actor could not be saved; it stays awake") !=
        std::string::npos);
    CHECK(host.log_text().find(why) != std::string::npos);
    CHECK(ask(a, "/store").find("it was not saved") != std::string::npos);
    ask(a, "/sleep");
    pass(5s);
    CHECK(told.size() == 1);
    CHECK(store.content[key] == good);
    CHECK_FALSE(says("event a/1:501 intent sleep"));
  };
  SUBCASE("a number that is none") { bad("/nan", "/number: JSON can't hold the number nan"); }
  SUBCASE("within") { bad("/any-infinity", "/any/1/x: JSON can't hold the number inf"); }
  SUBCASE("binary") { bad("/binary", "/any: JSON can't hold a binary value"); }
  SUBCASE("deeply nested") { bad("/deep", "JSON is nested deeper than 512 levels"); }
  SUBCASE("no UTF-8") { bad("/not-utf8", "invalid UTF-8"); }
  SUBCASE("what its own type does not read") {
    bad("/unreadable", "can't be read back: no such word");
  }
  SUBCASE("the next change is saved, and the actor sleeps") {
    bad("/nan", "nan");
    ask(a, "/good");
    pass(1s);
    CHECK(store.content[key] == stored(R"({"any":null,"number":2.0,"word":"good"})"));
    ask(a, "/sleep");
    CHECK(says("event a/1:501 intent sleep"));
  }
  SUBCASE("set back to what is stored, it is as good") {
    bad("/nan", "nan");
    ask(a, "/as-stored");
    pass(1s);
    bad("/nan", "nan");  // told again
    ask(a, "/as-stored");
    ask(a, "/sleep");
    CHECK(says("event a/1:501 intent sleep"));
    CHECK(store.content[key] == good);
  }
  SUBCASE("told to stop nevertheless, it is notified once more and ends as failed") {
    bad("/nan", "nan");
    host.stop(a);
    settle();
    CHECK(told.size() == 2);
    CHECK(
        says("event a/1:501 stopped error: hidden: the state could not be saved: /number: JSON "
             "can't hold the "
             "number nan"));
    CHECK(store.content[key] == good);
  }
  SUBCASE("quitting, it ends as failed") {
    bad("/nan", "nan");
    ask(a, "/last");
    CHECK(
        says("event a/1:501 stopped error: hidden: the state could not be saved: /number: JSON "
             "can't hold the "
             "number nan"));
    CHECK(store.content[key] == good);
  }
}

TEST_CASE_FIXTURE(fixture, "a state of the maximum nesting depth is saved and read again") {
  const auto a = start("gauge");
  ask(a, "/as-deep-as-may-be");
  CHECK(ask(a, "/store") == "200 saved");
  host.stop(a);
  settle();
  CHECK(ask(start("gauge"), "/n") == "200 done");
}

TEST_CASE_FIXTURE(fixture, "a client's JSON crashes no host, however deeply it is nested") {
  const std::size_t levels = 300'000;
  const auto text = std::string(levels, '[') + std::string(levels, ']');
  const auto a = start("scrapbook");
  CHECK(ask(a, "/", text) == "200 a list");
  pass(2s);
  CHECK(told == std::vector<std::string>{"JSON is nested deeper than 512 levels"});
  CHECK(ask(a, "/", "[]") == "200 a list");
  pass(2s);
  CHECK(store.content[key] == stored("[]"));
}

TEST_CASE_FIXTURE(fixture, "stored JSON that is nested too deeply is not read, and stays") {
  const auto deep = stored(std::string(300'000, '[') + std::string(300'000, ']'));
  store.content[key] = deep;
  CHECK(
      ask(start("scrapbook"), "/").starts_with("500 the stored state of this actor can't be read"));
  CHECK(store.content[key] == deep);
}

TEST_CASE("parse_json accepts the maximum nesting depth, and nothing deeper") {
  const auto nest = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  CHECK(parse_json(nest(json_depth_max)));
  CHECK(parse_json(nest(json_depth_max + 1)).error().code == errc::too_large);
  CHECK(parse_json(nest(300'000)).error().code == errc::too_large);
  CHECK(parse_json(std::string(300'000, '[')).error().code == errc::too_large);
  CHECK(parse_json(R"({"a":{"b":1}})", 2));
  CHECK(parse_json(R"({"a":{"b":[]}})", 2).error().code == errc::too_large);
  CHECK(parse_json("1", 0));
  CHECK(parse_json("{").error().code == errc::malformed);
  CHECK(parse_json("").error().code == errc::malformed);
  const auto good = parse_json(R"({"a":[1,"[[[["],"b":null})", 2);
  REQUIRE(good);
  CHECK(*good == nlohmann::json{{"a", {1, "[[[["}}, {"b", nullptr}});
}

TEST_CASE_FIXTURE(fixture, "a state that its actor repairs on notice is saved before the stop") {
  const auto a = start("mending gauge");
  pass(2s);
  ask(a, "/nan");
  host.stop(a);
  settle();
  CHECK(told.size() == 1);
  CHECK(says("event a/1:501 stopped ok"));
  CHECK(store.content[key] == stored(R"({"any":null,"number":3.0,"word":"mended"})"));
}

TEST_CASE_FIXTURE(fixture, "an idle actor whose state can't be saved stays awake") {
  host.serve(serve_options{.name = "idle", .idle_timeout = 3s}, gauge, &told, false);
  host.end();
  host.boot();
  const auto a = start("idle");
  ask(a, "/nan");
  pass(20s);
  CHECK_FALSE(says("event a/1:501 intent sleep"));
  ask(a, "/good");
  pass(2s);  // it is saved
  pass(5s);
  CHECK(says("event a/1:501 intent sleep"));
}

TEST_CASE_FIXTURE(fixture, "a last state that storage rejects makes the actor's end a failure") {
  const auto a = start();
  pass(2s);
  store.silent = true;
  ask(a, "/quit");
  pass(8s);
  CHECK_FALSE(says("event a/1:501 intent sleep"));
  pass(2s);
  CHECK(says("event a/1:501 stopped error: KvPut: the actor has ended; it may have been written"));
}

TEST_CASE_FIXTURE(fixture, "4.1: the last state is what stays, whatever is being saved") {
  std::string_view name = "tally";
  SUBCASE("in KV") {}
  SUBCASE("in SQL") { name = "sql"; }
  CAPTURE(name);
  auto a = start(name);
  pass(2s);
  store.silent = true;
  CHECK(ask(a, "/save").empty());
  ask(a, "/set", "0");
  SUBCASE("quit") { ask(a, "/last"); }
  SUBCASE("stop") { host.stop(a); }
  SUBCASE("quit, then a cut that loses all") {
    ask(a, "/last");
    store.lose(host);
    host.cut();
    host.connect();
  }
  SUBCASE("quit, then a cut that loses the answers") {
    ask(a, "/last");
    while (store.process(host)) {
    }
    store.lose(host);
    host.cut();
    host.connect();
  }
  store.silent = false;
  settle();
  pass(1s);
  host.stop(a);
  settle();
  a = start(name);
  CHECK(ask(a, "/n") == "200 0");
}

// The actor and the engine's storage take turns as chance has it.
void take_turns(std::string_view name, std::uint64_t seed) {
  CAPTURE(name);
  CAPTURE(seed);
  fixture x;
  std::mt19937_64 random{seed};
  const auto roll = [&](std::uint64_t n) { return random() % n; };
  auto a = x.start(name);
  int last = 0;
  for (int life = 0; life < 4; ++life) {
    x.store.silent = true;
    for (auto n = roll(12); n > 0; --n) {
      switch (roll(8)) {
        case 0:
        case 1:
          last = static_cast<int>(roll(3));  // few, so that one that was is set again
          x.ask(a, "/set", std::to_string(last));
          break;
        case 2:
          x.ask(a, "/store");
          break;
        case 3:
        case 4:
          x.store.process(x.host);
          break;
        case 5:
          x.store.answer(x.host);
          break;
        case 6:
          x.host.pass(1s, 250ms);
          break;
        default:
          x.store.lose(x.host);
          x.host.cut();
          if (roll(2) == 0) x.ask(a, "/set", std::to_string(last = static_cast<int>(roll(3))));
          x.host.connect();
      }
    }
    const auto quits = roll(2) == 0;
    if (quits)
      x.ask(a, "/last");
    else
      x.host.stop(a);
    for (auto n = roll(4); n > 0; --n) {
      if (roll(2) == 0) x.store.process(x.host);
      if (roll(2) == 0) {
        x.store.lose(x.host);
        x.host.cut();
        x.host.connect();
      }
    }
    x.store.silent = false;
    x.settle();
    x.pass(1s);
    x.host.stop(a);
    x.settle();
    REQUIRE(x.host.stats().instances == 0);
    REQUIRE(x.host.log_text().find("failed") == std::string::npos);
    a = x.start(name);
    REQUIRE(x.ask(a, "/n").ends_with(fmt::format(" {}", last)));
  }
}

TEST_CASE("4.1: the last state is what stays: sets, saves, late answers, cuts and ends by chance") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed)
    for (const auto* name : {"tally", "sql"}) take_turns(name, seed);
}

TEST_CASE_FIXTURE(
    fixture, "storage refuses to read: the actor fails with its text, and nothing is written") {
  const auto a = start("tally", false);
  const auto request = std::get<protocol::to_rivet_kv_request>(host.storage_requests_sent().at(0));
  host.deliver(protocol::to_envoy_kv_response{
      request.request_id, protocol::kv_error_response{text{"no such store"}}});
  pass(3s);
  CHECK(says(
      "event a/1:250 stopped error: hidden: the state can't be loaded, and stays as it is stored: "
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

TEST_CASE_FIXTURE(fixture, "save_now is answered when the engine has the state") {
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

TEST_CASE_FIXTURE(
    fixture, "a save_now lost in a cut is repeated, and answered when the engine has the state") {
  const auto a = start();
  pass(2s);
  store.silent = true;
  CHECK(ask(a, "/save").empty());
  store.lose(host);
  host.cut();
  host.connect();
  store.content.clear();
  store.silent = false;
  settle();
  CHECK(host.lines().back().ends_with("#0 200 saved"));
  CHECK(store.content[key] == stored(R"({"n":1,"pad":""})"));
}

TEST_CASE_FIXTURE(fixture, "a save that may be lost in a cut is repeated") {
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

TEST_CASE_FIXTURE(fixture, "a state with CAF's inspect only") {
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

TEST_CASE("a persistent actor without a host begins with a new state") {
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

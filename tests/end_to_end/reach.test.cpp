// The application's own CAF actors reach engine actors: those of this host by message, others through the engine.
#include <algorithm>
#include <caf/all.hpp>
#include <nuncio/host.hpp>
#include <set>

#include "fixture.hpp"
#include "raw_client.hpp"

namespace nuncio::e2e {
namespace {

constexpr auto limit = std::chrono::seconds{60};

// A question to a CAF actor and its answer, in an actor of the case's own.
template <class Answer>
class question {
public:
  template <class Message>
  question(caf::actor_system& system, const caf::actor& whom, Message what) {
    caf::scoped_actor self{system};
    const auto fail = [&](caf::error& e) { error_ = std::move(e); };
    auto asked = self->request(whom, limit, std::move(what));
    if constexpr (std::is_same_v<Answer, caf::unit_t>)
      asked.receive([&] { answer_.emplace(); }, fail);
    else
      asked.receive([&](Answer& x) { answer_ = std::move(x); }, fail);
  }

  [[nodiscard]] const Answer& must() const {
    REQUIRE_MESSAGE(answer_.has_value(), text());
    return *answer_;
  }

  [[nodiscard]] bool not_here() const { return is_not_here(error_); }

  [[nodiscard]] engine_failure failure() const {
    const auto why = engine_failure_of(error_);
    REQUIRE_MESSAGE(why.has_value(), text());
    return *why;
  }

private:
  [[nodiscard]] std::string text() const {
    if (answer_) return "answered without an error";
    const auto why = engine_failure_of(error_);
    return why ? why->message : caf::to_string(error_);
  }

  std::optional<Answer> answer_;
  caf::error error_;
};

struct reach {
  explicit reach(std::size_t links = 1)
      : engine(shared_engine()),
        pool(new_pool()),
        over_http(engine, pool),
        host({.endpoint = engine.endpoint(), .pool = pool, .links = links}) {
    REQUIRE(host.await_ready());
    directory = host.application_host().directory();
    client = host.application_host().client();
    REQUIRE(client);
  }

  ~reach() {
    client = nullptr;
    host.abort();
  }

  reach(const reach&) = delete;
  reach& operator=(const reach&) = delete;

  template <class Answer = actor_info, class Message>
  question<Answer> ask(Message what) {
    return {host.system(), client, std::move(what)};
  }

  template <class Message>
  question<caf::actor> look_up(Message what) {
    return {host.system(), directory, std::move(what)};
  }

  std::string id_of(const caf::actor& x) {
    return question<std::string>{host.system(), x, std::string{"who"}}.must();
  }

  std::string running(const actor_key& key) {
    const auto made = ask(get_or_create_actor{.name = "probe", .key = key}).must();
    REQUIRE(await([&] { return !look_up(find_id{actor_id{made.id}}).not_here(); }));
    return made.id;
  }

  engine_under_test& engine;
  std::string pool;
  pool_client over_http;
  test_host host;
  caf::actor directory, client;
};

std::string body_of(const http_response& r) { return std::string{r.body.view()}; }

}  // namespace

TEST_SUITE_BEGIN("reach");

TEST_CASE("an engine actor of this host is found by name and key or id, and answers messages") {
  reach x;
  const actor_key keys[] = {{x.pool}, {x.pool, "a/b\\c", ""}, {x.pool, "caf\xC3\xA9"}};
  for (const auto& key : keys) {
    const auto id = x.running(key);
    CHECK(x.id_of(x.look_up(find{"probe", key}).must()) == id);
    CHECK(x.id_of(x.look_up(find_id{actor_id{id}}).must()) == id);
  }
  CHECK(x.look_up(find{"probe", {x.pool, "nobody"}}).not_here());
  CHECK(x.look_up(find{"counter", {x.pool}}).not_here());
}

TEST_CASE("with several links all are asked") {
  reach x{3};
  std::vector<std::string> ids;
  for (int i = 0; i < 9; ++i) ids.push_back(x.running({x.pool, std::to_string(i)}));
  for (int i = 0; i < 9; ++i)
    CHECK(
        x.id_of(x.look_up(find{"probe", {x.pool, std::to_string(i)}}).must()) ==
        ids[static_cast<std::size_t>(i)]);
  CHECK(x.look_up(find{"probe", {x.pool, "nobody"}}).not_here());
}

TEST_CASE(
    "a handle is monitored; an actor that stops is not found, and found again once it is awake") {
  reach x;
  const actor_key key{x.pool};
  const auto id = x.running(key);
  caf::scoped_actor self{x.host.system()};
  {
    const auto handle = x.look_up(find{"probe", key}).must();
    self->monitor(handle);
  }
  // Told to stop it still answers what is open, and is not found any more.
  std::thread slow{[&] { static_cast<void>(x.over_http.request(id, "GET", "/slow?ms=1500")); }};
  REQUIRE(await([&] { return x.host.stats().ingress.requests_open == 1; }));
  must(x.over_http.sleep(id));
  REQUIRE(await([&] { return x.look_up(find{"probe", key}).not_here(); }));
  CHECK(x.look_up(find_id{actor_id{id}}).not_here());
  bool down = false;
  self->receive([&](const caf::down_msg&) { down = true; }, caf::after(20s) >> [] {});
  CHECK(down);
  slow.join();
  CHECK(x.over_http.await_sleeping(id).sleeping);
  CHECK(x.look_up(find{"probe", key}).not_here());
  CHECK(x.ask<http_response>(call_actor{.id = id, .path = "/generation"}).must().status == 200);
  CHECK(x.id_of(x.look_up(find{"probe", key}).must()) == id);
}

TEST_CASE("the client creates, finds, lists and destroys") {
  reach x;
  const actor_key key{x.pool, "one"};
  const auto made = x.ask(create_actor{.name = "probe", .key = key, .input = "\x01\x02"}).must();
  CHECK(made.name == "probe");
  CHECK(made.key == key);
  CHECK(made.pool == x.pool);
  CHECK(
      x.ask<http_response>(call_actor{.id = made.id, .path = "/generation"}).must().status == 200);
  // Until its key is settled the real engine may answer destroyed_during_creation.
  engine_failure twice;
  CHECK(await([&] {
    twice = x.ask(create_actor{.name = "probe", .key = key}).failure();
    return twice.engine_code == "actor.duplicate_key";
  }));
  CHECK(twice.existing_id == made.id);
  const auto again = x.ask(get_or_create_actor{.name = "probe", .key = key}).must();
  CHECK(again.id == made.id);
  CHECK(!again.created);
  CHECK(x.ask(get_actor{"probe", key}).must().id == made.id);
  CHECK(x.ask(get_actor_by_id{made.id}).must().id == made.id);
  CHECK(x.ask(get_actor{"probe", {x.pool, "none"}}).failure().code == errc::not_found);
  const auto other = x.ask(get_or_create_actor{.name = "probe", .key = {x.pool, "two"}}).must();
  CHECK(other.created);
  const auto page = x.ask<actor_page>(list_actors{.name = "probe", .limit = 100}).must();
  const auto lists = [&](const std::string& id) {
    return std::any_of(
        page.actors.begin(), page.actors.end(), [&](const auto& a) { return a.id == id; });
  };
  CHECK(lists(made.id));
  CHECK(lists(other.id));
  static_cast<void>(x.ask<caf::unit_t>(destroy_actor{made.id}).must());
  CHECK(x.ask(get_actor_by_id{made.id}).must().destroyed);
  const auto gone = x.ask<http_response>(call_actor{.id = made.id, .path = "/n"}).failure();
  CHECK(gone.code == errc::not_found);
  CHECK(gone.engine_code == "actor.not_found");
}

TEST_CASE("lists come in pages") {
  reach x;
  const auto name = "counter";
  std::set<std::string> made;
  for (int i = 0; i < 3; ++i)
    made.insert(
        x.ask(create_actor{.name = name, .key = actor_key{x.pool, std::to_string(i)}}).must().id);
  std::set<std::string> seen;
  std::string cursor;
  for (int pages = 0; pages < 1000; ++pages) {
    const auto page =
        x.ask<actor_page>(list_actors{.name = name, .limit = 2, .cursor = cursor}).must();
    CHECK(page.actors.size() <= 2);
    for (const auto& each : page.actors) CHECK(seen.insert(each.id).second);
    cursor = page.cursor;
    if (cursor.empty() || page.actors.empty()) break;
  }
  // Beside those of other cases.
  CHECK(std::includes(seen.begin(), seen.end(), made.begin(), made.end()));
}

TEST_CASE(
    "an actor anywhere is called through the gateway: method, headers, bodies and its own errors") {
  reach x;
  const auto id = x.ask(get_or_create_actor{.name = "probe", .key = {x.pool}}).must().id;
  const auto got = x.ask<http_response>(call_actor{.id = id, .path = "/n"}).must();
  CHECK(got.status == 200);
  CHECK(body_of(got) == "0");
  CHECK(
      body_of(x.ask<http_response>(call_actor{.id = id, .method = "POST", .path = "/increment"})
                  .must()) == "1");
  const auto failed = x.ask<http_response>(call_actor{.id = id, .path = "/fail"}).must();
  CHECK(failed.status == 500);
  CHECK(body_of(failed).starts_with("an internal error occurred (error_id "));

  const std::size_t most = std::size_t{20} << 20U;
  const auto digest =
      x
          .ask<http_response>(call_actor{
              .id = id, .method = "POST", .path = "/digest", .body = std::string(most, 'x')})
          .must();
  CHECK(body_of(digest).starts_with(std::to_string(most) + " "));
  const auto big = x.ask<http_response>(
                        call_actor{.id = id, .path = "/big?bytes=" + std::to_string(most - 4096)})
                       .must();
  CHECK(big.status == 200);
  CHECK(big.body.size() == most - 4096);
  const auto over = x.ask<http_response>(
                         call_actor{.id = id, .method = "POST", .body = std::string(most + 1, 'x')})
                        .failure();
  CHECK(over.code == errc::too_large);
}

TEST_CASE("many calls at once are all answered, over a bounded number of connections") {
  reach x;
  const auto id = x.ask(get_or_create_actor{.name = "probe", .key = {x.pool}}).must().id;
  caf::scoped_actor self{x.host.system()};
  int good = 0;
  for (int i = 0; i < 100; ++i)
    self->send(x.client, call_actor{.id = id, .method = "POST", .path = "/increment"});
  for (int i = 0; i < 100; ++i)
    self->receive(
        [&](const http_response& r) { good += r.status == 200 ? 1 : 0; }, caf::after(20s) >> [] {});
  CHECK(good == 100);
  CHECK(body_of(x.ask<http_response>(call_actor{.id = id, .path = "/n"}).must()) == "100");
}

TEST_CASE("5.1: no engine resolves a path that goes up, and no call of an actor has one") {
  reach x;
  const auto id = x.over_http.create_running("outside");
  const auto arrives = [](const std::string& path) { return "no route for GET " + path + '\n'; };
  // As a client asks that resolves nothing itself.
  const auto seen_by_actor = [&](const std::string& path) {
    raw_client out{x.engine.port()};
    CHECK(out.send(request_head("GET", "/gateway/" + id + path)));
    return out.await("\r\n\r\n") && out.await(arrives(path));
  };
  for (const std::string up :
       {"..",
        ".",
        "%2e%2e",
        "%2E%2e",
        ".%2e",
        "%2e",
        "..%2f..",
        "%2e%2e%2F",
        "..%5c",
        "%5C..%5c",
        "..;",
        "..;x=1",
        "..%3b"}) {
    CAPTURE(up);
    for (const auto& path : {"/request/" + up + '/' + up + "/actors", "/request/a/" + up}) {
      CHECK(seen_by_actor(path));
      const auto refused = x.ask<http_response>(call_actor{.id = id, .path = path}).failure();
      CHECK(refused.code == errc::invalid_argument);
    }
  }
  for (const std::string plain :
       {"...", "%252e%252e", "%252e%252e%252f", "%c0%ae%c0%ae", "..%00", "..a"}) {
    CAPTURE(plain);
    const auto path = "/request/" + plain + '/' + plain + "/actors";
    CHECK(seen_by_actor(path));
    CHECK(
        body_of(x.ask<http_response>(call_actor{.id = id, .path = path}).must()) == arrives(path));
  }
}

TEST_CASE("a call has its limit, and what can't be reached says why") {
  reach x;
  const auto id = x.ask(get_or_create_actor{.name = "probe", .key = {x.pool}}).must().id;
  const auto slow =
      x.ask<http_response>(call_actor{.id = id, .path = "/slow?ms=5000", .timeout = 300ms})
          .failure();
  CHECK(slow.code == errc::timed_out);
  CHECK(
      x.ask<http_response>(call_actor{.id = "not an id"}).failure().code == errc::invalid_argument);
  const auto nobody = spawn_client(x.host.system(), {.endpoint = "http://127.0.0.1:1"});
  REQUIRE(nobody);
  const question<actor_info> asked{x.host.system(), *nobody, get_actor_by_id{id}};
  CHECK(asked.failure().code == errc::unreachable);
  CHECK(!spawn_client(x.host.system(), {.endpoint = "ftp://here"}));
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

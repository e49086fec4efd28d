// Questions about actors as HTTP requests, and the meaning of the engine's answers, which are those of docs/protocol.md I.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <nuncio/actor_requests.hpp>
#include <nuncio/engine/actor_calls.hpp>

namespace actor_requests_test {

using namespace nuncio;
using nlohmann::json;

namespace {

const engine_access at{
    {.tls = false, .host = "engine", .port = 6420, .path_prefix = "/base"}, "my ns", "to/ken"};

http_call must(outcome<http_call> x) {
  REQUIRE_MESSAGE(x.ok(), (x.ok() ? std::string{} : x.error().message));
  return *x;
}

std::string header(const http_call& c, std::string_view name) {
  for (const auto& [key, value] : c.headers)
    if (key == name) return value;
  return {};
}

outcome<http_reply> reply(int status, std::string body, std::string error = {}) {
  http_reply out{.status = status, .headers = {}, .body = std::move(body)};
  if (!error.empty()) out.headers.emplace_back("x-rivet-error", std::move(error));
  return out;
}

constexpr auto actor =
    R"({"actor_id":"1kr6","name":"room","key":"eu/a\\/b","runner_name_selector":"game","crash_policy":"sleep",
        "connectable_ts":5,"sleep_ts":null,"destroy_ts":null})";

template <class T>
engine_failure failure_in(const engine_answer<T>& x) {
  REQUIRE(std::holds_alternative<engine_failure>(x));
  return std::get<engine_failure>(x);
}

}  // namespace

TEST_CASE("creating: name, key, pool and input go as JSON, the token as a header") {
  const auto c = must(to_call(
      create_actor{.name = "room", .key = actor_key{"eu", "a/b"}, .input = {"\x01\xFFz", 3}},
      at,
      "game"));
  CHECK(c.method == "POST");
  CHECK(c.url == "http://engine:6420/base/actors?namespace=my%20ns");
  CHECK(header(c, "authorization") == "Bearer to/ken");
  CHECK(
      json::parse(c.body) == json{
                                 {"name", "room"},
                                 {"key", R"(eu/a\/b)"},
                                 {"runner_name_selector", "game"},
                                 {"crash_policy", "sleep"},
                                 {"input", "Af96"}});
  const auto plain =
      json::parse(must(to_call(create_actor{.name = "x", .pool = "other"}, at, "game")).body);
  CHECK(plain.at("key").is_null());
  CHECK(plain.at("runner_name_selector") == "other");
  CHECK(!plain.contains("input"));
  const auto either = must(to_call(get_or_create_actor{.name = "x", .key = {}}, at, "game"));
  CHECK(either.method == "PUT");
  CHECK(json::parse(either.body).at("key") == "/");
}

TEST_CASE("input of each length is base64 with padding") {
  const auto input = [](std::string x) {
    return json::parse(
               must(to_call(create_actor{.name = "x", .input = std::move(x)}, at, "p")).body)
        .at("input")
        .get<std::string>();
  };
  CHECK(input("f") == "Zg==");
  CHECK(input("fo") == "Zm8=");
  CHECK(input("foo") == "Zm9v");
  CHECK(input("foob") == "Zm9vYg==");
}

TEST_CASE("finding, listing, destroying") {
  CHECK(
      must(to_call(get_actor{"a b", {"x", ""}}, at)).url ==
      "http://engine:6420/base/actors?namespace=my%20ns&name=a%20b&key=x%2F%5C0");
  CHECK(
      must(to_call(get_actor_by_id{"1kr6"}, at)).url ==
      "http://engine:6420/base/actors?namespace=my%20ns&actor_ids=1kr6");
  CHECK(
      must(to_call(
               list_actors{.name = "room", .limit = 5, .cursor = "c&", .include_destroyed = true},
               at))
          .url ==
      "http://engine:6420/base/"
      "actors?namespace=my%20ns&name=room&limit=5&cursor=c%26&include_destroyed=true");
  const auto gone = must(to_call(destroy_actor{"1kr6"}, at));
  CHECK(gone.method == "DELETE");
  CHECK(gone.url == "http://engine:6420/base/actors/1kr6?namespace=my%20ns");
}

TEST_CASE(
    "a call goes to the gateway, with the token behind the id and everything else untouched") {
  const auto c = must(to_call(
      call_actor{
          .id = "1kr6",
          .method = "PATCH",
          .path = "/request/a%2F?b=c",
          .headers = {{"x-y", "z"}},
          .body = std::string{"body"}},
      at));
  CHECK(c.method == "PATCH");
  CHECK(c.url == "http://engine:6420/base/gateway/1kr6@to%2Fken/request/a%2F?b=c");
  CHECK(c.headers == std::vector<std::pair<std::string, std::string>>{{"x-y", "z"}});
  CHECK(c.body == "body");
  auto open = at;
  open.token.clear();
  CHECK(
      must(to_call(call_actor{.id = "1kr6", .path = "/"}, open)).url ==
      "http://engine:6420/base/gateway/1kr6/");
}

TEST_CASE("requests that the engine would refuse are refused here") {
  CHECK(!to_call(create_actor{.name = ""}, at, "p"));
  CHECK(!to_call(create_actor{.name = std::string(65, 'x')}, at, "p"));
  CHECK(!to_call(create_actor{.name = "x", .key = actor_key{std::string(129, 'x')}}, at, "p"));
  for (const auto* id : {"", "a/b", "a?b", "..", "a%2f", "a b", "a@b"}) {
    CAPTURE(id);
    CHECK(!to_call(get_actor_by_id{id}, at));
    CHECK(!to_call(destroy_actor{id}, at));
    CHECK(!to_call(call_actor{.id = id}, at));
  }
  CHECK(!to_call(create_actor{.name = "\xFF"}, at, "p"));
  CHECK(!to_call(get_actor{"x", {"\xFF"}}, at));
  const auto refused = [](const call_actor& x) { return !to_call(x, at); };
  CHECK(refused({.id = "1kr6", .path = ""}));
  CHECK(refused({.id = "1kr6", .path = "x"}));
  CHECK(refused({.id = "1kr6", .path = "/a b"}));
  CHECK(refused({.id = "1kr6", .path = "/\r\nx: y"}));
  CHECK(refused({.id = "1kr6", .method = "GET /"}));
  CHECK(refused({.id = "1kr6", .method = ""}));
  CHECK(refused({.id = "1kr6", .headers = {{"a b", "c"}}}));
  CHECK(refused({.id = "1kr6", .headers = {{"", "c"}}}));
  CHECK(refused({.id = "1kr6", .headers = {{"a", "b\r\nc: d"}}}));
  CHECK(refused({.id = "1kr6", .headers = {{"a", std::string(65'536, 'x')}}}));
  CHECK(refused({.id = "1kr6", .body = std::string((std::size_t{20} << 20U) + 1, 'x')}));
  CHECK(!refused({.id = "1kr6", .body = std::string(std::size_t{20} << 20U, 'x')}));
}

TEST_CASE("5.1: no path leaves its actor, and none is changed on its way") {
  const auto call = [](std::string path) {
    return to_call(call_actor{.id = "1kr6", .path = std::move(path)}, at);
  };
  for (const auto* path :
       {"/../../actors",
        "/..",
        "/.",
        "/a/./b",
        "/a/..",
        "/a/..?b=c",
        "/%2e%2e/x",
        "/%2E%2E/x",
        "/.%2e/x",
        "/%2e",
        "/..%2f..%2factors",
        "/a%2F..",
        "/..\\actors",
        "/a%5c..%5Cb",
        "/..;/actors",
        "/..;a=b/actors",
        "/..%3bx/actors",
        "//../x",
        "/a#b",
        "/a?b#c",
        "/a\tb",
        "/a\x7F",
        "/\xC3\xBC"}) {
    CAPTURE(path);
    const auto refused = call(path);
    REQUIRE(!refused);
    CHECK(refused.error().code == errc::invalid_argument);
    CHECK(refused.error().message.starts_with("the path"));
  }
  for (const auto* path :
       {"/...",
        "/a..b/.c",
        "/.well-known/x",
        "/a//b",
        "/%2e%2e%2e",
        "/%252e%252e/x",
        "/a;..",
        "/?next=/../x",
        "/a?..",
        "/%00%0d%0a"}) {
    CAPTURE(path);
    CHECK(
        must(call(path)).url ==
        std::string{"http://engine:6420/base/gateway/1kr6@to%2Fken"} + path);
  }
}

TEST_CASE(
    "5.1: headers that a handler forwards from its client don't affect the call's own connection") {
  const auto c = must(to_call(
      call_actor{
          .id = "1kr6",
          .headers =
              {{"Content-Length", "5"},
               {"transfer-encoding", "chunked"},
               {"host", "elsewhere"},
               {"connection", "upgrade"},
               {"upgrade", "h2c"},
               {"expect", "100-continue"},
               {"X-Own", ""}}},
      at));
  CHECK(c.headers == std::vector<std::pair<std::string, std::string>>{{"x-own", ""}});
}

TEST_CASE("the engine's description of an actor is read") {
  const auto got =
      read_actor(reply(200, std::string{R"({"actor":)"} + actor + R"(,"created":false})"));
  REQUIRE(std::holds_alternative<actor_info>(got));
  const auto& x = std::get<actor_info>(got);
  CHECK(x.id == "1kr6");
  CHECK(x.name == "room");
  CHECK(x.key == actor_key{"eu", "a/b"});
  CHECK(x.pool == "game");
  CHECK(x.connectable);
  CHECK(!x.sleeping);
  CHECK(!x.destroyed);
  CHECK(!x.created);
  const auto made = read_actor(
      reply(200, R"({"actor":{"actor_id":"2","key":null,"sleep_ts":3,"error":{"crashed":{}}}})"));
  REQUIRE(std::holds_alternative<actor_info>(made));
  CHECK(std::get<actor_info>(made).created);
  CHECK(std::get<actor_info>(made).sleeping);
  CHECK(!std::get<actor_info>(made).key);
  CHECK(std::get<actor_info>(made).error == R"({"crashed":{}})");
}

TEST_CASE(
    "lists are read with their cursor; an empty one means that the one asked for is not there") {
  const auto page = read_page(reply(
      200,
      std::string{R"({"actors":[)"} + actor + "," + actor +
          R"(],"pagination":{"cursor":"next"}})"));
  REQUIRE(std::holds_alternative<actor_page>(page));
  CHECK(std::get<actor_page>(page).actors.size() == 2);
  CHECK(std::get<actor_page>(page).cursor == "next");
  const auto none = read_page(reply(200, R"({"actors":[],"pagination":{"cursor":null}})"));
  CHECK(std::get<actor_page>(none).actors.empty());
  CHECK(std::get<actor_page>(none).cursor.empty());
  CHECK(failure_in(read_actor(reply(200, R"({"actors":[]})"))).code == errc::not_found);
}

TEST_CASE("the engine's own codes are kept") {
  const auto twice = failure_in(read_actor(reply(
      400,
      R"({"group":"actor","code":"duplicate_key","message":"taken","metadata":{"existing_actor_id":"1kr6","key":"k"}})")));
  CHECK(twice.code == errc::refused);
  CHECK(twice.engine_code == "actor.duplicate_key");
  CHECK(twice.existing_id == "1kr6");
  CHECK(twice.status == 400);
  CHECK(twice.message == "actor.duplicate_key: taken");
  const auto missing = failure_in(
      read_actor(reply(400, R"({"group":"namespace","code":"not_found","message":"no"})")));
  CHECK(missing.code == errc::not_found);
  CHECK(
      failure_in(
          read_destroyed(reply(500, R"({"group":"core","code":"internal_error","message":""})")))
          .code == errc::unreachable);
  CHECK(failure_in(read_actor(failure{errc::timed_out, "too long"})).code == errc::timed_out);
}

TEST_CASE("the loser of a race for a key asks again; without a key it does not") {
  const auto why = failure_in(read_actor(reply(
      400,
      R"({"group":"actor","code":"destroyed_during_creation","message":"Actor was destroyed"})")));
  CHECK(lost_race(create_actor{.name = "a", .key = actor_key{"k"}}, why));
  CHECK(lost_race(get_or_create_actor{.name = "a", .key = {"k"}}, why));
  CHECK_FALSE(lost_race(create_actor{.name = "a"}, why));
  CHECK_FALSE(lost_race(get_actor{"a", {"k"}}, why));
  CHECK_FALSE(lost_race(create_actor{.name = "a", .key = actor_key{"k"}}, {}));
  CHECK(delay_after_race(1) == std::chrono::milliseconds{100});
  CHECK(delay_after_race(4) == std::chrono::milliseconds{800});
  CHECK(delay_after_race(40) == std::chrono::milliseconds{1600});
}

TEST_CASE("an actor's own errors are its answer; those of the gateway are failures") {
  const auto own = read_called(reply(404, R"({"group":"user","code":"x"})"));
  REQUIRE(std::holds_alternative<http_reply>(own));
  CHECK(std::get<http_reply>(own).status == 404);
  const auto gate = failure_in(read_called(
      reply(404, R"({"group":"actor","code":"not_found","message":"gone"})", "actor.not_found")));
  CHECK(gate.code == errc::not_found);
  CHECK(gate.engine_code == "actor.not_found");
  CHECK(
      failure_in(read_called(reply(503, "busy", "guard.service_unavailable"))).engine_code ==
      "guard.service_unavailable");
}

TEST_CASE("responses that are not from an engine are reported as such") {
  for (const auto* body :
       {"",
        "<html>",
        "[]",
        "{}",
        R"({"actor":null})",
        R"({"actor":{"actor_id":7}})",
        R"({"actors":7})",
        R"({"actors":[7]})"}) {
    CAPTURE(body);
    CHECK(failure_in(read_actor(reply(200, body))).code == errc::malformed);
    CHECK(failure_in(read_page(reply(200, body))).code == errc::malformed);
  }
  CHECK(failure_in(read_actor(reply(302, "<html>"))).code == errc::refused);
}

}  // namespace actor_requests_test

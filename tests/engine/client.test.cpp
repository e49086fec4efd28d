// The clients for tests of actors, against a dev engine whose envoy is driven by the case.
#include <doctest/doctest.h>

#include <future>
#include <nuncio/testing/client.hpp>
#include <nuncio/testing/dev_engine.hpp>
#include <nuncio/testing/expect.hpp>

#include "hand_envoy.hpp"

namespace client_test {

using namespace nuncio;
using namespace nuncio::test;
using namespace nuncio::testing;
using namespace std::chrono_literals;

namespace {

struct hosted_actor {
  dev_engine engine{{.pools = {"p"}}};
  testing::client client{{.endpoint = expect(engine.start()), .pool = "p"}};
  hand_envoy envoy{engine.port()};
  std::string id;

  hosted_actor() {
    envoy.expect<protocol::to_envoy_init>();
    id = expect(client.create({.name = "x", .key = "k", .input = "hi"})).id;
    envoy.start();
  }

  /// A WebSocket that the envoy has accepted, and the id of its exchange.
  std::pair<socket_client, protocol::message_id> open() {
    auto opened =
        std::async(std::launch::async, [&] { return client.open_socket(id, "/websocket/room"); });
    auto [message, what] = envoy.expect_tunnel<protocol::to_envoy_web_socket_open>();
    CHECK(what.path.view() == "/websocket/room");
    envoy.reply(message, 0, protocol::to_rivet_web_socket_open{});
    return {expect(opened.get()), message};
  }
};

}  // namespace

TEST_CASE("expect returns an outcome's value, or throws its failure") {
  CHECK(expect(outcome<int>{7}) == 7);
  CHECK_NOTHROW(expect(outcome<void>{}));
  const failure none{errc::not_found, "no such actor"};
  CHECK_THROWS_WITH_AS(expect(outcome<int>{none}), "not_found: no such actor", std::runtime_error);
  CHECK_THROWS_WITH_AS(expect(outcome<void>{none}), "not_found: no such actor", std::runtime_error);
}

TEST_CASE_FIXTURE(hosted_actor, "a client's request reaches the actor, and its answer the client") {
  auto asked = std::async(
      std::launch::async, [&] { return client.request(id, "POST", "/request/players", "ann"); });
  const auto [message, what] = envoy.expect_tunnel<protocol::to_envoy_request_start>();
  CHECK(what.method.view() == "POST");
  CHECK(what.path.view() == "/request/players");
  CHECK(what.body->view() == "ann");
  protocol::to_rivet_response_start answer;
  answer.status = 201;
  answer.body = bytes{std::string_view{"1"}};
  envoy.reply(message, 0, std::move(answer));
  const auto reply = expect(asked.get());
  CHECK(reply.status == 201);
  CHECK(reply.body == "1");
}

TEST_CASE_FIXTURE(hosted_actor, "a WebSocket carries messages both ways, and says how it ended") {
  auto [socket, at] = open();
  CHECK(socket.http_status() == 101);
  CHECK(socket.send("hello"));
  CHECK(envoy.expect_tunnel<protocol::to_envoy_web_socket_message>().second.data.view() == "hello");
  CHECK(socket.receive(1ms).error().code == errc::timed_out);
  envoy.reply(at, 1, protocol::to_rivet_web_socket_message{bytes{std::string_view{"there"}}, true});
  const auto got = expect(socket.receive());
  CHECK(got.data == "there");
  CHECK(got.binary);
  envoy.reply(at, 2, protocol::to_rivet_web_socket_close{4005, text{"over"}, false});
  CHECK(socket.text() == "(link_lost: closed with 4005 over)");
  CHECK(socket.await_close() == 4005);
  CHECK(socket.send("late").error().code == errc::link_lost);
}

TEST_CASE_FIXTURE(hosted_actor, "a WebSocket that another is moved to ends its own connection") {
  auto [socket, at] = open();
  auto [next, next_at] = open();
  socket = std::move(next);
  const auto ended = envoy.expect_tunnel<protocol::to_envoy_web_socket_close>().first;
  CHECK(ended.request_id == at.request_id);
  CHECK(socket.send("of the second"));
  const auto [heard, what] = envoy.expect_tunnel<protocol::to_envoy_web_socket_message>();
  CHECK(heard.request_id == next_at.request_id);
  CHECK(what.data.view() == "of the second");
}

TEST_CASE("a WebSocket that can't be opened is a failure that says why") {
  dev_engine engine{{.pools = {"p"}}};
  const testing::client client{{.endpoint = expect(engine.start()), .pool = "p"}};
  const auto id = expect(client.create({.name = "x"})).id;
  expect(client.destroy(id));
  auto closed = expect(client.open_socket(id, "/websocket"));
  CHECK(closed.await_close() == 1011);
  CHECK(closed.close_reason().starts_with("actor.not_found"));
  engine.stop();
  CHECK(client.open_socket(id, "/websocket").error().code == errc::unreachable);
  CHECK(client.health().error().code == errc::unreachable);
  const testing::client lost{{.endpoint = "nowhere at all"}};
  CHECK(lost.open_socket(id, "/").error().code == errc::invalid_argument);
}

TEST_CASE_FIXTURE(hosted_actor, "an engine that stops has told its envoys when stop() returns") {
  auto farewell = std::async(std::launch::async, [&] { return envoy.wait_closed(); });
  engine.stop();
  CHECK_FALSE(engine.running());
  CHECK(farewell.get() == 1011);
}

TEST_CASE("a dev engine that can't start says why") {
  dev_engine first;
  expect(first.start());
  dev_engine second{{.port = first.port()}};
  CHECK(second.start().error().code == errc::unreachable);
  CHECK(dev_engine{{.address = "nowhere"}}.start().error().code == errc::invalid_argument);
  CHECK(dev_engine{{.data = "/dev/null"}}.start().error().code == errc::internal);
}

}  // namespace client_test

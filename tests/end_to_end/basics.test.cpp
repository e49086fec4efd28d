// The life of one actor when nothing goes wrong.
#include <nuncio/testing/socket_client.hpp>

#include "fixture.hpp"

namespace nuncio::e2e {

TEST_SUITE_BEGIN("basics");

TEST_CASE("an actor starts, answers GET and POST, and keeps its state") {
  hosted_pool x;
  const auto id = x.client.create_running("counter");
  CHECK(x.client.get(id, "/request/count").body == "0");
  for (int i = 1; i <= 3; ++i)
    CHECK(x.client.post(id, "/request/increment").body == std::to_string(i));
  CHECK(x.client.get(id, "/request/count").body == "3");
  CHECK(x.client.get(id, "/elsewhere").status == 404);
  const auto echo = x.client.create_running("echo");
  const std::string body{"hello\0there", 11};
  CHECK(x.client.post(echo, "/any", body).body == body);
  CHECK(x.host->factory_calls() == 2);
}

TEST_CASE("a missing pool is created, and the names of the actors are announced") {
  hosted_pool x;
  const auto config =
      must(x.client.call({.target = "/runner-configs?namespace=default&runner_names=" + x.pool}));
  CHECK(config.body.find(x.pool) != std::string::npos);
  CHECK(await([&] {
    const auto names = must(x.client.call({.target = "/actors/names?namespace=default"}));
    return names.body.find("\"counter\"") != std::string::npos &&
           names.body.find("\"probe\"") != std::string::npos;
  }));
}

TEST_CASE("twenty actors start at once, each with a state of its own") {
  hosted_pool x;
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(must(x.client.create({.name = "counter"})).id);
  for (std::size_t i = 0; i < ids.size(); ++i)
    for (std::size_t n = 0; n <= i % 3; ++n) x.client.post(ids[i], "/request/increment");
  for (std::size_t i = 0; i < ids.size(); ++i)
    CHECK(x.client.get(ids[i], "/request/count").body == std::to_string(i % 3 + 1));
  CHECK(x.host->factory_calls() == 20);
}

TEST_CASE("an actor that the API puts to sleep wakes with the next request, one generation later") {
  hosted_pool x;
  const auto id = x.client.create_running("probe");
  CHECK(x.client.post(id, "/increment").body == "1");
  must(x.client.sleep(id));
  const auto asleep = x.client.await_sleeping(id);
  CHECK(asleep.sleeping);
  CHECK(asleep.error.empty());
  const auto again = x.client.get(id, "/generation");
  CHECK(again.status == 200);
  CHECK(again.body == "2");
}

TEST_CASE("a destroyed actor is gone: 404") {
  hosted_pool x;
  const auto id = x.client.create_running("counter");
  must(x.client.destroy(id));
  const auto after = x.client.get(id, "/request/count");
  CHECK(after.status == 404);
  CHECK(after.error_code() == "actor.not_found");
  CHECK(x.backlog_drains());
}

TEST_CASE("a chunked upload arrives whole") {
  hosted_pool x;
  const auto id = x.client.create_running("echo");
  const std::string body(300'000, 'u');
  const auto back = must(x.client.call(
      {.method = "POST",
       .target = "/gateway/" + id + "/request/echo",
       .body = body,
       .chunked = true}));
  CHECK(back.status == 200);
  CHECK(back.body.size() == body.size());
  CHECK((back.body == body));
}

TEST_CASE("more than a megabyte goes there and back") {
  hosted_pool x;
  const auto id = x.client.create_running("echo");
  std::string body(5'000'000, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 31 / 7);
  const auto back = x.client.post(id, "/request/echo", body);
  CHECK(back.status == 200);
  CHECK((back.body == body));
}

TEST_CASE("a WebSocket is accepted and closed with 1011, without retries") {
  hosted_pool x;
  const auto id = x.client.create_running("echo");
  socket_client socket{x.engine.port(), "/gateway/" + id + "/socket"};
  CHECK(socket.http_status() == 101);
  CHECK(socket.await_close() == 1011);
  CHECK(await([&] { return x.host->stats().ingress.sockets_refused == 1; }));
  CHECK(x.client.get(id, "/any").status == 200);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

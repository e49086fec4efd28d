// The streaming gateway: bodies arrive in chunks against credits, and are complete at the handler.
#include <array>
#include <chrono>
#include <cstdint>
#include <future>
#include <thread>

#include "fixture.hpp"

namespace nuncio::e2e {
namespace {

std::string patterned(std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 131 / 17 + (i >> 16U));
  return out;
}

}  // namespace

TEST_SUITE_BEGIN("streaming");

TEST_CASE(
    "streaming gateway: GET, POST, chunked uploads beyond the window, large responses, a throw") {
  engine_under_test engine{{.streaming = true}};
  hosted_pool x{engine, {}};
  const auto echo = x.client.create_running("echo");
  const auto probe = x.client.create_running("probe");

  CHECK(x.client.get(probe, "/n").body == "0");
  CHECK(x.client.post(echo, "/request/echo", "small").body == "small");
  CHECK(x.client.post(probe, "/increment").body == "1");

  for (const std::size_t size :
       {std::size_t{1},
        std::size_t{65536},
        std::size_t{1048576},
        std::size_t{3'500'000},
        std::size_t{20'971'520}}) {
    CAPTURE(size);
    const auto body = patterned(size);
    for (const bool chunked : {false, true}) {
      CAPTURE(chunked);
      const auto reply = must(x.client.call(
          {.method = "POST",
           .target = "/gateway/" + echo + "/request/echo",
           .body = body,
           .chunked = chunked}));
      CHECK(reply.status == 200);
      CHECK(reply.body.size() == size);
      CHECK((reply.body == body));
    }
  }

  const auto big = x.client.get(probe, "/big?bytes=20971521");
  CHECK(big.status == 500);
  CHECK(big.body.find("20971521") != std::string::npos);

  // The bodies may have taken so long that it has slept since.
  const auto generation = std::stoul(x.client.get(probe, "/generation").body);
  CHECK(x.client.post(probe, "/throw").status == 500);
  CHECK(x.client.await_sleeping(probe).sleeping);
  CHECK(x.client.get(probe, "/generation").body == std::to_string(generation + 1));
}

TEST_CASE("streaming gateway: requests that cross their actor's way to sleep are answered") {
  hosted_pool x{shared_streaming_engine(), {}};
  const auto id = x.client.create_running("outside");
  for (int round = 0; round < 40; ++round) {
    CAPTURE(round);
    auto sleeps =
        std::async(std::launch::async, [&] { return x.client.post(id, "/request/sleep").status; });
    // From before the engine hears of it to after the actor's end.
    std::this_thread::sleep_for(std::chrono::milliseconds{round * 7 % 60});
    std::array<std::future<int>, 3> crossing;
    for (auto& each : crossing)
      each = std::async(
          std::launch::async, [&] { return int{x.client.get(id, "/request/info").status}; });
    CHECK(sleeps.get() == 200);
    for (auto& each : crossing) CHECK(each.get() == 200);
  }
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

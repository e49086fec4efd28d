// The end of a simulated connection that its host closes: once the engine has read everything, or at the limit.
#include "simulation/simulated_link.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <nuncio/host_options.hpp>
#include <optional>

namespace simulated_link_test {

using namespace nuncio;
using namespace nuncio::testing;
using namespace std::chrono_literals;

namespace {

/// An engine that says nothing.
struct silent_engine final : engine::web_handler {
  void on_request(engine::http_request, std::shared_ptr<engine::http_responder>) override {}

  [[nodiscard]] bool wants_parts(std::string_view) const override { return false; }

  void on_socket(engine::http_request, std::shared_ptr<engine::web_socket> opened) override {
    socket = std::move(opened);
    socket->set_reading(reads);
    socket->on_close = [this](auto, const auto&) { heard_end = true; };
  }

  void on_tick() override {}

  bool reads = true;
  bool heard_end = false;
  std::shared_ptr<engine::web_socket> socket;
};

struct host final : link_listener {
  void on_up(epoch) override {}

  void on_inbound(inbound_batch) override {}

  void on_written(epoch, frame_class) override {}

  void on_room(const room_waiter&) override {}

  void on_fence(epoch, std::uint64_t) override {}

  void on_down(epoch, std::string_view, duration) override {}

  void on_lease_ended() override {}

  void on_ask() override {}

  void on_final(const failure& why) override { end = why.code; }

  std::optional<errc> end;
};

struct connection {
  explicit connection(bool engine_reads) {
    engine.reads = engine_reads;
    run();
    REQUIRE(link.connected());
    link.close();
    run();
  }

  void run() {
    while (link.step()) {
    }
  }

  time_point now{1h};
  silent_engine engine;
  host owner;
  simulated_link link{
      owner,
      engine,
      {.envoy_key = "key",
       .pool = "default",
       .namespace_name = "default",
       .version = wire::version_max,
       .now = [this] { return now; }}};
};

}  // namespace

TEST_CASE("a simulated link that is closed ends at once if the engine reads") {
  const connection x{true};
  CHECK(x.owner.end == errc::cancelled);
  CHECK(x.engine.heard_end);
}

TEST_CASE(
    "a simulated link that is closed waits 3 s, and the close limit, if the engine reads nothing") {
  connection x{false};
  CHECK(x.link.next_timer() == x.now + 3s);
  x.now += 3s;
  x.link.tick();
  const auto limit = x.now + websocket_options{}.close_limit;
  CHECK(x.link.next_timer() == limit);
  x.now = limit - 1ms;
  x.link.tick();
  x.run();
  CHECK_FALSE(x.owner.end);
  x.now = limit;
  x.link.tick();
  CHECK(x.owner.end == errc::cancelled);
  CHECK(x.engine.heard_end);
  CHECK_FALSE(x.link.next_timer());
}

}  // namespace simulated_link_test

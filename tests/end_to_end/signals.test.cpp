// A second signal to `nuncio serve` ends it at once, whatever the drain waits for.
#include <fmt/format.h>
#include <signal.h>

#include "probed_pool.hpp"
#include "process.hpp"
#include "raw_client.hpp"

namespace nuncio::e2e {
namespace {

/// A `nuncio serve` with an actor that is busy for a minute, and a drain that would wait as long.
struct busy_process {
  engine_under_test& engine = shared_engine();
  std::string pool = new_pool();
  pool_client client{engine, pool};
  process host{serve_command(engine.endpoint(), pool, {"--drain-timeout", "60"})};
  raw_client caller{engine.port()};
  std::string id;

  busy_process() {
    REQUIRE(host.await_line("ready"));
    id = client.create_running("probe");
    REQUIRE(caller.send(request_head(
        "POST", fmt::format("/gateway/{}/request/slow?ms=60000", id), "content-length: 0\r\n")));
    // The slow one and the question itself.
    REQUIRE(await([&] { return info_of(client, id).at("requests") == 2; }));
  }

  [[nodiscard]] bool await_log(std::string_view text) const {
    return await([&] { return host.log().find(text) != std::string::npos; });
  }
};

}  // namespace

TEST_SUITE_BEGIN("signals");

TEST_CASE_FIXTURE(busy_process, "SIGTERM drains and a second one ends at once: exit status 1") {
  host.signal(SIGTERM);
  // Said once a second for as long as there is something to wait for.
  const bool waits = await_log("draining actors=1 seconds_left=");
  INFO(host.log());
  REQUIRE(waits);
  CHECK_FALSE(host.await_exit(0ms));
  host.signal(SIGTERM);
  CHECK(host.await_exit(10s) == 1);
  INFO(host.log());
  CHECK(host.log().find("drained") == std::string::npos);
  // Nobody said Stopped(OK) for it.
  CHECK_FALSE(client.view(id).destroyed);
}

TEST_CASE_FIXTURE(busy_process, "SIGINT drains and SIGTERM ends at once") {
  host.signal(SIGINT);
  REQUIRE(await_log("draining actors=1"));
  host.signal(SIGTERM);
  CHECK(host.await_exit(10s) == 1);
  CHECK_FALSE(client.view(id).destroyed);
}

TEST_CASE_FIXTURE(busy_process, "two signals at one moment count as two") {
  // Both are waiting when the process goes on, so that it takes them before any of its threads can act on the first.
  host.signal(SIGSTOP);
  host.signal(SIGTERM);
  host.signal(SIGINT);
  host.signal(SIGCONT);
  const auto status = host.await_exit(10s);
  INFO(host.log());
  CHECK(status == 1);
  CHECK_FALSE(client.view(id).destroyed);
}

TEST_CASE("two signals before the host waits for any count as two") {
  process host{{"/proc/self/exe", "signalled-host", shared_engine().endpoint(), new_pool()}};
  const auto status = host.await_exit(20s);
  INFO(host.log());
  CHECK(status == 1);
}

TEST_CASE("SIGTERM with the engine gone ends as soon as nothing is left to report") {
  engine_under_test engine;
  const auto pool = new_pool();
  process host{serve_command(engine.endpoint(), pool, {"--drain-timeout", "300"})};
  REQUIRE(host.await_line("ready"));
  SUBCASE("no actor was here") {}
  SUBCASE("one lives, until the engine has given the host up") {
    const pool_client client{engine, pool};
    static_cast<void>(client.create_running("probe"));
  }
  engine.kill();
  host.signal(SIGTERM);
  const auto status = host.await_exit(120s);
  INFO(host.log());
  CHECK(status == 0);
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

// Start, HTTP, replay and Stop, at each protocol version.
#include "fixture.hpp"

namespace nuncio::e2e {
namespace {

void whole_way(std::uint16_t version) {
  hosted_pool x{{.protocol_version = version}};
  x.proxy->lose_acks(true);
  const auto id = x.client.create_running("counter");
  CHECK(x.client.post(id, "/request/increment").body == "1");
  CHECK(x.client.get(id, "/request/count").body == "1");

  const auto replay = x.proxy->cut_and_await();
  CHECK(replay.replayed == 1);
  CHECK(replay.starts == 1);
  CHECK(x.client.post(id, "/request/increment").body == "2");
  CHECK(x.host->factory_calls() == 1);

  x.proxy->lose_acks(false);
  must(x.client.destroy(id));
  CHECK(x.client.get(id, "/request/count").status == 404);
  CHECK(x.backlog_drains());
}

}  // namespace

TEST_SUITE_BEGIN("version");

TEST_CASE("protocol version 3: start, HTTP, replay, stop") { whole_way(3); }

TEST_CASE("protocol version 4: start, HTTP, replay, stop") { whole_way(4); }

TEST_CASE("protocol version 5: start, HTTP, replay, stop") { whole_way(5); }

TEST_CASE("protocol version 6: start, HTTP, replay, stop") { whole_way(6); }

TEST_CASE("protocol version 8: start, HTTP, replay, stop") { whole_way(8); }

TEST_SUITE_END();

}  // namespace nuncio::e2e

// What one actor, one client or the host itself does costs nobody else: a case for each act. See
// bystanders.hpp.
#include "bystanders.hpp"

#include <fmt/format.h>

#include "socket_client.hpp"

namespace nuncio::e2e {
namespace {

std::string in_gateway(const std::string& id, std::string_view path) {
  return fmt::format("/gateway/{}{}", id, path);
}

}  // namespace

TEST_SUITE_BEGIN("bystanders");

TEST_CASE_TEMPLATE(
    "3.6: an actor that throws in every handler costs nobody else", Gateway, buffered, streaming) {
  auto& b = Gateway::of_run();
  const auto id = b.client.create_running("crook");
  b.during("an actor throws in every handler", [&] {
    CHECK(b.client.get(id, "/throw").status >= 500);
    socket_client client{b.engine.port(), in_gateway(id, "/websocket")};
    static_cast<void>(client.send("throw"));
    static_cast<void>(client.receive(100ms));
  });
}

TEST_CASE_TEMPLATE(
    "3.6: an actor that blocks a thread of the pool costs nobody else",
    Gateway,
    buffered,
    streaming) {
  auto& b = Gateway::of_run();
  const auto id = b.client.create_running("crook");
  b.during("an actor blocks a thread of the pool for a second, again and again", [&] {
    CHECK(b.client.get(id, "/block?ms=1000").status == 200);
  });
}

TEST_SUITE_END();

}  // namespace nuncio::e2e

// The end of the actors behind a link, each on its own thread.
#include <doctest/doctest.h>

#include <caf/all.hpp>
#include <memory>
#include <nuncio/host.hpp>
#include <nuncio/host/host_actors.hpp>
#include <utility>

#include "support/fake_link.hpp"

namespace host_actors_host_test {

using namespace nuncio;
using namespace nuncio::test;

namespace {

struct config : caf::actor_system_config {
  config() { recommended(*this); }
};

}  // namespace

// What ingress says to an actor after that may find no scheduler, and keeps the actor for ever.
TEST_CASE("the end of a host's actors returns once ingress is over") {
  config cfg;
  caf::actor_system system{cfg};
  for (auto i = 0; i < 20; ++i) {
    auto kept = std::make_shared<int>(0);
    const std::weak_ptr<int> watched = kept;
    host_actors actors;
    host_actors_options options;
    options.link = std::make_shared<fake_link>();
    options.counts = std::make_shared<counters>();
    options.ingress.on_system_end = [kept = std::move(kept)] {};
    actors.spawn(system, std::move(options));
    REQUIRE(!watched.expired());
    actors.end();
    CHECK(watched.expired());
  }
}

}  // namespace host_actors_host_test

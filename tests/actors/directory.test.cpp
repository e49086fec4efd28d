// Finding the engine actors of this host by CAF messages: a running actor is found, however its key was written; any other is
// not.
#include <doctest/doctest.h>

#include <nuncio/client/directory_actor.hpp>
#include <nuncio/directory.hpp>

#include "actors/watched_actors.hpp"

namespace directory_test {

using namespace nuncio;
using namespace nuncio::test;

namespace {

struct fixture : hosted {
  std::string got;
  caf::actor found;
  std::vector<caf::actor> askers;

  fixture() { host.boot(); }

  ~fixture() {
    found = nullptr;
    askers.clear();
  }

  void start(const actor_ref& who, std::optional<std::string> key, std::string_view name = "echo") {
    auto command = host.start_command(who, name);
    if (key) std::get<protocol::command_start_actor>(command.inner).config.key = text{*key};
    host.command(std::move(command));
    host.accept(who);
  }

  template <class Question>
  std::string ask(const caf::actor& whom, Question q) {
    got = "no answer";
    found = nullptr;
    askers.push_back(spawn_plain(*host.sim, [=, this](caf::event_based_actor* self) {
      self->request(whom, caf::infinite, q)
          .then(
              [this](const caf::actor& x) {
                found = x;
                got = "found";
              },
              [this](const caf::error& e) { got = is_not_here(e) ? "not here" : "another error"; });
    }));
    host.settle();
    return got;
  }

  std::string find_key(actor_key key, std::string name = "echo") {
    return ask(host.ingress_handle(), find{std::move(name), std::move(key)});
  }

  std::string find_actor(std::string_view id) {
    return ask(host.ingress_handle(), find_id{actor_id{id}});
  }
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "an actor is found by name and key, and by id") {
  start(instance_of("a"), "eu/lobby");
  start(instance_of("b"), std::nullopt);
  CHECK(find_key({"eu", "lobby"}) == "found");
  CHECK((found == p->selves[0]));
  CHECK(find_key({"eu"}) == "not here");
  CHECK(find_key({"eu/lobby"}) == "not here");
  CHECK(find_key({"eu", "lobby"}, "room") == "not here");
  CHECK(find_key({}) == "not here");
  CHECK(find_actor("b") == "found");
  CHECK((found == p->selves[1]));
  CHECK(find_actor("c") == "not here");
}

TEST_CASE_FIXTURE(fixture, "a key is found however it was written") {
  start(instance_of("a"), R"(x\/y/\0)");
  start(instance_of("b"), R"(\p\l\a\in)");
  CHECK(find_key({"x/y", ""}) == "found");
  CHECK(find_key({"plain"}) == "found");
}

TEST_CASE_FIXTURE(fixture, "an actor that is stopping, asleep or failed is not found") {
  start(instance_of("a"), "k", "stubborn");
  CHECK(find_key({"k"}, "stubborn") == "found");
  host.stop(instance_of("a"));
  CHECK(find_key({"k"}, "stubborn") == "not here");
  CHECK(find_actor("a") == "not here");
  caf::anon_send(p->selves[0], std::string{"quit"});
  host.settle();
  CHECK(find_key({"k"}, "stubborn") == "not here");

  start(instance_of("b"), "k");
  CHECK(find_key({"k"}) == "found");
  host.request(instance_of("b"), 1, "GET", "/throw");
  CHECK(find_key({"k"}) == "not here");
}

TEST_CASE_FIXTURE(fixture, "the next generation takes the place of the last") {
  start(instance_of("a"), "k");
  start(instance_of("a", 2), "k");
  CHECK(find_key({"k"}) == "found");
  CHECK((found == p->selves[1]));
  host.stop(instance_of("a", 2));
  CHECK(find_key({"k"}) == "not here");
}

TEST_CASE_FIXTURE(fixture, "a handle that was found can be monitored") {
  start(instance_of("a"), "k");
  REQUIRE(find_key({"k"}) == "found");
  bool down = false;
  askers.push_back(
      spawn_plain(*host.sim, [&, whom = found](caf::event_based_actor* self) -> caf::behavior {
        self->monitor(whom);
        self->set_down_handler([&](const caf::down_msg&) { down = true; });
        return {[](int) {}};
      }));
  host.settle();
  found = nullptr;
  CHECK(!down);
  host.stop(instance_of("a"));
  CHECK(down);
}

TEST_CASE_FIXTURE(
    fixture, "a directory asks every ingress of its host, and fails only if none has the actor") {
  start(instance_of("a"), "k");
  const auto empty = spawn_plain(*host.sim, [](caf::event_based_actor*) -> caf::behavior {
    return {
        [](const find&) -> caf::result<caf::actor> { return not_here(); },
        [](const find_id&) -> caf::result<caf::actor> { return not_here(); },
    };
  });
  const auto directory = internal::spawn_directory(*host.sim);
  const auto weak = [](const caf::actor& x) { return caf::actor_cast<caf::actor_addr>(x); };
  CHECK(ask(directory, find{"echo", {"k"}}) == "not here");  // before the host has started
  caf::anon_send(directory, internal::serve_directory{{weak(host.ingress_handle())}});
  CHECK(ask(directory, find{"echo", {"k"}}) == "found");
  CHECK(ask(directory, find{"echo", {"l"}}) == "not here");
  caf::anon_send(
      directory,
      internal::serve_directory{{weak(empty), weak(host.ingress_handle()), weak(empty)}});
  CHECK(ask(directory, find{"echo", {"k"}}) == "found");
  CHECK(ask(directory, find_id{actor_id{"a"}}) == "found");
  CHECK(ask(directory, find{"echo", {"l"}}) == "not here");
  host.end();
  CHECK(ask(directory, find{"echo", {"k"}}) == "not here");
}

}  // namespace directory_test

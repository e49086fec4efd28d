// See directory.hpp.
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <chrono>
#include <nuncio/client/directory_actor.hpp>
#include <nuncio/directory.hpp>

namespace nuncio::internal {
namespace {

// An ingress answers at once; a slower one is too busy to wait for.
constexpr auto limit = std::chrono::seconds{10};

struct state {
  std::vector<caf::actor_addr> ingresses;
};

struct pending {
  caf::typed_response_promise<caf::actor> promise;
  std::size_t left;  ///< that have not answered yet
  bool answered = false;
};

using directory = caf::stateful_actor<state>;

// The first ingress that has the actor answers; not_here once all have said no.
template <class Question>
caf::result<caf::actor> ask_all(directory* self, const Question& q) {
  std::vector<caf::actor> alive;
  for (const auto& weak : state_of(self).ingresses)
    if (auto strong = caf::actor_cast<caf::actor>(weak)) alive.push_back(std::move(strong));
  if (alive.empty()) return not_here();
  if (alive.size() == 1) {
    hand_on(self, alive.front(), q);
    return caf::delegated<caf::actor>{};
  }
  auto promise = self->template make_response_promise<caf::actor>();
  // Copies of a promise don't share state.
  const auto waiting = std::make_shared<pending>(pending{promise, alive.size()});
  for (const auto& each : alive)
    ask(self, each, limit, q)
        .then(
            [waiting](const caf::actor& found) {
              if (std::exchange(waiting->answered, true)) return;
              waiting->promise.deliver(found);
            },
            [waiting](const caf::error&) {
              if (--waiting->left == 0 && !waiting->answered) waiting->promise.deliver(not_here());
            });
  return promise;
}

caf::behavior run(directory* self) {
  return {
      [self](const find& q) { return ask_all(self, q); },
      [self](const find_id& q) { return ask_all(self, q); },
      [self](serve_directory& x) { state_of(self).ingresses = std::move(x.ingresses); },
  };
}

}  // namespace

// An argument, as in factory.hpp: without one CAF binds a reference to null.
caf::actor spawn_directory(caf::actor_system& system) {
  return system.spawn<caf::hidden>([](directory* self, int) { return run(self); }, 0);
}

}  // namespace nuncio::internal

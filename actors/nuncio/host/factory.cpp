// See detail/factory.hpp.
#include <nuncio/actor/instance_context.hpp>
#include <nuncio/detail/exception_text.hpp>
#include <nuncio/detail/factory.hpp>
#include <nuncio/host/error_log.hpp>
#include <nuncio/host/internal_messages.hpp>

namespace nuncio::internal {

bool is_detached(const instance_context& context) { return context.serving->detached; }

void spawn_apart(
    caf::actor_system& sys,
    const std::shared_ptr<const instance_context>& context,
    std::vector<caf::actor>& launching,
    std::function<caf::actor(caf::actor_system&)> spawn) {
  // The context is an argument because CAF 0.17 binds a reference to null for a function actor without arguments, which UBSan
  // would report to the user (docs/caf_and_libwebsockets.md).
  launching.push_back(sys.spawn<caf::hidden + caf::lazy_init>(
      [spawn = std::move(spawn)](
          caf::event_based_actor* self, const std::shared_ptr<const instance_context>& of) {
        const auto& who = of->start.self;
        try {
          const construction_scope scope{of};
          tell(*of, instance_spawned{who, spawn(self->system())});
        } catch (...) {
          tell(*of, instance_down{who, hidden(*of, describe(std::current_exception())), {}});
        }
      },
      context));
}

}  // namespace nuncio::internal

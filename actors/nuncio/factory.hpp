// How instances come to life: a factory for each name under which actors are served. Made by host::serve; used by
// ingress only, on its own thread, which a slow or throwing user constructor must never hold up.
#pragma once

#include <caf/actor_system.hpp>
#include <functional>
#include <map>
#include <memory>
#include <nuncio/engine_actor.hpp>
#include <string>
#include <tuple>

namespace nuncio::internal {

/// Spawns an instance; returns its handle, or null when `instance_spawned` or `instance_down` will tell.
using factory = std::function<caf::actor(
    caf::actor_system&, const std::shared_ptr<const instance_context>&)>;

using factories = std::map<std::string, factory, std::less<>>;

/// A function: `behavior f(engine_actor*, args...)` or with stateful_actor<S, engine_actor>*. It runs in the actor.
template <class F, class... Args>
factory function_factory(F f, Args... args) {
  return [f, args = std::make_tuple(std::move(args)...)](
             caf::actor_system& sys,
             const std::shared_ptr<const instance_context>& context) -> caf::actor {
    return std::apply(
        [&](const auto&... xs) {
          const construction_scope scope{context};
          return sys.spawn<caf::hidden>(f, xs...);
        },
        args);
  };
}

/// A class derived from engine_actor: `T(caf::actor_config&, args...)`. Its constructor is the user's code, so it runs
/// in a short-lived actor of its own.
template <class T, class... Args>
factory class_factory(Args... args) {
  return [args = std::make_tuple(std::move(args)...)](
             caf::actor_system& sys,
             const std::shared_ptr<const instance_context>& context) -> caf::actor {
    sys.spawn<caf::hidden>([args, context](caf::event_based_actor* self) {
      const auto& who = context->start.self;
      try {
        auto handle = std::apply(
            [&](const auto&... xs) {
              const construction_scope scope{context};
              return self->system().template spawn<T, caf::hidden>(xs...);
            },
            args);
        caf::anon_send(context->ingress, instance_spawned{who, caf::actor_cast<caf::actor>(handle)});
      } catch (...) {
        caf::anon_send(
            context->ingress, instance_down{who, describe(std::current_exception()), {}});
      }
    });
    return nullptr;
  };
}

}  // namespace nuncio::internal

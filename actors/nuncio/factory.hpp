// How instances come to life: a factory for each name under which actors are served, and how they
// are to run. Made by host::serve; used by ingress only, on its own thread, which a slow or
// throwing user constructor must never hold up.
#pragma once

#include <caf/actor_system.hpp>
#include <concepts>
#include <functional>
#include <map>
#include <memory>
#include <nuncio/engine_actor.hpp>
#include <nuncio/serve_options.hpp>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace nuncio::internal {

/// Spawns an instance; returns its handle, or null when `instance_spawned` or `instance_down` will
/// tell. Nothing runs before the caller has sent `launch` to what the factory added to `launching`.
using factory = std::function<caf::actor(
    caf::actor_system&,
    const std::shared_ptr<const instance_context>&,
    std::vector<caf::actor>& launching)>;

/// What stands behind a name.
struct served {
  served() = default;

  template <std::convertible_to<factory> F>
  served(F from, serve_options how = {})  // NOLINT: a factory alone is served with the defaults
      : make(std::move(from)), options(std::make_shared<const serve_options>(std::move(how))) {}

  factory make;
  std::shared_ptr<const serve_options> options;
};

using factories = std::map<std::string, served, std::less<>>;

/// Runs `spawn`, and with it the user's code, in a short-lived actor of its own.
template <class Spawn>
void spawn_apart(
    caf::actor_system& sys,
    const std::shared_ptr<const instance_context>& context,
    std::vector<caf::actor>& launching,
    Spawn spawn) {
  // The context is an argument because CAF 0.17 binds a reference to null for a function actor
  // without arguments, of which UBSan would tell the user (docs/caf_and_libwebsockets.md).
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

/// Whether constructing the actor `T`, of a function, runs no code of the user that could throw: it
/// has no state, or one that is plain.
template <class T>
consteval bool constructs_plainly() {
  if constexpr (requires(T & x) { x.state; })
    return std::is_nothrow_default_constructible_v<
        std::remove_reference_t<decltype(std::declval<T&>().state)>>;
  else
    return true;
}

template <caf::spawn_options Options, class F, class Args>
caf::actor spawn_function(caf::actor_system& sys, const F& f, const Args& args) {
  if constexpr (std::tuple_size_v<Args> == 0) {
    using self_pointer = caf::infer_impl_from_fun_t<F>*;
    return caf::actor_cast<caf::actor>(sys.spawn<Options>(
        [](self_pointer self, F body) { return body(self); }, f));  // as in spawn_apart
  }
  return std::apply(
      [&](const auto&... xs) {
        return caf::actor_cast<caf::actor>(sys.template spawn<Options>(f, xs...));
      },
      args);
}

/// A function: `behavior f(engine_actor*, args...)` or with stateful_actor<S, engine_actor>*. It
/// runs in the actor.
template <class F, class... Args>
factory function_factory(F f, Args... args) {
  return [f, args = std::make_tuple(std::move(args)...)](
             caf::actor_system& sys,
             const std::shared_ptr<const instance_context>& context,
             std::vector<caf::actor>& launching) -> caf::actor {
    if constexpr (constructs_plainly<caf::infer_impl_from_fun_t<F>>()) {
      if (!context->serving->detached) {
        const construction_scope scope{context};
        return launching.emplace_back(spawn_function<caf::hidden + caf::lazy_init>(sys, f, args));
      }
    }
    // Beginning a thread takes longer than ingress may.
    spawn_apart(
        sys,
        context,
        launching,
        [f, args, detached = context->serving->detached](caf::actor_system& to) {
          return detached ? spawn_function<caf::hidden + caf::detached>(to, f, args)
                          : spawn_function<caf::hidden>(to, f, args);
        });
    return nullptr;
  };
}

/// A class derived from engine_actor: `T(caf::actor_config&, args...)`. Its constructor is the
/// user's code, so it runs in a short-lived actor of its own.
template <class T, class... Args>
factory class_factory(Args... args) {
  return [args = std::make_tuple(std::move(args)...)](
             caf::actor_system& sys,
             const std::shared_ptr<const instance_context>& context,
             std::vector<caf::actor>& launching) -> caf::actor {
    spawn_apart(
        sys,
        context,
        launching,
        [args, detached = context->serving->detached](caf::actor_system& to) {
          return std::apply(
              [&](const auto&... xs) {
                return caf::actor_cast<caf::actor>(
                    detached ? to.template spawn<T, caf::hidden + caf::detached>(xs...)
                             : to.template spawn<T, caf::hidden>(xs...));
              },
              args);
        });
    return nullptr;
  };
}

}  // namespace nuncio::internal

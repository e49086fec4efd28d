// How instances are created: a factory for each name that is served, and the options for its instances. Made by host::serve;
// used by ingress only, on its own thread, which a slow or throwing user constructor must never block.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/behavior.hpp>
#include <caf/infer_handle.hpp>
#include <caf/spawn_options.hpp>
#include <concepts>
#include <functional>
#include <memory>
#include <nuncio/engine_actor.hpp>
#include <tuple>
#include <type_traits>
#include <vector>

namespace nuncio::internal {

/// Spawns an instance. Returns its handle, or null if `instance_spawned` or `instance_down` will follow. Nothing runs before
/// the caller has sent `launch` to what the factory added to `launching`.
using factory = std::function<caf::actor(
    caf::actor_system&,
    const std::shared_ptr<const instance_context>&,
    std::vector<caf::actor>& launching)>;

/// While it exists, an engine_actor constructed on this thread becomes an instance of `context`.
class construction_scope {
public:
  explicit construction_scope(std::shared_ptr<const instance_context> context);
  ~construction_scope();
  construction_scope(const construction_scope&) = delete;
  construction_scope& operator=(const construction_scope&) = delete;
};

/// Whether the instance gets a thread of its own.
bool is_detached(const instance_context& context);

/// Runs `spawn`, and with it the user's code, in a short-lived actor.
void spawn_apart(
    caf::actor_system& sys,
    const std::shared_ptr<const instance_context>& context,
    std::vector<caf::actor>& launching,
    std::function<caf::actor(caf::actor_system&)> spawn);

/// A function, or a function object with one call operator, whose parameters all have types.
template <class F>
concept has_one_signature = std::is_function_v<std::remove_pointer_t<F>> || requires {
  &F::operator();
};

template <class F>
using result_of = typename caf::detail::get_callable_trait<F>::result_type;

/// The type of the first parameter; void if there is none.
template <class F>
using self_pointer_of =
    caf::detail::tl_head_t<typename caf::detail::get_callable_trait<F>::arg_types>;

template <class F>
concept takes_engine_actor = std::is_pointer_v<self_pointer_of<F>> &&
    std::derived_from<std::remove_pointer_t<self_pointer_of<F>>, engine_actor>;

template <class F>
concept makes_behavior = std::is_void_v<result_of<F>> || std::same_as<result_of<F>, caf::behavior>;

template <class F, class... Args>
concept takes_arguments = std::is_invocable_v < F&,
        self_pointer_of<F>,
const Args&... > ;

/// Whether serve() accepts that function. If not, the compiler says what is wrong.
template <class F, class... Args>
constexpr bool is_servable_function() {
  static_assert(
      has_one_signature<F>,
      "serve(): an actor is a function, or a lambda whose parameters all have types, not 'auto'");
  if constexpr (has_one_signature<F>) {
    static_assert(
        takes_engine_actor<F>,
        "serve(): the first parameter of an actor must be nuncio::engine_actor* or "
        "caf::stateful_actor<State, nuncio::engine_actor>*; handlers of requests belong in the "
        "behavior that it returns");
    if constexpr (takes_engine_actor<F>) {
      static_assert(
          makes_behavior<F>,
          "serve(): an actor must return caf::behavior, or void if it calls become(); other "
          "results can't handle messages of nuncio");
      static_assert(
          takes_arguments<F, Args...>,
          "serve(): the arguments after the actor must be those that it takes after its self "
          "pointer, in number and type");
      return makes_behavior<F> && takes_arguments<F, Args...>;
    }
  }
  return false;
}

template <class T, class... Args>
constexpr bool is_servable_class() {
  static_assert(
      std::derived_from<T, engine_actor>,
      "serve<T>(): T must be derived from nuncio::engine_actor");
  if constexpr (std::derived_from<T, engine_actor>) {
    static_assert(
        std::is_constructible_v<T, caf::actor_config&, const Args&...>,
        "serve<T>(): the arguments must be those that T's constructor takes after "
        "caf::actor_config&, in number and type");
    return std::is_constructible_v<T, caf::actor_config&, const Args&...>;
  }
  return false;
}

/// Whether constructing the actor `T` for a function runs no user code that could throw: it has no state, or a trivial one.
template <class T>
consteval bool constructs_plainly() {
  if constexpr (requires(T & x) { state_of(&x); })
    return std::is_nothrow_default_constructible_v<
        std::remove_reference_t<decltype(state_of(std::declval<T*>()))>>;
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

/// For a function: `behavior f(engine_actor*, args...)`, or with stateful_actor<S, engine_actor>*. It runs in the actor.
template <class F, class... Args>
factory function_factory(F f, Args... args) {
  if constexpr (is_servable_function<F, Args...>()) {
    return [f, args = std::make_tuple(std::move(args)...)](
               caf::actor_system& sys,
               const std::shared_ptr<const instance_context>& context,
               std::vector<caf::actor>& launching) -> caf::actor {
      if constexpr (constructs_plainly<caf::infer_impl_from_fun_t<F>>()) {
        if (!is_detached(*context)) {
          const construction_scope scope{context};
          return launching.emplace_back(spawn_function<caf::hidden + caf::lazy_init>(sys, f, args));
        }
      }
      // Starting a thread takes longer than ingress may.
      spawn_apart(
          sys,
          context,
          launching,
          [f, args, detached = is_detached(*context)](caf::actor_system& to) {
            return detached ? spawn_function<caf::hidden + caf::detached>(to, f, args)
                            : spawn_function<caf::hidden>(to, f, args);
          });
      return nullptr;
    };
  } else {
    return {};  // the static_assert has said why
  }
}

/// For a class derived from engine_actor: `T(caf::actor_config&, args...)`. Its constructor is user code, so it runs in a
/// short-lived actor.
template <class T, class... Args>
factory class_factory(Args... args) {
  if constexpr (is_servable_class<T, Args...>()) {
    return [args = std::make_tuple(std::move(args)...)](
               caf::actor_system& sys,
               const std::shared_ptr<const instance_context>& context,
               std::vector<caf::actor>& launching) -> caf::actor {
      spawn_apart(
          sys, context, launching, [args, detached = is_detached(*context)](caf::actor_system& to) {
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
  } else {
    return {};  // the static_assert has said why
  }
}

}  // namespace nuncio::internal

// Calls of serve() that do not compile, each with one sentence: unservable.cmake compiles this and checks the sentences.
#include <caf/typed_behavior.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <nuncio/host/served.hpp>

using namespace nuncio;
using internal::class_factory;
using internal::function_factory;

namespace {

using typed = caf::typed_actor<caf::replies_to<int>::with<int>>;

struct own_class : engine_actor {
  own_class(caf::actor_config& cfg, int) : engine_actor(cfg) {}
};

struct other_class : caf::event_based_actor {
  using caf::event_based_actor::event_based_actor;
};

caf::behavior with_number(engine_actor*, int) { return {}; }

}  // namespace

void refused() {
  // not 'auto'
  function_factory([](auto*) { return caf::behavior{}; });
  // the first parameter: a handler, an actor of another kind, nothing
  function_factory([](const http_request&) { return http_response{}; });
  function_factory([](caf::event_based_actor*) { return caf::behavior{}; });
  function_factory([] { return caf::behavior{}; });
  // what is returned: a response, a typed behavior
  function_factory([](engine_actor*) { return http_response{}; });
  function_factory([](engine_actor*) { return typed::behavior_type{[](int x) { return x; }}; });
  // arguments: none, too many, another
  function_factory(with_number);
  function_factory(with_number, 1, 2);
  function_factory(with_number, std::string{"1"});
  class_factory<other_class>();
  class_factory<own_class>();
}

void taken() {
  function_factory(with_number, 1);
  function_factory([](engine_actor*) {});
  class_factory<own_class>(1);
}

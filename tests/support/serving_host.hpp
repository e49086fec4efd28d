// A host for tests around actors: it serves one that gets no requests.
#pragma once

#include <nuncio/host.hpp>
#include <utility>

namespace nuncio::test {

class serving_host : public host {
public:
  serving_host(caf::actor_system& system, host_options options) : host(system, std::move(options)) {
    serve("idle", [](engine_actor*) -> caf::behavior {
      return {[](const http_request&) { return http_response{}; }};
    });
  }
};

}  // namespace nuncio::test

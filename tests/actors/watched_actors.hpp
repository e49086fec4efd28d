// Actors that the suite serves, with traces for a test to inspect.
#pragma once

#include <doctest/doctest.h>

#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <memory>
#include <nuncio/engine_actor.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/sim_host.hpp"

template <>
struct doctest::StringMaker<std::vector<std::string>> {
  static String convert(const std::vector<std::string>& xs) {
    std::string out;
    for (const auto& x : xs) out += "\n    " + x.substr(0, 200);
    return out.c_str();
  }
};

namespace nuncio::test {

struct probe {
  int factories = 0;
  int ended = 0;
  std::vector<std::string> seen;  ///< "METHOD path body" of each request
  std::vector<protocol::stop_actor_reason> told;
  std::vector<caf::typed_response_promise<http_response>> pending;
  std::vector<caf::actor> selves;
};

using probe_ptr = std::shared_ptr<probe>;

struct tally_state {
  int n = 0;
};

using tally_actor = caf::stateful_actor<tally_state, engine_actor>;

/// POST counts, any GET tells the count, and some paths do what their name says.
caf::behavior tally(tally_actor* self, probe_ptr p);
/// As tally, but goes on when told to stop, until somebody quits it.
caf::behavior stubborn(tally_actor* self, probe_ptr p);
/// Handles no HTTP.
caf::behavior deaf(engine_actor* self);
caf::behavior broken_factory(engine_actor* self);
/// Delegates what it is asked to `worker`.
caf::behavior delegating(engine_actor* self, caf::actor worker);
/// Calls sleep() (or quit()) before it is even initialized.
caf::behavior sleepy(engine_actor* self, bool quits);

/// Thrown by its constructor, on whatever thread that runs.
struct broken_state {
  broken_state() { throw std::runtime_error("no state today"); }
};

caf::behavior with_broken_state(caf::stateful_actor<broken_state, engine_actor>* self);

class room final : public engine_actor {
public:
  room(caf::actor_config& cfg, probe_ptr p, bool throws);
  caf::behavior make_behavior() override;

private:
  probe_ptr probe_;
};

/// A host that serves the above, not booted yet. No handle may outlive its system.
struct hosted {
  probe_ptr p = std::make_shared<probe>();
  sim_host host;

  explicit hosted(ingress_options options = {});
  ~hosted();
  hosted(const hosted&) = delete;
  hosted& operator=(const hosted&) = delete;

  /// The oldest request to /later is answered, by its actor.
  void answer(std::string body, std::uint16_t status = 200, std::size_t actor = 0);
};

}  // namespace nuncio::test

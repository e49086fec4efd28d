// How long the next start of an actor waits if it keeps failing as soon as it starts. Pure; owned by ingress.
//
// The engine may start such an actor again at once; each start costs a factory, storage requests and a line in the log.
#pragma once

#include <list>
#include <nuncio/detail/clock.hpp>
#include <nuncio/ids.hpp>
#include <unordered_map>

namespace nuncio {

struct start_backoff_options {
  /// After the first failure; doubles with each further one.
  duration first = std::chrono::milliseconds{100};
  /// A gateway wakes an actor eight times for one request (docs/protocol.md F.3), and the request waits for all of it.
  duration longest = std::chrono::seconds{2};
  /// After this long without a failure, an actor starts from the beginning.
  duration forget_after = std::chrono::minutes{1};
  /// The most actors to remember; above it the one whose last failure is oldest is forgotten.
  std::size_t actors_max = 4096;
};

class start_backoff {
public:
  explicit start_backoff(start_backoff_options options = {}) : options_(options) {}

  /// An instance of `actor` has failed before it was useful.
  /// @returns how often in a row
  std::uint32_t handle_failed(const actor_id& actor, time_point now);
  /// An instance was useful, or ended otherwise.
  void handle_useful(const actor_id& actor);

  /// How long a start waits now.
  [[nodiscard]] duration delay(const actor_id& actor, time_point now) const;

  [[nodiscard]] std::size_t size() const { return failing_.size(); }

private:
  struct record {
    actor_id actor;
    std::uint32_t failures = 0;
    time_point last{};
  };

  using list = std::list<record>;

  void erase(list::iterator at);
  void expire(time_point now);
  [[nodiscard]] duration wait_of(const record& x) const;

  start_backoff_options options_;
  list failing_;  ///< the one that failed last is at the end
  std::unordered_map<actor_id, list::iterator> index_;
};

}  // namespace nuncio

// The engine's storage according to docs/protocol.md H: KV, which ignores generations; SQL and pages, which the generation
// fences. The requests of one actor are carried out in order, those of several side by side; what is not carried out when its
// connection ends never is. A pure model; never looks into the host.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <optional>

#include "simulation/kv_model.hpp"
#include "simulation/page_model.hpp"
#include "simulation/scheduler.hpp"

namespace nuncio::simulation {

struct storage_faults {
  unsigned refused_permille = 0;  ///< answered with an error that says nothing, done or not
  unsigned silent_permille =
      0;  ///< never answered, done or not, nor is what comes after it on its connection
  unsigned odd_permille = 0;         ///< answered with another kind of answer
  unsigned twice_permille = 0;       ///< answered twice, or on a connection that never asked
  unsigned by_another_permille = 0;  ///< a commit before which somebody else has moved the head
  bool slow = false;                 ///< seconds pass before something is carried out
};

class storage_model {
public:
  struct ports {
    std::function<void(protocol::to_envoy)> send;  ///< on the present connection
    /// The generation that the engine has placed; none: no such actor.
    std::function<std::optional<std::uint32_t>(const actor_id&)> generation;
    /// This was carried out, for an actor of this id.
    std::function<void(const actor_id&, const protocol::to_rivet&)> done;
  };

  storage_model(scheduler& time, chance& random, ports to)
      : time_(time), random_(random), to_(std::move(to)) {}

  void handle_connected(std::uint64_t connection) { connection_ = connection; }

  void handle_disconnected(std::uint64_t connection) {
    if (connection == connection_) connection_ = 0;
  }

  /// From here on all is answered.
  void heal() {
    faults = {};
    stuck_.clear();
  }

  /// @returns false if it is no request for storage
  bool handle_frame(std::uint64_t connection, const protocol::to_rivet& frame);

  [[nodiscard]] const page_model& pages(const actor_id& of) { return pages_[of]; }

  /// 0: nothing is there.
  [[nodiscard]] std::uint64_t row(const actor_id& of) { return rows_[of]; }

  [[nodiscard]] const std::string* value(const actor_id& of, const std::string& key) const {
    return kv_.find(of, key);
  }

  storage_faults faults;

private:
  template <class Request>
  void carry_out(std::uint64_t connection, const Request& x);
  template <class Response>
  void send(Response response);
  template <class Request>
  auto perform(const Request& x);
  [[nodiscard]] bool fenced(const actor_id& of, std::uint64_t generation) const;

  scheduler& time_;
  chance& random_;
  ports to_;
  kv_model kv_;
  std::map<actor_id, page_model> pages_;
  std::map<actor_id, std::uint64_t> rows_;
  std::map<actor_id, std::uint64_t> stuck_;  ///< on this connection
  std::map<actor_id, time_point> last_;      ///< when the last one of each actor is carried out
  std::uint64_t connection_ = 0;
};

}  // namespace nuncio::simulation

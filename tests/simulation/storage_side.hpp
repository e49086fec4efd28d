// The side of storage in layer one: drives the storage_requests that ships as actors/nuncio/storage/storage.cpp does, on the
// link of its host, with a storage_judge beside it.
#pragma once

#include <functional>
#include <memory>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/host/host_messages.hpp>
#include <nuncio/instances/instance_base.hpp>
#include <nuncio/storage/storage_requests.hpp>
#include <optional>
#include <unordered_map>

#include "simulation/scheduler.hpp"
#include "simulation/storage_habits.hpp"
#include "simulation/storage_judge.hpp"
#include "simulation/storage_watch.hpp"

namespace nuncio::simulation {

class storage_side {
public:
  struct ports {
    std::function<duration()> hop;
    std::function<void(internal::storage_done)> done;
  };

  /// To be told at once, whoever is still there to hear it.
  using judged = std::function<void(const storage_result&)>;
  /// The answer, where it was asked for.
  using answered = std::function<void(const storage_result&, std::size_t bytes)>;

  struct call {
    storage_call what;
    write_mode mode = write_mode::once;
    bool awaited = false;
    judged judge;
    answered then;
  };

  storage_side(
      scheduler& time,
      storage_watch& watch,
      std::shared_ptr<link_port> link,
      const storage_habits& habits,
      ports to);

  // -- on any side; dealt with on that of storage

  void ask(const std::shared_ptr<const instance_base>& from, call what);
  void consume(const actor_ref& who, std::size_t bytes);
  void end(const actor_ref& who);
  void handle_link_up(epoch connection);
  void handle_link_down();
  void handle_link_over(const failure& why);
  void handle_room();
  void handle_inbound(std::vector<protocol::to_envoy> messages, std::size_t bytes);
  void handle_gate_closed(const actor_ref& who);

  void check_empty() const;

private:
  void post(std::function<void()> what) { time_.post(side::storage, to_.hop(), std::move(what)); }

  void flush();
  void poll();
  void take(storage_requests::result& result);
  void arm_timer();

  scheduler& time_;
  storage_watch& watch_;
  std::shared_ptr<link_port> link_;
  ports to_;
  storage_requests machine_;
  storage_judge judge_;
  std::unordered_map<std::uint64_t, call> waiting_;  ///< by ticket
  std::uint64_t next_ticket_ = 1;
  std::optional<time_point> tick_at_;
};

}  // namespace nuncio::simulation

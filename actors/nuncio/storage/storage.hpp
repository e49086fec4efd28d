// The actor that all storage requests of instances pass: a shell around storage_requests. One for each host, on its own thread,
// so that its answers reach waiting actors whatever the scheduler's threads are doing. Must never block.
#pragma once

#include <caf/event_based_actor.hpp>
#include <functional>
#include <nuncio/actor/instance_context.hpp>
#include <nuncio/engine_actor.hpp>
#include <nuncio/host/counters.hpp>
#include <nuncio/host/system_watch.hpp>
#include <nuncio/storage/storage_messages.hpp>
#include <nuncio/storage/storage_requests.hpp>
#include <unordered_map>

namespace nuncio {

struct storage_options {
  std::shared_ptr<link_port> link{};
  std::shared_ptr<counters> counts{};
  std::function<time_point()> now = boot_clock::now;
  std::string namespace_name = "default";
  storage_limits limits{};
  answer_flow_limits flow{};
};

class storage final : public caf::event_based_actor {
public:
  storage(caf::actor_config& cfg, storage_options options);

  caf::behavior make_behavior() override;

  const char* name() const override { return "nuncio.storage"; }

  void on_exit() override;

private:
  using waiters = std::vector<std::shared_ptr<internal::storage_waiter>>;

  void handle_batch(internal::storage_batch& batch);
  void flush();

  storage_options options_;
  storage_requests requests_;
  std::unordered_map<std::uint64_t, waiters> waiting_;  ///< by ticket
  std::unordered_map<actor_ref, std::shared_ptr<const instance_context>> ending_;
  std::uint64_t next_ticket_ = 1;
  std::uint64_t tick_serial_ = 0;
  std::optional<time_point> tick_at_;
  internal::system_watch system_watch_;
};

}  // namespace nuncio

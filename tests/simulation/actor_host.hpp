// Layer two: the real actors of a host, ingress, ack, outbox, storage and engine actors, under CAF's test scheduler and in the world's
// time, on the link_machine that ships. How far each gets before the others is drawn from the seed.
#pragma once

#include <caf/typed_response_promise.hpp>
#include <deque>
#include <map>
#include <memory>
#include <nuncio/engine_actor.hpp>
#include <nuncio/host/counters.hpp>
#include <nuncio/host/host_actors.hpp>
#include <nuncio/stream.hpp>

#include "simulation/host_side.hpp"
#include "support/sim_system.hpp"

namespace nuncio::simulation {

class actor_host final : public host_side {
public:
  explicit actor_host(host_surroundings x);
  ~actor_host() override;

  actor_host(const actor_host&) = delete;
  actor_host& operator=(const actor_host&) = delete;

  void start() override;

  [[nodiscard]] std::optional<actor_ref> acting(const actor_id& actor) override;
  void check_empty() override;

private:
  [[nodiscard]] host_machine& machine() override;

  [[nodiscard]] std::size_t acks_pending() override { return counts_->acks_pending.load(); }

  void on_up(epoch connection) override;
  void on_inbound(inbound_batch batch) override;
  void on_written(epoch connection, frame_class what) override;
  void on_room(const room_waiter& who) override;
  void on_fence(epoch connection, std::uint64_t id) override;
  void on_down(epoch connection, std::string_view why, duration retry_after) override;
  void on_lease_ended() override;

  void on_ask() override {}

  void on_final(const failure& why) override;

  [[nodiscard]] ingress_options options();
  caf::behavior guest(engine_actor* self);
  void live_on(engine_actor* self);
  void hear(const actor_ref& who, const socket_message& x);
  void handle_down(const actor_ref& who);

  /// A request that its handler answers now or later.
  struct asked_request {
    http_request request;
    client_request asked;
    body_check reads;
    caf::typed_response_promise<http_response> promise;
    body_reader upload{};
    std::uint64_t written = 0;
  };

  using asked_ptr = std::shared_ptr<asked_request>;
  using asked_list = std::shared_ptr<std::deque<asked_ptr>>;
  caf::result<http_response> handle_request(
      engine_actor* self, const asked_list& later, const http_request& request);
  void answer_soon(engine_actor* self, const asked_list& later, const asked_ptr& x);
  void answer(engine_actor* self, const asked_ptr& x);
  void stream(engine_actor* self, const asked_ptr& x);
  void write(asked_request& x, const body_writer& to);
  template <class Checks>
  void watching(Checks&& checks);

  void wake();
  void run();
  void keep_time();
  void arm_timer();

  test::sim_system sim_;
  std::shared_ptr<counters> counts_ = std::make_shared<counters>();
  host_actors actors_;
  std::map<actor_id, engine_actor*> alive_;
  std::optional<time_point> awake_at_;
  std::exception_ptr broken_;  ///< what an actor has thrown that the world must see
};

std::unique_ptr<host_side> make_actor_host(host_surroundings x);

}  // namespace nuncio::simulation

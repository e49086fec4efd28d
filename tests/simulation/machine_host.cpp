// The sides of ack, outbox and the actors: the machines of the first two as their actors drive them, and a model of how CAF
// actors live and end.
#include "simulation/machine_host.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <type_traits>

namespace nuncio::simulation {

using lifecycle::input;
using lifecycle::state;

machine_host::machine_host(host_surroundings x)
    : host_side(std::move(x)), machine_(machine_options()) {}

std::unique_ptr<host_side> make_machine_host(host_surroundings x) {
  return std::make_unique<machine_host>(std::move(x));
}

void machine_host::start() {
  events_ = event_outbox{{.stopped_grace = habits.stopped_grace}};
  storage_ = std::make_unique<storage_side>(
      time_,
      watch_.stored,
      link_,
      storing,
      storage_side::ports{
          .hop = [this] { return hop_now(); },
          .done = [this](internal::storage_done x) { tell_host(std::move(x)); }});
  link_->start();
}

// -- from the link ------------------------------------------------------------------------

void machine_host::on_up(epoch connection) {
  time_.post(side::ingress, hop_now(), [this, connection] {
    machine_.handle_link_up(connection, time_.now());
    handle_up(connection);
    after_input();
  });
  time_.post(side::ack, hop_now(), [this, connection] {
    acks_.handle_link_up(connection);
    flush_acks();
  });
  time_.post(side::outbox, hop_now(), [this, connection] {
    events_.handle_link_up(connection, time_.now());
    flush_events();
  });
}

// As host_actors does: answers go to storage at once.
void machine_host::on_inbound(inbound_batch batch) {
  auto& all = batch.messages;
  const auto first = std::stable_partition(
      all.begin(), all.end(), [](const auto& x) { return !answers_storage(x); });
  if (first != all.end()) {
    std::vector<protocol::to_envoy> answers{
        std::move_iterator{first}, std::move_iterator{all.end()}};
    all.erase(first, all.end());
    storage_->handle_inbound(std::move(answers), all.empty() ? std::exchange(batch.bytes, 0) : 0);
  }
  if (all.empty()) return;
  time_.post(
      side::ingress, hop_now(), [this, batch = std::move(batch)]() mutable { inbound(batch); });
}

void machine_host::on_written(epoch connection, frame_class what) {
  if (what == frame_class::ack)
    time_.post(side::ack, hop_now(), [this, connection] {
      acks_.handle_written(connection);
      flush_acks();
    });
  else
    time_.post(side::outbox, hop_now(), [this, connection] {
      events_.handle_written(connection);
      flush_events();
    });
}

void machine_host::on_room(const room_waiter& who) {
  if (who.what == room_waiter::kind::host)
    return time_.post(side::ingress, hop_now(), [this] {
      machine_.handle_room(time_.now());
      after_input();
    });
  if (who.what == room_waiter::kind::storage) return storage_->handle_room();
  const auto instance = who.instance.lock();
  for (const auto& x : bodies_)
    if (x && x->context == instance)
      time_.post(side::actors, hop_now(), [this, x] {
        x->sockets->handle_room();
        x->streams->handle_room();
      });
}

void machine_host::on_fence(epoch connection, std::uint64_t id) {
  time_.post(side::outbox, hop_now(), [this, connection, id] {
    events_.handle_fence(connection, id, time_.now());
    flush_events();
  });
}

void machine_host::on_down(epoch, std::string_view, duration) {
  storage_->handle_link_down();
  time_.post(side::ingress, hop_now(), [this] {
    machine_.handle_link_down(time_.now());
    after_input();
  });
  time_.post(side::ack, hop_now(), [this] {
    acks_.handle_link_down();
    if (acks_.pending() != 0) throw violated("I8 one truth", "acks outlived their connection");
    flush_acks();
  });
  time_.post(side::outbox, hop_now(), [this] {
    events_.handle_link_down(time_.now());
    flush_events();
  });
}

void machine_host::on_lease_ended() {
  time_.post(side::ingress, hop_now(), [this] {
    machine_.handle_lease_ended(time_.now());
    after_input();
  });
}

void machine_host::on_final(const failure& why) {
  storage_->handle_link_over(why);
  time_.post(side::ingress, hop_now(), [this, why] {
    machine_.handle_link_over(why, time_.now());
    after_input();
  });
}

// -- ack and outbox -----------------------------------------------------------------------

void machine_host::flush_acks() {
  while (auto frame = acks_.poll_transmit())
    if (!link_->send_frame(frame_class::ack, acks_.connection(), std::move(*frame)))
      acks_.handle_link_down();
}

void machine_host::flush_events() {
  while (auto frame = events_.poll_transmit())
    static_cast<void>(
        link_->send_frame(frame_class::events, events_.connection(), std::move(*frame)));
  while (const auto id = events_.poll_fence()) link_->fence(events_.connection(), *id);
  const auto next = events_.poll_timeout();
  if (!next || (expire_at_ && *expire_at_ <= *next)) return;
  expire_at_ = next;
  time_.at(std::max(*next, time_.now() + 1ms), side::outbox, [this, at = *next] {
    if (expire_at_ != at) return;
    expire_at_.reset();
    events_.expire(time_.now());
    flush_events();
  });
}

// -- actors -------------------------------------------------------------------------------

template <class T>
void machine_host::tell_host(T what) {
  time_.post(side::ingress, hop_now(), [this, what = std::move(what)]() mutable {
    machine_.handle(what, time_.now());
    if constexpr (std::is_same_v<T, internal::instance_down>)
      if (const auto* const x = find(what.who); x != nullptr && x->handed)
        throw violated("I12 nothing silent", x->who.actor.str() + " is down, and goes on");
    after_input();
  });
}

std::shared_ptr<machine_streams> machine_host::make_streams(
    const std::shared_ptr<const instance_base>& of) {
  return std::make_shared<machine_streams>(
      machine_streams::surroundings{
          time_,
          random_,
          watch_,
          *link_,
          calm,
          [this](machine_streams::word x) {
            std::visit([this](auto& what) { tell_host(std::move(what)); }, x);
          }},
      of);
}

std::shared_ptr<machine_sockets> machine_host::make_sockets(
    const std::shared_ptr<const instance_base>& of) {
  return std::make_shared<machine_sockets>(
      machine_sockets::surroundings{
          time_,
          random_,
          watch_,
          *link_,
          kept_,
          habits.hibernates,
          [this](machine_sockets::word x) {
            std::visit([this](auto& what) { tell_host(std::move(what)); }, x);
          }},
      of);
}

void machine_host::live_on(const self& x) {
  const auto plan = [&](unsigned percent, auto what) {
    if (!random_.percent(percent)) return;
    const auto soon = random_.percent(30);
    time_.after(
        soon ? random_.between(0ms, 80ms) : random_.between(0ms, 25s),
        side::actors,
        [this, x, what] {
          if (x->alive && !calm) what();
        });
  };
  plan(habits.crashes, [this, x] { down(x, "crashed"); });
  plan(habits.quits, [this, x] { down(x, {}); });
  plan(habits.sleeps, [this, x] { tell_host(internal::sleep_called{x->who}); });
  plan(habits.destroys, [this, x] { tell_host(internal::destroy_called{x->who}); });
  plan(20, [this, x] { tell_host(internal::alarm_called{x->who, 2'000'000'000'000}); });
}

// It sleeps, or says that it is busy with something.
void machine_host::probe(const self& x) {
  time_.after(hop_now(), side::actors, [this, x] {
    if (!x->alive) return;
    if (calm || random_.percent(60))
      tell_host(internal::instance_active{x->who, time_.now()});
    else
      tell_host(internal::sleep_called{x->who});
  });
}

void machine_host::tell_stop(const self& x, protocol::stop_actor_reason why) {
  x->for_good = why == protocol::stop_actor_reason::destroy ||
                why == protocol::stop_actor_reason::stop_intent;
  const bool slow = !calm && random_.percent(habits.slow_stop);
  const bool fails = !calm && random_.percent(habits.crashes / 4);
  time_.after(
      slow ? random_.between(1s, 25s) : random_.between(0ms, 50ms), side::actors, [this, x, fails] {
        if (x->alive) down(x, fails ? "failed while stopping" : std::string{});
      });
}

void machine_host::exit(const self& x) {
  if (x->ignores_exit) return;
  time_.after(random_.between(0ms, 50ms), side::actors, [this, x] {
    if (x->alive) down(x, "killed");
  });
}

void machine_host::down(const self& x, const std::string& error) {
  x->alive = false;
  internal::instance_down over{x->who, error, {}};
  x->streams->handle_down(over.answered);
  x->sockets->handle_down(x->for_good);
  watch_.handle_actor_down(x->who);
  over.storing = x->storage->end(error.empty());
  tell_host(std::move(over));
}

}  // namespace nuncio::simulation

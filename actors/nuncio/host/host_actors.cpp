// See host_actors.hpp.
#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <chrono>
#include <nuncio/host/ack.hpp>
#include <nuncio/host/host_actors.hpp>
#include <nuncio/host/outbox.hpp>
#include <nuncio/storage/storage.hpp>
#include <utility>

namespace nuncio {
namespace {

bool is_end(const caf::error& why) {
  return !why || why == caf::exit_reason::normal || why == caf::exit_reason::kill ||
         why == caf::exit_reason::user_shutdown;
}

/// Owned by everything that must end first.
struct promise_of_end {
  ~promise_of_end() { over.set_value(); }

  std::promise<void> over;
};

constexpr std::chrono::seconds end_limit{10};  // for a few messages each, on a busy machine

}  // namespace

template <caf::spawn_options How>
void host_actors::spawn_all(caf::actor_system& system, host_actors_options& options) {
  auto& to = options.ingress;
  to.link = options.link;
  to.counts = counts_;
  to.now = options.now;
  ack_ = system.spawn<ack, How>(options.link, counts_);
  outbox_ = system.spawn<outbox, How>(options.link, counts_, options.now);
  options.storage.link = options.link;
  options.storage.counts = counts_;
  options.storage.now = options.now;
  storage_ = system.spawn<storage, How>(std::move(options.storage));
  to.storage = storage_;
  ingress_ = system.spawn<ingress, How>(std::move(to), ack_, outbox_);
}

void host_actors::spawn(caf::actor_system& system, host_actors_options options) {
  ask_ = std::move(options.on_ask);
  counts_ = options.counts;
  const auto on_final = options.ingress.on_final;
  const auto on_done = options.ingress.on_done;
  if (options.detached)
    spawn_all<caf::hidden + caf::detached>(system, options);
  else
    spawn_all<caf::hidden>(system, options);
  for (const auto* x : {&ingress_, &ack_, &outbox_, &storage_})
    watch(*x, options.link, on_final, on_done);
  if (!options.detached) return;
  auto promise = std::make_shared<promise_of_end>();
  ended_ = promise->over.get_future();
  // CAF destroys the function behind on_exit; CAF 1.1 calls it first.
  for (const auto* x : {&ingress_, &ack_, &outbox_, &storage_})
    caf::actor_cast<caf::abstract_actor*>(*x)->attach_functor([promise](const caf::error&) {});
}

// A host whose link answers Pings while its actors do nothing would keep its engine actors for ever.
void host_actors::watch(
    const caf::actor& x,
    const std::shared_ptr<link_port>& link,
    const std::function<void(const failure&)>& on_final,
    const std::function<void()>& on_done) {
  const auto is_ingress = x == ingress_;
  const auto ingress = ingress_address();
  const auto handle_end = [=](const caf::error& reason) {
    if (is_end(reason)) return;
    const failure why{
        errc::internal,
        "an exception ended a part of the runtime; the host ends, and the engine moves its actors"};
    link->close();
    if (const auto to = caf::actor_cast<caf::actor>(ingress); to && !is_ingress)
      return internal::post(to, internal::link_final{why});
    if (on_final) on_final(why);
    if (on_done) on_done();
  };
  caf::actor_cast<caf::abstract_actor*>(x)->attach_functor(handle_end);
}

void host_actors::drain(time_point deadline) {
  internal::post(ingress_, internal::drain{deadline});
}

void host_actors::fail(failure why) {
  internal::post(ingress_, internal::link_final{std::move(why)});
}

void host_actors::end(bool system_over) {
  for (auto* x : {&ingress_, &ack_, &outbox_, &storage_}) {
    if (*x && !system_over) caf::anon_send_exit(*x, caf::exit_reason::kill);
    *x = nullptr;
  }
  if (!system_over && ended_.valid()) std::exchange(ended_, {}).wait_for(end_limit);
}

void host_actors::add_to(host_stats& sum) const {
  add(sum.ingress, counts_->ingress.get());
  add(sum.ledger, counts_->ledger.get());
  add(sum.outbox, counts_->outbox.get());
  add(sum.storage, counts_->storage.get());
  sum.acks_sent += counts_->acks_sent;
  sum.ack_frames += counts_->ack_frames;
  sum.acks_pending += counts_->acks_pending;
  sum.responses += counts_->responses;
  sum.engine_acks_events = sum.engine_acks_events || counts_->engine_acks;
}

// -- from the link's thread ------------------------------------------------------

// Ingress informs storage once the replay has shown which instances are over.
void host_actors::on_up(epoch connection) {
  for (const auto* to : {&ingress_, &ack_, &outbox_})
    internal::post(*to, internal::link_up{connection});
}

void host_actors::on_inbound(inbound_batch batch) {
  // Answers to storage requests go straight there: an actor may be waiting for them.
  auto& all = batch.messages;
  const auto first = std::stable_partition(
      all.begin(), all.end(), [](const auto& x) { return !answers_storage(x); });
  const auto too_long = batch.too_long && answers_storage(*batch.too_long);
  if (first != all.end() || too_long) {
    internal::storage_inbound part{{std::move_iterator{first}, std::move_iterator{all.end()}}, 0};
    all.erase(first, all.end());
    if (too_long) part.too_long = std::exchange(batch.too_long, std::nullopt);
    // Ingress grants the bytes of a mixed batch.
    if (all.empty() && !batch.too_long) part.bytes = std::exchange(batch.bytes, 0);
    internal::post(storage_, std::move(part));
  }
  if (!all.empty() || batch.too_long) internal::post(ingress_, std::move(batch));
}

void host_actors::on_written(epoch connection, frame_class what) {
  if (what == frame_class::ack) internal::post(ack_, internal::link_written{connection, what});
  if (what == frame_class::events)
    internal::post(outbox_, internal::link_written{connection, what});
}

void host_actors::on_room(const room_waiter& who) {
  switch (who.what) {
    case room_waiter::kind::host:
      return internal::post(ingress_, internal::room_freed{});
    case room_waiter::kind::storage:
      return internal::post(storage_, internal::room_freed{});
    case room_waiter::kind::instance:
      return internal::tell_of_room(who);
  }
}

void host_actors::on_fence(epoch connection, std::uint64_t id) {
  internal::post(outbox_, internal::link_fence{connection, id});
}

void host_actors::on_down(epoch connection, std::string_view why, duration) {
  to_all(internal::link_down{connection, std::string{why}});
}

void host_actors::on_lease_ended() { internal::post(ingress_, internal::lease_ended{}); }

void host_actors::on_final(const failure& why) {
  internal::post(ingress_, internal::link_final{why});
  internal::post(storage_, internal::link_final{why});
}

void host_actors::on_ask() { ask_(); }

template <class T>
void host_actors::to_all(const T& x) {
  for (const auto* to : {&ingress_, &ack_, &outbox_, &storage_}) internal::post(*to, x);
}

}  // namespace nuncio

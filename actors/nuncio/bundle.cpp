// See bundle.hpp.
#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <nuncio/ack.hpp>
#include <nuncio/bundle.hpp>
#include <nuncio/outbox.hpp>
#include <nuncio/storage.hpp>

namespace nuncio {
namespace {

bool is_end(const caf::error& why) {
  return !why || why == caf::exit_reason::normal || why == caf::exit_reason::kill ||
         why == caf::exit_reason::user_shutdown;
}

}  // namespace

bundle::bundle(caf::actor_system& system, bundle_options options)
    : ask_(std::move(options.on_ask)),
      link_(std::make_shared<link>(*this, std::move(options.link))) {
  auto& to = options.ingress;
  const auto on_final = to.on_final;
  const auto on_done = to.on_done;
  to.link = link_;
  to.counts = counts_;
  // Detached: handlers that block all threads of the pool hold up no message of the engine, no ack and no event.
  ack_ = system.spawn<ack, caf::hidden + caf::detached>(link_, counts_);
  outbox_ = system.spawn<outbox, caf::hidden + caf::detached>(link_, counts_);
  options.storage.link = link_;
  options.storage.counts = counts_;
  storage_ = system.spawn<storage, caf::hidden + caf::detached>(std::move(options.storage));
  to.storage = storage_;
  ingress_ = system.spawn<ingress, caf::hidden + caf::detached>(std::move(to), ack_, outbox_);
  for (const auto* x : {&ingress_, &ack_, &outbox_, &storage_}) watch(*x, on_final, on_done);
}

// A host whose link answers Pings while nobody deals with anything would keep its actors for ever.
void bundle::watch(
    const caf::actor& x,
    const std::function<void(const failure&)>& on_final,
    const std::function<void()>& on_done) {
  const auto is_ingress = x == ingress_;
  const auto link = link_;
  const auto ingress = ingress_address();
  const auto handle_end = [=](const caf::error& reason) {
    if (is_end(reason)) return;
    const failure why{
        errc::internal,
        "an exception ended a part of the runtime; the host ends, and the engine moves its actors"};
    link->close();
    if (const auto to = caf::actor_cast<caf::actor>(ingress); to && !is_ingress)
      return caf::anon_send(to, internal::link_final{why});
    if (on_final) on_final(why);
    if (on_done) on_done();
  };
  caf::actor_cast<caf::abstract_actor*>(x)->attach_functor(handle_end);
}

bundle::~bundle() { link_->stop(); }

void bundle::start(dial_terms terms) {
  if (auto started = link_->start(std::move(terms)); !started) fail(started.error());
}

void bundle::drain(time_point deadline) { caf::anon_send(ingress_, internal::drain{deadline}); }

void bundle::fail(failure why) { caf::anon_send(ingress_, internal::link_final{std::move(why)}); }

void bundle::end(bool system_over) {
  link_->stop();  // from here on nothing is sent to the actors
  for (auto* x : {&ingress_, &ack_, &outbox_, &storage_}) {
    if (*x && !system_over) caf::anon_send_exit(*x, caf::exit_reason::kill);
    *x = nullptr;
  }
}

void bundle::add_to(host_stats& sum) const {
  add(sum.ingress, counts_->ingress.get());
  add(sum.ledger, counts_->ledger.get());
  add(sum.outbox, counts_->outbox.get());
  add(sum.storage, counts_->storage.get());
  add(sum.link, link_->stats());
  sum.acks_sent += counts_->acks_sent;
  sum.ack_frames += counts_->ack_frames;
  sum.acks_pending += counts_->acks_pending;
  sum.responses += counts_->responses;
  sum.engine_acks_events = sum.engine_acks_events || counts_->engine_acks;
}

// -- from the link's thread ------------------------------------------------------

// Storage hears of it from ingress, once the replay has said which instances are over.
void bundle::on_up(epoch connection) {
  for (const auto* to : {&ingress_, &ack_, &outbox_})
    caf::anon_send(*to, internal::link_up{connection});
}

void bundle::on_inbound(inbound_batch batch) {
  // What answers storage requests goes straight there: an actor may be waiting for it.
  auto& all = batch.messages;
  const auto first = std::stable_partition(
      all.begin(), all.end(), [](const auto& x) { return !answers_storage(x); });
  const auto too_long = batch.too_long && answers_storage(*batch.too_long);
  if (first != all.end() || too_long) {
    internal::storage_inbound part{{std::move_iterator{first}, std::move_iterator{all.end()}}, 0};
    all.erase(first, all.end());
    if (too_long) part.too_long = std::exchange(batch.too_long, std::nullopt);
    // Of a mixed batch ingress grants the bytes.
    if (all.empty() && !batch.too_long) part.bytes = std::exchange(batch.bytes, 0);
    caf::anon_send(storage_, std::move(part));
  }
  if (!all.empty() || batch.too_long) caf::anon_send(ingress_, std::move(batch));
}

void bundle::on_written(epoch connection, frame_class what) {
  if (what == frame_class::ack) caf::anon_send(ack_, internal::link_written{connection, what});
  if (what == frame_class::events)
    caf::anon_send(outbox_, internal::link_written{connection, what});
}

void bundle::on_fence(epoch connection, std::uint64_t id) {
  caf::anon_send(outbox_, internal::link_fence{connection, id});
}

void bundle::on_down(epoch connection, std::string_view why, duration) {
  to_all(internal::link_down{connection, std::string{why}});
}

void bundle::on_lease_ended() { caf::anon_send(ingress_, internal::lease_ended{}); }

void bundle::on_final(const failure& why) {
  caf::anon_send(ingress_, internal::link_final{why});
  caf::anon_send(storage_, internal::link_final{why});
}

void bundle::on_ask() { ask_(); }

template <class T>
void bundle::to_all(const T& x) {
  for (const auto* to : {&ingress_, &ack_, &outbox_, &storage_}) caf::anon_send(*to, x);
}

}  // namespace nuncio

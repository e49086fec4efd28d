// The host model's link, ack, outbox and actors: mirrors of link.cpp, ack.cpp, outbox.cpp and of how CAF actors end.
#include "simulation/host_model.hpp"

#include <fmt/format.h>

namespace nuncio::simulation {

using lifecycle::input;
using lifecycle::state;

host_model::host_model(
    scheduler& time, chance& random, oracle& watch, ledger_options ledger, ports to)
    : time_(time),
      random_(random),
      watch_(watch),
      to_(std::move(to)),
      policy_({.seed = random.next()}),
      ledger_(ledger) {}

// -- link -----------------------------------------------------------------------------

void host_model::dial() {
  if (over_) return;
  policy_.handle_dial();
  end_reason_.reset();
  to_.dial();
}

void host_model::handle_open() {
  policy_.handle_open(time_.now());
  up_ = true;
  const auto at = policy_.connection();
  watch_.handle_connection(at);
  time_.post(side::ingress, hop_now(), [this, at] {
    connection_ = at;
    barrier_passed_ = false;
    held_.clear();
  });
  time_.post(side::ack, hop_now(), [this, at] {
    acks_.handle_link_up(at);
    flush_acks();
  });
  time_.post(side::outbox, hop_now(), [this, at] {
    events_.handle_link_up(at, time_.now());
    flush_events();
  });
}

void host_model::handle_message(const protocol::to_envoy& message) {
  if (!up_ || end_reason_) return;
  if (const auto* init = std::get_if<protocol::to_envoy_init>(&message)) {
    if (!policy_.handle_init(time_.now())) throw violated("link", "a second Init");
    lease_.handle_init(std::chrono::milliseconds{init->metadata.envoy_lost_threshold});
  } else if (!policy_.handle_message(0, time_.now())) {
    throw violated("link", "a message before Init");
  } else if (const auto* ping = std::get_if<protocol::to_envoy_ping>(&message)) {
    policy_.handle_ping(time_.now());
    lease_.handle_ping(ping->ts, time_.now());
    up_frame pong;
    pong.message = protocol::to_rivet_pong{ping->ts};
    if (check_lease()) to_.write(std::move(pong));
    arm_lease();
  }
  time_.post(
      side::ingress, hop_now(), [this, message, term = link_term_] { inbound(message, term); });
}

void host_model::handle_pong(std::uint64_t fence) {
  if (!up_) return;
  time_.post(side::outbox, hop_now(), [this, fence, at = policy_.connection()] {
    events_.handle_fence(at, fence, time_.now());
    flush_events();
  });
}

void host_model::handle_gone(connection_end why) {
  if (over_) return;
  up_ = false;
  const auto decision = policy_.handle_end(end_reason_ ? *end_reason_ : why, time_.now());
  end_reason_.reset();
  if (decision.what != reconnect_decision::kind::retry) {
    over_ = true;
    time_.post(side::ingress, hop_now(), [this] {
      apply_to_all(input::evicted, "evicted");
      after_input();
    });
    return;
  }
  if (decision.after > 3s) throw violated("connection policy", "a reconnect later than 3 s");
  time_.post(side::ingress, hop_now(), [this] { held_.clear(); });
  time_.post(side::ack, hop_now(), [this] {
    acks_.handle_link_down();
    if (acks_.pending() != 0) throw violated("I8 one truth", "acks outlived their connection");
    flush_acks();
  });
  time_.post(side::outbox, hop_now(), [this] {
    events_.handle_link_down(time_.now());
    flush_events();
  });
  time_.after(decision.after, side::link, [this] {
    check_lease();
    dial();
  });
}

bool host_model::check_lease() {
  if (!lease_.ended(time_.now())) return true;
  lease_.handle_ended();
  ++link_term_;
  time_.post(side::ingress, hop_now(), [this] {
    apply_to_all(input::lease_ended, "the engine was not heard of");
    after_input();
  });
  if (up_ && !end_reason_) {
    end_reason_ = connection_end{connection_end::kind::lease, 0, 0, "lease"};
    to_.reset();
  }
  return false;
}

void host_model::arm_lease() {
  if (!lease_.end() || lease_armed_) return;
  lease_armed_ = lease_.end();
  time_.at(*lease_armed_, side::link, [this] {
    lease_armed_.reset();
    check_lease();
    arm_lease();
  });
}

void host_model::write(
    up_frame frame, epoch connection, bool is_ack, std::shared_ptr<bool> gate, std::uint64_t term) {
  time_.post(
      side::link,
      hop_now(),
      [this, frame = std::move(frame), connection, is_ack, gate = std::move(gate), term]() mutable {
        if (!check_lease() || !up_ || end_reason_) return;
        if (gate) {
          if (!*gate || term != link_term_) return;
          watch_.handle_output(*frame.spoken_by);
          return to_.write(std::move(frame));
        }
        if (connection != policy_.connection()) return;
        const bool fence = frame.is_fence;
        to_.write(std::move(frame));
        if (fence) return;
        time_.post(is_ack ? side::ack : side::outbox, hop_now(), [this, connection, is_ack] {
          if (is_ack) {
            acks_.handle_written(connection);
            flush_acks();
          } else {
            events_.handle_written(connection);
            flush_events();
          }
        });
      });
}

bool host_model::send(epoch connection, protocol::to_rivet message, bool is_ack) {
  if (!up_ || connection != policy_.connection()) return false;
  up_frame frame;
  frame.message = std::move(message);
  write(std::move(frame), connection, is_ack, nullptr, 0);
  return true;
}

void host_model::send_fence(epoch connection, std::uint64_t id) {
  up_frame frame;
  frame.is_fence = true;
  frame.fence = id;
  write(std::move(frame), connection, false, nullptr, 0);
}

// -- ack and outbox -----------------------------------------------------------------------

void host_model::flush_acks() {
  while (auto frame = acks_.poll_transmit()) {
    watch_.handle_ack_frame(acks_.connection(), *frame);
    if (!send(acks_.connection(), std::move(*frame), true)) acks_.handle_link_down();
  }
}

void host_model::handle(const said& what) {
  struct visitor {
    event_outbox& to;

    void operator()(const said_running& x) { to.handle_running(x.who); }

    void operator()(const said_intent& x) {
      to.handle_intent(
          x.who,
          x.sleep ? protocol::actor_intent{protocol::actor_intent_sleep{}}
                  : protocol::actor_intent{protocol::actor_intent_stop{}});
    }

    void operator()(const said_stopped& x) {
      std::optional<std::string> message;
      if (!x.why.empty()) message = x.why;
      to.handle_stopped(x.who, x.code, std::move(message));
    }

    void operator()(const said_orphan& x) { to.handle_orphan_stop(x.who); }

    void operator()(const said_superseded& x) { to.handle_superseded(x.actor, x.newest); }

    void operator()(const said_alarm& x) { to.handle_alarm(x.who, x.at); }

    void operator()(const protocol::to_envoy_ack_events& x) { to.handle_acked(x); }
  };

  std::visit(visitor{events_}, what);
}

void host_model::flush_events() {
  while (auto frame = events_.poll_transmit()) {
    watch_.handle_event_frame(events_.connection(), *frame);
    send(events_.connection(), std::move(*frame), false);
  }
  while (const auto id = events_.poll_fence()) send_fence(events_.connection(), *id);
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

void host_model::to_ingress(std::function<void()> what) {
  time_.post(side::ingress, hop_now(), [this, what = std::move(what)] {
    what();
    after_input();
  });
}

void host_model::spawn(instance& x) {
  if (x.name != "known") {  // I12
    watch_.handle_hopeless(x.who);
    return apply(actor_ref{x.who}, input::failed, "no actor is served under that name");
  }
  x.gate = std::make_shared<bool>(true);
  auto self = x.handle = std::make_shared<body>();
  self->who = x.who;
  self->ignores_exit = !calm && random_.percent(habits.ignores_exit);
  watch_.handle_factory(x.who);
  const bool slow = !calm && random_.percent(habits.slow_start);
  time_.after(
      slow ? random_.between(5s, 45s) : random_.between(0ms, 500ms), side::actors, [this, self] {
        if (!self->alive) return;
        self->in_factory = false;
        if (!calm && random_.percent(habits.throws)) return down(self, "the factory failed");
        to_ingress([this, who = self->who] { apply(who, input::started); });
        live_on(self);
      });
}

void host_model::live_on(std::shared_ptr<body> self) {
  const auto plan = [&](unsigned percent, auto what) {
    if (!random_.percent(percent)) return;
    const auto soon = random_.percent(30);
    time_.after(
        soon ? random_.between(0ms, 80ms) : random_.between(0ms, 25s),
        side::actors,
        [this, self, what] {
          if (self->alive && !calm) what();
        });
  };
  plan(habits.crashes, [this, self] { down(self, "crashed"); });
  plan(habits.quits, [this, self] { down(self, {}); });
  plan(habits.sleeps, [this, self] {
    to_ingress([this, who = self->who] { apply(who, input::sleep_called); });
  });
  plan(habits.destroys, [this, self] {
    to_ingress([this, who = self->who] { apply(who, input::destroy_called); });
  });
  plan(20, [this, self] {
    to_ingress([this, who = self->who] {
      const auto* x = find(who);
      if (x && *x->gate) said_.emplace_back(said_alarm{who, 2'000'000'000'000});
    });
  });
}

void host_model::tell_stop(std::shared_ptr<body> self) {
  const bool slow = !calm && random_.percent(habits.slow_stop);
  const bool fails = !calm && random_.percent(habits.crashes / 4);
  time_.after(
      slow ? random_.between(1s, 25s) : random_.between(0ms, 50ms),
      side::actors,
      [this, self, fails] {
        if (self->alive) down(self, fails ? "failed while stopping" : std::string{});
      });
}

void host_model::exit(std::shared_ptr<body> self) {
  if (self->ignores_exit) return;
  time_.after(random_.between(0ms, 50ms), side::actors, [this, self] {
    if (self->alive) down(self, "killed");
  });
}

void host_model::down(const std::shared_ptr<body>& self, const std::string& error) {
  self->alive = false;
  watch_.handle_actor_down(self->who);
  to_ingress([this, who = self->who, error] {
    apply(who, error.empty() ? input::quit : input::failed, error);
  });
}

// -- what the world asks --------------------------------------------------------------------

std::optional<actor_ref> host_model::acting(const actor_id& actor) const {
  const auto at = slots_.find(actor);
  if (at == slots_.end() || !at->second.current) return std::nullopt;
  const auto& x = *at->second.current;
  if (!x.handle || !x.handle->alive || !*x.gate) return std::nullopt;
  return x.who;
}

std::optional<std::pair<actor_ref, state>> host_model::newest(const actor_id& a) const {
  const auto at = slots_.find(a);
  if (at == slots_.end()) return std::nullopt;
  const auto& x = at->second.next ? *at->second.next : *at->second.current;
  return std::pair{x.who, x.state};
}

void host_model::check_quiet() const {
  if (acks_.pending() != 0) throw violated("I5 acks complete", "acks wait on a quiet link");
  for (const auto& [id, place] : slots_)
    if (place.next || place.current->state == state::ending ||
        place.current->state == state::ending_silently)
      throw violated("I11 generations", id.str() + " never came to rest");
}

void host_model::check_empty() const {
  if (!slots_.empty()) throw violated("I9 bounded", "instances are left");
  if (ledger_.stats().entries != 0)
    throw violated(
        "I9 bounded", fmt::format("{} ledger entries are left", ledger_.stats().entries));
  const auto& o = events_.stats();
  if (o.actors != 0 || o.kept != 0 || o.bytes != 0)
    throw violated(
        "I9 bounded", fmt::format("the outbox keeps {} actors, {} events", o.actors, o.kept));
}

}  // namespace nuncio::simulation

// The sides of link, ack, outbox and the actors: models of link.cpp, ack.cpp, outbox.cpp and of how CAF actors live and end.
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
      machine_(machine_options(ledger)) {}

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
    machine_.handle_link_up(at, time_.now());
    connection_ = at;
    barrier_passed_ = false;
    after_input();
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
      machine_.handle_link_over({errc::evicted, "evicted"}, time_.now());
      after_input();
    });
    return;
  }
  if (decision.after > 3s) throw violated("connection policy", "a reconnect later than 3 s");
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
    machine_.handle_lease_ended(time_.now());
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
    up_frame frame, epoch connection, bool is_ack, std::shared_ptr<const output_gate> gate) {
  time_.post(
      side::link,
      hop_now(),
      [this, frame = std::move(frame), connection, is_ack, gate = std::move(gate)]() mutable {
        if (!check_lease() || !up_ || end_reason_) return;
        if (gate) {
          if (!gate->open || gate->term != link_term_) return;
          if (frame.spoken_by) watch_.handle_output(*frame.spoken_by);
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
  write(std::move(frame), connection, is_ack, nullptr);
  return true;
}

void host_model::send_fence(epoch connection, std::uint64_t id) {
  up_frame frame;
  frame.is_fence = true;
  frame.fence = id;
  write(std::move(frame), connection, false, nullptr);
}

// -- ack and outbox -----------------------------------------------------------------------

void host_model::flush_acks() {
  while (auto frame = acks_.poll_transmit()) {
    watch_.handle_ack_frame(acks_.connection(), *frame);
    if (!send(acks_.connection(), std::move(*frame), true)) acks_.handle_link_down();
  }
}

void host_model::handle(const internal::outbox_input& what) {
  struct visitor {
    event_outbox& to;

    void operator()(const internal::say_running& x) { to.handle_running(x.who); }

    void operator()(const internal::say_intent& x) { to.handle_intent(x.who, x.intent); }

    void operator()(const internal::say_alarm& x) { to.handle_alarm(x.who, x.at_ms); }

    void operator()(const internal::say_stopped& x) {
      std::optional<std::string> message;
      if (!x.message.empty()) message = x.message;
      to.handle_stopped(x.who, x.code, std::move(message));
    }

    void operator()(const internal::answer_orphan_stop& x) { to.handle_orphan_stop(x.who); }

    void operator()(const internal::superseded& x) { to.handle_superseded(x.actor, x.newest); }

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

template <class T>
void host_model::tell_host(T what) {
  time_.post(side::ingress, hop_now(), [this, what = std::move(what)] {
    machine_.handle(what, time_.now());
    after_input();
  });
}

void host_model::live_on(const self& x) {
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

void host_model::speak(const self& x, protocol::to_rivet_tunnel_message message) {
  up_frame frame;
  frame.message = std::move(message);
  frame.spoken_by = x->who;
  write(std::move(frame), 0, false, {x->context, &x->context->gate});
}

void host_model::answer(const self& x, const http_request& request) {
  if (request.path_only() != fmt::format("/{}", request.body.size()))
    throw violated("HTTP", "a handler was given a body that is not whole");
  time_.after(random_.between(0ms, 5s), side::actors, [this, x, request] {
    if (!x->alive) return;
    if (!x->cancelled.contains(request.ticket) && request.claim->take()) respond(x, request);
    tell_host(internal::attempt_done{x->who, request.exchange, request.ticket});
  });
}

void host_model::respond(const self& x, const http_request& request) {
  http_exchange exchange{request.position, {}};
  protocol::to_rivet_response_start response;
  response.status = 200;
  static_cast<void>(exchange.respond(std::move(response)));
  while (auto message = exchange.poll_transmit()) speak(x, std::move(*message));
}

void host_model::accept(const self& x, const internal::socket_ptr& socket) {
  time_.after(random_.between(0ms, 300ms), side::actors, [this, x, socket] {
    if (!x->alive || !socket->claim_opening()) return;
    auto message = socket->session.accept(false);
    if (!message) return;
    speak(x, std::move(*message));
    tell_host(internal::socket_accepted{x->who, socket->session.id(), socket->ticket, false});
  });
}

void host_model::hear(const self& x, const host_output::socket_said& what) {
  auto& last = x->heard[what.socket->ticket];
  if (what.data.size() != ++last)
    throw violated(
        "WebSocket", fmt::format("{} was heard where {} was next", what.data.size(), last));
}

// It sleeps, or says that it is busy with something.
void host_model::probe(const self& x) {
  time_.after(hop_now(), side::actors, [this, x] {
    if (!x->alive) return;
    if (calm || random_.percent(60))
      tell_host(internal::instance_active{x->who, time_.now()});
    else
      tell_host(internal::sleep_called{x->who});
  });
}

void host_model::tell_stop(const self& x) {
  const bool slow = !calm && random_.percent(habits.slow_stop);
  const bool fails = !calm && random_.percent(habits.crashes / 4);
  time_.after(
      slow ? random_.between(1s, 25s) : random_.between(0ms, 50ms), side::actors, [this, x, fails] {
        if (x->alive) down(x, fails ? "failed while stopping" : std::string{});
      });
}

void host_model::exit(const self& x) {
  if (x->ignores_exit) return;
  time_.after(random_.between(0ms, 50ms), side::actors, [this, x] {
    if (x->alive) down(x, "killed");
  });
}

void host_model::down(const self& x, const std::string& error) {
  x->alive = false;
  watch_.handle_actor_down(x->who);
  tell_host(internal::instance_down{x->who, error, {}});
}

}  // namespace nuncio::simulation

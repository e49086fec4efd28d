// See simulated_wire.hpp.
#include "simulation/simulated_wire.hpp"

namespace nuncio::simulation {

void wire::dial() {
  time_.after(random_.between(0ms, latency), side::link, [this] {
    if (time_.now() < blocked_until_ || time_.frozen(side::engine))
      return link_->handle_gone({connection_end::kind::unreachable, 0, 0, {}});
    auto made = std::make_shared<connection>();
    made->number = ++number_;
    now_ = made;
    down(made, [this] { link_->handle_open(); });
    time_.at(time_.now(), side::engine, [this, made] {
      if (made->alive) engine_->handle_connected(made->number);
    });
  });
}

// Every frame is a place where the connection may break: before it arrives, or right after.
bool wire::cut_here(const shared& on) {
  if (!random_.permille(faults.cut_permille)) return false;
  watch_.handle_fault(fault::cut);
  const auto before = random_.percent(50);
  const auto when = before ? time_.now() : time_.now() + latency + extra + 1us;
  time_.at(when, side::engine, [this, on] {
    if (on->alive) end(on, {connection_end::kind::lost, 0, 0, {}});
  });
  return before;
}

void wire::up(const shared& on, std::function<void()> what) {
  on->last_up = std::max(on->last_up, time_.now() + random_.between(0ms, latency) + extra);
  time_.at(on->last_up, side::engine, [on, what = std::move(what)] {
    if (on->alive && !on->swallow_up) what();
  });
}

void wire::down(const shared& on, std::function<void()> what) {
  on->last_down = std::max(on->last_down, time_.now() + random_.between(0ms, latency) + extra) +
                  random_.between(0ms, drift);
  time_.at(on->last_down, side::link, [on, what = std::move(what)] {
    if (on->alive && !on->swallow_down) what();
  });
}

void wire::write(up_frame frame) {
  if (!now_ || !now_->alive) return;
  const auto on = now_;
  if (cut_here(on)) return;
  if (std::holds_alternative<protocol::to_rivet_ack_commands>(frame.message) && !frame.ping &&
      random_.permille(faults.lost_ack_permille)) {
    watch_.handle_fault(fault::lost_ack);
    return;
  }
  up(on, [this, on, frame = std::move(frame)] {
    if (frame.ping) return down(on, [this, n = *frame.ping] { link_->handle_pong(n); });
    engine_->handle_frame(on->number, frame.message);
  });
}

void wire::send(protocol::to_envoy message) {
  if (!now_ || !now_->alive) return;
  if (cut_here(now_)) return;
  down(now_, [this, message = std::move(message), said = time_.now()] {
    link_->handle_message(message, said);
  });
}

void wire::cut(connection_end why) {
  if (now_ && now_->alive) end(now_, why);
}

void wire::end(const shared& on, const connection_end& why) {
  on->alive = false;
  time_.after(random_.between(0ms, latency), side::link, [this, why] { link_->handle_gone(why); });
  time_.after(random_.between(0ms, 50ms), side::engine, [this, n = on->number] {
    engine_->handle_disconnected(n);
  });
}

void wire::half_open(bool up_side, bool down_side, duration until_cut) {
  if (!now_ || !now_->alive) return;
  const auto on = now_;
  on->swallow_up |= up_side;
  on->swallow_down |= down_side;
  time_.after(until_cut, side::engine, [this, on] {
    if (on->alive) end(on, {connection_end::kind::lost, 0, 0, {}});
  });
}

}  // namespace nuncio::simulation

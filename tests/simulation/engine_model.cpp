// See engine_model.hpp: storing, replaying, judging, placing.
#include "simulation/engine_model.hpp"

#include <fmt/format.h>

namespace nuncio::simulation {

using protocol::stop_actor_reason;

namespace {

constexpr auto start_timeout = 30s;
constexpr auto lost_threshold = 15s;

std::string_view to_string(place x) {
  switch (x) {
    case place::waiting:
      return "waiting for a host";
    case place::elsewhere:
      return "elsewhere";
    case place::starting:
      return "starting";
    case place::running:
      return "running";
    case place::sleep_intent:
      return "told to sleep";
    case place::stop_intent:
      return "told to stop";
    case place::going_away:
      return "told to go away";
    case place::destroying:
      return "told to end for good";
    case place::sleeping:
      return "sleeping";
    case place::destroyed:
      return "destroyed";
  }
  return "?";
}

bool hosted(place x) {
  return x == place::running || x == place::sleep_intent || x == place::stop_intent ||
         x == place::going_away || x == place::destroying;
}

}  // namespace

engine_ms engine_model::clock() const {
  return 1'700'000'000'000 + (time_.now().time_since_epoch() - clock_back_) / 1ms;
}

std::string engine_model::first_stored() const {
  const auto& [who, all] = store_.unacked().front();
  return fmt::format("{}:{}#{}", who.actor.str(), who.generation, all.begin()->first);
}

placed_actor* engine_model::find(const actor_id& id) {
  const auto at = index_.find(id);
  return at == index_.end() ? nullptr : &actors_[at->second];
}

void engine_model::move(placed_actor& a, place to) {
  a.at = to;
  a.changed = time_.now();
  time_.trace("engine  {}:{} is {}", a.id.str(), a.generation, to_string(to));
}

// -- the connection ---------------------------------------------------------------

void engine_model::handle_connected(std::uint64_t connection) {
  time_.trace("engine  connection {}", connection);
  connection_ = connection;
  storage_.handle_connected(connection);
  last_pong_ = time_.now();
  protocol::to_envoy_init init;
  init.metadata.envoy_lost_threshold = 15000;
  init.metadata.actor_stop_threshold = 1'800'000;
  init.metadata.max_response_payload_size = 20'971'520;
  to_.send(init);
  auto replay = store_.replay([this](auto& generations) { random_.shuffle(generations); });
  if (!replay.empty()) to_.send(protocol::to_envoy_commands{std::move(replay)});
  ping(connection);
  to_.connected();
}

void engine_model::handle_disconnected(std::uint64_t connection) {
  if (connection == connection_) connection_ = 0;
  storage_.handle_disconnected(connection);
}

storage_model::ports engine_model::storage_ports() {
  return {
      .send = [this](protocol::to_envoy x) { to_.send(std::move(x)); },
      .generation = [this](const actor_id& id) -> std::optional<std::uint32_t> {
        const auto* const a = find(id);
        if (a == nullptr || a->at == place::destroyed) return std::nullopt;
        return a->generation;
      },
      .done = [this](const actor_id& id, const protocol::to_rivet& x) { to_.stored(id, x); }};
}

void engine_model::ping(std::uint64_t connection) {
  if (connection != connection_ || connection == 0) return;
  if (time_.now() - last_pong_ > lost_threshold) return to_.drop();
  last_ping_ = time_.now();
  to_.send(protocol::to_envoy_ping{clock()});
  time_.after(ping_every, side::engine, [this, connection] { ping(connection); });
}

void engine_model::restart() {
  ++life_;
  storage_.handle_disconnected(connection_);
  connection_ = 0;
  for (auto& a : actors_) {
    a.batch.clear();
    a.judging = false;
  }
}

void engine_model::handle_frame(std::uint64_t connection, const protocol::to_rivet& frame) {
  if (const auto* tunnel = std::get_if<protocol::to_rivet_tunnel_message>(&frame)) {
    to_.tunnel(connection, *tunnel);
  } else if (storage_.handle_frame(connection, frame)) {
    return;
  } else if (std::holds_alternative<protocol::to_rivet_pong>(frame)) {
    if (connection == connection_) last_pong_ = time_.now();
  } else if (const auto* acks = std::get_if<protocol::to_rivet_ack_commands>(&frame)) {
    // Read is not committed: a connect may read the store in between, a kill may lose it.
    time_.after(random_.between(0ms, 20ms), side::engine, [this, what = *acks, life = life_] {
      if (life == life_)
        for (const auto& at : what.last_command_checkpoints) acknowledge(at);
    });
  } else if (const auto* events = std::get_if<protocol::to_rivet_events>(&frame)) {
    for (const auto& e : events->events) {
      const auto at = index_.find(e.checkpoint.actor_id);
      if (at == index_.end()) {
        to_.violated("I6 acks honest", "an event for an actor that the engine does not know");
        return;
      }
      auto& a = actors_[at->second];
      a.batch.push_back(e);
      if (std::exchange(a.judging, true)) continue;
      time_.after(random_.between(0ms, 60ms), side::engine, [this, n = at->second, life = life_] {
        if (life == life_) judge(n);
      });
    }
  }
}

void engine_model::acknowledge(const protocol::actor_checkpoint& at) {
  if (find(at.actor_id) == nullptr)
    to_.violated("I6 acks honest", "an ack of an actor that the engine does not know");
  const auto* const known = store_.find(at);
  if (known != nullptr && random_.permille(faults.retry_permille)) {
    // An activity that is tried again stores its command once more.
    to_.on_fault(2);
    time_.after(random_.between(10ms, 60s), side::engine, [this, at, what = *known] {
      store_.store(at, what);
      push(at);
    });
  }
  time_.trace("engine  {}:{}#{} acked", at.actor_id.str(), at.generation, at.index);
  store_.acknowledge(at);
}

void engine_model::store(placed_actor& a, protocol::command what) {
  const protocol::actor_checkpoint at{a.id, a.generation, a.next_command++};
  time_.trace(
      "engine  {}:{}#{} {}",
      a.id.str(),
      a.generation,
      at.index,
      what.index() == 0 ? "Start" : "Stop");
  store_.store(at, std::move(what));
  auto delay = random_.between(0ms, 20ms);
  if (random_.permille(faults.delay_permille)) {
    to_.on_fault(1);
    delay = random_.between(500ms, 10s);
  }
  a.last_push = std::max(a.last_push, time_.now() + delay);  // those of one actor keep their order
  if (random_.permille(faults.lose_push_permille)) {
    to_.on_fault(1);
    a.lost_push = true;
    return;
  }
  time_.at(a.last_push, side::engine, [this, at] { push(at); });
}

void engine_model::send_all_again(unsigned percent, bool whole, bool pushed) {
  for (const auto& [who, all] : store_.ever()) {
    if (whole && (all.begin()->first != 1 || !random_.percent(percent))) continue;
    for (const auto& [index, what] : all) {
      if (!whole && !random_.percent(percent)) continue;
      const protocol::actor_checkpoint at{who.actor, who.generation, index};
      store_.store(at, what);
      if (pushed) push(at);
    }
  }
}

void engine_model::push(const protocol::actor_checkpoint& at) {
  const auto* const what = store_.find(at);
  if (connection_ == 0 || what == nullptr) return;
  to_.send(protocol::to_envoy_commands{{{at, *what}}});
  if (!random_.permille(faults.duplicate_permille)) return;
  to_.on_fault(0);
  time_.after(random_.between(0ms, 5s), side::engine, [this, at, what = *what] {
    if (connection_ != 0) to_.send(protocol::to_envoy_commands{{{at, what}}});
  });
}

// -- users --------------------------------------------------------------------------

std::size_t engine_model::create(std::string name) {
  const auto n = actors_.size();
  auto& a = actors_.emplace_back();
  a.id = actor_id{fmt::format("actor{:025}", n)};
  a.name = std::move(name);
  index_[a.id] = n;
  allocate(n);
  return n;
}

void engine_model::create_orphan(std::string name) {
  const auto n = actors_.size();
  auto& a = actors_.emplace_back();
  a.id = actor_id{fmt::format("orphan{:024}", n)};
  a.name = std::move(name);
  a.orphan = true;
  a.generation = orphan_generation;
  a.next_command = 2;
  a.last_event = a.last_acked = 250 + 251 * 40;
  index_[a.id] = n;
  if (random_.percent(50)) {
    a.may_be_destroyed = true;
    stop(a, stop_actor_reason::destroy, place::destroying);
  } else {
    stop(a, stop_actor_reason::sleep_intent, place::sleep_intent);
  }
  if (random_.percent(50)) stop_further(n);
}

// Before or after the first was answered.
void engine_model::stop_further(std::size_t n) {
  time_.after(random_.between(0s, 10s), side::engine, [this, n, life = life_] {
    if (life == life_ && is_orphan(actors_[n])) stop_once_more(actors_[n]);
  });
}

void engine_model::stop_orphans_again() {
  for (auto& a : actors_) {
    const auto ago = time_.now() - a.changed;
    if (is_orphan(a) && ago > 330s && ago < 570s) stop_once_more(a);
  }
}

void engine_model::stop_once_more(placed_actor& a) {
  if (!a.lost_push) store(a, protocol::command_stop_actor{stop_actor_reason::sleep_intent});
}

void engine_model::allocate(std::size_t n) {
  auto& a = actors_[n];
  a.wake = false;
  if (a.at == place::destroyed) return;
  const bool other = faults.elsewhere && (connection_ == 0 || random_.percent(25));
  if (connection_ == 0 && !other) {
    move(a, place::waiting);
    return time_.after(2s, side::engine, [this, n, life = a.generation] {
      if (actors_[n].at == place::waiting && actors_[n].generation == life) allocate(n);
    });
  }
  ++a.generation;
  a.next_command = 1;
  a.lost_push = false;
  a.last_event = a.last_acked = -1;
  const auto generation = a.generation;
  if (other) {
    move(a, place::elsewhere);
    to_.left(a.id, a.at);
    to_.placed_elsewhere({a.id, generation});
    return time_.after(random_.between(500ms, 15s), side::engine, [this, n, generation] {
      if (actors_[n].generation == generation && actors_[n].at == place::elsewhere)
        ended(n, actors_[n].delete_wanted, false);
    });
  }
  move(a, place::starting);
  to_.left(a.id, a.at);
  protocol::command_start_actor start;
  start.config.name = a.name;
  start.config.create_ts = clock();
  start.hibernating_requests = to_.hibernating(a.id);
  store(a, start);
  if (random_.permille(faults.further_permille)) start_further(n, start);
  time_.after(start_timeout, side::engine, [this, n, generation] {
    const auto& x = actors_[n];
    if (x.generation == generation && x.at == place::starting)
      ended(n, x.delete_wanted, false);  // given up without a Stop
  });
}

// Before or after the generation's Stop, and perhaps beside the next generation.
void engine_model::start_further(std::size_t n, const protocol::command_start_actor& start) {
  const auto wait = random_.percent(50) ? random_.between(0ms, 100ms) : random_.between(0s, 25s);
  time_.after(
      wait, side::engine, [this, n, start, generation = actors_[n].generation, life = life_] {
        auto& a = actors_[n];
        // An ack of a higher index would clear what was not delivered yet.
        if (a.generation != generation || life != life_ || a.lost_push) return;
        to_.on_fault(3);
        store(a, start);
        if (random_.percent(30)) start_further(n, start);
      });
}

void engine_model::stop(placed_actor& a, stop_actor_reason why, place next) {
  move(a, next);
  store(a, protocol::command_stop_actor{why});
  const auto n = index_.at(a.id);
  time_.after(faults.stop_threshold, side::engine, [this, n, generation = a.generation, next] {
    auto& x = actors_[n];
    if (x.generation != generation || x.at != next) return;
    store(x, protocol::command_stop_actor{stop_actor_reason::lost});
    ended(n, next == place::destroying, false);
  });
}

void engine_model::supersede(std::size_t n, bool lost) {
  auto& a = actors_[n];
  if (a.at != place::starting && !hosted(a.at)) return;
  if (a.delete_wanted || connection_ == 0) return;
  const auto usual =
      std::exchange(faults.lose_push_permille, lost ? 1000 : faults.lose_push_permille);
  allocate(n);
  faults.lose_push_permille = usual;
}

void engine_model::request(std::size_t n) {
  auto& a = actors_[n];
  if (a.at == place::sleeping) return allocate(n);
  if (a.at == place::running) {
    if (connection_ == 0) return;
    return to_.ask({a.id, a.generation});
  }
  a.wake = true;
}

void engine_model::wake(const actor_id& id) {
  const auto n = index_.at(id);
  time_.after(0ms, side::engine, [this, n] {
    auto& a = actors_[n];
    if (a.at == place::sleeping)
      allocate(n);
    else if (a.at != place::running)
      a.wake = true;
  });
}

bool engine_model::runs(const actor_ref& who) {
  const auto* const a = find(who.actor);
  return a != nullptr && a->generation == who.generation && hosted(a->at);
}

void engine_model::sleep(std::size_t n) {
  auto& a = actors_[n];
  if (a.at == place::running) stop(a, stop_actor_reason::sleep_intent, place::sleep_intent);
}

void engine_model::reschedule(std::size_t n) {
  auto& a = actors_[n];
  if (a.at == place::running) stop(a, stop_actor_reason::going_away, place::going_away);
}

void engine_model::destroy(std::size_t n) {
  auto& a = actors_[n];
  a.may_be_destroyed = true;
  a.delete_wanted = true;
  if (a.at == place::running) stop(a, stop_actor_reason::destroy, place::destroying);
  if (a.at != place::sleeping && a.at != place::waiting) return;
  move(a, place::destroyed);
  to_.left(a.id, a.at);
}

// -- events and placement -------------------------------------------------------------

void engine_model::judge(std::size_t n) {
  auto& a = actors_[n];
  const auto batch = std::exchange(a.batch, {});
  a.judging = false;
  const auto before = a.at;
  const auto generation = a.generation;
  auto highest = a.last_event;
  bool over = false;
  for (const auto& e : batch) {
    // The comparison value does not advance within a batch.
    if (e.checkpoint.generation != generation || e.checkpoint.index <= a.last_event) continue;
    if (!over && !hosted(a.at) && a.at != place::starting) continue;
    highest = std::max(highest, e.checkpoint.index);
    apply(n, e, before, over);
    if (a.generation != generation) return;
  }
  a.last_event = highest;
  if (over || !hosted(a.at) || a.last_event <= a.last_acked + 250) return;
  a.last_acked = a.last_event;
  if (connection_ != 0)
    to_.send(protocol::to_envoy_ack_events{{{a.id, a.generation, a.last_event}}});
}

void engine_model::apply(
    std::size_t n, const protocol::event_wrapper& e, place before, bool& over) {
  auto& a = actors_[n];
  if (const auto* intent = std::get_if<protocol::event_actor_intent>(&e.inner)) {
    if (before != place::running || a.at != place::running) return;
    if (std::holds_alternative<protocol::actor_intent_sleep>(intent->intent))
      return stop(a, stop_actor_reason::sleep_intent, place::sleep_intent);
    a.may_be_destroyed = true;
    return stop(a, stop_actor_reason::stop_intent, place::stop_intent);
  }
  const auto* update = std::get_if<protocol::event_actor_state_update>(&e.inner);
  if (update == nullptr) return;  // an alarm
  const auto* stopped = std::get_if<protocol::actor_state_stopped>(&update->state);
  if (stopped == nullptr) {
    if (a.at != place::starting) return;
    move(a, place::running);
    a.wake = false;  // the requests that waited are let through
    watch(n, a.generation);
    to_.runs({a.id, a.generation});
    if (a.delete_wanted) stop(a, stop_actor_reason::destroy, place::destroying);
    return;
  }
  const bool ok = stopped->code == protocol::stop_code::ok;
  if (over) {  // the second one within a batch meets an actor that nobody asked to stop
    if (ok && !a.may_be_destroyed)
      to_.violated("I10 events arrive", "a second Stopped(OK) destroyed " + a.id.str());
    return;
  }
  over = true;
  switch (a.at) {
    case place::starting:
    case place::running:
      if (ok && !a.may_be_destroyed)
        to_.violated("I10 events arrive", "an unsolicited Stopped(OK) destroyed " + a.id.str());
      return ended(n, ok || a.delete_wanted, false);
    case place::stop_intent:
      return ended(n, ok, false);
    case place::going_away:
      return ended(n, false, true);
    case place::destroying:
      return ended(n, true, false);
    default:
      return ended(n, false, false);
  }
}

void engine_model::ended(std::size_t n, bool destroyed, bool again) {
  auto& a = actors_[n];
  const bool next = again || a.wake;
  move(a, destroyed ? place::destroyed : place::sleeping);
  if (!destroyed && a.delete_wanted) move(a, place::destroyed);
  to_.left(a.id, a.at);
  if (a.at == place::sleeping && next) allocate(n);
}

void engine_model::watch(std::size_t n, std::uint32_t generation) {
  time_.after(lost_threshold, side::engine, [this, n, generation] {
    auto& a = actors_[n];
    if (a.generation != generation || !hosted(a.at)) return;
    if (time_.now() - last_ping_ <= lost_threshold) return watch(n, generation);
    to_.gave_up({a.id, generation});
    const bool destroying = a.at == place::destroying;
    store(a, protocol::command_stop_actor{stop_actor_reason::lost});
    ended(n, destroying, false);
  });
}

}  // namespace nuncio::simulation

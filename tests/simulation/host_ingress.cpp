// The side of ingress: drives the host_machine as actors/nuncio/ingress.cpp does, and shows the oracle what it decides.
#include <fmt/format.h>

#include "simulation/host_model.hpp"

namespace nuncio::simulation {

using lifecycle::state;

host_machine_options host_model::machine_options(ledger_options ledger) {
  host_machine_options out;
  out.limits.ledger = ledger;
  out.link = link_;
  out.log = [](log_level, std::string_view message, std::span<const log_field>) {
    if (message == "an actor's lifecycle met what can't happen")
      throw violated("lifecycle", std::string{message});
  };
  out.roster.find = [this](std::string_view name) -> std::shared_ptr<const serve_options> {
    if (name != "known") return nullptr;  // I12
    if (!serving_) {
      serve_options how;
      how.name = name;
      how.idle_timeout = std::chrono::duration_cast<std::chrono::milliseconds>(habits.idle_timeout);
      serving_ = std::make_shared<const serve_options>(std::move(how));
    }
    return serving_;
  };
  out.roster.make = [this](const actor_ref& who, std::uint64_t term) {
    known_.insert(who.actor);
    if (!machine_.ledger().last_index(who))
      throw violated("I2 record first", who.actor.str() + " is started and not in the ledger");
    return std::make_shared<instance_base>(term);
  };
  out.on_judged = [this](const judged_command& x) { handle_judged(x); };
  return out;
}

column host_model::column_now(const judged_command& x) {
  const auto* const newest = machine_.newest(x.at.actor_id);
  if (newest == nullptr) return x.known ? column::gone : column::unknown;
  return newest != machine_.oldest(x.at.actor_id) ? column::queued : column_of(newest->state);
}

void host_model::handle_judged(const judged_command& x) {
  const auto r = x.what == verdict::duplicate    ? row::duplicate
                 : x.what == verdict::superseded ? row::superseded
                 : x.what == verdict::expired    ? row::expired
                 : x.start != nullptr            ? row::fresh_start
                                                 : row::fresh_stop;
  const auto where = column_now(x);
  watch_.handle_judged(r, where, x.at, connection_);
  const actor_ref who{x.at.actor_id, x.at.generation};
  if (x.what == verdict::expired) return watch_.handle_refused(who);
  if (r != row::fresh_start && r != row::fresh_stop) return;
  ++fresh_;
  watch_.handle_dispatched(x.at, machine_.ledger().last_index(who));
  // At once, and not behind failures of an earlier generation.
  const auto first = where == column::unknown && who.generation == 1;
  if (first && x.start != nullptr && x.start->config.name != "known") watch_.handle_hopeless(who);
}

void host_model::inbound(inbound_batch& batch) {
  if (link_->over()) return;
  for (const auto& message : batch.messages) {
    if (const auto* commands = std::get_if<protocol::to_envoy_commands>(&message))
      for (const auto& x : commands->commands) watch_.handle_delivered(x.checkpoint);
    if (const auto* acks = std::get_if<protocol::to_envoy_ack_events>(&message))
      engine_acks_ = engine_acks_ || !acks->last_event_checkpoints.empty();
    if (std::holds_alternative<protocol::to_envoy_ping>(message)) barrier_passed_ = true;
  }
  machine_.handle_inbound(batch, time_.now());
  if (machine_.stats().dispatched != fresh_)
    throw violated("I1 fresh only", "a command was carried out that was not judged fresh");
  after_input();
}

void host_model::after_input() {
  carry_out();
  if (std::exchange(flush_asked_, true)) return;
  time_.post(side::ingress, 0ms, [this] { flush(); });
}

void host_model::flush() {
  flush_asked_ = false;
  machine_.flush(time_.now());
  carry_out();
  const auto next = machine_.poll_timeout();
  if (!next || (tick_at_ && *tick_at_ <= *next)) return;
  tick_at_ = next;
  time_.at(std::max(*next, time_.now() + 1ms), side::ingress, [this, at = *next] {
    if (tick_at_ == at) tick();
  });
}

void host_model::tick() {
  tick_at_.reset();
  machine_.expire(time_.now());
  after_input();
}

void host_model::carry_out() {
  while (auto next = machine_.poll_output()) std::visit([this](auto& x) { carry_out(x); }, *next);
}

void host_model::carry_out(internal::processed& x) {
  time_.post(side::ack, hop_now(), [this, x = std::move(x)] {
    acks_.handle_processed(x.connection, x.checkpoints);
    flush_acks();
  });
}

void host_model::carry_out(internal::outbox_batch& x) {
  time_.post(side::outbox, hop_now(), [this, x = std::move(x)] {
    for (const auto& each : x.inputs) handle(each);
    flush_events();
  });
}

void host_model::carry_out(const host_output::ready&) { barrier_passed_ = true; }

void host_model::carry_out(const host_output::spawn& x) {
  if (x.number >= bodies_.size()) bodies_.resize(x.number + 1);
  auto made = std::make_shared<body>();
  made->who = x.instance->start.self;
  made->context = x.instance;
  made->ignores_exit = !calm && random_.percent(habits.ignores_exit);
  bodies_[x.number] = made;
  watch_.handle_factory(made->who);
  watch_.handle_speaker(made->context->gate, made->who);
  const bool apart = random_.percent(habits.spawned_apart);
  if (!apart) settle(made);
  const bool slow = !calm && random_.percent(habits.slow_start);
  const auto delay = slow ? random_.between(5s, 45s) : random_.between(0ms, 500ms);
  time_.after(delay, side::actors, [this, made, apart] {
    if (!made->alive) return;
    made->in_factory = false;
    if (!calm && random_.percent(habits.throws)) return down(made, "the factory failed");
    if (apart)
      time_.post(side::ingress, hop_now(), [this, made] {
        settle(made);
        after_input();
      });
    tell_host(internal::instance_started{made->who});
    live_on(made);
  });
}

// Its actor is there.
void host_model::settle(const self& x) {
  instance_number number = 0;
  const auto what = machine_.handle_spawned(x->who, number, time_.now());
  if (what == spawned::unwanted) exit(x);
  if (what == spawned::lives && bodies_.at(number) != x)
    throw violated("host_machine", "two instances have one number");
}

void host_model::carry_out(const host_output::forget& x) {
  const auto over = std::exchange(bodies_.at(x.number), nullptr);
  if (over && over->alive) watch_.handle_abandoned(over->who);
}

void host_model::carry_out(const host_output::kill& x) { exit(bodies_.at(x.number)); }

void host_model::carry_out(host_output::message& x) {
  const auto to = bodies_.at(x.to);
  if (!to) throw violated("host_machine", "a message for an instance that is forgotten");
  if (std::holds_alternative<host_output::stop>(x.what)) return tell_stop(to);
  if (const auto* request = std::get_if<http_request>(&x.what)) return answer(to, *request);
  if (std::holds_alternative<internal::idle_probe>(x.what)) return probe(to);
  if (const auto* over = std::get_if<internal::attempt_cancelled>(&x.what))
    to->cancelled.insert(over->ticket);
  if (const auto* opening = std::get_if<host_output::socket_opening>(&x.what))
    return accept(to, opening->socket);
  if (const auto* said = std::get_if<host_output::socket_said>(&x.what)) return hear(to, *said);
  if (const auto* left = std::get_if<host_output::socket_left>(&x.what))
    left->socket->session.handle_closed();
  if (const auto* failed = std::get_if<internal::socket_failed>(&x.what)) {
    auto closing = failed->socket->session.close(failed->code, failed->why);
    if (closing) speak(to, std::move(*closing));
  }
}

// -- what the world asks --------------------------------------------------------------------

std::optional<actor_ref> host_model::acting(const actor_id& actor) {
  const auto* const x = machine_.oldest(actor);
  if (x == nullptr || !x->handed || !x->context->gate.open) return std::nullopt;
  const auto& of = bodies_.at(x->number);
  return of && of->alive ? std::optional{x->who} : std::nullopt;
}

std::optional<std::pair<actor_ref, state>> host_model::newest(const actor_id& a) {
  const auto* const x = machine_.newest(a);
  if (x == nullptr) return std::nullopt;
  return std::pair{x->who, x->state};
}

void host_model::check_quiet() {
  if (acks_.pending() != 0) throw violated("I5 acks complete", "acks wait on a quiet link");
  for (const auto& id : known_) {
    const auto* const x = machine_.newest(id);
    if (x == nullptr) continue;
    if (x != machine_.oldest(id) || x->state == state::ending || x->state == state::ending_silently)
      throw violated("I11 generations", id.str() + " never came to rest");
  }
}

void host_model::check_empty() const {
  if (machine_.actors() != 0) throw violated("I9 bounded", "instances are left");
  if (const auto left = machine_.ledger().stats().entries; left != 0)
    throw violated("I9 bounded", fmt::format("{} ledger entries are left", left));
  const auto& o = events_.stats();
  if (o.actors != 0 || o.kept != 0 || o.bytes != 0)
    throw violated(
        "I9 bounded", fmt::format("the outbox keeps {} actors, {} events", o.actors, o.kept));
}

}  // namespace nuncio::simulation

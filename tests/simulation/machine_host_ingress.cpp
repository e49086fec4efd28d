// The side of ingress: drives the host_machine as actors/nuncio/host/ingress.cpp does, and shows the oracle what it decides.
#include <fmt/format.h>

#include "simulation/machine_host.hpp"

namespace nuncio::simulation {

host_machine_options machine_host::machine_options() {
  host_machine_options out;
  out.limits.ledger = ledger_options_;
  set(out.limits);
  out.link = link_;
  out.log = [](log_level, std::string_view message, std::span<const log_field>) {
    if (message == "an actor's lifecycle got an input that can't happen")
      throw violated("lifecycle", std::string{message});
  };
  out.roster.find = [this](std::string_view name) -> std::shared_ptr<const serve_options> {
    if (name != "known") return nullptr;  // I12
    if (!serving_) serving_ = std::make_shared<const serve_options>(serving());
    return serving_;
  };
  out.roster.make = [this](const actor_ref& who, std::uint64_t term) {
    if (!machine_.ledger().last_index(who))
      throw violated("I2 record first", who.actor.str() + " is started and not in the ledger");
    return std::make_shared<instance_base>(term);
  };
  out.on_judged = observer();
  return out;
}

void machine_host::inbound(inbound_batch& batch) {
  if (link_->over()) return;
  show(batch);
  machine_.handle_inbound(batch, time_.now());
  after_input();
}

void machine_host::after_input() {
  carry_out();
  check_carried_out();
  if (std::exchange(flush_asked_, true)) return;
  time_.post(side::ingress, 0ms, [this] { flush(); });
}

void machine_host::flush() {
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

void machine_host::tick() {
  tick_at_.reset();
  machine_.expire(time_.now());
  after_input();
}

void machine_host::carry_out() {
  while (auto next = machine_.poll_output()) std::visit([this](auto& x) { carry_out(x); }, *next);
}

void machine_host::carry_out(internal::processed& x) {
  time_.post(side::ack, hop_now(), [this, x = std::move(x)] {
    acks_.handle_processed(x.connection, x.checkpoints);
    flush_acks();
  });
}

void machine_host::carry_out(internal::outbox_batch& x) {
  time_.post(side::outbox, hop_now(), [this, x = std::move(x)] {
    for (const auto& each : x.inputs) events_.handle(each);
    flush_events();
  });
}

void machine_host::carry_out(const host_output::ready&) { barrier_passed_ = true; }

void machine_host::carry_out(const host_output::spawn& x) {
  if (x.number >= bodies_.size()) bodies_.resize(x.number + 1);
  auto made = std::make_shared<body>();
  made->who = x.instance->start.self;
  made->context = x.instance;
  made->streams = make_streams(x.instance);
  made->sockets = make_sockets(x.instance);
  made->ignores_exit = !calm && random_.percent(habits.ignores_exit);
  made->storage = std::make_shared<storage_user>(
      storage_surroundings{time_, random_, watch_.stored, *storage_, storing, calm}, made->context);
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
    made->storage->begin([this, made, apart] { start(made, apart); });
  });
}

void machine_host::start(const self& x, bool apart) {
  if (apart)
    time_.post(side::ingress, hop_now(), [this, x] {
      settle(x);
      after_input();
    });
  tell_host(internal::instance_started{x->who});
  live_on(x);
}

void machine_host::carry_out(const host_output::storage_up& x) {
  storage_->handle_link_up(x.connection);
}

void machine_host::carry_out(const host_output::outputs_closed& x) {
  storage_->handle_gate_closed(x.who);
}

// Its actor is there.
void machine_host::settle(const self& x) {
  const auto verdict = machine_.handle_spawned(x->who, time_.now());
  if (verdict.what == spawned::unwanted) exit(x);
  if (verdict.what == spawned::lives && bodies_.at(verdict.number) != x)
    throw violated("host_machine", "two instances have one number");
}

void machine_host::carry_out(const host_output::forget& x) {
  const auto over = std::exchange(bodies_.at(x.number), nullptr);
  if (over && over->alive) watch_.handle_abandoned(over->who);
}

void machine_host::carry_out(const host_output::kill& x) { exit(bodies_.at(x.number)); }

// Into its mailbox; what goes first overtakes.
template <class T>
void machine_host::pass(const self& x, T& what, bool first) {
  auto give = [x, what = std::make_shared<T>(std::move(what))] {
    if constexpr (std::is_same_v<T, http_request>) x->storage->handle_request();
    if constexpr (requires { x->streams->handle(*what); })
      x->streams->handle(*what);
    else if constexpr (requires { x->sockets->handle(*what); })
      x->sockets->handle(*what);
  };
  if (first) return time_.after(0ms, side::actors, std::move(give));
  time_.post(side::actors, hop_now(), std::move(give));
}

void machine_host::carry_out(host_output::message& x) {
  const auto to = bodies_.at(x.to);
  if (!to) throw violated("host_machine", "a message for an instance that is forgotten");
  if (const auto* stop = std::get_if<host_output::stop>(&x.what))
    return tell_stop(to, stop->reason);
  if (std::holds_alternative<internal::idle_probe>(x.what)) return probe(to);
  std::visit([&](auto& what) { pass(to, what, x.first); }, x.what);
}

// -- what the world asks --------------------------------------------------------------------

std::optional<actor_ref> machine_host::acting(const actor_id& actor) {
  const auto* const x = machine_.oldest(actor);
  if (x == nullptr || !x->handed || !x->context->gate.open) return std::nullopt;
  const auto& of = bodies_.at(x->number);
  return of && of->alive ? std::optional{x->who} : std::nullopt;
}

void machine_host::check_empty() {
  check_ledger_empty();
  storage_->check_empty();
  const auto& o = events_.stats();
  if (o.actors != 0 || o.kept != 0 || o.bytes != 0)
    throw violated(
        "I9 bounded", fmt::format("the outbox keeps {} actors, {} events", o.actors, o.kept));
}

}  // namespace nuncio::simulation

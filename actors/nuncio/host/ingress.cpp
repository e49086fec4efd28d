// See ingress.hpp.
#include <nuncio/actor/access.hpp>
#include <nuncio/actor/instance_sockets.hpp>
#include <nuncio/detail/caf.hpp>
#include <nuncio/detail/exception_text.hpp>
#include <nuncio/host/ingress.hpp>
#include <nuncio/host/kill_now.hpp>
#include <nuncio/storage/storage_messages.hpp>
#include <nuncio/support/time_range.hpp>

namespace nuncio {
namespace {

// Actors of one flush that ingress launches itself.
constexpr std::size_t launches_max = 16;

// The message as a handler of an instance gets it.
template <class T>
caf::message as_message(T& x) {
  return caf::make_message(std::move(x));
}

caf::message as_message(host_output::stop& x) { return caf::make_message(stop_command{x.reason}); }

caf::message as_message(host_output::socket_opening& x) {
  return caf::make_message(socket_opened{internal::access::connection_of(std::move(x.socket))});
}

caf::message as_message(host_output::socket_said& x) {
  return caf::make_message(socket_message{
      internal::access::connection_of(std::move(x.socket)),
      std::move(x.data),
      x.binary,
      x.index,
      std::move(x.waits)});
}

caf::message as_message(host_output::socket_left& x) {
  return caf::make_message(socket_closed{
      internal::access::connection_of(std::move(x.socket)), x.code, std::move(x.reason)});
}

void hand_over(const caf::actor& to, bool first, caf::message what) {
  const auto priority = first ? caf::message_priority::high : caf::message_priority::normal;
  internal::enqueue(
      *caf::actor_cast<caf::abstract_actor*>(to),
      nullptr,
      caf::make_message_id(priority),
      std::move(what));
}

}  // namespace

ingress::ingress(caf::actor_config& cfg, ingress_options options, caf::actor ack, caf::actor outbox)
    : event_based_actor(cfg),
      options_(std::move(options)),
      ack_(std::move(ack)),
      outbox_(std::move(outbox)),
      errors_(internal::make_error_log(options_.log)),
      system_watch_(home_system()) {
  machine_.emplace(host_machine_options{
      options_, roster(), options_.greeting, options_.link, options_.log, options_.on_judged});
}

caf::behavior ingress::make_behavior() {
  using namespace internal;
  drop_unexpected(this);
  system_watch_.begin(this, [this] { handle_system_end(); });
  return {
      [this](inbound_batch& x) {
        machine_->handle_inbound(x, options_.now());
        after_input();
      },
      [this](const link_up& x) {
        machine_->handle_link_up(x.connection, options_.now());
        after_input();
      },
      [this](const link_down&) {
        machine_->handle_link_down(options_.now());
        after_input();
      },
      [this](const room_freed&) {
        machine_->handle_room(options_.now());
        after_input();
      },
      [this](const internal::lease_ended&) {
        machine_->handle_lease_ended(options_.now());
        after_input();
      },
      [this](const link_final& x) {
        machine_->handle_link_over(x.why, options_.now());
        after_input();
      },
      [this](const drain& x) {
        machine_->handle_drain(x.deadline, options_.now());
        after_input();
      },
      [this](const drained&) { machine_->handle_outbox_drained(); },
      [this](const instance_spawned& x) {
        settle(x.who, x.handle);
        after_input();
      },
      [this](const instance_started& x) { feed(x); },
      [this](const instance_active& x) { feed(x); },
      [this](const instance_down& x) { feed(x); },
      [this](const storage_done& x) { feed(x); },
      [this](const sleep_called& x) { feed(x); },
      [this](const destroy_called& x) { feed(x); },
      [this](const alarm_called& x) { feed(x); },
      [this](const attempt_done& x) { feed(x); },
      [this](response_waits& x) { feed(x); },
      [this](const response_begun& x) { feed(x); },
      [this](const upload_untouched& x) { feed(x); },
      [this](const socket_accepted& x) { feed(x); },
      [this](const socket_over& x) { feed(x); },
      [this](const sockets_restored& x) { feed(x); },
      [this](const nuncio::find& q) { return found(machine_->find_keyed(q.name, q.key)); },
      [this](const find_id& q) { return found(machine_->find_id(q.id)); },
      [this](const tick& x) { handle_tick(x.serial); },
      [this](const internal::flush&) { flush(); },
  };
}

template <class T>
void ingress::feed(T& what) {
  machine_->handle(what, options_.now());
  after_input();
}

void ingress::handle_system_end() {
  system_over_ = true;
  if (options_.on_system_end) options_.on_system_end();
  quit();
}

void ingress::on_exit() {
  // The host is over: the remaining instances lose their outputs and end without telling the engine.
  for (auto& x : places_) {
    if (!x.handle) continue;
    x.context->gate.open.store(false);
    // Without a scheduler to run it, dropping its last handle ends an actor, while a message would keep it alive.
    if (!system_over_ || x.context->serving->detached) internal::kill_now(x.handle);
  }
  system_watch_.end(this);
  machine_.reset();
  places_.clear();
  launching_.clear();
  ack_ = nullptr;
  outbox_ = nullptr;
  options_ = {};
}

// -- instances --------------------------------------------------------------------

host_roster ingress::roster() {
  return {
      [this](std::string_view name) -> std::shared_ptr<const serve_options> {
        const auto at = options_.factories.find(name);
        return at == options_.factories.end() ? nullptr : at->second.options;
      },
      [this](const actor_ref&, std::uint64_t term) { return make_context(term); }};
}

std::shared_ptr<instance_base> ingress::make_context(std::uint64_t term) {
  auto made = std::make_shared<instance_context>(term);
  made->link = options_.link;
  made->counts = options_.counts;
  made->now = options_.now;
  made->wall_now = options_.wall_now;
  made->ingress = caf::actor_cast<caf::actor_addr>(this);
  if (options_.storage) made->storage = options_.storage.address();
  made->log = options_.log;
  made->errors = errors_;
  return made;
}

void ingress::carry_out(const host_output::spawn& x) {
  if (x.number >= places_.size()) places_.resize(x.number + 1);
  auto& place = places_[x.number];
  place.context = std::static_pointer_cast<instance_context>(x.instance);
  const auto& context = *place.context;
  const auto& self = context.start.self;
  if (context.serving->detached && system().detached_actors() >= options_.detached_max)
    return machine_->handle(
        internal::instance_down{self, "this host has no thread for another detached actor", {}},
        options_.now());
  try {
    const auto& made = options_.factories.find(context.start.name.view())->second.make;
    if (const auto handle = made(system(), place.context, launching_)) settle(self, handle);
  } catch (...) {  // copies or constructs what the user passed in
    const auto why = internal::describe(std::current_exception());
    machine_->handle(
        internal::instance_down{self, internal::hidden(context, why), {}}, options_.now());
  }
}

void ingress::settle(const actor_ref& who, const caf::actor& handle) {
  const auto verdict = machine_->handle_spawned(who, options_.now());
  switch (verdict.what) {
    case spawned::lives:
      places_[verdict.number].handle = handle;
      break;
    case spawned::late:
      break;
    case spawned::unwanted:
      internal::kill_now(handle);
      break;
  }
}

void ingress::carry_out(const host_output::forget& x) { places_[x.number] = {}; }

void ingress::carry_out(const host_output::kill& x) {
  internal::kill_now(places_[x.number].handle);
}

void ingress::carry_out(host_output::message& x) {
  const auto& to = places_[x.to].handle;
  if (!to) return;
  if (auto* request = std::get_if<http_request>(&x.what)) {
    const auto ticket = request->ticket;
    return internal::deliver(to, ticket, as_message(*request));
  }
  if (auto* opening = std::get_if<host_output::socket_opening>(&x.what)) {
    const auto ticket = opening->socket->ticket;
    return internal::deliver(to, ticket, as_message(*opening));
  }
  hand_over(to, x.first, std::visit([](auto& what) { return as_message(what); }, x.what));
}

caf::result<caf::actor> ingress::found(std::optional<instance_number> at) const {
  if (!at) return not_here();
  return places_[*at].handle;
}

// -- other actors -----------------------------------------------------------------

void ingress::carry_out(const host_output::outputs_closed& x) {
  if (options_.storage) internal::post(options_.storage, internal::outputs_closed{x.who});
}

void ingress::carry_out(const host_output::storage_up& x) {
  if (options_.storage) internal::post(options_.storage, internal::link_up{x.connection});
}

void ingress::carry_out(internal::processed& x) { internal::post(ack_, std::move(x)); }

void ingress::carry_out(internal::outbox_batch& x) { internal::post(outbox_, std::move(x)); }

void ingress::carry_out(const host_output::drain_outbox&) {
  internal::post(outbox_, internal::drain_outbox{caf::actor_cast<caf::actor_addr>(this)});
}

void ingress::carry_out(const host_output::ready&) {
  if (options_.on_ready) options_.on_ready();
}

void ingress::carry_out(const host_output::link_over& x) {
  if (options_.on_final) options_.on_final(x.why);
}

void ingress::carry_out(const host_output::done&) {
  if (options_.on_done) options_.on_done();
}

void ingress::carry_out(const host_output::release_memory&) {
  if (options_.release_memory) options_.release_memory();
}

// -- turns and time ---------------------------------------------------------------

void ingress::carry_out() {
  while (auto next = machine_->poll_output())
    std::visit([this](auto& what) { carry_out(what); }, *next);
}

// Outputs are handed on once everything that already waits in the mailbox was handled: one message each to ack and outbox,
// however many inputs there were.
void ingress::after_input() {
  carry_out();
  if (!std::exchange(flush_asked_, true)) internal::post(this, internal::flush{});
}

void ingress::handle_tick(std::uint64_t serial) {
  if (serial != tick_serial_) return;
  tick_at_.reset();
  machine_->expire(options_.now());
  after_input();
}

void ingress::flush() {
  flush_asked_ = false;
  launch_fresh();
  machine_->flush(options_.now());
  carry_out();
  set_timer();
  options_.counts->ingress.set(machine_->stats());
  options_.counts->ledger.set(machine_->ledger().stats());
}

// All at once: a worker that is woken for the first finds the others, instead of one wake-up for each. A large number is
// launched by a worker, because everything waits for ingress.
void ingress::launch_fresh() {
  const auto all = [](const std::vector<caf::actor>& fresh) {
    for (const auto& x : fresh) internal::post(x, internal::launch{});
  };
  if (launching_.size() <= launches_max) {
    all(launching_);
    return launching_.clear();
  }
  system().spawn<caf::hidden>(
      [all](caf::event_based_actor*, const std::vector<caf::actor>& fresh) { all(fresh); },
      std::exchange(launching_, {}));
}

void ingress::set_timer() {
  const auto next = machine_->poll_timeout();
  if (!next || (tick_at_ && *next >= *tick_at_)) return;
  tick_at_ = next;
  internal::post_later(this, timer_until(options_.now(), *next), internal::tick{++tick_serial_});
}

}  // namespace nuncio

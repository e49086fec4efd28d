// Ingress: commands, lifecycle and time. Its tunnel half stands in ingress_tunnel.cpp.
#include <fmt/format.h>

#include <caf/send.hpp>
#include <nuncio/ingress.hpp>
#include <nuncio/kill_now.hpp>
#include <nuncio/storage_messages.hpp>
#include <nuncio/time_range.hpp>

namespace nuncio {

using lifecycle::input;
using lifecycle::state;
using namespace std::chrono_literals;

namespace {

// How exactly the time of a request is kept.
constexpr duration sweep_interval = 1s;
constexpr duration drain_log_interval = 1s;

// Actors of one flush that ingress launches itself.
constexpr std::size_t launches_max = 16;

// What is remembered of requests that were aborted before they came, of messages that found no room, and of WebSockets
// that were closed here.
constexpr std::size_t early_bytes_max = 4UL << 20U;

// What a Start takes from the heap of ingress's thread, roughly (docs/benchmarks.md), and for how many it is extended.
constexpr std::size_t start_bytes = 3072;
constexpr std::size_t starts_at_once = 16;

// glibc extends the heap of any thread but the first by the page, with a system call each. Taken and given back at once,
// a larger piece is there for what comes next.
void extend_heap(std::size_t size) { ::operator delete(::operator new(size)); }

// Of the key's elements, so that each way to write it finds it.
std::size_t hash_of(std::string_view name, const actor_key& key) {
  auto out = std::hash<std::string_view>{}(name);
  for (const auto& element : key) out = out * 31 + std::hash<std::string_view>{}(element);
  return out;
}

std::string_view reason_name(protocol::stop_actor_reason x) {
  return protocol::wire_enum(x).values[static_cast<std::size_t>(x)];
}

constexpr std::string_view ends_before_start = "the host ends before the actor's next start";

// With memory of its own, as everything of a Start that lives as long as its actor.
protocol::preloaded_kv copy_of(const protocol::preloaded_kv& x) {
  const auto copied = [](const std::vector<bytes>& from) {
    std::vector<bytes> out;
    for (const auto& each : from) out.push_back(bytes::copy_of(each.span()));
    return out;
  };
  protocol::preloaded_kv out{{}, copied(x.requested_get_keys), copied(x.requested_prefixes)};
  for (const auto& each : x.entries)
    out.entries.push_back(
        {bytes::copy_of(each.key.span()),
         bytes::copy_of(each.value.span()),
         {bytes::copy_of(each.metadata.version.span()), each.metadata.update_ts}});
  return out;
}

// As it is kept with the instance, which takes instance_bytes besides (docs/benchmarks.md).
std::size_t kept_bytes(const actor_ref& who, const protocol::command_start_actor& start) {
  constexpr std::size_t instance_bytes = 4096;
  constexpr std::size_t slice_bytes = 64;  // the slice and its memory's head
  constexpr std::size_t id_copies = 16;    // with each thing that names its actor
  const auto id = who.actor.view().size();
  auto out = instance_bytes + start.config.name.size();
  if (id > actor_id::inline_bytes_max) out += id_copies * id;
  if (start.config.key) out += start.config.key->size();
  if (start.config.input) out += start.config.input->size();
  if (!start.preloaded_kv) return out;
  const auto& preloaded = *start.preloaded_kv;
  for (const auto* keys : {&preloaded.requested_get_keys, &preloaded.requested_prefixes})
    for (const auto& key : *keys) out += slice_bytes + key.size();
  for (const auto& x : preloaded.entries)
    out += 3 * slice_bytes + x.key.size() + x.value.size() + x.metadata.version.size();
  return out;
}

const std::shared_ptr<const serve_options>& default_serving() {
  static const auto defaults = std::make_shared<const serve_options>();
  return defaults;
}

}  // namespace

ingress::ingress(caf::actor_config& cfg, ingress_options options, caf::actor ack, caf::actor outbox)
    : event_based_actor(cfg),
      options_(std::move(options)),
      ack_(std::move(ack)),
      outbox_(std::move(outbox)),
      ledger_(options_.ledger),
      limiter_(options_.log),
      errors_(internal::make_error_log(options_.log)),
      gateways_(options_.upload_patience),
      requests_(
          {options_.host_requests_max, options_.host_request_bytes_max}, options_.upload_patience),
      heads_(std::make_shared<waiting_pool>(options_.host_socket_head_bytes_max)),
      waiting_(std::make_shared<waiting_pool>(options_.waiting.host_bytes_max)),
      outgoing_(std::make_shared<waiting_pool>(options_.waiting.host_bytes_max)),
      written_(std::make_shared<waiting_pool>(options_.host_request_bytes_max)),
      aborted_early_(options_.start_limit, early_bytes_max),
      // What is said while instances restore is bounded as if all were of one actor.
      absent_(
          {options_.listed_limit,
           options_.start_limit,
           options_.left_bytes_max,
           early_bytes_max,
           std::make_shared<waiting_pool>(options_.waiting.actor_bytes_max, waiting_),
           options_.waiting.socket_bytes_max}),
      own_gate_(std::make_shared<const output_gate>(0)),
      system_watch_(home_system()) {}

caf::behavior ingress::make_behavior() {
  using namespace internal;
  set_default_handler(caf::drop);
  system_watch_.begin(this, [this] {
    system_over_ = true;
    if (options_.on_system_end) options_.on_system_end();
    quit();
  });
  options_.link->greet(options_.greeting, false);
  return {
      [this](inbound_batch& x) { handle_inbound(x); },
      [this](const link_up& x) {
        flush();  // what was processed on the last connection is not acked on this one
        connection_ = x.connection;
        barrier_passed_ = false;
        held_.clear();
        requests_.handle_up(options_.now());
        doubt_clients();
      },
      [this](const link_down&) {
        held_.clear();
        requests_.handle_down();
      },
      [this](const internal::lease_ended&) {
        given_up_ = true;
        apply_to_all(input::lease_ended, "the engine was not heard of for too long");
        after_input();
      },
      [this](const link_final& x) { handle_final(x.why); },
      [this](const instance_spawned& x) {
        auto* at = find(x.who);
        if (at == nullptr) return internal::kill_now(x.handle);
        if (!lifecycle::has_actor(at->state) || at->down) return;  // it is down already
        at->handle = x.handle;
        tell_listed(*at);
        if (at->state == state::stopping) caf::anon_send(x.handle, stop_command{at->reason});
        if (at->state == state::ending || at->state == state::ending_silently)
          internal::kill_now(x.handle);
      },
      [this](const instance_started& x) {
        apply(x.who, input::started);
        after_input();
      },
      [this](const sleep_called& x) {
        apply(x.who, input::sleep_called);
        after_input();
      },
      [this](const destroy_called& x) {
        apply(x.who, input::destroy_called);
        after_input();
      },
      [this](const attempt_done& x) {
        forget_attempt(x);
        after_input();
      },
      [this](response_waits& x) {
        handle_response(x);
        after_input();
      },
      [this](const alarm_called& x) {
        say(say_alarm{x.who, x.at_ms});
        after_input();
      },
      [this](const instance_active& x) {
        if (auto* at = find(x.who)) {
          at->busy_at = std::max(at->busy_at, x.at);
          watch_idle(*at, later(at->busy_at, at->context->serving->idle_timeout));
        }
        after_input();
      },
      [this](const sockets_restored& x) {
        handle_sockets_restored(x);
        after_input();
      },
      [this](const upload_untouched& x) {
        end_upload(x.what);
        after_input();
      },
      [this](const response_begun& x) {
        handle_response_begun(x);
        after_input();
      },
      [this](const socket_accepted& x) {
        handle_socket_accepted(x);
        after_input();
      },
      [this](const socket_over& x) {
        handle_socket_over(x);
        after_input();
      },
      [this](const instance_down& x) {
        handle_down(x);
        after_input();
      },
      [this](const storage_done& x) {
        if (auto* at = find(x.who); at != nullptr && at->storing) {
          at->storing = false;
          if (at->down && at->down->empty()) at->down = x.lost;
          count_as_down(*at);
        }
        after_input();
      },
      [this](const drain& x) {
        handle_drain(x.deadline);
        after_input();
      },
      [this](const drained&) { options_.link->close(); },  // handle_final follows
      [this](const nuncio::find& q) { return found(find_keyed(q)); },
      [this](const find_id& q) {
        const auto at = slots_.find(q.id);
        return found(at == slots_.end() ? nullptr : at->second.current.get());
      },
      [this](const tick& x) { handle_tick(x.serial); },
      [this](const internal::flush&) { flush(); },
  };
}

void ingress::on_exit() {
  // The host is over: whoever is left loses its outputs and is ended without a word to the engine.
  for (auto& [id, place] : slots_) {
    if (!place.current || !place.current->handle) continue;
    place.current->context->gate.open.store(false);
    // Without a scheduler to run it, dropping the last handle ends an actor, while a message would keep it.
    if (!system_over_ || place.current->context->serving->detached)
      internal::kill_now(place.current->handle);
  }
  system_watch_.end(this);
  routes_.clear();  // first: they count in their instances
  keyed_.clear();
  slots_.clear();
  due_times_.clear();
  stalls_.clear();
  sockets_.clear();
  ack_ = nullptr;
  outbox_ = nullptr;
  options_ = {};
}

// -- from the link ----------------------------------------------------------------

void ingress::handle_inbound(inbound_batch& batch) {
  now_ = options_.now();
  if (batch.term != term_) {
    term_ = batch.term;
    own_gate_ = std::make_shared<const output_gate>(term_);
  }
  if (batch.too_long) handle_too_long(*batch.too_long);
  for (auto& message : batch.messages) {
    if (auto* tunnel = std::get_if<protocol::to_envoy_tunnel_message>(&message)) {
      handle_tunnel(*tunnel);
    } else if (auto* commands = std::get_if<protocol::to_envoy_commands>(&message)) {
      handle_commands(*commands);
    } else if (const auto* ping = std::get_if<protocol::to_envoy_ping>(&message)) {
      handle_ping(ping->ts);
    } else if (const auto* acks = std::get_if<protocol::to_envoy_ack_events>(&message)) {
      handle_acked_events(*acks);
    } else if (const auto* init = std::get_if<protocol::to_envoy_init>(&message)) {
      options_.http.response_bytes_max = init->metadata.max_response_payload_size;
    }
  }
  options_.link->grant(batch.messages.size(), batch.bytes);
  after_input();
}

void ingress::handle_commands(protocol::to_envoy_commands& frame) {
  const auto now = options_.now();
  const auto engine_now = clock_.at(now);
  // The first replay of a process may hold Starts whose age can't be told before the first Ping, which follows at once.
  if (!engine_now) {
    held_.push_back(std::move(frame));
    return;
  }
  for (auto& command : frame.commands) handle_command(command, now, *engine_now);
}

void ingress::handle_command(
    protocol::command_wrapper& command, time_point now, engine_ms engine_now) {
  const auto& at = command.checkpoint;
  const actor_ref who{at.actor_id, at.generation};
  auto* start = std::get_if<protocol::command_start_actor>(&command.inner);
  std::optional<engine_ms> created;
  if (start != nullptr) created = start->config.create_ts;
  const auto known = ledger_.newest_generation(who.actor);
  ++stats_.commands;
  const auto judged =
      ledger_.admit(at, created, engine_now, now);  // I2: recorded before anything else
  processed_.push_back(at);                         // I7: whatever the verdict
  const auto& counted = ledger_.stats();
  const auto log_odd = [&](log_level level, std::string_view what) {
    limiter_.log(
        now,
        level,
        what,
        {{"actor", who.actor.str()},
         {"generation", fmt::to_string(who.generation)},
         {"index", fmt::to_string(at.index)}});
  };
  if (std::exchange(further_starts_seen_, counted.further_starts) != counted.further_starts)
    log_odd(log_level::warning, "the engine started a generation again, which is not run");
  if (judged == verdict::duplicate || judged == verdict::superseded) return;
  if (known && *known < who.generation) {  // I11
    say(internal::superseded{who.actor, who.generation});
    if (const auto place = slots_.find(who.actor); place != slots_.end()) {
      if (place->second.next && place->second.next->who.generation < who.generation)
        apply(actor_ref{place->second.next->who}, input::superseded);
      if (place->second.current && place->second.current->who.generation < who.generation)
        apply(
            actor_ref{place->second.current->who}, input::superseded, "a newer generation exists");
    }
  }
  if (std::exchange(gaps_seen_, counted.gaps) != counted.gaps)
    log_odd(log_level::info, "the engine left out an index");
  if (judged == verdict::expired) {
    log_refused(who, created, engine_now, now);
    return;
  }
  ++stats_.dispatched;
  if (start != nullptr)
    handle_start(who, *start, now - *clock_.age(start->config.create_ts, now));
  else
    handle_stop(who, std::get<protocol::command_stop_actor>(command.inner).reason);
}

void ingress::log_refused(
    const actor_ref& who, std::optional<engine_ms> created, engine_ms engine_now, time_point now) {
  if (!created) return;
  const auto age = static_cast<double>(engine_now) / 1e3 - static_cast<double>(*created) / 1e3;
  const auto limit = std::chrono::duration<double>{options_.ledger.start_limit}.count();
  // Young, and yet not later than what is forgotten: whoever reads this can do something about it.
  const auto set_back = std::abs(age) < limit;
  limiter_.log(
      now,
      log_level::warning,
      set_back ? "a Start is not run: the engine's clock was set back, and it may be one that is "
                 "forgotten; a restart of the host helps at once"
               : "a Start is not run: the engine has given it up by now",
      {{"actor", who.actor.str()},
       {"generation", fmt::to_string(who.generation)},
       {"age_s", fmt::format("{:.1f}", age)}});
}

void ingress::handle_start(
    const actor_ref& who, protocol::command_start_actor& start, time_point allocated) {
  if (stats_.starts++ % starts_at_once == 0) extend_heap(starts_at_once * start_bytes);
  ledger_.handle_live(who);
  auto& place = slots_[who.actor];
  auto context = make_context(who, start.config);
  const auto own_max = context->serving->requests_max;
  auto made = std::make_unique<instance>(
      requests_,
      request_limits{own_max != 0 ? own_max : options_.requests_max, options_.request_bytes_max});
  made->who = who;
  made->start_bytes = kept_bytes(who, start);
  start_bytes_ += made->start_bytes;
  made->limit = later(allocated, options_.start_limit);
  made->context = std::move(context);
  if (start.preloaded_kv) made->context->preloaded = copy_of(*start.preloaded_kv);
  if (const auto& key = made->context->start.key)
    keyed_.emplace(hash_of(made->context->start.name, key_from_text(key->view())), made.get());
  ++stats_.instances;
  auto& x = *made;
  const auto* const older = place.current.get();
  auto& free = place.current ? place.next : place.current;
  free = std::move(made);
  await_sockets(x, older, start.hibernating_requests);
  set_due(x, due::start_limit, x.limit);
  if (!place.next) begin(x);
}

// Nothing older lives: the factory runs, unless the actor's last starts have failed. While it waits, it is queued.
void ingress::begin(instance& x) {
  const auto now = options_.now();
  // A Start that came late is not lost over it.
  const auto delay = std::min(starts_.delay(x.who.actor, now), until(now, x.limit) / 2);
  if (delay <= duration::zero()) return apply(x, input::older_down);
  if (draining_) return apply(x, input::deadline, std::string{ends_before_start});
  set_due(x, due::start_after_failures, delay);
}

void ingress::handle_stop(const actor_ref& who, protocol::stop_actor_reason reason) {
  ++stats_.stops;
  auto* x = find(who);
  if (x == nullptr) {
    ++stats_.orphan_stops;
    say(internal::answer_orphan_stop{who});
    ledger_.handle_gone(who, options_.now());
    return;
  }
  x->reason = reason;
  if (x->state != state::queued)
    apply(who, input::accepted);  // the engine only stops what it accepted
  if (reason == protocol::stop_actor_reason::lost)
    return apply(
        who, input::lost_command, fmt::format("the engine ended it: {}", reason_name(reason)));
  if (!may_be_asked(*x, reason)) return apply(who, input::stop_command);
  if (x->lingers) return;
  const auto now = options_.now();
  x->lingers = now + options_.stop_linger_max;
  set_due(*x, due::end_of_linger, options_.stop_linger);
}

// Whether requests that a streaming gateway sent before the engine's Stop may still come: those are answered now, or 503.
bool ingress::may_be_asked(const instance& x, protocol::stop_actor_reason reason) const {
  return streaming_gateway_ && takes_requests(x) && x.state != state::starting &&
         x.state != state::stopping && reason != protocol::stop_actor_reason::destroy;
}

bool ingress::told_to_stop(const instance& x) { return x.lingers || x.state == state::stopping; }

// `x` may be gone afterwards.
void ingress::end_linger(instance& x) {
  x.lingers.reset();
  due_times_.drop(x.times, due::end_of_linger);
  apply(x, input::stop_command);
}

void ingress::handle_acked_events(const protocol::to_envoy_ack_events& acks) {
  if (!acks.last_event_checkpoints.empty()) engine_acks_ = true;
  for (const auto& at : acks.last_event_checkpoints)
    if (at.index >= event_index_first) apply({at.actor_id, at.generation}, input::accepted);
  say(acks);
}

void ingress::handle_ping(engine_ms ts) {
  const auto now = options_.now();
  given_up_ = false;
  clock_.handle_ping(ts, now);
  for (auto& frame : std::exchange(held_, {})) handle_commands(frame);
  if (barrier_passed_) return;
  barrier_passed_ = true;
  ++stats_.barriers;
  // I14: not before, or what an instance has queued that the replay ends would still be written.
  if (options_.storage) caf::anon_send(options_.storage, internal::link_up{connection_});
  if (!std::exchange(ready_, true) && options_.on_ready) options_.on_ready();
}

void ingress::handle_final(const failure& why) {
  if (std::exchange(over_, true)) return;
  apply_to_all(input::evicted, why.message);
  flush();
  if (options_.on_final) options_.on_final(why);
  if (drain_asked_ && options_.on_done) options_.on_done();
}

void ingress::handle_drain(time_point deadline) {
  if (draining_) {
    drain_deadline_ = std::min(drain_deadline_, deadline);
    return;
  }
  draining_ = true;
  drain_deadline_ = deadline;
  drain_.log_at = options_.now() + drain_log_interval;
  auto greeting = options_.greeting;
  greeting.emplace_back(protocol::to_rivet_stopping{});
  options_.link->greet(std::move(greeting), true);
  log_to(options_.log, log_level::info, "draining", {{"actors", fmt::to_string(slots_.size())}});
  std::vector<actor_ref> waiting;
  for (auto& [id, place] : slots_) {
    if (!place.current) continue;
    if (place.current->state == state::queued) waiting.push_back(place.current->who);
    set_due(*place.current, due::drain, options_.drain_patience);
  }
  for (const auto& who : waiting) apply(who, input::deadline, std::string{ends_before_start});
}

// -- lifecycle --------------------------------------------------------------------

ingress::instance* ingress::find(const actor_ref& who) {
  const auto at = slots_.find(who.actor);
  if (at == slots_.end()) return nullptr;
  if (at->second.current && at->second.current->who.generation == who.generation)
    return at->second.current.get();
  if (at->second.next && at->second.next->who.generation == who.generation)
    return at->second.next.get();
  return nullptr;
}

void ingress::apply(const actor_ref& who, input what, std::string why) {
  if (auto* x = find(who)) apply(*x, what, std::move(why));
}

// `x` may be gone afterwards.
void ingress::apply(instance& x, input what, std::string why) {
  const auto& who = x.who;
  const auto step = lifecycle::step(x.state, what);
  if (!step) {
    limiter_.log(
        options_.now(),
        log_level::error,
        "an actor's lifecycle met what can't happen",
        {{"actor", who.actor.str()},
         {"state", std::string{to_string(x.state)}},
         {"input", std::string{to_string(what)}}});
    return;
  }
  x.state = step->to;
  // The first reason of those that change anything is what the engine is told.
  if (step->to != step->from && !why.empty() && x.why.empty()) x.why = std::move(why);
  const auto does = [&](lifecycle::action a) { return (step->actions & a) != 0; };
  if (does(lifecycle::cut)) {
    x.context->gate.open.store(false);
    if (options_.storage) caf::anon_send(options_.storage, internal::outputs_closed{who});
  }
  if (does(lifecycle::tell_stop)) {
    if (x.handle) caf::anon_send(x.handle, stop_command{x.reason});
    set_due(x, due::stop_grace, options_.stop_grace);
  }
  if (does(lifecycle::exit)) {
    abort_routes(x);
    forget_sockets(x);
    internal::kill_now(x.handle);
    set_due(x, due::end_limit, options_.end_limit);
  }
  if (does(lifecycle::abandon)) {
    ++stats_.actors_abandoned;
    log_to(
        options_.log,
        log_level::error,
        "an actor ignores its end; going on without it",
        {{"name", x.context->start.name.str()}, {"actor", who.actor.str()}, {"reason", x.why}});
  }
  if (does(lifecycle::say_running)) {
    ++stats_.actors_started;
    say(internal::say_running{who});
    due_times_.drop(x.times, due::start_limit);
    // The engine gives up what it has not accepted by its start limit (docs/design.md, the outbox).
    set_due(x, due::acceptance, x.limit);
    x.busy_at = options_.now();
    watch_idle(x, later(x.busy_at, x.context->serving->idle_timeout));
    if (draining_) set_due(x, due::drain, options_.drain_patience);
  }
  if (does(lifecycle::say_sleep) || does(lifecycle::say_destroy)) {
    const auto sleep = does(lifecycle::say_sleep);
    say(internal::say_intent{
        who,
        sleep ? protocol::actor_intent{protocol::actor_intent_sleep{}}
              : protocol::actor_intent{protocol::actor_intent_stop{}}});
  }
  if (what == input::quit || what == input::failed) {
    x.handle = nullptr;
    abort_routes(x);
    forget_sockets(x);
    if (!lifecycle::has_actor(x.state) && x.state != state::stopped)
      set_due(x, due::intent_limit, options_.intent_limit);
  }
  if (what == input::quit && step->from != state::ending && step->from != state::ending_silently)
    starts_.handle_useful(who.actor);
  if (what == input::failed && step->from != state::stopped) {
    count_failure(x, step->from);
    ++stats_.actors_failed;
    limiter_.log(
        options_.now(),
        log_level::error,
        "an actor failed",
        internal::with_reason(x.context->start, x.why));
  }
  if (does(lifecycle::stopped_ok)) say(internal::say_stopped{who, protocol::stop_code::ok, {}});
  if (does(lifecycle::stopped_error))
    say(internal::say_stopped{who, protocol::stop_code::error, x.why});
  if (does(lifecycle::spawn)) return spawn(x);
  if (x.state == state::stopped) return finish(x);
  if (x.down) count_as_down(x);
}

void ingress::apply_to_all(input what, const std::string& why) {
  std::vector<actor_ref> all;
  for (const auto& [id, place] : slots_) {
    if (place.next) all.push_back(place.next->who);
    if (place.current) all.push_back(place.current->who);
  }
  for (const auto& who : all) apply(who, what, why);
}

std::shared_ptr<instance_context> ingress::make_context(
    const actor_ref& who, const protocol::actor_config& config) {
  auto made = std::make_shared<instance_context>(term_);
  const auto named = options_.factories.find(config.name.view());
  made->serving = named != options_.factories.end() ? named->second.options : default_serving();
  // Of its own: a slice would keep the frame, which may hold the Starts of a thousand other actors, for as long as this one
  // lives.
  const auto& name = made->serving->name;
  auto& start = made->start;
  start.self = who;
  start.name = config.name == std::string_view{name}
                   ? text{made->serving, std::span<const char>{name}}
                   : text{config.name.str()};
  if (config.key) start.key = text{config.key->str()};
  if (config.input) start.input = bytes::copy_of(config.input->span());
  start.created =
      std::chrono::system_clock::time_point{std::chrono::milliseconds{config.create_ts}};
  made->link = options_.link;
  made->counts = options_.counts;
  made->now = options_.now;
  made->ingress = caf::actor_cast<caf::actor_addr>(this);
  if (options_.storage) made->storage = options_.storage.address();
  made->log = options_.log;
  made->errors = errors_;
  made->response_bytes_max = options_.http.response_bytes_max;
  made->written_bytes_max = options_.request_bytes_max;
  made->written = written_;
  made->outgoing_bytes_max = options_.waiting.actor_bytes_max;
  made->outgoing = outgoing_;
  return made;
}

void ingress::spawn(instance& x) {
  const auto name = x.context->start.name.view();
  const auto factory = options_.factories.find(name);
  if (factory == options_.factories.end()) {  // I12
    return apply(x, input::failed, fmt::format("no actor is served under the name '{}'", name));
  }
  if (start_bytes_ > options_.host_start_bytes_max)
    return apply(x, input::failed, "this host has no room for another actor");
  if (x.context->serving->detached && system().detached_actors() >= options_.detached_max)
    return apply(x, input::failed, "this host has no thread for another detached actor");
  try {
    x.handle = factory->second.make(system(), x.context, launching_);
    tell_listed(x);
  } catch (...) {  // what the user gave is copied or constructed here
    apply(
        x,
        input::failed,
        internal::hidden(*x.context, internal::describe(std::current_exception())));
  }
}

void ingress::note_use(instance& x) {
  if (!std::exchange(x.used, true)) starts_.handle_useful(x.who.actor);
}

// What fails before it was asked anything would fail again: the next start waits. What a client has made fail does not count.
void ingress::count_failure(instance& x, state from) {
  if (from != state::starting && from != state::running && from != state::accepted) return;
  if (!x.used) starts_.handle_failed(x.who.actor, options_.now());
}

// A request has come for a newer generation. `x` may be gone afterwards.
void ingress::supersede(instance& x, std::uint32_t newer) {
  const auto who = x.who;
  say(internal::superseded{
      who.actor, newer});  // or its events are kept until the newer one's Start comes
  apply(who, input::superseded, "a newer generation exists");
}

void ingress::finish(instance& x) {
  const auto at = slots_.find(x.who.actor);
  auto& place = at->second;
  const auto over = std::move(place.current.get() == &x ? place.current : place.next);
  abort_routes(*over);
  forget_sockets(*over);
  due_times_.drop_all(over->times);
  if (const auto& key = over->context->start.key) {
    auto [at_key, end] =
        keyed_.equal_range(hash_of(over->context->start.name, key_from_text(key->view())));
    while (at_key != end && at_key->second != over.get()) ++at_key;
    if (at_key != end) keyed_.erase(at_key);
  }
  if (draining_) count_drained(*over);
  --stats_.instances;
  start_bytes_ -= over->start_bytes;
  ledger_.handle_gone(over->who, options_.now());
  if (place.current) return;
  if (!place.next) {
    slots_.erase(at);
    return;
  }
  place.current = std::move(place.next);
  begin(*place.current);
}

// An actor that sleeps or stops must not cut a download that it has begun: it is down once its responses have gone out.
void ingress::handle_down(const internal::instance_down& what) {
  for (const auto& each : what.answered) forget_attempt(each);
  auto* x = find(what.who);
  if (x == nullptr || x->down) return;
  x->down = what.error;
  x->handle = nullptr;
  x->storing = what.storing;
  if (x->responses == 0 && !x->storing) return count_as_down(*x);
  abort_routes(*x, false);
  set_due(*x, due::response_grace, options_.response_grace);
}

void ingress::count_as_down(instance& x) {
  if (!x.down || x.responses != 0 || x.storing) return;
  if (x.lingers) {
    // Counts as down behind it.
    return end_linger(x);
  }
  const auto error = *std::exchange(x.down, std::nullopt);
  apply(x, error.empty() ? input::quit : input::failed, error);
}

void ingress::say(internal::outbox_input what) { said_.push_back(std::move(what)); }

// -- time ---------------------------------------------------------------------------

void ingress::set_due(instance& x, due what, duration after) {
  set_due(x, what, later(options_.now(), after));
}

void ingress::set_due(instance& x, due what, time_point at) {
  due_times_.add(x, x.times, what, at);
}

void ingress::watch_idle(instance& x, time_point at) {
  if (x.context->serving->idle_timeout.count() <= 0) return;
  set_due(x, due::idle_check, at);
}

bool ingress::is_busy(const instance& x, time_point now) const {
  if (x.responses != 0) return true;
  const auto waits = [&](const auto& attempt) {
    const auto at = routes_.find(attempt.first);
    return at != routes_.end() && may_be_there(&at->second.place.doubt(), now);
  };
  if (std::any_of(x.attempts.begin(), x.attempts.end(), waits)) return true;
  return std::any_of(x.sockets.begin(), x.sockets.end(), [&](const auto& id) {
    const auto& r = sockets_.at(id);
    return !r.hibernates && may_be_there(r.doubt.get(), now);
  });
}

// Of a client that left while the connection was down the engine never tells, and it answers to nothing that is sent there
// (docs/protocol.md): so whoever was open then and is not heard of keeps its actor awake for stall_limit more, and its place as
// long as nobody else needs it.
void ingress::doubt_clients() {
  const auto now = options_.now();
  gateways_.handle_up(now);
  for (auto& [id, r] : routes_) {
    gateways_.handle_open(id.gateway);
    r.place.handle_doubted(now);
  }
  for (auto& [id, r] : sockets_) {
    gateways_.handle_open(id.gateway);
    // One that is not restored yet is its Start's, which lists who is there.
    auto* const x = find(r.who());
    if (x == nullptr || r.restoring) continue;
    if (!r.doubt) r.doubt = std::make_unique<client_doubt>(id);
    x->doubted_sockets.add(*r.doubt, now);
    doubted_sockets_.add(*r.doubt, now);
  }
}

bool ingress::may_be_there(const client_doubt* x, time_point now) const {
  return x == nullptr || !x->since() || now < later(*x->since(), options_.stall_limit);
}

// The instance has the last word: it knows what ingress does not see.
void ingress::check_idle(instance& x, time_point now) {
  if (!lifecycle::has_actor(x.state) || x.down) return;
  const auto timeout = x.context->serving->idle_timeout;
  if (is_busy(x, now)) x.busy_at = now;
  const auto due = later(x.busy_at, timeout);
  if (due > now) return watch_idle(x, due);
  if (!x.handle) return watch_idle(x, later(now, timeout));
  // What is still open are requests of clients that are not there any more; its instance would wait for their answers.
  std::vector<exchange_id> left;
  for (const auto& [id, ticket] : x.attempts) left.push_back(id);
  for (const auto& id : left)
    if (const auto at = routes_.find(id); at != routes_.end())
      cancel_route(at, text{"its client was not heard of after a reconnect"});
  caf::anon_send(x.handle, internal::idle_probe{});  // it sleeps, or answers when to look again
}

void ingress::handle_tick(std::uint64_t serial) {
  if (serial != tick_serial_) return;
  tick_at_.reset();
  const auto now = options_.now();
  while (const auto next = due_times_.poll(
             now, [](instance & x) -> auto& { return x.times; }))
    handle_due(*next->first, next->second, now);
  advance_crowded(now);
  end_stalled(now);
  end_unaccepted(now);
  end_late(now);
  ledger_.expire(now);
  if (draining_) log_drain(now);
  if (draining_ && now >= drain_deadline_)
    apply_to_all(input::deadline, "the host's drain deadline has passed");
  // What outbox could not hand over by now, with the engine away, is not waited for.
  if (drain_asked_ && !over_ && now >= later(drain_deadline_, options_.end_limit))
    options_.link->close();
  after_input();
}

// `x` may be gone afterwards.
void ingress::handle_due(instance& x, due what, time_point now) {
  switch (what) {
    case due::start_after_failures:
      if (x.state == state::queued) apply(x, input::older_down);
      break;
    case due::start_limit:
      if (x.state == state::starting)
        apply(x, input::start_limit, "the factory took longer than the start limit");
      else if (x.state == state::queued)
        apply(x, input::start_limit, "the older generation did not end within the start limit");
      break;
    case due::acceptance:
      // In force only towards an engine that has acked an event of ours.
      if (engine_acks_)
        apply(x, input::given_up, "the engine did not accept Running in time");
      else  // the rule may come into force yet
        set_due(x, what, options_.start_limit);
      break;
    case due::idle_check:
      check_idle(x, now);
      break;
    case due::drain:
      apply(x, input::drain);
      break;
    case due::end_of_linger:
      if (const auto at = std::min(x.asked_at + options_.stop_linger, *x.lingers); at > now)
        set_due(x, what, at);
      else
        end_linger(x);
      break;
    case due::stop_grace:
      apply(x, input::stop_limit, "the actor did not stop within its grace period");
      break;
    case due::end_limit:
      if (x.state == state::ending || x.state == state::ending_silently) apply(x, input::end_limit);
      break;
    case due::intent_limit:
      if (!lifecycle::has_actor(x.state))
        apply(x, input::deadline, "the engine did not answer an intent in time");
      break;
    case due::response_grace:
      abort_routes(x);
      x.storing = false;
      count_as_down(x);
      break;
  }
}

// What inputs have produced is handed on once all that already waits in the mailbox has been dealt with: one message for
// each of ack and outbox, however many inputs there were.
void ingress::after_input() {
  if (!std::exchange(flush_asked_, true)) caf::anon_send(this, internal::flush{});
}

void ingress::flush() {
  flush_asked_ = false;
  launch_fresh();
  if (!processed_.empty())
    caf::anon_send(ack_, internal::processed{connection_, std::exchange(processed_, {})});
  if (!said_.empty()) caf::anon_send(outbox_, internal::outbox_batch{std::exchange(said_, {})});
  const auto now = options_.now();
  if (const auto times = ledger_.stats().over_cap; times != over_cap_seen_) {
    over_cap_seen_ = times;
    log_to(
        options_.log,
        log_level::warning,
        "the command ledger is above its bound, and nothing in it may be forgotten yet",
        {{"entries", fmt::to_string(ledger_.stats().entries)},
         {"bytes", fmt::to_string(ledger_.stats().bytes)}});
  }
  check_drained();
  if (release_.handle_used(waiting_->used() + requests_.bytes() + start_bytes_, now) &&
      options_.release_memory)
    options_.release_memory();
  std::optional<time_point> next;
  const auto earlier = [&](std::optional<time_point> t) {
    if (t) next = next ? std::min(*next, *t) : *t;
  };
  earlier(due_times_.poll_timeout());
  if (!stalls_.empty()) earlier(stalls_.begin()->first);
  if (!openings_.empty()) earlier(openings_.front().until);
  if (!routes_.empty() && !sweep_at_) sweep_at_ = now + sweep_interval;
  earlier(sweep_at_);
  earlier(crowded_until_);
  earlier(release_.poll_timeout());
  earlier(ledger_.poll_timeout());
  if (draining_ && !over_) {
    const auto close_at = later(drain_deadline_, options_.end_limit);
    if (!slots_.empty() && drain_deadline_ > now)
      earlier(std::min(drain_deadline_, drain_.log_at));
    else if (close_at > now)
      earlier(close_at);
  }
  if (next && (!tick_at_ || *next < *tick_at_)) {
    tick_at_ = next;
    delayed_send(this, timer_until(now, *next), internal::tick{++tick_serial_});
  }
  publish();
}

// In one go: a worker that is woken for the first finds the others, instead of being woken for each. A crowd is launched
// by a worker: ingress is the one that all wait for.
void ingress::launch_fresh() {
  const auto all = [](const std::vector<caf::actor>& fresh) {
    for (const auto& x : fresh) caf::anon_send(x, internal::launch{});
  };
  if (launching_.size() <= launches_max) {
    all(launching_);
    return launching_.clear();
  }
  system().spawn<caf::hidden>(
      [all](caf::event_based_actor*, const std::vector<caf::actor>& fresh) { all(fresh); },
      std::exchange(launching_, {}));
}

void ingress::check_drained() {
  if (!draining_ || !slots_.empty()) return;
  // An engine that has given this host up has ended by itself whatever it could still be told of.
  if (given_up_ && !over_) options_.link->close();
  if (std::exchange(drain_asked_, true)) return;
  log_to(
      options_.log,
      log_level::info,
      "drained",
      {{"slept", fmt::to_string(drain_.slept)},
       {"moved", fmt::to_string(drain_.moved)},
       {"cut", fmt::to_string(drain_.cut)}});
  if (over_) {  // nobody to tell
    if (options_.on_done) options_.on_done();
    return;
  }
  caf::anon_send(outbox_, internal::drain_outbox{caf::actor_cast<caf::actor_addr>(this)});
}

void ingress::count_drained(const instance& over) {
  if (!over.why.empty())
    ++drain_.cut;
  else if (over.reason == protocol::stop_actor_reason::going_away)
    ++drain_.moved;
  else
    ++drain_.slept;
}

void ingress::log_drain(time_point now) {
  if (now < drain_.log_at || slots_.empty()) return;
  drain_.log_at = now + drain_log_interval;
  const auto left =
      std::chrono::ceil<std::chrono::seconds>(std::max(drain_deadline_ - now, duration{}));
  log_to(
      options_.log,
      log_level::info,
      "draining",
      {{"actors", fmt::to_string(slots_.size())}, {"seconds_left", fmt::to_string(left.count())}});
}

// -- directory ----------------------------------------------------------------------

ingress::instance* ingress::find_keyed(const nuncio::find& q) {
  const auto [from, to] = keyed_.equal_range(hash_of(q.name, q.key));
  for (auto at = from; at != to; ++at) {
    const auto& start = at->second->context->start;
    const auto runs = at->second->state == state::running || at->second->state == state::accepted;
    if (runs && start.name.view() == q.name && key_from_text(start.key->view()) == q.key)
      return at->second;
  }
  return nullptr;
}

// What starts, was told to stop or is down has no handle to give.
caf::result<caf::actor> ingress::found(const instance* x) const {
  if (x == nullptr || !x->handle || x->down) return not_here();
  if (x->state != state::running && x->state != state::accepted) return not_here();
  return x->handle;
}

void ingress::publish() {
  stats_.requests_open = routes_.size();
  stats_.sockets_open = sockets_.size();
  stats_.socket_bytes_waiting = waiting_->used();
  options_.counts->ingress.set(stats_);
  options_.counts->ledger.set(ledger_.stats());
}

}  // namespace nuncio

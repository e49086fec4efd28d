// See actor_host.hpp.
#include "simulation/actor_host.hpp"

#include <fmt/format.h>

#include <nuncio/actor/access.hpp>
#include <nuncio/actor/instance_context.hpp>
#include <nuncio/tunnel/client_socket.hpp>
#include <stdexcept>

#include "simulation/gateway_model.hpp"

namespace nuncio::simulation {
namespace {

const std::chrono::system_clock::time_point far_away{std::chrono::hours{500'000}};

}  // namespace

actor_host::actor_host(host_surroundings x) : host_side(std::move(x)) { keep_time(); }

actor_host::~actor_host() {
  actors_.end();
  sim_.run();
}

std::unique_ptr<host_side> make_actor_host(host_surroundings x) {
  return std::make_unique<actor_host>(std::move(x));
}

template <class Checks>
void actor_host::watching(Checks&& checks) {
  try {
    std::forward<Checks>(checks)();
  } catch (const violated&) {
    if (!broken_) broken_ = std::current_exception();
  }
}

ingress_options actor_host::options() {
  ingress_options out;
  out.ledger = ledger_options_;
  set(out);
  // What a handler of CAF throws ends its actor and nothing else: the world must see what breaks an invariant.
  out.log = [this](log_level, std::string_view message, std::span<const log_field>) {
    if (message == "an actor's lifecycle got an input that can't happen" && !broken_)
      broken_ = std::make_exception_ptr(violated("lifecycle", std::string{message}));
  };
  out.on_judged = [this, judge = observer()](const judged_command& x) {
    watching([&] { judge(x); });
  };
  out.factories.insert_or_assign(
      "known",
      internal::served{
          internal::function_factory([this](engine_actor* self) { return guest(self); }),
          serving()});
  return out;
}

void actor_host::start() {
  actors_.spawn(
      *sim_,
      {.link = link_,
       .counts = counts_,
       .ingress = options(),
       .storage = {},
       .now = [this] { return time_.now(); },
       .detached = false,
       .on_ask = {}});
  sim_.run();
  link_->start();
}

host_machine& actor_host::machine() {
  const auto ingress_now = caf::actor_cast<caf::actor>(actors_.ingress_address());
  return static_cast<ingress*>(caf::actor_cast<caf::abstract_actor*>(ingress_now))->machine();
}

// -- from the link ------------------------------------------------------------------------

void actor_host::on_up(epoch connection) {
  handle_up(connection);
  actors_.on_up(connection);
  wake();
}

void actor_host::on_inbound(inbound_batch batch) {
  show(batch);
  actors_.on_inbound(std::move(batch));
  wake();
}

void actor_host::on_written(epoch connection, frame_class what) {
  actors_.on_written(connection, what);
  wake();
}

void actor_host::on_room(const room_waiter& who) {
  actors_.on_room(who);
  wake();
}

void actor_host::on_fence(epoch connection, std::uint64_t id) {
  actors_.on_fence(connection, id);
  wake();
}

void actor_host::on_down(epoch connection, std::string_view why, duration retry_after) {
  actors_.on_down(connection, why, retry_after);
  wake();
}

void actor_host::on_lease_ended() {
  actors_.on_lease_ended();
  wake();
}

void actor_host::on_final(const failure& why) {
  actors_.on_final(why);
  wake();
}

// -- the actors' turns ----------------------------------------------------------------------

void actor_host::keep_time() {
  if (const auto ahead = time_.now(); ahead > sim_.now())
    sim_.advance(ahead - sim_.now());
  else
    sim_.set_now(ahead);
}

void actor_host::wake() {
  time_.post(side::actors, hop_now(), [this] { run(); });
}

// A few turns, and the rest a little later: what comes meanwhile comes between.
void actor_host::run() {
  keep_time();
  auto turns = 1 + random_.below(8);
  bool more = true;
  while (turns-- != 0 && more) more = sim_.run_once();
  if (!more) check_carried_out();
  if (broken_) std::rethrow_exception(std::exchange(broken_, nullptr));
  if (more) return wake();
  arm_timer();
}

void actor_host::arm_timer() {
  const auto at = sim_.next_timer();
  if (!at) return;
  if (awake_at_ && *awake_at_ <= *at && *awake_at_ > time_.now()) return;
  awake_at_ = at;
  time_.at(std::max(*at, time_.now()), side::actors, [this] { run(); });
}

// -- what the world asks --------------------------------------------------------------------

std::optional<actor_ref> actor_host::acting(const actor_id& actor) {
  const auto at = alive_.find(actor);
  if (at == alive_.end() || !internal::access::context(*at->second).gate.open) return std::nullopt;
  return at->second->start().self;
}

void actor_host::check_empty() {
  check_ledger_empty();
  const auto o = counts_->outbox.get();
  if (o.actors != 0 || o.kept != 0 || o.bytes != 0)
    throw violated(
        "I9 bounded", fmt::format("the outbox keeps {} actors, {} events", o.actors, o.kept));
}

// -- engine actors --------------------------------------------------------------------------

void actor_host::handle_down(const actor_ref& who) {
  watch_.handle_actor_down(who);
  if (const auto at = alive_.find(who.actor); at != alive_.end() && at->second->start().self == who)
    alive_.erase(at);
}

caf::behavior actor_host::guest(engine_actor* self) {
  const auto who = self->start().self;
  watching([&] { watch_.handle_factory(who); });
  watch_.handle_speaker(internal::access::context(*self).gate, who);
  alive_[who.actor] = self;
  self->attach_functor([this, who](const caf::error&) { handle_down(who); });
  if (!calm && random_.percent(habits.throws)) throw std::runtime_error("the factory failed");
  live_on(self);
  const auto later = std::make_shared<asked_list::element_type>();
  return {
      [this, self, later](http_request& request) { return handle_request(self, later, request); },
      [this](socket_opened& x) {
        x.socket.accept({.hibernate = random_.percent(habits.hibernates), .state = {}});
      },
      [](const socket_restored&) {},
      [this, who](const socket_message& x) { hear(who, x); },
      [](const socket_closed&) {},
      [this, self, later](const std::string& what) {
        if (what == "answer") {
          const auto next = later->front();
          later->pop_front();
          answer(self, next);
        }
        if (what == "crash") throw std::runtime_error("crashed");
        if (what == "quit") self->quit();
        if (what == "sleep") self->sleep();
        if (what == "destroy") self->destroy();
        if (what == "alarm") self->set_alarm(far_away);
        if (what == "finish") self->finish();
      },
      [this, self](const stop_command&) {
        const bool slow = !calm && random_.percent(habits.slow_stop);
        if (!slow) return self->finish();
        internal::post_later(self, random_.between(1s, 25s), std::string{"finish"});
      },
  };
}

void actor_host::hear(const actor_ref& who, const socket_message& x) {
  const auto& session = internal::access::socket_of(x.socket)->session;
  const auto client = gateway_model::number(session.id().request);
  watching([&] {
    watch_.count(
        watch_.sockets().handle_said(
            client, who, gateway_model::number_in(x.data), watch_.connection()),
        session.hibernates());
  });
}

void actor_host::live_on(engine_actor* self) {
  const auto plan = [&](unsigned percent, std::string what) {
    if (calm || !random_.percent(percent)) return;
    const auto after = random_.percent(30) ? random_.between(0ms, 80ms) : random_.between(0ms, 25s);
    internal::post_later(self, after, std::move(what));
  };
  plan(habits.crashes, "crash");
  plan(habits.quits, "quit");
  plan(habits.sleeps, "sleep");
  plan(habits.destroys, "destroy");
  plan(20, "alarm");
}

// -- requests ---------------------------------------------------------------------------------

caf::result<http_response> actor_host::handle_request(
    engine_actor* self, const asked_list& later, const http_request& request) {
  const auto asked = client_request::of(request.path_only());
  const auto x = std::make_shared<asked_request>(asked_request{
      request, asked, body_check{asked}, self->make_response_promise<http_response>()});
  if (!calm && random_.percent(5)) throw std::runtime_error("a request has crashed it");
  if (!request.streamed)
    watching([&] {
      x->reads.take({request.body, true});
      watch_.count(http_row::read_whole, asked.mode);
    });
  else
    x->upload = self->on_body(request, [this, self, later, x](const request_part& part) {
      watching([&] { x->reads.take(part); });
      if (!x->reads.over()) return;
      watch_.count(part.last ? http_row::read_to_end : http_row::read_failed, x->asked.mode);
      if (!x->asked.early) answer_soon(self, later, x);
    });
  if (!request.streamed || asked.early) answer_soon(self, later, x);
  return x->promise;
}

void actor_host::answer_soon(engine_actor* self, const asked_list& later, const asked_ptr& x) {
  if (random_.percent(60)) return answer(self, x);
  later->push_back(x);
  internal::post_later(self, random_.between(0ms, 5s), std::string{"answer"});
}

void actor_host::answer(engine_actor* self, const asked_ptr& x) {
  const auto& a = x->asked;
  if (a.plan == answer_plan::fail_before) {
    watch_.count(http_row::failed_before_head, a.mode);
    x->promise.deliver(make_error(http_error{500, "on purpose"}));
    return;
  }
  if (a.plan == answer_plan::in_parts || a.plan == answer_plan::fail_midway) return stream(self, x);
  if (a.plan == answer_plan::cancel_then_whole) x->upload.cancel();
  http_response out{.status = 200, .headers = {}, .body = {}};
  if (a.response != 0) out.body = a.answer(0, a.response);
  x->promise.deliver(std::move(out));
}

void actor_host::stream(engine_actor* self, const asked_ptr& x) {
  const auto out = self->stream(x->request, {.status = 200, .headers = {}, .body = {}});
  self->on_writable(out, [this, x](const body_writer& to) { write(*x, to); });
}

void actor_host::write(asked_request& x, const body_writer& to) {
  if (!to.is_open()) return;
  const auto fails = x.asked.plan == answer_plan::fail_midway;
  const auto all = fails ? x.asked.response / 2 : x.asked.response;
  for (auto n = 1 + random_.below(4); n > 0 && x.written < all; --n) {
    const auto size =
        std::min<std::uint64_t>({to.room(), all - x.written, 1 + random_.below(200'000)});
    if (size == 0) return;
    watching([&] {
      must(
          static_cast<bool>(to.write(x.asked.answer(x.written, size))),
          "response",
          "a part within room() was refused");
    });
    x.written += size;
  }
  if (x.written != all) return;
  watch_.count(fails ? http_row::failed_midway : http_row::written_in_parts, x.asked.mode);
  fails ? to.fail("on purpose") : to.finish();
}

}  // namespace nuncio::simulation

// See watched_actors.hpp.
#include "actors/watched_actors.hpp"

namespace nuncio::test {
namespace {

void deliver_first(probe& p, const http_response& x) {
  if (p.pending.empty()) return;
  auto first = std::move(p.pending.front());
  p.pending.erase(p.pending.begin());
  first.deliver(x);
}

http_response plain(std::string body) {
  return {.status = 200, .headers = {}, .body = std::move(body)};
}

caf::result<http_response> serve(tally_actor* self, const probe_ptr& p, const http_request& r) {
  p->seen.push_back(fmt::format("{} {} {}", r.method.view(), r.path.view(), r.body.view()));
  const auto path = r.path_only();
  if (r.method == "POST") ++state_of(self).n;
  if (path == "/later") {
    p->pending.push_back(self->make_response_promise<http_response>());
    return p->pending.back();
  }
  if (path == "/throw") throw std::runtime_error("boom");
  if (path == "/throw-int") throw 7;
  if (path == "/throw-http") throw http_error{404, "no such room"};
  if (path == "/later-then-throw-http") {
    p->pending.push_back(self->make_response_promise<http_response>());
    throw http_error{409, "the room is full"};
  }
  if (path == "/http-error") return make_error(http_error{402, "no credit"});
  if (path == "/stream-then-throw-http") {
    static_cast<void>(self->stream(r, {.status = 200, .headers = {}, .body = {}}));
    throw http_error{410, "it is over"};
  }
  if (path == "/error") return caf::make_error(caf::sec::invalid_argument, "not today");
  if (path == "/quit") self->quit();
  if (path == "/quit-error") self->quit(caf::make_error(caf::sec::runtime_error, "fed up"));
  if (path == "/sleep") self->sleep();
  if (path == "/destroy") self->destroy();
  if (path == "/status") return http_response{.status = 1234, .headers = {}, .body = {}};
  if (path == "/bad-header")
    return http_response{.status = 200, .headers = {{"a b", "c"}}, .body = {}};
  if (path == "/bad-value")
    return http_response{.status = 200, .headers = {{"a", "b\r\nc: d"}}, .body = {}};
  if (path == "/large") return plain(std::string(20'971'521, 'x'));
  if (path == "/largest") return plain(std::string(20'971'520, 'x'));
  if (path == "/echo") return plain(std::string{r.body.view()});
  return plain(std::to_string(state_of(self).n));
}

}  // namespace

caf::behavior tally(tally_actor* self, probe_ptr p) {
  ++p->factories;
  p->selves.emplace_back(self);
  self->attach_functor([p](const caf::error&) { ++p->ended; });
  return {
      [=](const http_request& r) { return serve(self, p, r); },
      [=](int add) { state_of(self).n += add; },
      [=](const http_response& x) { deliver_first(*p, x); },
  };
}

caf::behavior stubborn(tally_actor* self, probe_ptr p) {
  ++p->factories;
  p->selves.emplace_back(self);
  self->attach_functor([p](const caf::error&) { ++p->ended; });
  return {
      [=](const http_request& r) { return serve(self, p, r); },
      [=](const nuncio::stop_command& x) { p->told.push_back(x.reason); },
      [=](const std::string& order) {
        if (order == "quit") self->quit();
        if (order == "destroy") self->destroy();
        if (order == "sleep") self->sleep();
        if (order == "throw") throw std::runtime_error("in a message");
      },
      [=](const http_response& x) { deliver_first(*p, x); },
  };
}

caf::behavior deaf(engine_actor*) {
  return {[](int) {}};
}

caf::behavior broken_factory(engine_actor*) { throw std::runtime_error("no luck"); }

caf::behavior delegating(engine_actor* self, caf::actor worker) {
  return {[=](const http_request& r) { return self->delegate(worker, r.path.str()); }};
}

caf::behavior sleepy(engine_actor* self, bool quits) {
  if (quits)
    self->quit();
  else
    self->sleep();
  return {[](const http_request&) { return http_response{}; }};
}

caf::behavior with_broken_state(caf::stateful_actor<broken_state, engine_actor>*) {
  return {[](const http_request&) { return http_response{}; }};
}

room::room(caf::actor_config& cfg, probe_ptr p, bool throws)
    : engine_actor(cfg), probe_(std::move(p)) {
  ++probe_->factories;
  if (throws) throw std::runtime_error("the room is full");
}

caf::behavior room::make_behavior() {
  return {[this](const http_request& r) {
    return http_response{
        .status = 200,
        .headers = {},
        .body = fmt::format(
            "{} {} {}", r.path.view(), start().self.actor.view(), start().self.generation)};
  }};
}

hosted::hosted(ingress_options options) : host(std::move(options)) {
  host.serve("echo", tally, p);
  host.serve("stubborn", stubborn, p);
  host.serve("deaf", deaf);
  host.serve("broken", broken_factory);
  host.serve("broken state", with_broken_state);
  host.serve("sleepy", sleepy, false);
  host.serve("quitter", sleepy, true);
  host.serve<room>("room", p, false);
  host.serve<room>("full room", p, true);
}

hosted::~hosted() {
  p->selves.clear();
  p->pending.clear();
  host.end();
  p->pending.clear();
}

void hosted::answer(std::string body, std::uint16_t status, std::size_t actor) {
  caf::anon_send(
      p->selves.at(actor), http_response{.status = status, .headers = {}, .body = std::move(body)});
  host.settle();
}

}  // namespace nuncio::test

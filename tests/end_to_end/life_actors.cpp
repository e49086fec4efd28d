// See life_actors.hpp.
#include "life_actors.hpp"

#include <fmt/format.h>

#include <caf/all.hpp>
#include <condition_variable>
#include <map>
#include <mutex>
#include <nuncio/host.hpp>
#include <nuncio/messages_lifecycle.hpp>
#include <set>

namespace nuncio::e2e {
namespace {

// By actor id, which no two cases share.
struct life_board {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::vector<std::string>> stops;
  std::set<std::string> open;
};

life_board& board() {
  static life_board it;
  return it;
}

http_response told(const engine_actor* self) {
  return {.status = 200, .headers = {}, .body = std::to_string(self->start().self.generation)};
}

void note_stop(const engine_actor* self, const stop_command& why) {
  const auto name = wire_enum(why.reason).values[static_cast<std::size_t>(why.reason)];
  const std::lock_guard guard{board().mutex};
  board().stops[self->start().self.actor.str()].emplace_back(name);
}

struct brief_state {
  std::shared_ptr<const void> awake;
  std::vector<caf::typed_response_promise<http_response>> never;
};

caf::behavior brief(caf::stateful_actor<brief_state, engine_actor>* self) {
  return {
      [self](const http_request& r) -> caf::result<http_response> {
        const auto path = r.path_only();
        if (path == "/keep") state_of(self).awake = self->keep_awake();
        if (path == "/let-go") state_of(self).awake.reset();
        if (path == "/destroy") self->destroy();
        if (path == "/never")
          return state_of(self).never.emplace_back(self->make_response_promise<http_response>());
        if (path == "/quit-error")
          self->quit(caf::make_error(caf::sec::runtime_error, "brief quit as asked"));
        if (path == "/message") caf::anon_send(caf::actor{self}, std::string{"throw"});
        return told(self);
      },
      [](const std::string&) { throw std::runtime_error{"brief threw on a plain message"}; },
      [self](const stop_command& why) {
        note_stop(self, why);
        self->finish();
      }};
}

// Reads all, and answers nothing.
caf::behavior listener(caf::stateful_actor<brief_state, engine_actor>* self) {
  return {[self](const http_request& r) -> caf::result<http_response> {
    static_cast<void>(self->on_body(r, [](const request_part&) {}));
    return state_of(self).never.emplace_back(self->make_response_promise<http_response>());
  }};
}

caf::behavior gate(engine_actor* self) {
  return {[self](const http_request& r) {
    const auto path = r.path_only();
    if (!path.starts_with("/wait")) return told(self);
    std::unique_lock guard{board().mutex};
    board().changed.wait_for(guard, std::chrono::seconds{20}, [&] {
      return board().open.count(self->start().self.actor.str()) != 0;
    });
    if (path == "/wait-throw") throw std::runtime_error{"gate threw as asked"};
    if (path == "/wait-quit") self->quit();
    return told(self);
  }};
}

struct late_state {
  int seen = 0;
};

caf::behavior late(caf::stateful_actor<late_state, engine_actor>* self) {
  self->kv().get("anything").await([](const std::optional<bytes>&) {});
  return {[self](const http_request&) {
    return http_response{
        .status = 200,
        .headers = {},
        .body = fmt::format("{} {}", ++state_of(self).seen, self->start().self.generation)};
  }};
}

struct timeless_state {
  int alarms = 0;
};

caf::behavior timeless(caf::stateful_actor<timeless_state, engine_actor>* self) {
  return {
      [self](const http_request& r) {
        using time = std::chrono::system_clock::time_point;
        const auto path = r.path_only();
        if (path == "/min") self->set_alarm(time::min());
        if (path == "/max") self->set_alarm(time::max());
        if (path == "/sleep") self->sleep();
        return http_response{
            .status = 200,
            .headers = {},
            .body = fmt::format("{} {}", state_of(self).alarms, self->start().self.generation)};
      },
      [self](const alarm_due&) { ++state_of(self).alarms; }};
}

}  // namespace

void serve_life_actors(host& to) {
  to.serve(
      serve_options{
          .name = "brief",
          .idle_timeout = std::chrono::seconds{1},
          .request_timeout = std::chrono::milliseconds{500}},
      brief);
  to.serve(
      serve_options{
          .name = "listener", .stream_requests = true, .request_timeout = std::chrono::seconds{2}},
      listener);
  to.serve(serve_options{.name = "gate", .detached = true}, gate);
  to.serve("late", late);
  to.serve("timeless", timeless);
}

std::vector<std::string> stops_told(const std::string& actor_id) {
  const std::lock_guard guard{board().mutex};
  return board().stops[actor_id];
}

void let_go(const std::string& actor_id) {
  {
    const std::lock_guard guard{board().mutex};
    board().open.insert(actor_id);
  }
  board().changed.notify_all();
}

}  // namespace nuncio::e2e

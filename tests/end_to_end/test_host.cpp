// See test_host.hpp.
#include "test_host.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <caf/all.hpp>
#include <condition_variable>
#include <csignal>
#include <map>
#include <mutex>
#include <nuncio/host.hpp>
#include <nuncio/tunnel/waiting_room.hpp>
#include <random>
#include <utility>

#include "bystander_actors.hpp"
#include "edge_actors.hpp"
#include "life_actors.hpp"
#include "probe_actor.hpp"
#include "sample_actors.hpp"
#include "storage_actors.hpp"

namespace nuncio::e2e {

using namespace std::chrono_literals;

namespace {

struct shared_log {
  void write(log_level level, std::string_view message, std::span<const log_field> fields) {
    if (level == log_level::debug) return;
    auto line = fmt::format("{} {}", static_cast<int>(level), message);
    for (const auto& f : fields) line += fmt::format(" {}={}", f.name, f.value);
    const std::lock_guard guard{mutex};
    if (text.size() < 20'000) text += line + '\n';
  }

  std::mutex mutex;
  std::string text;
};

struct probe_state {
  std::uint64_t n = 0;
  std::string instance;
  std::uint64_t next_slow = 0;
  bool told_to_stop = false;
  std::map<std::uint64_t, caf::typed_response_promise<http_response>> slow{};
  std::vector<caf::typed_response_promise<http_response>> held{};
};

// Who holds a request, told to stop or not.
struct holders {
  void add(const std::string& id, caf::actor_addr who) {
    const std::lock_guard guard{mutex};
    by_id.insert_or_assign(id, std::move(who));
  }

  caf::actor_addr of(const std::string& id) {
    const std::lock_guard guard{mutex};
    const auto at = by_id.find(id);
    return at == by_id.end() ? caf::actor_addr{} : at->second;
  }

  std::mutex mutex;
  std::map<std::string, caf::actor_addr> by_id;
};

using probe_actor = caf::stateful_actor<probe_state, engine_actor>;

http_response say(const probe_actor* self, std::string body) {
  return {
      .status = 200,
      .headers =
          {{"x-generation", std::to_string(self->start().self.generation)},
           {"x-instance", state_of(self).instance}},
      .body = std::move(body)};
}

std::uint64_t number_in(const http_request& r) {
  const auto at = r.path.view().find('=');
  return at == std::string_view::npos ? 0 : std::stoull(std::string{r.path.view().substr(at + 1)});
}

std::uint64_t digest(const bytes& x) {
  std::uint64_t out = 14695981039346656037ULL;
  for (const auto byte : x) out = (out ^ byte) * 1099511628211ULL;
  return out;
}

caf::behavior probe(
    probe_actor* self,
    const std::shared_ptr<start_census>& census,
    const std::shared_ptr<std::atomic<std::uint64_t>>& calls,
    const std::shared_ptr<holders>& held) {
  census->count(self->start().self);
  state_of(self).instance = fmt::format("{:08x}", std::random_device{}());
  const auto answer = [self](auto& promise) {
    promise.deliver(say(self, std::to_string(state_of(self).n)));
  };
  const auto quit_if_over = [self] {
    const auto& x = state_of(self);
    if (x.told_to_stop && x.slow.empty() && x.held.empty()) self->quit();
  };
  const auto end_slow = [=](std::uint64_t id) {
    auto waiting = state_of(self).slow.extract(id);
    if (!waiting.empty()) answer(waiting.mapped());
    quit_if_over();
  };
  const auto stop = [=](const stop_command&) {
    state_of(self).told_to_stop = true;
    quit_if_over();
  };
  const auto handle = [=](const http_request& r) -> caf::result<http_response> {
    const auto path = r.path_only();
    auto& n = state_of(self).n;
    if (path == "/increment") ++n;
    if (path == "/n" || path == "/increment") return say(self, std::to_string(n));
    if (path == "/generation") return say(self, std::to_string(self->start().self.generation));
    if (path == "/calls") return say(self, std::to_string(*calls));
    if (path == "/digest")
      return say(self, fmt::format("{} {:016x}", r.body.size(), digest(r.body)));
    if (path == "/big") {
      ++*calls;
      return say(self, std::string(number_in(r), 'x'));
    }
    if (path == "/throw") {
      ++*calls;
      throw std::runtime_error{"probe threw on request"};
    }
    if (path == "/fail") return caf::make_error(caf::sec::runtime_error, "probe failed on request");
    if (path == "/quit") self->quit();
    if (path == "/sleep") self->sleep();
    if (path == "/destroy") self->destroy();
    if (path == "/quit-unanswered") {
      auto never = self->make_response_promise<http_response>();
      self->quit();
      return never;
    }
    if (path == "/slow") {
      const auto id = ++state_of(self).next_slow;
      auto later = self->make_response_promise<http_response>();
      state_of(self).slow.emplace(id, later);
      self->delayed_send(self, std::chrono::milliseconds{number_in(r)}, id);
      return later;
    }
    if (path == "/hold") {
      held->add(self->start().self.actor.str(), self->address());
      return state_of(self).held.emplace_back(self->make_response_promise<http_response>());
    }
    return say(self, "ok");
  };
  const auto name_itself = [=](const std::string& said) {
    if (said == "release") {
      for (auto& x : std::exchange(state_of(self).held, {})) answer(x);
      quit_if_over();
    }
    return self->start().self.actor.str();
  };
  return {handle, end_slow, stop, name_itself};
}

// Throws before there is a behavior.
caf::behavior thrower(engine_actor*) { throw std::runtime_error{"the factory of thrower threw"}; }

// Stops its own host from within a handler.
caf::behavior stopper(engine_actor* self, host* own) {
  return {[=](const http_request& r) {
    if (r.path_only() == "/stop") own->stop();
    return http_response{
        .status = 200, .headers = {}, .body = std::to_string(self->start().self.generation)};
  }};
}

// What holds the detached actors of a case until a pooled one lets them go.
struct turnstile {
  void open() {
    {
      const std::lock_guard guard{mutex};
      is_open = true;
    }
    changed.notify_all();
  }

  bool pass(std::chrono::milliseconds limit) {
    std::unique_lock guard{mutex};
    ++waiting;
    changed.notify_all();
    return changed.wait_for(guard, limit, [&] { return is_open; });
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool is_open = false;
  int waiting = 0;
};

http_response thread_or_wait(const http_request& r, turnstile& at) {
  if (r.path_only() == "/wait")
    return {
        .status = static_cast<std::uint16_t>(at.pass(20s) ? 200 : 500), .headers = {}, .body = {}};
  return {.status = 200, .headers = {}, .body = fmt::format("{}", ::gettid())};
}

// Blocks its thread until the turnstile opens.
caf::behavior blocker(engine_actor* self, const std::shared_ptr<turnstile>& at) {
  return {
      [=](const http_request& r) {
        if (r.path_only() != "/broadcast") return thread_or_wait(r, *at);
        self->broadcast(bytes{std::string(number_in(r), 'x')});
        return http_response{.status = 200, .headers = {}, .body = {}};
      },
      [](const socket_opened& s) { s.socket.accept(); },
      [at](const socket_message& m) {
        if (m.socket.path() == "/websocket/wait") static_cast<void>(at->pass(20s));
        m.socket.send(m.data, m.binary);
      }};
}

class blocking_room : public engine_actor {
public:
  blocking_room(caf::actor_config& cfg, std::shared_ptr<turnstile> at)
      : engine_actor(cfg), at_(std::move(at)) {}

  caf::behavior make_behavior() override {
    return {[this](const http_request& r) { return thread_or_wait(r, *at_); }};
  }

private:
  std::shared_ptr<turnstile> at_;
};

// GET /waiting: how many detached actors wait; anything else lets them go.
caf::behavior doorman(engine_actor*, const std::shared_ptr<turnstile>& at) {
  return {[at](const http_request& r) {
    const auto counts = r.path_only() == "/waiting";
    if (!counts) at->open();
    const std::lock_guard guard{at->mutex};
    return http_response{.status = 200, .headers = {}, .body = fmt::format("{}", at->waiting)};
  }};
}

struct system_config : caf::actor_system_config {
  system_config() { recommended(*this); }
};

}  // namespace

struct test_host::impl {
  explicit impl(host_setup setup) : system(config), the_host(system, options_of(std::move(setup))) {
    serve_samples(the_host, census);
    the_host.serve("probe", probe, census, calls, held);
    the_host.serve("thrower", thrower);
    the_host.serve("stopper", stopper, &the_host);
    serve_storage_actors(the_host);
    serve_life_actors(the_host);
    serve_edge_actors(the_host);
    serve_bystander_actors(the_host);
    serve_probe(the_host, census, "outside");
    the_host.serve("doorman", doorman, at);
    the_host.serve(
        {.name = "blocker",
         .detached = true,
         .socket_waiting_bytes_max = 1024 * (waiting_message_bytes + 1)},
        blocker,
        at);
    the_host.serve<blocking_room>({.name = "blocking room", .detached = true}, at);
  }

  host_options options_of(host_setup setup) {
    host_options out;
    out.endpoint = std::move(setup.endpoint);
    out.pool = std::move(setup.pool);
    out.namespace_name = std::move(setup.namespace_name);
    out.envoy_key = std::move(setup.envoy_key);
    out.protocol_version = setup.protocol_version;
    out.requests_max = setup.requests_max;
    out.links = setup.links;
    out.drain_timeout = setup.drain_timeout;
    out.stall_limit = setup.stall_limit;
    out.stop_grace = setup.stop_grace;
    out.ledger.forget_after = setup.forget_after;
    out.storage.timeout = setup.storage_timeout;
    out.socket.ping_after = setup.ping_after;
    out.socket.hangup_after = setup.hangup_after;
    if (setup.message_bytes_max) out.socket.message_bytes_max = *setup.message_bytes_max;
    out.tls = std::move(setup.tls);
    out.token = std::move(setup.token);
    out.token_from = std::move(setup.token_from);
    out.policy = setup.policy;
    out.log = [log = log, on_log = std::move(setup.on_log)](
                  log_level level, std::string_view message, std::span<const log_field> fields) {
      log->write(level, message, fields);
      if (on_log) on_log(message);
    };
    out.on_ready = [this] {
      {
        const std::lock_guard guard{mutex};
        ready = true;
      }
      changed.notify_all();
    };
    return out;
  }

  std::shared_ptr<shared_log> log = std::make_shared<shared_log>();
  std::shared_ptr<start_census> census = std::make_shared<start_census>();
  std::shared_ptr<holders> held = std::make_shared<holders>();
  std::shared_ptr<std::atomic<std::uint64_t>> calls =
      std::make_shared<std::atomic<std::uint64_t>>(0);
  std::shared_ptr<turnstile> at = std::make_shared<turnstile>();
  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  bool ready = false;
  system_config config;
  caf::actor_system system;
  host the_host;
};

test_host::test_host(host_setup setup) : impl_(std::make_unique<impl>(std::move(setup))) {
  const auto started = impl_->the_host.start();
  if (!started) FAIL("the host does not start: " << started.error().message);
}

test_host::~test_host() = default;

int run_host(const std::string& endpoint, const std::string& pool) {
  const test_host running{{.endpoint = endpoint, .pool = pool}};
  if (!running.await_ready()) return 1;
  fmt::print("ready\n");
  std::fflush(stdout);
  while (true) ::pause();
}

int run_signalled_host(const std::string& endpoint, const std::string& pool) {
  caf::actor_system_config config;
  recommended(config);
  caf::actor_system system{config};
  host_options options{.endpoint = endpoint, .pool = pool};
  options.token_from = [signalled = false]() mutable -> outcome<std::string> {
    if (!std::exchange(signalled, true)) {
      std::raise(SIGTERM);
      std::raise(SIGINT);
    }
    return std::string{};
  };
  host signalled{system, std::move(options)};
  signalled.serve("thrower", thrower);
  return signalled.run_until_signal();
}

bool test_host::await_ready(std::chrono::milliseconds limit) const {
  std::unique_lock guard{impl_->mutex};
  return impl_->changed.wait_for(guard, limit, [&] { return impl_->ready; });
}

std::optional<failure> test_host::await_end(std::chrono::milliseconds limit) const {
  return impl_->the_host.wait_ended(limit);
}

void test_host::stop() { impl_->the_host.stop(); }

void test_host::abort() { impl_->the_host.abort(); }

bool test_host::release(const std::string& id) {
  const auto whom = caf::actor_cast<caf::actor>(impl_->held->of(id));
  if (whom) caf::anon_send(whom, std::string{"release"});
  return static_cast<bool>(whom);
}

host& test_host::application_host() { return impl_->the_host; }

caf::actor_system& test_host::system() { return impl_->system; }

// An ingress publishes in a message to itself that follows what it has dealt with: that comes before the second answer.
host_stats test_host::stats() const {
  caf::scoped_actor self{impl_->system};
  for (int i = 0; i < 2; ++i)
    self->request(impl_->the_host.directory(), 1s, find_id{actor_id{"none"}})
        .receive([](const caf::actor&) {}, [](const caf::error&) {});
  return impl_->the_host.stats();
}

std::string test_host::envoy_key() const { return impl_->the_host.envoy_key(); }

std::uint64_t test_host::factory_calls() const { return impl_->census->calls(); }

std::uint64_t test_host::factory_calls_repeated() const { return impl_->census->repeated(); }

void test_host::count_factory_call(const std::string& id, std::uint32_t generation) {
  impl_->census->count({actor_id{id}, generation});
}

std::string test_host::log() const {
  const std::lock_guard guard{impl_->log->mutex};
  return impl_->log->text;
}

}  // namespace nuncio::e2e

// Puts the parts together: link, ingress, ack, outbox; their beginning and their end.
#include <fmt/format.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <caf/all.hpp>
#include <condition_variable>
#include <mutex>
#include <nuncio/ack.hpp>
#include <nuncio/host.hpp>
#include <nuncio/ingress.hpp>
#include <nuncio/outbox.hpp>
#include <random>
#include <thread>

namespace nuncio {

using namespace std::chrono_literals;

namespace {

std::string random_key() {
  std::random_device random;
  return fmt::format("nuncio-{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

outcome<void> check_key(std::string_view key) {
  const auto good = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
  };
  if (key.size() >= 3 && key.size() <= 128 && std::all_of(key.begin(), key.end(), good)) return {};
  return failure{
      errc::invalid_argument,
      fmt::format("envoy_key '{}': must be 3 to 128 of letters, digits, '-' and '_'", key)};
}

// Hands what the link's thread says to the actors.
struct bridge final : link_listener {
  caf::actor ingress, ack, outbox;

  void on_up(epoch connection) override { to_all(internal::link_up{connection}); }

  void on_inbound(inbound_batch batch) override { caf::anon_send(ingress, std::move(batch)); }

  void on_written(epoch connection, frame_class what) override {
    if (what == frame_class::ack) caf::anon_send(ack, internal::link_written{connection, what});
    if (what == frame_class::events) caf::anon_send(outbox, internal::link_written{connection, what});
  }

  void on_fence(epoch connection, std::uint64_t id) override {
    caf::anon_send(outbox, internal::link_fence{connection, id});
  }

  void on_down(epoch connection, std::string_view why, duration) override {
    to_all(internal::link_down{connection, std::string{why}});
  }

  void on_lease_ended() override { caf::anon_send(ingress, internal::lease_ended{}); }

  void on_final(const failure& why) override { caf::anon_send(ingress, internal::link_final{why}); }

  template <class T>
  void to_all(const T& x) {
    for (const auto& to : {ingress, ack, outbox}) caf::anon_send(to, x);
  }
};

// Signals reach a process, not an object: one eventfd for all.
int signal_fd() {
  static const int fd = eventfd(0, EFD_CLOEXEC);
  return fd;
}

extern "C" void handle_signal(int) {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = write(signal_fd(), &one, sizeof one);
}

}  // namespace

void recommended(caf::actor_system_config& config) {
#if CAF_VERSION < 1800
  config.set("scheduler.policy", caf::atom("sharing"));
  config.set("scheduler.max-threads", std::max<std::size_t>(2, std::thread::hardware_concurrency()));
  config.set("scheduler.max-throughput", std::size_t{50});
#else
  config.set("caf.scheduler.policy", "sharing");
  config.set("caf.scheduler.max-threads", std::max<std::size_t>(2, std::thread::hardware_concurrency()));
  config.set("caf.scheduler.max-throughput", std::size_t{50});
#endif
}

struct host::impl : std::enable_shared_from_this<impl> {
  enum class phase : std::uint8_t { idle, running, stopping, stopped };

  impl(caf::actor_system& sys, host_options opts) : system(&sys), options(std::move(opts)) {
    if (options.envoy_key.empty()) options.envoy_key = random_key();
  }

  outcome<link_options> checked() const {
    auto endpoint = parse_endpoint(options.endpoint);
    if (!endpoint) return endpoint.error();
    if (auto key = check_key(options.envoy_key); !key) return key.error();
    if (options.pool.empty() || options.pool.size() > 128)
      return failure{errc::invalid_argument, "pool: must have 1 to 128 characters"};
    if (options.namespace_name.empty())
      return failure{errc::invalid_argument, "namespace_name: must not be empty"};
    const auto v = options.protocol_version;
    if (v < wire::version_min || v > wire::version_max || v == 7)
      return failure{
          errc::invalid_argument,
          fmt::format("protocol_version {}: must be 3, 4, 5, 6 or 8", v)};
    link_options out;
    out.target.endpoint = *endpoint;
    out.target.namespace_name = options.namespace_name;
    out.target.pool = options.pool;
    out.target.envoy_key = options.envoy_key;
    out.target.token = options.token;
    out.target.actors_version = options.actors_version;
    out.target.protocol_version = v;
    out.socket = options.socket;
    out.policy = options.policy;
    if (out.policy.seed == 0) out.policy.seed = std::random_device{}();
    out.lease = options.lease;
    out.log = options.log;
    return out;
  }

  outcome<void> start() {
    const std::lock_guard alone{starting};
    auto checked_options = checked();
    if (!checked_options) return checked_options.error();
    {
      const std::lock_guard guard{mutex};
      if (now_in != phase::idle)
        return failure{errc::refused, "this host was started or stopped before"};
      now_in = phase::running;
    }
    the_link = std::make_shared<link>(to_actors, *checked_options);
    engine_access access{checked_options->target.endpoint, options.namespace_name, options.token};
    ingress_options to;
    to.factories = std::move(factories);
    to.link = the_link;
    to.counts = counts;
    to.log = options.log;
    to.ledger = options.ledger;
    to.stop_grace = options.stop_grace;
    to.requests_max = options.requests_max;
    protocol::to_rivet_metadata metadata;
    metadata.prepopulate_actor_names.emplace();
    for (const auto& [name, make] : to.factories)
      metadata.prepopulate_actor_names->entries.emplace_back(name, protocol::actor_name{"{}"});
    to.greeting.emplace_back(std::move(metadata));
    to.on_ready = options.on_ready;
    to.on_final = [self = weak_from_this()](const failure& why) {
      if (const auto x = self.lock()) x->set_final(why);
    };
    to.on_done = [self = weak_from_this()] {
      if (const auto x = self.lock()) x->set_done();
    };
    to.on_system_end = [self = weak_from_this()] {
      if (const auto x = self.lock()) x->end(true);
    };
    to_actors.ack = system->spawn<ack, caf::hidden>(the_link, counts);
    to_actors.outbox = system->spawn<outbox, caf::hidden>(the_link, counts);
    to_actors.ingress =
        options.ingress_detached
            ? system->spawn<ingress, caf::hidden + caf::detached>(
                  std::move(to), to_actors.ack, to_actors.outbox)
            : system->spawn<ingress, caf::hidden>(std::move(to), to_actors.ack, to_actors.outbox);
    client = std::make_shared<http_client>();
    api.emplace(*client, access);
    ensure_pool(100ms);
    return {};
  }

  // Asks for the pool until the engine answers, then lets the link dial.
  void ensure_pool(std::chrono::milliseconds retry) {
    std::shared_ptr<http_client> kept;
    {
      const std::lock_guard guard{mutex};
      if (now_in != phase::running) return;
      kept = client;
    }
    api->ensure_pool(options.pool, [self = weak_from_this(), retry](outcome<bool> made) {
      const auto x = self.lock();
      if (!x) return;
      x->pool_answered(std::move(made), retry);
    });
  }

  void pool_answered(outcome<bool> made, std::chrono::milliseconds retry) {
    const std::lock_guard guard{mutex};
    if (now_in != phase::running) return;
    if (made) {
      if (*made) log_to(options.log, log_level::info, "created the pool", {{"pool", options.pool}});
      if (auto started = the_link->start(); !started)
        caf::anon_send(to_actors.ingress, internal::link_final{started.error()});
      else
        link_started = true;
      return;
    }
    const auto& why = made.error();
    if (why.code != errc::unreachable && why.code != errc::timed_out) {
      caf::anon_send(to_actors.ingress, internal::link_final{{errc::refused, why.message}});
      return;
    }
    log_to(
        options.log,
        log_level::warning,
        "the pool can't be set up yet; trying again",
        {{"endpoint", options.endpoint}, {"reason", why.message}, {"retry_ms", fmt::to_string(retry.count())}});
    // One short-lived actor for each wait: the client's thread must not block.
    system->spawn<caf::hidden>(
        [retry](caf::event_based_actor* timer, const std::weak_ptr<impl>& self) -> caf::behavior {
          timer->delayed_send(timer, retry, internal::tick{});
          return {[self, retry, timer](const internal::tick&) {
            if (const auto x = self.lock())
              x->ensure_pool(std::min<std::chrono::milliseconds>(retry * 2, 5s));
            timer->quit();
          }};
        },
        weak_from_this());
  }

  void set_final(const failure& why) {
    {
      const std::lock_guard guard{mutex};
      if (!final) final = why;
    }
    log_to(
        options.log,
        why.code == errc::cancelled ? log_level::info : log_level::error,
        "the link to the engine is over",
        {{"code", std::string{to_string(why.code)}}, {"reason", why.message}});
    changed.notify_all();
  }

  void set_done() {
    {
      const std::lock_guard guard{mutex};
      done = true;
    }
    changed.notify_all();
  }

  void stop(std::chrono::milliseconds limit) {
    bool drains = false;
    { const std::lock_guard alone{starting}; }  // a start() on another thread is whole by then
    {
      std::unique_lock guard{mutex};
      if (now_in == phase::stopped) return;
      if (now_in == phase::stopping) {
        changed.wait_for(guard, limit + 10s, [&] { return now_in == phase::stopped; });
        return;
      }
      drains = now_in == phase::running && link_started && limit.count() > 0;
      const auto was = now_in;
      now_in = phase::stopping;
      if (was == phase::idle) {
        now_in = phase::stopped;
        return;
      }
    }
    if (drains) {
      caf::anon_send(to_actors.ingress, internal::drain{boot_clock::now() + limit});
      if (internal::on_instance_thread()) {
        // It can't wait for itself: the drain goes on, and the host's owner ends it.
        const std::lock_guard guard{mutex};
        now_in = phase::running;
        return;
      }
      // Beyond the deadline actors get their end, the link its flush.
      const auto all = limit + options.socket.close_limit + 5s;
      std::unique_lock guard{mutex};
      if (!changed.wait_for(guard, all, [&] { return done || now_in == phase::stopped; }))
        log_to(options.log, log_level::warning, "the drain did not end in time; ending all the same");
    }
    end(false);
  }

  /// @param system_over  the actor system is shutting down: no message may be left in a mailbox that nobody empties,
  ///                     and all handles go
  void end(bool system_over) {
    const std::lock_guard alone{ending};
    {
      const std::lock_guard guard{mutex};
      if (now_in == phase::stopped) return;
      if (system_over && !final) final = failure{errc::cancelled, "the actor system ended before the host"};
    }
    std::shared_ptr<http_client> last;
    {
      const std::lock_guard guard{mutex};
      last = std::move(client);
    }
    last.reset();  // no callback from here on
    the_link->stop();
    if (!system_over)
      for (const auto& x : {to_actors.ingress, to_actors.ack, to_actors.outbox})
        caf::anon_send_exit(x, caf::exit_reason::kill);
    to_actors.ingress = to_actors.ack = to_actors.outbox = nullptr;
    {
      const std::lock_guard guard{mutex};
      now_in = phase::stopped;
    }
    changed.notify_all();
  }

  caf::actor_system* system;
  host_options options;
  internal::factories factories;
  std::shared_ptr<counters> counts = std::make_shared<counters>();
  bridge to_actors;
  std::shared_ptr<link> the_link;
  std::shared_ptr<http_client> client;
  std::optional<engine_api> api;

  std::mutex starting, ending;
  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  phase now_in = phase::idle;
  bool link_started = false;
  bool done = false;
  std::optional<failure> final;
};

host::host(caf::actor_system& system, host_options options)
    : impl_(std::make_shared<impl>(system, std::move(options))) {}

host::~host() { stop(); }

void host::add(std::string name, internal::factory make) {
  impl_->factories.insert_or_assign(std::move(name), std::move(make));
}

outcome<void> host::start() { return impl_->start(); }

void host::stop() { impl_->stop(impl_->options.drain_timeout); }

void host::abort() { impl_->stop(0ms); }

std::optional<failure> host::ended() const {
  const std::lock_guard guard{impl_->mutex};
  return impl_->final;
}

std::optional<failure> host::wait_ended(std::chrono::milliseconds limit) const {
  std::unique_lock guard{impl_->mutex};
  impl_->changed.wait_for(guard, limit, [&] { return impl_->final.has_value(); });
  return impl_->final;
}

int host::run_until_signal() {
  const int fd = signal_fd();
  struct sigaction action {};
  action.sa_handler = handle_signal;
  struct sigaction old_int {}, old_term {};
  sigaction(SIGINT, &action, &old_int);
  sigaction(SIGTERM, &action, &old_term);
  const auto restore = [&] {
    sigaction(SIGINT, &old_int, nullptr);
    sigaction(SIGTERM, &old_term, nullptr);
  };
  if (auto started = start(); !started) {
    restore();
    log_to(impl_->options.log, log_level::error, started.error().message);
    return started.error().code == errc::invalid_argument ? 2 : 1;
  }
  // One thread waits for signals, so that this one can also wait for the host's own end.
  std::thread waiter{[this, fd] {
    std::uint64_t n = 0;
    while (read(fd, &n, sizeof n) != sizeof n) {
    }
    bool first = false;
    {
      const std::lock_guard guard{impl_->mutex};
      first = !impl_->final;
    }
    if (!first) return;
    std::thread second{[fd] {
      std::uint64_t m = 0;
      if (read(fd, &m, sizeof m) == sizeof m && m != (std::uint64_t{1} << 32U)) _exit(1);
    }};
    stop();
    const std::uint64_t enough = std::uint64_t{1} << 32U;
    [[maybe_unused]] const auto w = write(fd, &enough, sizeof enough);
    second.join();
  }};
  std::optional<failure> why;
  {
    std::unique_lock guard{impl_->mutex};
    impl_->changed.wait(
        guard, [&] { return impl_->final || impl_->now_in == impl::phase::stopped; });
    why = impl_->final;
  }
  if (why && why->code != errc::cancelled) {
    const std::uint64_t wake = std::uint64_t{1} << 32U;
    [[maybe_unused]] const auto n = write(fd, &wake, sizeof wake);
  }
  waiter.join();
  restore();
  stop();
  if (!why || why->code == errc::cancelled) return 0;
  return why->code == errc::refused || why->code == errc::evicted ? 3 : 1;
}

host_stats host::stats() const {
  const auto& x = *impl_;
  host_stats out;
  out.ingress = x.counts->ingress.get();
  out.ledger = x.counts->ledger.get();
  out.outbox = x.counts->outbox.get();
  if (x.the_link) out.link = x.the_link->stats();
  out.acks_sent = x.counts->acks_sent;
  out.ack_frames = x.counts->ack_frames;
  out.acks_pending = x.counts->acks_pending;
  out.responses = x.counts->responses;
  out.engine_acks_events = x.counts->engine_acks;
  return out;
}

const std::string& host::envoy_key() const { return impl_->options.envoy_key; }

}  // namespace nuncio

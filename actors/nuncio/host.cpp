// The beginning and the end of a host: bundles, the pool, signals.
#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <caf/all.hpp>
#include <condition_variable>
#include <mutex>
#include <nuncio/bundle.hpp>
#include <nuncio/directory_actor.hpp>
#include <nuncio/error_category.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/host.hpp>
#include <nuncio/number_range.hpp>
#include <nuncio/time_range.hpp>
#include <random>
#include <thread>

namespace nuncio {

using namespace std::chrono_literals;

namespace {

// More ingresses than that help no machine.
constexpr std::size_t links_max = 64;
// The engine gives up what has not been Running for so long after its allocation (docs/protocol.md F.3).
constexpr auto engine_start_limit = 30s;

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

outcome<void> check_numbers(const host_options& o) {
  return check_ranges(
      {count_range("links", o.links, 1, links_max),
       time_range("drain_timeout", o.drain_timeout, 0, day_ms),
       time_range("stop_grace", o.stop_grace, 0, day_ms),
       count_range("requests_max", o.requests_max, 1, many),
       time_range("stall_limit", o.stall_limit, 1, day_ms),
       time_range("upload_patience", o.upload_patience, 1, day_ms),
       count_range("waiting.socket_bytes_max", o.waiting.socket_bytes_max, 1, many),
       count_range("waiting.actor_bytes_max", o.waiting.actor_bytes_max, 0, many),
       count_range("waiting.host_bytes_max", o.waiting.host_bytes_max, 0, many),
       count_range("waiting.socket_bytes_reserved", o.waiting.socket_bytes_reserved, 0, UINT32_MAX),
       time_range("storage.timeout", o.storage.timeout, 1, day_ms),
       time_range(
           "storage.end_grace", o.storage.end_grace, 0, ms_of(ingress_options{}.response_grace)),
       count_range("storage.actor_requests_max", o.storage.actor_requests_max, 1, many),
       count_range("storage.actor_bytes_max", o.storage.actor_bytes_max, 1, many),
       count_range("storage.host_requests_max", o.storage.host_requests_max, 1, many),
       count_range("storage.host_bytes_max", o.storage.host_bytes_max, 1, many),
       // The longest answer has room beside what an actor has dealt with and not told: else what it asks for next would wait
       // for ever.
       count_range(
           "storage.actor_answer_bytes_max",
           o.storage.actor_answer_bytes_max,
           answer_bytes_longest + answer_overhead + answer_bytes_untold_max,
           many),
       // Who keeps all that it may, and awaits the longest answer there is, leaves as much to others.
       count_range(
           "storage.host_answer_bytes_max",
           o.storage.host_answer_bytes_max,
           2 * (static_cast<double>(o.storage.actor_answer_bytes_max) + answer_bytes_longest +
                answer_overhead),
           many),
       // What actors that have gone quiet have not told takes nothing of what all share.
       count_range(
           "storage.answer_bytes_reserved",
           o.storage.answer_bytes_reserved,
           answer_bytes_untold_max,
           UINT32_MAX),
       count_range("ledger.bytes_max", o.ledger.bytes_max, 1, many),
       time_range("ledger.forget_after", o.ledger.forget_after, 0, day_ms),
       time_range("ledger.start_limit", o.ledger.start_limit, 1, ms_of(engine_start_limit)),
       time_range("ledger.keep_min", o.ledger.keep_min, 0, day_ms),
       time_range("socket.connect_limit", o.socket.connect_limit, 1, day_ms),
       time_range("socket.close_limit", o.socket.close_limit, 0, day_ms),
       time_range("socket.ping_after", o.socket.ping_after, 0, day_ms),
       time_range("socket.hangup_after", o.socket.hangup_after, 0, day_ms),
       count_range("socket.message_bytes_max", o.socket.message_bytes_max, 1024, many),
       count_range("socket.fragment_bytes", o.socket.fragment_bytes, 0, many),
       time_range("lease.margin", o.lease.margin, 0, day_ms),
       time_range("lease.end_limit", o.lease.end_limit, 0, day_ms),
       time_range("policy.first_delay", o.policy.first_delay, 1, day_ms),
       time_range("policy.delay_max", o.policy.delay_max, ms_of(o.policy.first_delay), day_ms),
       time_range("policy.slow_delay", o.policy.slow_delay, 1, day_ms),
       time_range("policy.proven_after", o.policy.proven_after, 0, day_ms),
       time_range("policy.first_words_limit", o.policy.first_words_limit, 1, day_ms),
       time_range(
           "policy.first_words_limit_max",
           o.policy.first_words_limit_max,
           ms_of(o.policy.first_words_limit),
           day_ms),
       count_range("policy.replay_bytes_max", o.policy.replay_bytes_max, 1, many)});
}

outcome<void> check(const serve_options& o) {
  if (o.name.empty())
    return failure{errc::invalid_argument, "serve: the name of an actor must not be empty"};
  return check_ranges(
      {time_range("idle_timeout", o.idle_timeout, 0, day_ms),
       time_range("request_timeout", o.request_timeout, 0, day_ms),
       count_range("requests_max", o.requests_max, 0, many),
       count_range("socket_waiting_bytes_max", o.socket_waiting_bytes_max, 0, many),
       count_range("socket_unsent_bytes_max", o.socket_unsent_bytes_max, 1, many)},
      fmt::format("serve '{}': ", o.name));
}

// Signals reach a process, not an object: one eventfd for all. It holds the sum of what was written
// since it was last read: one for each signal, and no_more_signals at the end.
constexpr std::uint64_t no_more_signals = std::uint64_t{1} << 32U;

int signal_fd() {
  static const int fd = eventfd(0, EFD_CLOEXEC);
  return fd;
}

// In an actor of its own: it looks through all that the allocator keeps, which takes milliseconds. Not a detached one: CAF
// 0.17 may wait for ever for the thread of one that ends at once, when the system ends.
void release_memory(caf::actor_system& system) {
#ifdef __GLIBC__
  system.spawn<caf::hidden>([](caf::event_based_actor*, int) { malloc_trim(0); }, 0);
#else
  static_cast<void>(system);
#endif
}

extern "C" void handle_signal(int) {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = write(signal_fd(), &one, sizeof one);
}

}  // namespace

void recommended(caf::actor_system_config& config) {
  internal::print_errors(config);
  const auto threads = std::max<std::size_t>(2, std::thread::hardware_concurrency());
#if NUNCIO_CAF_1
  config.set("caf.scheduler.policy", "sharing");
  config.set("caf.scheduler.max-threads", threads);
  config.set("caf.scheduler.max-throughput", std::size_t{50});
#else
  config.set("scheduler.policy", caf::atom("sharing"));
  config.set("scheduler.max-threads", threads);
  config.set("scheduler.max-throughput", std::size_t{50});
#endif
}

struct host::impl : std::enable_shared_from_this<impl> {
  enum class phase : std::uint8_t { idle, running, stopping, stopped };

  impl(caf::actor_system& sys, host_options opts) : system(&sys), options(std::move(opts)) {
    const auto& fixed = options.envoy_key;
    for (std::size_t i = 0; i < std::clamp<std::size_t>(options.links, 1, links_max); ++i) {
      if (fixed.empty())
        keys.push_back(random_key());
      else
        keys.push_back(options.links < 2 ? fixed : fmt::format("{}-{}", fixed, i + 1));
    }
  }

  outcome<link_options> checked() const {
    auto where = parse_endpoint(options.endpoint);
    if (!where) return where.error();
    if (auto good = check_numbers(options); !good) return good.error();
    for (const auto& key : keys)
      if (auto good = check_key(key); !good) return good.error();
    if (options.pool.empty() || options.pool.size() > 128)
      return failure{errc::invalid_argument, "pool: must have 1 to 128 characters"};
    if (options.namespace_name.empty())
      return failure{errc::invalid_argument, "namespace_name: must not be empty"};
    const auto v = options.protocol_version;
    if (v != 0 && !speaks_protocol_version(v))
      return failure{
          errc::invalid_argument,
          fmt::format(
              "protocol_version {}: must be {}, or 0 to ask the engine",
              v,
              spoken_protocol_versions())};
    if (auto good = check(options.tls); !good) return good.error();
    if (!options.token_from)
      if (auto token = parse_token(options.token); !token) return token.error();
    link_options out;
    out.target.endpoint = *where;
    out.target.namespace_name = options.namespace_name;
    out.target.pool = options.pool;
    out.target.token_renewable = options.token_from != nullptr;
    out.target.actors_version = options.actors_version;
    out.socket = options.socket;
    out.socket.trust = options.tls;
    out.policy = options.policy;
    out.lease = options.lease;
    out.log = options.log;
    return out;
  }

  serve_result add(serve_options how, internal::factory make) {
    auto taken = take(how, std::move(make));
    if (!taken && taken.error().code == errc::refused)
      log_to(options.log, log_level::error, taken.error().message);
    return taken;
  }

  serve_result take(serve_options& how, internal::factory make) {
    const std::lock_guard guard{mutex};
    auto name = how.name;
    if (now_in != phase::idle)
      return failure{
          errc::refused, fmt::format("serve '{}': this host was started or stopped before", name)};
    auto good = check(how);
    if (good && factories.contains(name))
      good = failure{
          errc::invalid_argument, fmt::format("serve '{}': this name is served already", name)};
    if (!good) {
      if (!not_served) not_served = good.error();
      return good.error();
    }
    factories.emplace(std::move(name), internal::served{std::move(make), std::move(how)});
    return {};
  }

  outcome<void> start() {
    const std::lock_guard alone{starting};
    auto checked_options = checked();
    if (!checked_options) return checked_options.error();
    if (auto token = read_token(); !token) return token.error();
    {
      const std::lock_guard guard{mutex};
      if (now_in != phase::idle)
        return failure{errc::refused, "this host was started or stopped before"};
      if (not_served) return *not_served;
      if (factories.empty())
        return failure{errc::invalid_argument, "nothing is served: call serve() before start()"};
      now_in = phase::running;
    }
    const auto for_ingress = ingress_side();
    std::vector<std::unique_ptr<bundle>> made;
    for (const auto& key : keys) {
      bundle_options of;
      of.link = *checked_options;
      of.ingress = for_ingress;
      of.storage.namespace_name = options.namespace_name;
      of.storage.limits = options.storage;
      of.link.target.envoy_key = key;
      if (of.link.policy.seed == 0) of.link.policy.seed = std::random_device{}();
      of.on_ask = [self = weak_from_this(), i = made.size()] {
        if (const auto x = self.lock()) x->answer_link(i);
      };
      made.push_back(std::make_unique<bundle>(*system, std::move(of)));
    }
    {
      const std::lock_guard guard{mutex};
      bundles = std::move(made);
    }
    endpoint = checked_options->target.endpoint;
    internal::serve_directory to;
    for (const auto& each : bundles) to.ingresses.push_back(each->ingress_address());
    internal::post(the_directory(), std::move(to));
    client = std::make_shared<http_client>(http_client_options{.tls = options.tls});
    prepare(100ms);
    return {};
  }

  caf::actor the_directory() {
    const std::lock_guard guard{mutex};
    if (!directory && now_in != phase::stopped) directory = internal::spawn_directory(*system);
    return directory;
  }

  outcome<std::string> read_token() {
    const std::lock_guard alone{token_mutex};
    return read_token_alone();
  }

  outcome<std::string> read_token_alone() {
    auto token = nuncio::read_token(options.token_from, options.token);
    if (token) last_token = *token;
    return token;
  }

  // Whether the source gives another token than the last time. Not for while the links run, which ask themselves.
  bool token_has_changed() {
    if (!options.token_from) return false;
    const std::lock_guard alone{token_mutex};
    const auto before = last_token;
    const auto now = read_token_alone();
    return now && *now != before;
  }

  [[nodiscard]] engine_access access(std::string token) const {
    return {endpoint, options.namespace_name, std::move(token)};
  }

  // What the engine is to be dialled with, as far as is known now: the token as it is, the version
  // as the engine says. `then` is called once, perhaps at once.
  void ask_terms(std::function<void(outcome<dial_terms>)> then) {
    auto token = read_token();
    if (!token) return then(token.error());
    if (options.protocol_version != 0) {
      dialled_version = options.protocol_version;
      return then(dial_terms{options.protocol_version, std::move(*token)});
    }
    std::shared_ptr<http_client> kept;
    {
      const std::lock_guard guard{mutex};
      kept = client;
    }
    if (!kept) return then(failure{errc::cancelled, "the host is over"});
    engine_api{*kept, access(*token)}.get_metadata(
        [self = weak_from_this(), token = *token, then = std::move(then)](
            outcome<engine_metadata> said) {
          if (!said) return then(said.error());
          auto version = choose_protocol_version(said->envoy_protocol_version);
          if (!version) return then(version.error());
          if (const auto x = self.lock()) x->dialled_version = *version;
          then(dial_terms{*version, token});
        });
  }

  // A link's word is answered on whatever thread knows.
  void answer_link(std::size_t i) {
    ask_terms([self = weak_from_this(), i](outcome<dial_terms> terms) {
      const auto x = self.lock();
      if (!x) return;
      if (!terms) return x->bundles[i]->renew(terms.error());
      // An engine that has begun anew has no pools. Whatever comes of it, the link dials again and sees.
      const auto known = *terms;
      x->ensure_pool(known, [self, i, known](const outcome<void>&) {
        if (const auto y = self.lock()) y->bundles[i]->renew(known);
      });
    });
  }

  ingress_options ingress_side() {
    ingress_options to;
    to.factories = std::move(factories);
    to.log = options.log;
    to.ledger = options.ledger;
    to.ledger.key_had_a_past = !options.envoy_key.empty();
    to.stop_grace = saturated<duration>(options.stop_grace);
    to.requests_max = options.requests_max;
    to.waiting = options.waiting;
    to.release_memory = [sys = system] { release_memory(*sys); };
    to.stall_limit = saturated<duration>(options.stall_limit);
    to.upload_patience = saturated<duration>(options.upload_patience);
    protocol::to_rivet_metadata metadata;
    metadata.prepopulate_actor_names.emplace();
    for (const auto& [name, from] : to.factories)
      metadata.prepopulate_actor_names->entries.emplace_back(name, protocol::actor_name{"{}"});
    to.greeting.emplace_back(std::move(metadata));
    const auto self = weak_from_this();
    to.on_ready = [self] {
      if (const auto x = self.lock()) x->count_ready();
    };
    to.on_final = [self](const failure& why) {
      if (const auto x = self.lock()) x->set_final(why);
    };
    to.on_done = [self] {
      if (const auto x = self.lock()) x->count_done();
    };
    to.on_system_end = [self] {
      if (const auto x = self.lock()) x->end(true);
    };
    return to;
  }

  // Asks the engine until it answers, then lets the links dial.
  void prepare(std::chrono::milliseconds retry) {
    {
      const std::lock_guard guard{mutex};
      if (now_in != phase::running) return;
    }
    ask_terms([self = weak_from_this(), retry](outcome<dial_terms> terms) {
      const auto x = self.lock();
      if (!x) return;
      if (!terms) return x->prepared(terms.error(), retry);
      const auto known = *terms;
      x->ensure_pool(known, [self, known, retry](const outcome<void>& made) {
        const auto y = self.lock();
        if (!y) return;
        if (made)
          y->prepared(known, retry);
        else
          y->prepared(made.error(), retry);
      });
    });
  }

  // `then` is called once, unless the host is over.
  void ensure_pool(const dial_terms& terms, std::function<void(outcome<void>)> then) {
    std::shared_ptr<http_client> kept;
    {
      const std::lock_guard guard{mutex};
      if (now_in != phase::running) return;
      kept = client;
    }
    engine_api{*kept, access(terms.token)}.ensure_pool(
        options.pool, [self = weak_from_this(), then = std::move(then)](outcome<bool> made) {
          const auto x = self.lock();
          if (!x) return;
          if (!made) return then(made.error());
          if (*made)
            log_to(
                x->options.log, log_level::info, "created the pool", {{"pool", x->options.pool}});
          then({});
        });
  }

  void prepared(outcome<dial_terms> terms, std::chrono::milliseconds retry) {
    // A token may be renewed just between its reading and the engine's look at it.
    const bool renewed = !terms && terms.error().code == errc::refused && token_has_changed();
    const std::lock_guard guard{mutex};
    if (now_in != phase::running) return;
    if (terms) {
      for (const auto& each : bundles) each->start(*terms);
      links_started = true;
      return;
    }
    const auto& why = terms.error();
    // A namespace may still be created: an engine in its first second has none at all.
    const auto may_pass =
        why.code == errc::unreachable || why.code == errc::timed_out || why.code == errc::not_found;
    if (!may_pass && !renewed) {
      for (const auto& each : bundles) each->fail({errc::refused, why.message});
      return;
    }
    log_to(
        options.log,
        log_level::warning,
        "the engine can't be asked yet; trying again",
        {{"endpoint", options.endpoint},
         {"reason", why.message},
         {"retry_ms", fmt::to_string(retry.count())}});
    // One short-lived actor for each wait: the client's thread must not block.
    system->spawn<caf::hidden>(
        [retry](caf::event_based_actor* timer, const std::weak_ptr<impl>& self) -> caf::behavior {
          internal::post_later(timer, retry, internal::tick{});
          return {[self, retry, timer](const internal::tick&) {
            if (const auto x = self.lock())
              x->prepare(std::min<std::chrono::milliseconds>(retry * 2, 5s));
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
        {{"endpoint", options.endpoint},
         {"pool", options.pool},
         {"code", std::string{to_string(why.code)}},
         {"reason", why.message}});
    changed.notify_all();
  }

  void count_ready() {
    {
      const std::lock_guard guard{mutex};
      if (++ready != bundles.size()) return;
    }
    changed.notify_all();
    if (options.on_ready) options.on_ready();
  }

  void count_done() {
    {
      const std::lock_guard guard{mutex};
      ++done;
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
        if (internal::on_instance_thread()) return;  // who stops waits for this actor
        changed.wait_for(guard, waitable(limit) + 10s, [&] { return now_in == phase::stopped; });
        return;
      }
      drains = now_in == phase::running && links_started && limit.count() > 0;
      const auto was = now_in;
      now_in = phase::stopping;
      if (was == phase::idle) {
        now_in = phase::stopped;
        return;
      }
    }
    if (drains) {
      {
        const std::lock_guard alone{ending};
        for (const auto& each : bundles) each->drain(later(boot_clock::now(), limit));
      }
      if (internal::on_instance_thread()) {
        // It can't wait for itself: the drain goes on, and the host's owner ends it.
        const std::lock_guard guard{mutex};
        now_in = phase::running;
        return;
      }
      // Beyond the deadline actors get their end, the link its flush.
      const auto all = waitable(limit) + waitable(options.socket.close_limit) + 5s;
      std::unique_lock guard{mutex};
      if (!changed.wait_for(
              guard, all, [&] { return done == bundles.size() || now_in == phase::stopped; }))
        log_to(
            options.log, log_level::warning, "the drain did not end in time; ending all the same");
    }
    end(false);
  }

  /// @param system_over  the actor system is shutting down: no message may be left in a mailbox
  /// that nobody empties,
  ///                     and all handles go
  void end(bool system_over) {
    { const std::lock_guard alone{starting}; }
    const std::lock_guard alone{ending};
    {
      const std::lock_guard guard{mutex};
      if (now_in == phase::stopped) return;
      now_in = phase::stopping;
      if (system_over && !final)
        final = failure{errc::cancelled, "the actor system ended before the host"};
    }
    std::shared_ptr<http_client> last;
    {
      const std::lock_guard guard{mutex};
      last = std::move(client);
    }
    last.reset();  // no callback from here on
    for (const auto& each : bundles) each->end(system_over);
    {
      const std::lock_guard guard{mutex};
      directory = nullptr;  // no handle may outlive the actor system
      now_in = phase::stopped;
    }
    changed.notify_all();
  }

  caf::actor_system* system;
  host_options options;
  internal::factories factories;                 // under `mutex` until the start
  std::optional<failure> not_served;             // what serve() refused first
  std::vector<std::string> keys;                 // one for each link
  std::vector<std::unique_ptr<bundle>> bundles;  // set once, by start()
  std::shared_ptr<http_client> client;
  engine_endpoint endpoint;  // set once, by start()
  caf::actor directory;      // made when it is first needed; ends when nobody refers to it
  std::atomic<std::uint16_t> dialled_version = 0;
  std::mutex token_mutex;  // one reader at a time
  std::string last_token;

  std::mutex starting, ending;
  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  phase now_in = phase::idle;
  bool links_started = false;
  std::size_t ready = 0, done = 0;  ///< bundles that are
  std::optional<failure> final;
};

host::host(caf::actor_system& system, host_options options)
    : impl_(std::make_shared<impl>(system, std::move(options))) {}

host::~host() { stop(); }

serve_result host::add(serve_options how, internal::factory make) {
  return impl_->add(std::move(how), std::move(make));
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
  impl_->changed.wait_for(guard, waitable(limit), [&] { return impl_->final.has_value(); });
  return impl_->final;
}

outcome<void> host::wait_ready(std::chrono::milliseconds limit) const {
  const auto& x = *impl_;
  const auto is_ready = [&] { return !x.bundles.empty() && x.ready == x.bundles.size(); };
  std::unique_lock guard{x.mutex};
  x.changed.wait_for(guard, waitable(limit), [&] {
    return is_ready() || x.final || x.now_in == impl::phase::stopped;
  });
  if (x.final) return *x.final;
  if (x.now_in == impl::phase::stopped) return failure{errc::cancelled, "the host was stopped"};
  if (is_ready()) return {};
  return failure{
      errc::timed_out,
      fmt::format("the host was not ready within {} ms; its log says why", limit.count())};
}

int host::run_until_signal() {
  const int fd = signal_fd();

  struct sigaction action {};

  action.sa_handler = handle_signal;

  struct sigaction old_int {
  }, old_term{};

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
  // One thread waits for signals, so that this one can wait for the host's own end too, and a second signal is seen while it
  // stops the host.
  bool told_to_stop = false;
  std::thread waiter{[this, fd, &told_to_stop] {
    std::uint64_t signals = 0, sum = 0;
    while (sum < no_more_signals) {
      if (read(fd, &sum, sizeof sum) != sizeof sum) {
        sum = 0;
        continue;
      }
      signals += sum % no_more_signals;  // one read may take several
      if (signals > 1) _exit(1);
      if (signals == 0) continue;
      {
        const std::lock_guard guard{impl_->mutex};
        told_to_stop = true;
      }
      impl_->changed.notify_all();
    }
  }};
  {
    std::unique_lock guard{impl_->mutex};
    impl_->changed.wait(guard, [&] {
      return told_to_stop || impl_->final || impl_->now_in == impl::phase::stopped;
    });
  }
  stop();
  const auto why = ended();
  restore();
  [[maybe_unused]] const auto n = write(fd, &no_more_signals, sizeof no_more_signals);
  waiter.join();
  if (!why || why->code == errc::cancelled) return 0;
  return why->code == errc::refused || why->code == errc::evicted ? 3 : 1;
}

host_stats host::stats() const {
  host_stats out;
  const std::lock_guard guard{impl_->mutex};
  for (const auto& each : impl_->bundles) each->add_to(out);
  return out;
}

caf::actor host::directory() const { return impl_->the_directory(); }

caf::actor host::client() const {
  const auto& o = impl_->options;
  auto made = spawn_client(
      *impl_->system,
      {.endpoint = o.endpoint,
       .namespace_name = o.namespace_name,
       .pool = o.pool,
       .token = o.token,
       .token_from = o.token_from,
       .tls = o.tls});
  return made ? *made : nullptr;
}

std::uint16_t host::protocol_version() const { return impl_->dialled_version; }

const std::string& host::envoy_key() const { return impl_->keys.front(); }

}  // namespace nuncio

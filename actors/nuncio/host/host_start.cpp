// How a host begins: the served actors, the dial terms, the pool, the links.
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <caf/all.hpp>
#include <nuncio/client/directory_actor.hpp>
#include <nuncio/client/error_category.hpp>
#include <nuncio/host/host_impl.hpp>
#include <nuncio/host/host_option_checks.hpp>
#include <nuncio/support/time_range.hpp>
#include <random>

namespace nuncio {

using namespace std::chrono_literals;

namespace {

// The replies have a few hundred bytes. JSON takes up to sixty times its length in memory.
constexpr std::size_t api_reply_bytes_max = 1UL << 20U;

std::string random_key() {
  std::random_device random;
  return fmt::format("nuncio-{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

// In its own actor: it goes through all memory that the allocator keeps, which takes milliseconds. Not a detached one: if the
// system ends, CAF 0.17 may wait for ever for the thread of a detached actor that ends at once.
void release_memory(caf::actor_system& system) {
#ifdef __GLIBC__
  system.spawn<caf::hidden>([](caf::event_based_actor*, int) { malloc_trim(0); }, 0);
#else
  static_cast<void>(system);
#endif
}

}  // namespace

host::impl::impl(caf::actor_system& sys, host_options opts)
    : system(&sys), options(std::move(opts)) {
  const auto& fixed = options.envoy_key;
  for (std::size_t i = 0; i < std::clamp<std::size_t>(options.links, 1, links_max); ++i) {
    if (fixed.empty())
      keys.push_back(random_key());
    else
      keys.push_back(options.links < 2 ? fixed : fmt::format("{}-{}", fixed, i + 1));
  }
}

outcome<link_options> host::impl::checked() const {
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

serve_result host::impl::add(serve_options how, internal::factory make) {
  auto taken = take(how, std::move(make));
  if (!taken && taken.error().code == errc::refused)
    log_to(options.log, log_level::error, taken.error().message);
  return taken;
}

serve_result host::impl::take(serve_options& how, internal::factory make) {
  const std::lock_guard guard{mutex};
  auto name = how.name;
  if (now_in != phase::idle)
    return failure{
        errc::refused, fmt::format("serve '{}': this host was started or stopped before", name)};
  auto good = check(how);
  if (good && factories.contains(name))
    good = failure{
        errc::invalid_argument, fmt::format("serve '{}': this name is already served", name)};
  if (!good) {
    if (!not_served) not_served = good.error();
    return good.error();
  }
  factories.emplace(std::move(name), internal::served{std::move(make), std::move(how)});
  return {};
}

outcome<void> host::impl::start() {
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
  client = std::make_shared<http_client>(
      http_client_options{.body_bytes_max = api_reply_bytes_max, .tls = options.tls});
  prepare(100ms);
  return {};
}

outcome<std::string> host::impl::read_token() {
  const std::lock_guard alone{token_mutex};
  return read_token_alone();
}

outcome<std::string> host::impl::read_token_alone() {
  auto token = nuncio::read_token(options.token_from, options.token);
  if (token) last_token = *token;
  return token;
}

bool host::impl::token_has_changed() {
  if (!options.token_from) return false;
  const std::lock_guard alone{token_mutex};
  const auto before = last_token;
  const auto now = read_token_alone();
  return now && *now != before;
}

void host::impl::ask_terms(std::function<void(outcome<dial_terms>)> then) {
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

void host::impl::answer_link(std::size_t i) {
  ask_terms([self = weak_from_this(), i](outcome<dial_terms> terms) {
    const auto x = self.lock();
    if (!x) return;
    if (!terms) return x->bundles[i]->renew(terms.error());
    // A restarted engine has no pools. Whatever the result, the link dials again and finds out.
    const auto known = *terms;
    x->ensure_pool(known, [self, i, known](const outcome<void>&) {
      if (const auto y = self.lock()) y->bundles[i]->renew(known);
    });
  });
}

ingress_options host::impl::ingress_side() {
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

void host::impl::prepare(std::chrono::milliseconds retry) {
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

void host::impl::ensure_pool(const dial_terms& terms, std::function<void(outcome<void>)> then) {
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
          log_to(x->options.log, log_level::info, "created the pool", {{"pool", x->options.pool}});
        then({});
      });
}

void host::impl::prepared(outcome<dial_terms> terms, std::chrono::milliseconds retry) {
  // A token may be renewed between the read and the engine's check.
  const bool renewed = !terms && terms.error().code == errc::refused && token_has_changed();
  const std::lock_guard guard{mutex};
  if (now_in != phase::running) return;
  if (terms) {
    for (const auto& each : bundles) each->start(*terms);
    links_started = true;
    return;
  }
  const auto& why = terms.error();
  // The namespace may still be created: in its first second an engine has none.
  const auto may_pass =
      why.code == errc::unreachable || why.code == errc::timed_out || why.code == errc::not_found;
  if (!may_pass && !renewed) {
    for (const auto& each : bundles) each->fail({errc::refused, why.message});
    return;
  }
  log_to(
      options.log,
      log_level::warning,
      "the engine is not ready yet; trying again",
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

engine_access host::impl::access(std::string token) const {
  return {endpoint, options.namespace_name, std::move(token)};
}

}  // namespace nuncio

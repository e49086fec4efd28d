// See simulated_host.hpp: the parts, and how time passes.
#include <fmt/format.h>

#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <cstdlib>
#include <nuncio/actor_requests.hpp>
#include <nuncio/detail/wire.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/host/counters.hpp>
#include <nuncio/host/driven_system.hpp>
#include <nuncio/host/host_actors.hpp>
#include <nuncio/host/kill_now.hpp>
#include <nuncio/host/served.hpp>
#include <nuncio/testing/simulated_host.hpp>
#include <stdexcept>

#include "engine/engine_run.hpp"
#include "simulation/simulated_client.hpp"
#include "simulation/simulated_link.hpp"

namespace nuncio::testing {
namespace {

using namespace std::chrono_literals;

constexpr auto pool = "default";

/// The parts of a host: destroyed and made again by kill().
struct life {
  life(
      caf::actor_system& system,
      engine::engine_run& run,
      simulated_link_options to,
      host_actors_options options)
      : link(std::make_shared<simulated_link>(actors, run, std::move(to))) {
    counts = options.counts;
    options.link = link;
    actors.spawn(system, std::move(options));
  }

  ~life() {
    link->end();
    actors.end();
  }

  host_actors actors;
  std::shared_ptr<counters> counts;
  std::shared_ptr<simulated_link> link;
};

}  // namespace

struct simulated_host::implementation final : simulated_world {
  explicit implementation(simulation_options o)
      : options(std::move(o)),
        random(options.seed),
        run(
            dev_engine_options{
                .streaming = options.streaming,
                .pools = {pool},
                .limits = options.limits,
                .seed = options.seed},
            options.seed,
            nullptr,
            [this] { return engine_now(); }) {
    system.set_now(time_point{1h});
    static_cast<void>(run.prepare());  // without a folder nothing can fail
  }

  ~implementation() override {
    host.reset();
    static_cast<void>(settled());
  }

  time_point now() { return system.now(); }

  duration elapsed() { return now() - time_point{1h}; }

  millis engine_now() {
    return begin + std::chrono::duration_cast<std::chrono::milliseconds>(elapsed()).count();
  }

  void start() {
    if (host) return;
    host_actors_options of;
    of.detached = false;
    of.counts = std::make_shared<counters>();
    of.now = [this] { return now(); };
    of.ingress.wall_now = [this] {
      return std::chrono::system_clock::time_point{std::chrono::milliseconds{engine_now()}};
    };
    of.ingress.factories = factories;
    of.ingress.log = options.log;
    of.storage.namespace_name = "default";
    host = std::make_unique<life>(
        *system,
        run,
        simulated_link_options{
            .envoy_key = fmt::format("host-{}", ++hosts),
            .pool = pool,
            .namespace_name = "default",
            .version = wire::version_max,
            .now = [this] { return now(); },
            .seed = random()},
        std::move(of));
    settle(*this);
    // Until its first replay barrier, after a Ping.
    for (int i = 0; i < 100 && host->counts->ingress.get().barriers == 0; ++i) advance(100ms);
  }

  // -- simulated_world

  engine::engine_run& engine() override {
    start();
    return run;
  }

  void advance(duration longest) override {
    auto step = longest;
    for (const auto next : {system.next_timer(), host ? host->link->next_timer() : std::nullopt})
      if (next) step = std::min(step, std::max<duration>(*next - now(), 1ms));
    system.advance(step);
    run.on_tick();
    if (host) host->link->tick();
    settle(*this);
  }

  // CAF 0.17 lets an actor with more messages go on: one that sends to itself would keep all others from their turns.
  bool run_one() {
    auto& all = system.jobs();
    const auto* const first = all.empty() ? nullptr : all.front();
    if (!system.run_once()) return false;
    if (all.size() > 1 && all.front() == first) {
      all.push_back(all.front());
      all.pop_front();
    }
    return true;
  }

  bool settled() override {
    for (std::size_t steps = 0; steps < steps_max;) {
      const bool ran = run_one();
      const bool moved = host && (!ran || (random() & 3U) == 0) && host->link->step();
      if (!ran && !moved && !run_one()) return true;
      if (ran) ++steps;
    }
    return false;
  }

  // Not where something is under way that a client would wait for in vain.
  void misbehave(unsigned one_in) override {
    if (!options.faults || !host || random() % one_in != 0) return;
    static constexpr std::array<std::string_view, 7> kinds{
        "lose-acks:count=1",
        "lose-acks:count=2",
        "duplicate:count=1",
        "reorder:count=1",
        "drop:on=command",
        "drop:on=ack",
        "drop:on=events"};
    const auto which = random() % (kinds.size() + 2);
    if (which < kinds.size()) return run.inject(*parse_fault(kinds[which]));
    if (which == kinds.size()) run.clear_faults();
    host->link->cut(std::chrono::milliseconds{random() % 3000});
    settle(*this);
  }

  simulation_options options;
  std::mt19937_64 random;
  /// The engine's clock starts with the real time, for actors that set alarms by it.
  millis begin = std::chrono::duration_cast<std::chrono::milliseconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count();
  internal::driven_system system;
  engine::engine_run run;
  internal::factories factories;
  std::unique_ptr<life> host;
  unsigned hosts = 0;
};

simulated_host::simulated_host(simulation_options options)
    : implementation_(std::make_shared<implementation>(std::move(options))) {}

simulated_host::~simulated_host() = default;

void simulated_host::add(serve_options how, internal::factory make) {
  auto name = how.name;
  how.detached = false;
  implementation_->factories.insert_or_assign(
      std::move(name), internal::served{std::move(make), std::move(how)});
}

client simulated_host::client() {
  return testing::client{{.pool = pool}, make_simulated_transport(implementation_)};
}

void simulated_host::pass(std::chrono::milliseconds time) {
  auto& me = *implementation_;
  me.start();
  const auto end = me.now() + time;
  while (me.now() < end) {
    const auto second = std::min<time_point>(end, me.now() + 1s);
    while (me.now() < second)
      me.advance(std::min<duration>(second - me.now(), time > 1min ? 1s : 50ms));
    me.misbehave(20);
  }
}

void simulated_host::cut(std::chrono::milliseconds gone_for) {
  implementation_->start();
  implementation_->host->link->cut(gone_for);
  settle(*implementation_);
}

void simulated_host::kill() {
  auto& me = *implementation_;
  me.start();
  me.host.reset();
  settle(me);
  me.start();
}

bool simulated_host::crash(const std::string& id) {
  auto& me = *implementation_;
  me.start();
  caf::actor whom;
  caf::scoped_actor self{*me.system};
  auto asked = internal::ask(
      self.ptr(),
      caf::actor_cast<caf::actor>(me.host->actors.ingress_address()),
      caf::infinite,
      find_id{actor_id{id}});
  settle(me);  // the answer is there before it is waited for
  std::move(asked).receive([&](caf::actor& x) { whom = std::move(x); }, [](const caf::error&) {});
  if (!whom) return false;
  internal::crash_now(whom);
  settle(me);
  return true;
}

void simulated_host::inject(const fault& f) {
  implementation_->engine().inject(f);
  settle(*implementation_);
}

void simulated_host::clear_faults() {
  implementation_->engine().clear_faults();
  settle(*implementation_);
}

std::optional<bytes> simulated_host::stored(const std::string& id, std::string_view key) {
  settle(*implementation_);
  const auto& kv = implementation_->run.stored(actor_id{id}).kv;
  const auto at = kv.find(std::string{"\x04"}.append(key));  // the form in which kv_store keeps it
  if (at == kv.end()) return std::nullopt;
  return at->second.value;
}

host_stats simulated_host::stats() const {
  host_stats out;
  if (const auto& host = implementation_->host) host->actors.add_to(out);
  return out;
}

dev_engine_stats simulated_host::engine_stats() const { return implementation_->run.stats(); }

std::uint64_t simulated_host::seed() const { return implementation_->options.seed; }

std::chrono::milliseconds simulated_host::time() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(implementation_->elapsed());
}

caf::actor_system& simulated_host::system() { return *implementation_->system; }

void for_each_seed(unsigned n, const std::function<void(simulated_host&)>& scenario) {
  std::uint64_t first = 1, last = n;
  if (const auto* const one = std::getenv("NUNCIO_SEED"); one != nullptr && *one != '\0')
    first = last = std::strtoull(one, nullptr, 10);
  for (auto seed = first; seed <= last; ++seed) {
    try {
      simulated_host host{{.seed = seed, .faults = true}};
      scenario(host);
    } catch (...) {
      fmt::print(
          stderr, "for_each_seed: seed {0} failed; to run it alone: NUNCIO_SEED={0}\n", seed);
      throw;
    }
  }
}

}  // namespace nuncio::testing

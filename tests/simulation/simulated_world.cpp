// What happens in a run: a time of faults, healing, quiet, and the time after which nothing may be left.
#include "simulation/simulated_world.hpp"

#include <fmt/format.h>

#include "simulation/gateway_model.hpp"
#include "simulation/simulated_wire.hpp"

namespace nuncio::simulation {
namespace {

class world {
public:
  world(std::uint64_t seed, bool tracing, const host_maker& make)
      : random_(seed),
        watch_(time_),
        wire_(time_, random_, watch_),
        engine_(time_, random_, engine_ports()),
        gateway_(time_, random_, gateway_ports()),
        limits_(draw_limits()),
        host_(make({time_, random_, watch_, draw_ledger(), limits_, link_ports()})) {
    time_.tracing = tracing;
    watch_.stored.store = &engine_.storage();
    wire_.connect_to(engine_, host_->link());
  }

  run_result go() {
    run_result result;
    try {
      draw();
      host_->start();
      trouble();
      heal();
      if (random_.percent(6))
        evict();
      else
        retire();
    } catch (const violated& x) {
      result.violation =
          fmt::format("{} (after {} s)", x.what(), (time_.now().time_since_epoch() - 1000s) / 1s);
    }
    result.seen = watch_.seen();
    result.steps = time_.steps();
    result.connections = wire_.connections();
    result.given_up = watch_.given_up();
    result.clients = gateway_.tally();
    result.http = watch_.http_seen();
    result.sockets = watch_.sockets_seen();
    result.storage = watch_.stored.seen;
    for (const auto& a : engine_.actors()) result.generations += a.generation;
    return result;
  }

private:
  engine_model::ports engine_ports() {
    return {
        .send = [this](protocol::to_envoy x) { wire_.send(std::move(x)); },
        .drop =
            [this] {
              wire_.cut({connection_end::kind::closed, 0, 1011, "ws.timed_out#x"});
            },
        .ask =
            [this](const actor_ref& who) {
              random_.percent(30) ? gateway_.open(who) : gateway_.request(who);
            },
        .tunnel =
            [this](std::uint64_t connection, const protocol::to_rivet_tunnel_message& x) {
              gateway_.handle(connection, x);
            },
        .hibernating = [this](const actor_id& of) { return gateway_.hibernating(of); },
        .connected = [this] { gateway_.handle_connected(); },
        .runs = [this](const actor_ref& who) { gateway_.handle_runs(who); },
        .left = [this](const actor_id& of, place now) { gateway_.handle_left(of, now); },
        .stored = [this](
                      const actor_id& id,
                      const protocol::to_rivet& x) { watch_.stored.handle_done(id, x); },
        .placed_elsewhere = [this](const actor_ref& who) { placed_elsewhere(who); },
        .gave_up = [this](const actor_ref& who) { gave_up(who); },
        .violated = [](const char* check, const std::string& what) { throw violated(check, what); },
        .on_fault =
            [this](int what) {
              constexpr std::array all{
                  fault::duplicate, fault::delay, fault::retry, fault::further};
              watch_.handle_fault(all[static_cast<std::size_t>(what)]);
            }};
  }

  gateway_model::ports gateway_ports() {
    return {
        .send = [this](protocol::to_envoy x) { wire_.send(std::move(x)); },
        .violated = [](const char* check, const std::string& what) { throw violated(check, what); },
        .count = [this](http_row r, http_mode m) { watch_.count(r, m); },
        .count_socket = [this](socket_row r, bool keeps) { watch_.count(r, keeps); },
        .runs = [this](const actor_ref& who) { return engine_.runs(who); },
        .wake = [this](const actor_id& id) { engine_.wake(id); },
        .handled = [this](std::uint32_t client) { return watch_.sockets().handled(client); }};
  }

  link_side::ports link_ports() {
    return {
        .dial = [this] { wire_.dial(); },
        .write = [this](up_frame x) { wire_.write(std::move(x)); },
        .reset = [this] { wire_.cut(); }};
  }

  ledger_options draw_ledger() {
    ledger_options options;
    capped_ = random_.percent(15);
    if (capped_) options.bytes_max = 1024;
    // A Stop for what is forgotten can't be told from one for what an earlier process ran, and is answered again.
    options.key_had_a_past = past_ = !capped_ && random_.percent(30);
    if (!past_ && random_.percent(50)) options.forget_after = random_.between(30s, 90s);
    return options;
  }

  drawn_limits draw_limits() {
    drawn_limits out;
    if (random_.percent(20))
      out.body_bytes_max = random_.below(random_.percent(50) ? 3000 : 300'000);
    if (random_.percent(50)) out.stall_limit = random_.between(10s, 60s);
    return out;
  }

  [[nodiscard]] bool has(fault x) const { return (mask_ >> static_cast<unsigned>(x) & 1U) != 0; }

  void draw() {
    // Few kinds of faults in most runs, so that each is also seen alone.
    const auto kinds = random_.percent(4) ? 0 : random_.percent(60) ? 1 + random_.below(2) : 9;
    for (std::uint64_t n = 0; n < kinds; ++n)
      mask_ |= 1U << (1 + random_.below(static_cast<std::uint64_t>(fault::faults) - 1));
    if (capped_) mask_ &= ~(1U << static_cast<unsigned>(fault::retry));
    busy_ = 20s + random_.between(0s, 100s);
    const auto some = [&](unsigned most) { return static_cast<unsigned>(random_.below(most + 1)); };
    auto& h = host_->habits;
    h = {some(15), some(8), some(30), some(30), some(30), some(15), some(30), some(10)};
    h.spawned_apart = random_.percent(50) ? some(100) : 0;
    // Shorter than what stands still: the host learns of the end of a connection before.
    if (!has(fault::freeze) && !has(fault::stall) && random_.percent(50))
      h.stopped_grace = random_.between(500ms, 10s);
    if (random_.percent(30)) h.idle_timeout = random_.between(500ms, 20s);
    auto& e = engine_.faults;
    e.elsewhere = random_.percent(50);
    // Where the engine gives up what lives, nothing may run elsewhere: the host can't know.
    if (!e.elsewhere) supersedes_ = random_.percent(70) ? some(12) : 0;
    if (!e.elsewhere && random_.percent(30)) e.stop_threshold = random_.between(200ms, 8s);
    if (has(fault::duplicate)) e.duplicate_permille = 20 + some(300);
    if (has(fault::delay)) {
      e.delay_permille = some(200);
      e.lose_push_permille = some(100);
    }
    if (has(fault::retry)) e.retry_permille = 20 + some(200);
    if (has(fault::further)) e.further_permille = 50 + some(400);
    if (has(fault::lost_ack)) wire_.faults.lost_ack_permille = 50 + some(600);
    if (has(fault::cut)) wire_.faults.cut_permille = some(60);
    wire_.latency = random_.between(10us, 30ms);
    const auto link = draw_link();
    host_->link().draw(link);
    draw_clients(link);
    draw_storage();
    actors_max_ = 1 + random_.below(7);
    for (auto n = past_ && random_.percent(60) ? 1 + random_.below(2) : 0; n > 0; --n)
      engine_.create_orphan("known");
  }

  void draw_clients(const link_habits& link) {
    auto& c = gateway_.habits;
    c.parts = host_->habits.stream_requests = random_.percent(50);
    c.long_ones = link.writes_every == 0ms && random_.percent(10);
    c.strict = random_.percent(50);
    c.resends = random_.percent(30);
    watch_.draw(c.resends);
    host_->habits.hibernates =
        random_.percent(40) ? 0 : 30 + static_cast<unsigned>(random_.below(71));
    c.actors_stay = host_->habits.idle_timeout == 0ms;
    c.body_bytes_max = limits_.body_bytes_max;
  }

  void draw_storage() {
    const auto some = [&](unsigned percent, unsigned most) {
      return random_.percent(percent) ? static_cast<unsigned>(random_.below(most)) : 0;
    };
    auto& h = host_->storing;
    h.uses = random_.percent(50) ? 30 + some(70, 71) : 0;
    h.pages = some(50, 90);
    h.large = some(12, 60);
    h.lazy = some(30, 100);
    h.often = 1 + some(60, 6);
    auto& l = h.limits;
    if (random_.percent(20)) l.actor_requests_max = 1 + random_.below(6);
    if (random_.percent(20)) l.host_requests_max = 3 + random_.below(10);
    if (random_.percent(10)) l.actor_bytes_max = 20 + random_.below(40);
    if (random_.percent(10)) l.host_bytes_max = 30 + random_.below(80);
    if (random_.percent(30)) l.actor_answer_bytes_max = 1 + random_.below(300'000);
    if (random_.percent(30)) l.host_answer_bytes_max = 3 * answer_bytes_longest;
    if (random_.percent(30)) l.answer_bytes_reserved = 0;
    // Half of the links carry anything at once, so that what waits must be waiting for memory.
    if (random_.percent(50))
      h.flow.window_first = h.flow.window_min = h.flow.window_max = std::size_t{1} << 32U;
    else if (random_.percent(50))
      h.flow.window_first = h.flow.window_min = 1;
    auto& f = engine_.storage().faults;
    f.refused_permille = some(30, 80);
    f.silent_permille = some(30, 60);
    f.odd_permille = some(20, 30);
    f.twice_permille = some(30, 60);
    f.by_another_permille = some(10, 300);
    f.slow = random_.percent(20);
  }

  link_habits draw_link() {
    link_habits out;
    out.hop = random_.between(1us, random_.percent(20) ? 40ms : 2ms);
    if (random_.percent(30)) {  // room for one to three short messages, on a slow socket
      out.outbound.clients =
          outbound_message_bytes + 50 + random_.below(2 * outbound_message_bytes + 100);
      out.writes_every = random_.between(1ms, 400ms);
    }
    if (random_.percent(30)) out.inbound.messages = 2 + random_.below(20);
    return out;
  }

  // -- faults and workload

  void trouble() {
    const auto end = time_.now() + busy_;
    while (time_.now() < end) {
      const auto pause =
          random_.percent(30) ? random_.between(0ms, 100ms) : random_.between(100ms, 4s);
      time_.run_until(std::min(end, time_.now() + pause));
      if (random_.percent(25)) spoil();
      use();
    }
  }

  void use() {
    auto& all = engine_.actors();
    if (all.size() < actors_max_ || (all.size() < 14 && random_.percent(5))) {
      engine_.create(random_.percent(8) ? "unknown" : "known");
      return;
    }
    const auto n = random_.below(all.size());
    const auto x = random_.below(100);
    if (random_.percent(supersedes_))
      supersede(n);
    else if (past_ && random_.permille(14))
      engine_.create_orphan("known");
    else if (x < 60)
      engine_.request(n);
    else if (x < 75)
      engine_.sleep(n);
    else if (x < 88)
      engine_.reschedule(n);
    else if (x < 94)
      engine_.destroy(n);
  }

  void supersede(std::size_t n) {
    const bool lost = has(fault::cut) && random_.percent(30);
    engine_.supersede(n, lost);
    if (lost) {  // the Start is too old when it comes
      watch_.handle_fault(fault::delay);
      time_.after(random_.between(28s, 33s), side::engine, [this] {
        watch_.handle_fault(fault::cut);
        wire_.cut();
      });
    }
    if (!has(fault::freeze) || !random_.percent(15)) return;
    watch_.handle_fault(fault::freeze);
    freeze_host(random_.between(28s, 40s));
  }

  void freeze_host(duration how_long) {
    const auto until = time_.now() + how_long;
    for (const auto s :
         {side::link, side::ingress, side::ack, side::outbox, side::storage, side::actors})
      time_.freeze(s, until);
    disturb(until);
  }

  void disturb(time_point until) {
    disturbed_until_ = std::max(disturbed_until_, until + 1s);
    watch_.handle_disturbed(disturbed_until_);
  }

  void spoil() {
    const auto what =
        static_cast<fault>(1 + random_.below(static_cast<std::uint64_t>(fault::faults) - 1));
    if (!has(what)) return;
    const auto short_one = random_.percent(70);
    switch (what) {
      case fault::cut:
        if (random_.percent(20)) wire_.block(time_.now() + random_.between(0s, 40s));
        wire_.cut();
        break;
      case fault::half_open: {
        const auto which = random_.below(3);
        wire_.half_open(
            which != 0,
            which != 1,
            short_one ? random_.between(0ms, 2s) : random_.between(1s, 25s));
        break;
      }
      case fault::delay:
        wire_.extra = random_.percent(50) ? 0ms : random_.between(0ms, 1500ms);
        // Only once the host knows the engine's clock: it can't tell a slow line from another clock.
        wire_.drift = !host_->live() || random_.percent(75) ? 0ms : random_.between(10ms, 5s);
        break;
      case fault::freeze:
        freeze_host(short_one ? random_.between(10ms, 3s) : random_.between(3s, 45s));
        break;
      case fault::stall: {
        constexpr std::array all{
            side::ingress, side::ack, side::outbox, side::storage, side::actors};
        const auto until = time_.now() + random_.between(500ms, 8s);
        time_.freeze(all[random_.below(all.size())], until);
        disturb(until);
        break;
      }
      case fault::restart:
        engine_.restart();
        wire_.cut();
        time_.freeze(
            side::engine,
            time_.now() + (short_one ? random_.between(50ms, 3s) : random_.between(3s, 30s)));
        break;
      default:
        return;  // the others are spread over all frames
    }
    watch_.handle_fault(what);
  }

  void placed_elsewhere(const actor_ref& who) {
    if (!host_->engine_acks()) return;  // the Running rule is not in force yet (docs/design.md)
    // A process that stands still can end nothing; what leaves it afterwards is checked there.
    const bool disturbed = time_.now() < disturbed_until_;
    watch_.handle_placed_elsewhere(who, disturbed ? std::nullopt : host_->acting(who.actor));
  }

  // From here on another host may run it, whether or not the Running rule is in force.
  void gave_up(const actor_ref& who) {
    const bool disturbed = time_.now() < disturbed_until_;
    watch_.handle_given_up(who, disturbed ? std::nullopt : host_->acting(who.actor));
  }

  // -- the end

  void heal() {
    mask_ = 0;
    engine_.faults = {};
    engine_.storage().heal();
    wire_.faults = {};
    wire_.extra = wire_.drift = 0ms;
    host_->calm = true;
    time_.run_until(time_.now() + 120s);
    gateway_.handle_calm();
    for (std::size_t n = 0; n < engine_.actors().size(); ++n)
      if (engine_.actors()[n].at == place::running) engine_.request(n);
    time_.run_until(time_.now() + 30s);
    gateway_.check_answered();
    wire_.cut();  // what is still stored comes again
    time_.run_until(time_.now() + 10s);
    settle();
    check_quiet();
  }

  // An actor that a client woke late may just be going to sleep again.
  void settle() {
    const auto moving = [this] {
      const auto& all = engine_.actors();
      return engine_.stored() != 0 || std::any_of(all.begin(), all.end(), [](const auto& a) {
               return a.at == place::starting || a.at == place::sleep_intent;
             });
    };
    for (int n = 0; n < 5 && moving(); ++n) time_.run_until(time_.now() + 2s);
  }

  void check_quiet() {
    if (!host_->live()) throw violated("I5 acks complete", "the host did not come back");
    if (engine_.stored() != 0)
      throw violated("I5 acks complete", "the engine still holds " + engine_.first_stored());
    watch_.check_quiet();
    host_->check_quiet();
    for (const auto& a : engine_.actors()) {
      const auto ours = host_->newest(a.id);
      switch (a.at) {
        case place::running:
          if (!ours || ours->first.generation != a.generation)
            throw violated(
                "I10 events arrive",
                fmt::format(
                    "the engine believes in {}:{}, which is gone", a.id.str(), a.generation));
          break;
        case place::sleeping:
        case place::destroyed:
        case place::elsewhere:
          // Before the engine has acked any event the Running rule is not in force (docs/design.md).
          if (ours && host_->engine_acks())
            throw violated(
                "I14 single writer",
                fmt::format(
                    "{}:{} is {} though the engine has given it up",
                    a.id.str(),
                    ours->first.generation,
                    to_string(ours->second)));
          break;
        default:
          throw violated(
              "I10 events arrive",
              fmt::format("the engine waits for {}:{} for ever", a.id.str(), a.generation));
      }
    }
  }

  void retire() {
    auto& all = engine_.actors();
    for (std::size_t n = 0; n < all.size(); ++n)
      random_.percent(30) ? engine_.destroy(n) : engine_.sleep(n);
    time_.run_until(time_.now() + 20s);
    check_quiet();
    engine_.ping_every = 9s;
    time_.run_until(time_.now() + 150s);
    check_quiet();
    engine_.stop_orphans_again();
    time_.run_until(time_.now() + 13min);
    check_quiet();
    host_->check_empty();
    haunt();
  }

  // The entries are gone, and everything comes again, while the engine's clock may be set back so far that a Start looks
  // young: all is acked, nothing is run and nothing is said.
  void haunt() {
    watch_.handle_fault(fault::retry);
    watch_.handle_haunted();
    engine_.ping_every = 3s;
    time_.run_until(time_.now() + 10s);
    engine_.set_clock_back(random_.percent(20) ? 0s : random_.between(0s, 20min));
    time_.run_until(time_.now() + 30s);  // the host knows by the second Ping
    engine_.send_all_again(random_.percent(30) ? 100 : 60, past_, random_.percent(50));
    if (random_.percent(80)) wire_.cut();
    time_.run_until(time_.now() + 60s);
    wire_.cut();
    time_.run_until(time_.now() + 10s);
    check_quiet();
    engine_.ping_every = 9s;
    time_.run_until(time_.now() + 13min);
    host_->check_empty();
  }

  void evict() {
    host_->storing.restless = true;
    wire_.latency = random_.between(10us, 400ms);
    for (std::size_t n = 0; n < engine_.actors().size(); ++n)
      for (auto times = random_.below(8); times > 0; --times) engine_.request(n);
    time_.run_until(time_.now() + random_.between(0ms, 6s));
    wire_.cut({connection_end::kind::closed, 0, 1000, "ws.eviction#x"});
    time_.run_until(time_.now() + 10s);
    if (!host_->link().over()) throw violated("I14 single writer", "an eviction was ignored");
    for (const auto& a : engine_.actors())
      if (host_->newest(a.id))
        throw violated("I14 single writer", a.id.str() + " outlived the eviction");
  }

  scheduler time_;
  chance random_;
  oracle watch_;
  bool capped_ = false, past_ = false;
  wire wire_;
  engine_model engine_;
  gateway_model gateway_;
  drawn_limits limits_;
  std::unique_ptr<host_side> host_;
  unsigned mask_ = 0, supersedes_ = 0;
  duration busy_{};
  std::uint64_t actors_max_ = 1;
  time_point disturbed_until_{};
};

}  // namespace

run_result run_on(const host_maker& make, std::uint64_t seed, bool tracing) {
  return world{seed, tracing, make}.go();
}

run_result run(std::uint64_t seed, bool tracing) {
  return run_on(make_machine_host, seed, tracing);
}

}  // namespace nuncio::simulation

// `nuncio demo`: a scripted proof that nuncio keeps its main promise. Engine, proxy, host and a workload run in one process;
// the proxy cuts the connection at the worst moments; at the end everyone's numbers must add up.
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <condition_variable>
#include <deque>
#include <nuncio/host.hpp>
#include <nuncio/testing/client.hpp>
#include <random>
#include <thread>

#include "commands.hpp"
#include "demo_engine.hpp"
#include "demo_report.hpp"
#include "demo_workload.hpp"
#include "number_in.hpp"
#include "proxy/cutting_proxy.hpp"
#include "sample_actors.hpp"

namespace nuncio {
namespace {

using namespace std::chrono_literals;
using proxy::cut_moment;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto whole_limit = 5min;
constexpr std::size_t log_lines_max = 30;
constexpr std::size_t extra_cuts_max = 12;
constexpr int last_reconnects_max = 5;

struct demo_flags {
  std::string engine = "embedded";
  std::size_t actors = 20;
  std::size_t cuts = 12;
  std::uint64_t seed = 0;
  bool verbose = false;
};

/// Sets a flag at SIGINT or SIGTERM, which must be blocked before any thread starts, and when the overall time limit has
/// passed. A second signal ends the process.
class interruption {
public:
  interruption() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
    thread_ = std::thread{[this] { watch(); }};
  }

  ~interruption() {
    over_ = true;
    thread_.join();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

  [[nodiscard]] const std::atomic<bool>& flag() const { return flag_; }

  void raise() { flag_ = true; }

  [[nodiscard]] bool by_signal() const { return signals_seen_ > 0; }

private:
  void watch() {
    const auto end = steady_clock::now() + whole_limit;
    while (!over_) {
      const timespec limit{0, 100'000'000};
      if (sigtimedwait(&signals_, nullptr, &limit) > 0) {
        if (++signals_seen_ > 1) _exit(1);
        flag_ = true;
      }
      if (steady_clock::now() >= end) flag_ = true;
    }
  }

  sigset_t signals_{}, before_{};
  std::atomic<bool> flag_ = false;
  std::atomic<bool> over_ = false;
  std::atomic<int> signals_seen_ = 0;
  std::thread thread_;
};

/// A progress line: rewritten in place on a terminal; otherwise a new line for each phase.
class progress {
public:
  explicit progress(std::function<std::string()> numbers)
      : numbers_(std::move(numbers)),
        terminal_(isatty(STDOUT_FILENO) == 1),
        thread_([this] { run(); }) {}

  ~progress() {
    {
      const std::lock_guard guard{mutex_};
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void phase(std::string what) {
    const std::lock_guard guard{mutex_};
    what_ = std::move(what);
    if (!terminal_) print();
    changed_.notify_all();
  }

private:
  void run() {
    std::unique_lock guard{mutex_};
    while (!over_) {
      if (terminal_) print();
      changed_.wait_for(guard, 200ms);
    }
    if (terminal_) {
      print();
      fmt::print("\n");
    }
  }

  void print() {
    const auto seconds = std::chrono::duration<double>(steady_clock::now() - from_).count();
    const auto line = fmt::format("{:5.1f} s  {}  {}", seconds, what_, numbers_());
    if (terminal_) {
      fmt::print("\r\033[K{}", line);
    } else {
      fmt::print("{}\n", line);
    }
    std::fflush(stdout);
  }

  std::function<std::string()> numbers_;
  const bool terminal_;
  const steady_clock::time_point from_ = steady_clock::now();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string what_ = "starting";
  bool over_ = false;
  std::thread thread_;
};

/// Keeps the host's last warnings, to show them if the demo fails.
class log_keeper {
public:
  explicit log_keeper(bool print) : print_(print) {}

  void take(log_level level, std::string_view message, std::span<const log_field> fields) {
    auto line = fmt::format(
        "{} {}",
        level == log_level::error     ? "error"
        : level == log_level::warning ? "warning"
                                      : "info",
        message);
    for (const auto& f : fields) line += fmt::format(" {}={}", f.name, f.value);
    const std::lock_guard guard{mutex_};
    if (print_) fmt::print(stderr, "host: {}\n", line);
    lines_.push_back(std::move(line));
    if (lines_.size() > log_lines_max) lines_.pop_front();
  }

  [[nodiscard]] std::deque<std::string> lines() const {
    const std::lock_guard guard{mutex_};
    return lines_;
  }

private:
  const bool print_;
  mutable std::mutex mutex_;
  std::deque<std::string> lines_;
};

class demo {
public:
  explicit demo(const demo_flags& flags)
      : flags_(flags),
        seed_(flags.seed != 0 ? flags.seed : std::random_device{}()),
        random_(seed_) {}

  int run() {
    fmt::print(
        "nuncio demo: engine {}, {} actors, {} cuts, seed {}\n",
        flags_.engine,
        flags_.actors,
        flags_.cuts,
        seed_);
    if (auto ran = script(); !ran) problems_.push_back(ran.error().message);
    if (stop_.by_signal()) {
      fmt::print("interrupted\n");
      return 1;
    }
    if (measured_) {
      fmt::print("\n{}\n", table(numbers_));
      for (auto& each : objections(numbers_)) problems_.push_back(std::move(each));
    }
    if (problems_.empty()) {
      fmt::print(
          "It adds up: {} commands were delivered {} times over {} connections and each ran once; "
          "none was lost; the engine holds none.\n",
          numbers_.wire.commands,
          numbers_.wire.deliveries,
          numbers_.wire.connections);
      return 0;
    }
    for (const auto& line : log_.lines()) fmt::print("host: {}\n", line);
    fmt::print("FAILED (seed {}):\n", seed_);
    for (const auto& why : problems_) fmt::print("  - {}\n", why);
    return 1;
  }

private:
  [[nodiscard]] bool interrupted() const { return stop_.flag(); }

  static failure out_of_time() {
    return {
        errc::timed_out,
        fmt::format("the demo was interrupted or took longer than {} min", whole_limit.count())};
  }

  outcome<void> script() {
    std::unique_ptr<demo_engine> engine;
    if (flags_.engine == "rivet") {
      engine = std::make_unique<rivet_demo_engine>();
    } else {
      engine = std::make_unique<embedded_demo_engine>(seed_);
    }
    if (auto started = engine->start(); !started) return started;
    cutting_proxy between{{.engine_port = engine->port(), .seed = seed_}};
    if (auto port = between.start(); !port) return port.error();
    const testing::client client{
        {.endpoint = fmt::format("http://127.0.0.1:{}", engine->port()),
         .pool = "demo",
         .timeout = 70s,
         .give_up = &stop_.flag()}};
    demo_workload work{client, seed_, stop_.flag()};

    caf::actor_system_config config;
    recommended(config);
    caf::actor_system system{config};
    auto census = std::make_shared<start_census>();
    host_options options{.endpoint = between.endpoint(), .pool = "demo", .drain_timeout = 5s};
    options.policy.seed = seed_;
    options.log =
        [this](log_level level, std::string_view message, std::span<const log_field> fields) {
          if (level != log_level::debug) log_.take(level, message, fields);
        };
    host the_host{system, options};
    serve_samples(the_host, census);
    if (auto started = the_host.start(); !started) return started;

    progress line{[&] {
      const auto wire = between.stats();
      const auto w = work.stats();
      return fmt::format(
          "actors {}  commands {}  duplicates {}  cuts {}  HTTP {} answered, {} failed",
          work.living(),
          wire.commands,
          wire.duplicates,
          wire.cuts,
          w.answered,
          w.failed + w.silent + w.wrong);
    }};
    if (!wait(
            between, [](const auto& s) { return s.barriers > 0; }, 30s))
      return failure{errc::timed_out, "the host did not connect within 30 s"};
    auto done = steps(work, between, line);
    if (!done) stop_.raise();  // ends what the workload is still waiting for
    numbers_.factory_calls = census->calls();
    numbers_.factory_calls_repeated = census->repeated();
    numbers_.work = work.stats();
    numbers_.wire = between.stats();
    settle(the_host);
    numbers_.engine = engine->stats();
    measured_ = true;
    line.phase("stopping the host");
    if (const auto why = the_host.ended())
      problems_.push_back("the host ended by itself: " + why->message);
    the_host.stop();
    between.stop();
    engine->stop();
    return done;
  }

  outcome<void> steps(demo_workload& work, cutting_proxy& between, progress& line) {
    line.phase("creating actors");
    if (auto created = work.create(flags_.actors); !created) return created;
    work.start();
    line.phase("cutting");
    if (auto cut = cuts(between); !cut) return cut;
    line.phase("ending the traffic");
    work.stop_churn();
    work.stop_traffic();
    if (interrupted()) return out_of_time();
    line.phase("destroying actors");
    if (auto destroyed = work.destroy_all(); !destroyed) return destroyed;
    line.phase("last reconnect");
    return last_reconnect(between);
  }

  /// Makes the requested number of cuts, spread over the moments, then more until each moment has caused a duplicate.
  outcome<void> cuts(cutting_proxy& between) {
    std::vector<cut_moment> plan;
    for (std::size_t i = 0; i < flags_.cuts; ++i)
      plan.push_back(static_cast<cut_moment>(i % proxy::cut_moments));
    std::shuffle(plan.begin(), plan.end(), random_);
    for (const auto at : plan)
      if (auto cut = cut_once(between, at); !cut) return cut;
    for (std::size_t extra = 0; extra < extra_cuts_max; ++extra) {
      const auto given = between.stats().duplicates_of;
      const auto missing = std::find(given.begin(), given.end(), 0U);
      if (missing == given.end()) return {};
      if (auto cut = cut_once(between, static_cast<cut_moment>(missing - given.begin())); !cut)
        return cut;
    }
    return {};
  }

  outcome<void> cut_once(cutting_proxy& between, cut_moment at) {
    const auto before = between.stats();
    between.arm(at);
    if (!wait(
            between, [&](const auto& s) { return s.cuts > before.cuts; }, 30s)) {
      between.disarm();
      return interrupted() ? out_of_time()
                           : failure{
                                 errc::timed_out,
                                 fmt::format("the moment to cut {} did not come", to_string(at))};
    }
    if (auto back = reconnected(between); !back) return back;
    // Sometimes right away, sometimes after a quiet period in which acks get through.
    const auto calm = milliseconds{random_() % 900};
    wait(
        between, [](const auto&) { return false; }, calm);
    return interrupted() ? outcome<void>{out_of_time()} : outcome<void>{};
  }

  /// After a cut: waits for the next connection's replay barrier.
  outcome<void> reconnected(cutting_proxy& between) {
    const auto from = steady_clock::now();
    if (!wait(
            between, [](const auto& s) { return s.live; }, 20s))
      return interrupted()
                 ? out_of_time()
                 : failure{errc::timed_out, "the host did not reconnect within 20 s of a cut"};
    numbers_.longest_outage = std::max(
        numbers_.longest_outage,
        std::chrono::duration_cast<milliseconds>(steady_clock::now() - from));
    return {};
  }

  /// Cuts while nothing is under way: what the engine replays then is what it still holds.
  outcome<void> last_reconnect(cutting_proxy& between) {
    for (int tried = 1; tried <= last_reconnects_max; ++tried) {
      if (!wait(
              between, [](const auto& s) { return s.unacked_engine == 0; }, 10s))
        return interrupted() ? out_of_time()
                             : failure{errc::timed_out, "some commands were not acked within 10 s"};
      wait(
          between,
          [](const auto&) { return false; },
          1s);  // the engine commits acks silently
      const auto before = between.stats();
      between.cut();
      wait(
          between, [&](const auto& s) { return s.cuts > before.cuts; }, 5s);
      if (auto back = reconnected(between); !back) return back;
      numbers_.last_reconnects = tried;
      if (between.stats().replayed_last == 0) return {};
    }
    return {};
  }

  /// Waits until `good` holds, an interruption comes, or the limit has passed.
  template <class F>
  bool wait(cutting_proxy& between, F good, milliseconds limit) {
    const auto end = steady_clock::now() + limit;
    while (!interrupted()) {
      const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
      if (between.wait_for(good, std::clamp(left, 0ms, 100ms))) return true;
      if (left <= 0ms) return false;
    }
    return false;
  }

  /// The host publishes its counters message by message: waits a moment for the last ones.
  void settle(const host& from) {
    const auto end = steady_clock::now() + 3s;
    do {
      numbers_.host = from.stats();
      const auto& in = numbers_.host.ingress;
      if (in.commands == numbers_.wire.deliveries && in.instances == 0 &&
          numbers_.host.ledger.entries == numbers_.host.ledger.gone)
        return;
      std::this_thread::sleep_for(20ms);
    } while (steady_clock::now() < end && !interrupted());
  }

  const demo_flags flags_;
  const std::uint64_t seed_;
  interruption stop_;
  log_keeper log_{flags_.verbose};
  std::mt19937_64 random_;
  demo_numbers numbers_;
  bool measured_ = false;
  std::vector<std::string> problems_;
};

}  // namespace

void add_demo(CLI::App& app, int& status) {
  auto flags = std::make_shared<demo_flags>();
  auto* command = app.add_subcommand(
      "demo", "Show that no command runs twice and none is lost, while the connection is cut");
  command
      ->add_option(
          "--engine", flags->engine, "embedded, or rivet: the real one (NUNCIO_RIVET_ENGINE)")
      ->check(CLI::IsMember({"embedded", "rivet"}))
      ->capture_default_str();
  command->add_option("--actors", flags->actors, "Actors that live at the same time")
      ->check(number_in(1, 1000))
      ->capture_default_str();
  command->add_option("--cuts", flags->cuts, "Cuts of the connection, spread over three moments")
      ->check(number_in(0, 1000))
      ->capture_default_str();
  command->add_option("--seed", flags->seed, "Seed of all random choices; 0: random")
      ->check(number_in<std::uint64_t>(0, UINT64_MAX))
      ->capture_default_str();
  command->add_flag("--verbose", flags->verbose, "Print what the host logs");
  command->callback([flags, &status] { status = demo{*flags}.run(); });
}

}  // namespace nuncio

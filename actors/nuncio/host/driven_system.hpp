// A CAF actor system whose owner drives scheduler and clock: one thread, first in first out, repeatable. For tests and
// simulations; never spawn detached actors in it.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <deque>
#include <nuncio/client/error_category.hpp>
#include <nuncio/detail/caf.hpp>
#include <nuncio/detail/clock.hpp>
#include <nuncio/host/scheduler_settings.hpp>
#include <optional>
#if NUNCIO_CAF_1
#include <caf/action.hpp>
#include <caf/actor_clock.hpp>
#include <caf/detail/actor_system_access.hpp>
#include <caf/disposable.hpp>
#include <caf/resumable.hpp>
#include <map>
#include <memory>
#else
#include <caf/scheduler/test_coordinator.hpp>
#endif

namespace nuncio::internal {

#if NUNCIO_CAF_1

class driven_system {
public:
  ~driven_system() { clock_->timers.clear(); }

  driven_system() = default;
  driven_system(const driven_system&) = delete;
  driven_system& operator=(const driven_system&) = delete;

  caf::actor_system& operator*() { return system_; }

  /// Actors with work, in the order of their turns. CAF has counted a reference for each.
  std::deque<caf::resumable*>& jobs() { return scheduler_->jobs; }

  /// Gives the first one a turn of one message. @returns whether there was one
  bool run_once() { return scheduler_->run_once(); }

  [[nodiscard]] time_point now() const { return time_point{clock_->now().time_since_epoch()}; }

  /// Fires no timers.
  void set_now(time_point to) {
    clock_->current = caf::actor_clock::time_point{to.time_since_epoch()};
  }

  /// Advances time and fires the timers that are due.
  void advance(duration d) {
    clock_->current += std::chrono::duration_cast<caf::actor_clock::duration_type>(d);
    clock_->fire();
  }

  /// When the first timer is due.
  [[nodiscard]] std::optional<time_point> next_timer() const {
    const auto& all = clock_->timers;
    if (all.empty()) return std::nullopt;
    return time_point{all.begin()->first.time_since_epoch()};
  }

  [[nodiscard]] std::size_t timers() const { return clock_->timers.size(); }

private:
  struct driven_clock final : caf::actor_clock {
    time_point now() const noexcept override { return current; }

    using actor_clock::schedule;

    caf::disposable schedule(time_point at, caf::action what) override {
      timers.emplace(at, what);
      return std::move(what).as_disposable();
    }

    void fire() {
      while (!timers.empty() && timers.begin()->first <= current) {
        auto what = timers.extract(timers.begin());
        if (!what.mapped().disposed()) what.mapped().run();
      }
    }

    time_point current{std::chrono::nanoseconds{1}};
    std::multimap<time_point, caf::action> timers;
  };

  struct driven_scheduler final : caf::scheduler {
    void schedule(caf::resumable* what) override { jobs.push_back(what); }

    void delay(caf::resumable* what) override { jobs.push_back(what); }

    void start() override {}

    void stop() override {
      while (run_once()) {
      }
    }

    bool run_once() {
      if (jobs.empty()) return false;
      auto* const first = jobs.front();
      jobs.pop_front();
      if (first->resume(this, 1) == caf::resumable::resume_later)
        jobs.push_back(first);
      else
        intrusive_ptr_release(first);
      return true;
    }

    std::deque<caf::resumable*> jobs;
  };

  struct driven final : caf::actor_system {
    driven(caf::actor_system_config& config, driven_system* owner)
        : actor_system(config, &set_up, owner) {}

    static void set_up(caf::actor_system& made, caf::actor_system_config&, void* owner) {
      auto& of = *static_cast<driven_system*>(owner);
      auto with = std::make_unique<driven_clock>();
      of.clock_ = with.get();
      caf::detail::actor_system_access to{made};
      to.clock(std::move(with));
      auto runs = std::make_unique<driven_scheduler>();
      of.scheduler_ = runs.get();
      to.scheduler(std::move(runs));
    }
  };

  driven_clock* clock_ = nullptr;          ///< owned by the system
  driven_scheduler* scheduler_ = nullptr;  ///< owned by the system
  caf::actor_system_config config_;
  driven system_{config_, this};
};

#else

class driven_system {
public:
  driven_system() = default;
  driven_system(const driven_system&) = delete;
  driven_system& operator=(const driven_system&) = delete;

  caf::actor_system& operator*() { return system_; }

  /// Actors with work, in the order of their turns. CAF has counted a reference for each.
  std::deque<caf::resumable*>& jobs() { return scheduler().jobs; }

  /// Gives the first one a turn of one message. @returns whether there was one
  bool run_once() { return scheduler().try_run_once(); }

  [[nodiscard]] time_point now() {
    return time_point{scheduler().clock().current_time.time_since_epoch()};
  }

  /// Fires no timers.
  void set_now(time_point to) {
    scheduler().clock().current_time = caf::actor_clock::time_point{to.time_since_epoch()};
  }

  /// Advances time and fires the timers that are due; several of one actor fire once.
  void advance(duration d) {
    scheduler().clock().advance_time(
        std::chrono::duration_cast<caf::actor_clock::duration_type>(d));
  }

  /// When the first timer is due.
  [[nodiscard]] std::optional<time_point> next_timer() {
    const auto& all = scheduler().clock().schedule();
    if (all.empty()) return std::nullopt;
    return time_point{all.begin()->first.time_since_epoch()};
  }

  [[nodiscard]] std::size_t timers() { return scheduler().clock().schedule().size(); }

private:
  struct config : caf::actor_system_config {
    config() {
      print_errors(*this);
      set_scheduler_policy(*this, "testing");
    }
  };

  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
  }

  config config_;
  caf::actor_system system_{config_};
};

#endif

}  // namespace nuncio::internal

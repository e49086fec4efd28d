// See demo_workload.hpp.
#include "demo_workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace nuncio {
namespace {

constexpr std::size_t at_once =
    8;  ///< concurrent creates and destroys; with 64 the real engine failed most of them
constexpr std::size_t callers = 8;
constexpr std::size_t churners = 3;
constexpr int destroy_tries_max = 3;

/// Calls `f(i)` for all i below `n`, at most `at_once` at a time. @returns the last failure, if any
template <class F>
outcome<void> side_by_side(std::size_t n, F f) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  outcome<void> out;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < std::min(n, at_once); ++t)
    threads.emplace_back([&] {
      for (auto i = next++; i < n; i = next++) {
        auto done = f(i);
        if (done) continue;
        const std::lock_guard guard{mutex};
        out = std::move(done);
      }
    });
  for (auto& t : threads) t.join();
  return out;
}

}  // namespace

demo_workload::demo_workload(
    const testing::client& client, std::uint64_t seed, const std::atomic<bool>& give_up)
    : client_(client), give_up_(give_up), random_(seed) {}

demo_workload::~demo_workload() {
  stop_churn();
  stop_traffic();
}

outcome<void> demo_workload::create(std::size_t n) {
  if (auto known = client_.await_pool_known(std::chrono::seconds{20}); !known) return known;
  return side_by_side(n, [this](std::size_t) { return create_one(); });
}

void demo_workload::start() {
  for (std::size_t i = 0; i < callers; ++i) callers_.emplace_back([this] { traffic(); });
  for (std::size_t i = 0; i < churners; ++i) churners_.emplace_back([this] { churn(); });
}

void demo_workload::stop_churn() {
  churn_over_ = true;
  for (auto& t : std::exchange(churners_, {})) t.join();
}

void demo_workload::stop_traffic() {
  traffic_over_ = true;
  for (auto& t : std::exchange(callers_, {})) t.join();
}

outcome<void> demo_workload::destroy_all() {
  std::vector<std::string> left;
  {
    const std::lock_guard guard{mutex_};
    left.swap(actors_);
  }
  if (auto done = side_by_side(left.size(), [&](std::size_t i) { return destroy_one(left[i]); });
      !done)
    return done;
  std::vector<std::string> all;
  {
    const std::lock_guard guard{mutex_};
    all = gone_;
  }
  return side_by_side(all.size(), [&](std::size_t i) -> outcome<void> {
    auto seen = client_.get(all[i]);
    if (!seen) return seen.error();
    if (!seen->destroyed) return failure{errc::internal, "the engine has not destroyed " + all[i]};
    return {};
  });
}

workload_stats demo_workload::stats() const {
  const std::lock_guard guard{mutex_};
  return stats_;
}

std::size_t demo_workload::living() const {
  const std::lock_guard guard{mutex_};
  return actors_.size();
}

std::optional<std::string> demo_workload::pick(bool remove) {
  const std::lock_guard guard{mutex_};
  if (actors_.empty()) return std::nullopt;
  auto& at = actors_[random_() % actors_.size()];
  auto out = at;
  if (remove) {
    at = std::move(actors_.back());
    actors_.pop_back();
  }
  return out;
}

std::uint64_t demo_workload::roll(std::uint64_t below) {
  const std::lock_guard guard{mutex_};
  return random_() % below;
}

void demo_workload::note(const std::string& reason) {
  const std::lock_guard guard{mutex_};
  ++stats_.reasons[reason];
}

outcome<void> demo_workload::create_one() {
  auto made = client_.create({.name = "bench"});
  if (!made) return made.error();
  const std::lock_guard guard{mutex_};
  ++stats_.created;
  actors_.push_back(made->id);
  return {};
}

outcome<void> demo_workload::destroy_one(const std::string& id) {
  for (int tried = 1;; ++tried) {
    auto done = client_.destroy(id);
    if (done) {
      const std::lock_guard guard{mutex_};
      ++stats_.destroyed;
      gone_.push_back(id);
      return done;
    }
    if (tried == destroy_tries_max || give_up_) return done;
  }
}

void demo_workload::pause(std::uint64_t ms_min, std::uint64_t ms_max) {
  std::this_thread::sleep_for(std::chrono::milliseconds{ms_min + roll(ms_max - ms_min + 1)});
}

void demo_workload::traffic() {
  for (std::uint64_t n = 0; !traffic_over_ && !give_up_; ++n) {
    if (const auto id = pick(false)) one_request(*id, n);
    pause(10, 40);
  }
}

void demo_workload::one_request(const std::string& id, std::uint64_t number) {
  const bool echo = number % 2 == 0;
  const auto body = fmt::format("{} {} {}", id, number, roll(1'000'000'000));
  const auto reply = echo ? client_.request(id, "POST", "/request/bench", body)
                          : client_.request(id, "GET", "/request/instance");
  if (!reply && reply.error().code == errc::cancelled) return;
  const std::lock_guard guard{mutex_};
  ++stats_.requests;
  if (!reply) {
    ++stats_.silent;
    ++stats_.reasons["request: " + reply.error().message];
  } else if (reply->status >= 400) {
    ++stats_.failed;
    auto code = reply->error_code();
    if (code.empty()) code = reply->body.substr(0, 60);
    ++stats_.reasons[fmt::format("request: {} {}", reply->status, code)];
  } else if (echo ? reply->body == body : reply->header("x-starts") == "1") {
    ++stats_.answered;
  } else {
    ++stats_.wrong;
    ++stats_.reasons[fmt::format(
        "request: wrong answer {} '{}' x-starts={}",
        reply->status,
        reply->body.substr(0, 60),
        reply->header("x-starts"))];
  }
}

void demo_workload::churn() {
  while (!churn_over_ && !give_up_) {
    const bool destroy = roll(4) == 0;
    const auto id = pick(destroy);
    outcome<void> done;
    if (id && !destroy) {
      done = client_.sleep(*id);
      const std::lock_guard guard{mutex_};
      if (done) ++stats_.sleeps;
    } else if (id) {
      done = destroy_one(*id);
      if (!done) {
        const std::lock_guard guard{mutex_};
        actors_.push_back(*id);
      } else {
        done = create_one();
      }
    }
    if (!done && done.error().code != errc::cancelled) {
      note("call: " + done.error().message);
      const std::lock_guard guard{mutex_};
      ++stats_.calls_failed;
    }
    pause(80, 250);
  }
}

}  // namespace nuncio

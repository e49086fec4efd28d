// The load during the demo's cuts: HTTP traffic to the actors, and actors that are put to sleep, destroyed and created again. A
// few threads of its own, joined by stop(). Each request ends as answered, failed with a reason, or silent; silent is a bug.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <nuncio/testing/client.hpp>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace nuncio {

struct workload_stats {
  std::uint64_t requests = 0;
  std::uint64_t answered = 0;  ///< by an actor, with the expected response
  std::uint64_t failed = 0;    ///< by the gateway or the host, with a reason
  std::uint64_t silent = 0;    ///< no response at all
  std::uint64_t wrong = 0;     ///< answered with something else than expected
  std::uint64_t created = 0;
  std::uint64_t destroyed = 0;
  std::uint64_t sleeps = 0;
  std::uint64_t calls_failed = 0;  ///< creates, sleeps and destroys that the engine refused
  std::map<std::string, std::uint64_t> reasons;
};

class demo_workload {
public:
  demo_workload(
      const testing::client& client, std::uint64_t seed, const std::atomic<bool>& give_up);
  ~demo_workload();
  demo_workload(const demo_workload&) = delete;
  demo_workload& operator=(const demo_workload&) = delete;

  /// Creates `n` actors, eight at a time.
  outcome<void> create(std::size_t n);
  /// Starts the traffic, the sleeping and the destroying.
  void start();
  void stop_churn();
  void stop_traffic();
  /// Destroys all actors, eight at a time, and asks the engine whether they are gone.
  outcome<void> destroy_all();

  [[nodiscard]] workload_stats stats() const;
  [[nodiscard]] std::size_t living() const;

private:
  std::optional<std::string> pick(bool remove);
  std::uint64_t roll(std::uint64_t below);
  void note(const std::string& reason);
  outcome<void> create_one();
  outcome<void> destroy_one(const std::string& id);
  void traffic();
  void one_request(const std::string& id, std::uint64_t number);
  void churn();
  void pause(std::uint64_t ms_min, std::uint64_t ms_max);

  const testing::client& client_;
  const std::atomic<bool>& give_up_;
  std::atomic<bool> churn_over_ = false;
  std::atomic<bool> traffic_over_ = false;
  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  std::vector<std::string> actors_;
  std::vector<std::string> gone_;
  workload_stats stats_;
  std::vector<std::thread> churners_;
  std::vector<std::thread> callers_;
};

}  // namespace nuncio

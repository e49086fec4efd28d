// The demo's counters, whether they add up, and the final table. Pure.
#pragma once

#include <chrono>
#include <nuncio/host/counters.hpp>
#include <nuncio/testing/dev_engine.hpp>
#include <optional>
#include <string>
#include <vector>

#include "demo_workload.hpp"
#include "proxy/wire_audit.hpp"

namespace nuncio {

struct demo_numbers {
  proxy::audit_stats wire;                          ///< counted by the proxy
  std::optional<testing::dev_engine_stats> engine;  ///< counted by the engine, if it does
  host_stats host;
  workload_stats work;
  std::uint64_t factory_calls = 0;
  std::uint64_t factory_calls_repeated = 0;
  int last_reconnects = 0;  ///< attempts until one replayed nothing
  std::chrono::milliseconds longest_outage{0};
};

/// Why the numbers don't add up; empty when they do.
std::vector<std::string> objections(const demo_numbers& x);

/// The table; several lines.
std::string table(const demo_numbers& x);

}  // namespace nuncio

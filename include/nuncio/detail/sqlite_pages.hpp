// Bounds and counters of a local database's pages. Values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nuncio {

struct sqlite_pages_options {
  /// Pages kept as the engine has them, beside SQLite's own cache.
  std::size_t clean_bytes_max = 4UL << 20U;
  /// What one transaction may change; above it errc::too_large.
  std::size_t dirty_bytes_max = 256UL << 20U;
  /// Fetched at once: when opening, at a jump, and at most while pages are read in sequence. 1 to 4096.
  std::uint32_t open_pages = 16;
  std::uint32_t jump_pages = 4;
  std::uint32_t sequence_pages_max = 64;
  /// How many answers one commit survives that were lost or do not say what became of it.
  unsigned attempts_max = 8;
};

struct sqlite_pages_stats {
  std::uint64_t fetches = 0;  ///< requests for pages
  std::uint64_t fetched = 0;  ///< pages that came
  std::uint64_t commits = 0;
  std::uint64_t staged = 0;  ///< of these, in segments
  std::uint64_t committed_pages = 0;
  std::uint64_t probes = 0;  ///< times that the head told whether a commit had happened
};

}  // namespace nuncio

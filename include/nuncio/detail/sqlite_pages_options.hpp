// Bounds and counters of a local database's pages. Values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nuncio {

struct sqlite_pages_options {
  /// Pages cached as the engine has them, besides SQLite's own cache.
  std::size_t clean_bytes_max = 4UL << 20U;
  /// The most that one transaction may change; above it errc::too_large.
  std::size_t dirty_bytes_max = 256UL << 20U;
  /// Pages fetched at once: on opening, after a jump, and at most during sequential reads. 1 to 4096.
  std::uint32_t open_pages = 16;
  std::uint32_t jump_pages = 4;
  std::uint32_t sequence_pages_max = 64;
  /// How many lost or inconclusive answers one commit survives.
  unsigned attempts_max = 8;
};

struct sqlite_pages_stats {
  std::uint64_t fetches = 0;  ///< requests for pages
  std::uint64_t fetched = 0;  ///< pages received
  std::uint64_t commits = 0;
  std::uint64_t staged = 0;  ///< written in segments, of these
  std::uint64_t committed_pages = 0;
  std::uint64_t probes = 0;  ///< reads of the head to learn whether a commit happened
};

}  // namespace nuncio

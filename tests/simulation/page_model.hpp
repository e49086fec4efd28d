// One actor's SQLite database as the engine's store keeps it (docs/protocol.md H.3): pages, fenced by its head, all or
// nothing. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <nuncio/messages.hpp>
#include <optional>
#include <span>
#include <vector>

namespace nuncio::simulation {

/// Contents by page number; a version stands for 4096 bytes, and what is absent for version 0.
using versions = std::map<std::uint32_t, std::uint32_t>;

struct database {
  versions pages;
  std::uint32_t size = 0;

  bool operator==(const database&) const = default;
};

/// The bytes of a version of a page, as an actor writes and reads them. Page 1 states the size, where SQLite has it.
std::vector<std::uint8_t> make_page(std::uint32_t pgno, std::uint32_t version, std::uint32_t size);
std::uint32_t version_in(std::span<const std::uint8_t> page);

/// @throws violated for what the engine refuses and no host may send
class page_model {
public:
  protocol::sqlite_get_pages_response answer(const protocol::sqlite_get_pages_request& x) const;
  protocol::sqlite_commit_response answer(const protocol::sqlite_commit_request& x);
  protocol::sqlite_commit_stage_begin_response answer(
      const protocol::sqlite_commit_stage_begin_request& x);
  protocol::sqlite_commit_stage_segment_response answer(
      const protocol::sqlite_commit_stage_segment_request& x);
  protocol::sqlite_commit_finalize_response answer(
      const protocol::sqlite_commit_finalize_request& x);

  /// Somebody else has committed, which the generation should have prevented.
  void change_by_another() {
    ++*head;
    ++others;
    staging_.reset();
  }

  database now;
  std::optional<std::uint64_t> head;
  std::uint64_t others = 0;  ///< commits of somebody else

private:
  static void put(const std::vector<protocol::sqlite_dirty_page>& from, versions& to);
  void set_size(std::uint32_t size);

  std::optional<std::uint64_t> staging_;
  versions staged_;
  std::vector<std::uint32_t> segments_;
};

}  // namespace nuncio::simulation

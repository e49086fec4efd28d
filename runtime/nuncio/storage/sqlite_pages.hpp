// A SQLite database as pages in the engine's store: the cached pages, which ones to fetch, what a transaction has changed, and
// the requests that commit it. Pure; knows nothing about SQLite; owned by one open database.
//
// It never reports a commit as failed if it may have been applied: after a lost answer it asks the engine for the head, which
// only this instance can have moved. If the outcome stays unknown, or another instance has moved the head, the database is
// broken for good.
//
// Inputs: write, truncate, begin_*, handle_result. Output: poll_transmit, one request at a time until none is left; then
// take_outcome.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <nuncio/detail/sqlite_pages_options.hpp>
#include <nuncio/storage/storage_call.hpp>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace nuncio {

class sqlite_pages {
public:
  static constexpr std::size_t page_bytes = 4096;
  /// Pages of one commit, and of one segment of a larger one (docs/protocol.md H.3).
  static constexpr std::size_t commit_pages_max = 320;
  /// Segments begin at a multiple of this.
  static constexpr std::uint32_t shard_pages = 64;

  using page = std::shared_ptr<const std::vector<std::uint8_t>>;

  explicit sqlite_pages(sqlite_pages_options options = {}) : options_(options) {}

  /// Finds out whether there is a database, its head and its size.
  void begin_open();

  /// Pages numbered from 1 to size().
  [[nodiscard]] std::uint32_t size() const { return size_; }

  /// The page as the open transaction sees it; null: call begin_fetch.
  [[nodiscard]] page find(std::uint32_t pgno);
  void begin_fetch(std::uint32_t pgno);

  /// @param content  exactly page_bytes  @returns errc::too_large at dirty_bytes_max
  outcome<void> write(std::uint32_t pgno, std::span<const std::uint8_t> content);
  void truncate(std::uint32_t pages);

  /// Whether there is anything to commit.
  [[nodiscard]] bool dirty() const { return !dirty_.empty() || size_ != committed_size_; }

  /// Sends what was written since the last commit; it stays written here whatever the result.
  void begin_commit(std::int64_t now_ms);

  [[nodiscard]] std::optional<storage_call> poll_transmit();
  void handle_result(const storage_result& x);

  /// The result of the last begin_*.
  outcome<void> take_outcome() { return std::exchange(outcome_, outcome<void>{}); }

  /// Why it can't be used any more.
  [[nodiscard]] const std::optional<failure>& broken() const { return broken_; }

  [[nodiscard]] std::optional<std::uint64_t> head() const { return head_; }

  [[nodiscard]] const sqlite_pages_stats& stats() const { return stats_; }

private:
  enum class step : std::uint8_t {
    idle,
    open,
    fetch,
    commit,
    stage_begin,
    stage_segment,
    finalize,
    probe
  };

  struct clean_page {
    page content;
    std::list<std::uint32_t>::iterator age;
  };

  void handle_pages(const protocol::sqlite_get_pages_ok& got);
  void handle_failure(const storage_failure& why);
  void handle_probe(std::optional<std::uint64_t> head);
  void committed(std::optional<std::uint64_t> head);
  void keep_clean(std::uint32_t pgno, page content);
  void drop_unchanged();
  void fail(failure why);
  void break_with(failure why);
  [[nodiscard]] std::vector<protocol::sqlite_dirty_page> dirty_pages(
      std::uint32_t from, std::uint64_t to) const;

  [[nodiscard]] std::size_t clean_pages_max() const {
    return std::max<std::size_t>(2, options_.clean_bytes_max / page_bytes);
  }

  [[nodiscard]] std::uint64_t next_head() const { return head_.value_or(0) + 1; }

  sqlite_pages_options options_;
  sqlite_pages_stats stats_;
  std::optional<std::uint64_t> head_;
  std::uint32_t size_ = 0;
  std::uint32_t committed_size_ = 0;
  std::unordered_map<std::uint32_t, clean_page> clean_;
  std::list<std::uint32_t> ages_;  ///< most recently used first
  std::map<std::uint32_t, page> dirty_;

  step step_ = step::idle;
  step probed_ = step::idle;  ///< whose outcome is being asked for
  bool sent_ = false;         ///< the request of `step_` was polled
  unsigned attempts_ = 0;
  bool in_doubt_ = false;                ///< an attempt of this commit was not answered
  std::optional<failure> last_refusal_;  ///< to report if the last probe finds the old head
  std::vector<std::uint32_t> wanted_;    ///< pages of this fetch
  std::size_t window_ = 0;
  std::uint32_t next_up_ = 0;  ///< the page at which sequential reading continues upwards; 0: none
  std::uint32_t next_down_ = 0;  ///< the same downwards
  std::int64_t now_ms_ = 0;
  std::uint32_t commit_size_ = 0;  ///< of the database once this commit is done
  std::uint64_t txid_ = 0;
  std::vector<std::uint32_t> segments_;  ///< where each begins
  std::size_t segment_ = 0;              ///< which is being sent
  outcome<void> outcome_;
  std::optional<failure> broken_;
};

}  // namespace nuncio

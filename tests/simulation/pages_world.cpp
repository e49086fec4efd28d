// One SQLite database as pages for each seed: transactions that read, write, shrink and commit, and a store after
// docs/protocol.md H.3 whose answers are lost before or after the request was carried out. Judges that reads return what was
// committed, and that no commit that happened is reported as failed, or the other way round.
#include <fmt/format.h>

#include <map>
#include <nuncio/storage/sqlite_pages.hpp>
#include <nuncio/support/overloaded.hpp>
#include <set>

#include "simulation/machine_run.hpp"

namespace nuncio::simulation {
namespace {

enum class pages_row : std::uint8_t {
  committed,
  committed_though_lost,
  commit_failed,
  rolled_back,
  broken_by_another,
  broken_by_doubt,
  lost_before,
  lost_after,
  not_sent,
  refused,
  probed,
  shrunk,
  read,
  opened_again,
  rows
};

/// How large the transaction is that it happens to.
enum class pages_size : std::uint8_t { one_commit, staged, sizes };

/// Contents by page number; a version stands for 4096 bytes.
using versions = std::map<std::uint32_t, std::uint32_t>;

struct database {
  versions pages;
  std::uint32_t size = 0;

  bool operator==(const database&) const = default;
};

std::vector<std::uint8_t> make_page(std::uint32_t pgno, std::uint32_t version, std::uint32_t size) {
  std::vector<std::uint8_t> out(sqlite_pages::page_bytes);
  if (version == 0) return out;
  for (unsigned n = 0; n < 4; ++n) {
    out[n] = static_cast<std::uint8_t>(version >> (8 * n));
    if (pgno == 1) out[28 + n] = static_cast<std::uint8_t>(size >> (24 - 8 * n));
  }
  return out;
}

std::uint32_t version_in(std::span<const std::uint8_t> page) {
  std::uint32_t out = 0;
  for (unsigned n = 0; n < 4; ++n) out |= std::uint32_t{page[n]} << (8 * n);
  return out;
}

/// The engine's store: fenced by its head, all or nothing.
class page_store {
public:
  storage_result operator()(const storage_call& call) {
    return std::visit(
        overloaded{
            [&](const protocol::sqlite_get_pages_request& x) { return get(x); },
            [&](const protocol::sqlite_commit_request& x) { return commit(x); },
            [&](const protocol::sqlite_commit_stage_begin_request& x) { return begin(x); },
            [&](const protocol::sqlite_commit_stage_segment_request& x) { return stage(x); },
            [&](const protocol::sqlite_commit_finalize_request& x) { return finalize(x); },
            [&](const auto&) { return no("core/internal_error"); }},
        call);
  }

  void change_by_another() { ++*head; }

  database now;
  std::optional<std::uint64_t> head;

private:
  static storage_result no(std::string code) {
    return storage_failure{errc::refused, "no", false, std::move(code)};
  }

  storage_result get(const protocol::sqlite_get_pages_request& x) const {
    if (!head) return no("depot/database_not_found");
    if (x.expected_head_txid && x.expected_head_txid != head)
      return no("depot/head_fence_mismatch");
    protocol::sqlite_get_pages_ok out;
    out.head_txid = head;
    for (const auto pgno : x.pgnos) {
      must(pgno != 0, "pages", "page 0 is asked for");
      std::optional<bytes> content;
      if (const auto at = now.pages.find(pgno); at != now.pages.end())
        content = bytes{make_page(pgno, at->second, now.size)};
      out.pages.push_back({pgno, std::move(content)});
    }
    return storage_answer{std::move(out)};
  }

  void put(const std::vector<protocol::sqlite_dirty_page>& from, versions& to) {
    std::uint32_t last = 0;
    for (const auto& x : from) {
      must(x.pgno > last && x.bytes.size() == 4096, "pages", "a commit that the engine refuses");
      last = x.pgno;
      to[x.pgno] = version_in(x.bytes.span());
    }
  }

  void set_size(std::uint32_t size) {
    now.size = size;
    now.pages.erase(now.pages.upper_bound(size), now.pages.end());
    std::erase_if(now.pages, [](const auto& x) { return x.second == 0; });  // zeros, as if absent
  }

  storage_result commit(const protocol::sqlite_commit_request& x) {
    must(x.dirty_pages.size() <= 320, "pages", "a commit above 320 pages");
    if (x.expected_head_txid != head) return no("depot/head_fence_mismatch");
    put(x.dirty_pages, now.pages);
    set_size(x.db_size_pages);
    head = head.value_or(0) + 1;
    staging_.reset();
    return storage_answer{protocol::sqlite_commit_ok{head}};
  }

  storage_result begin(const protocol::sqlite_commit_stage_begin_request& x) {
    if (x.expected_head_txid != head) return no("depot/head_fence_mismatch");
    staging_ = head.value_or(0) + 1;
    staged_.clear();
    segments_.clear();
    return storage_answer{protocol::sqlite_commit_stage_begin_ok{*staging_}};
  }

  storage_result stage(const protocol::sqlite_commit_stage_segment_request& x) {
    if (x.txid != staging_) return no("depot/head_fence_mismatch");
    if (!segments_.empty() && x.first_pgno < segments_.back() + 320)
      return no("depot/stage_segment_invalid");
    must(x.first_pgno % 64 == 0 && !x.dirty_pages.empty(), "pages", "no segment");
    must(
        x.dirty_pages.front().pgno >= x.first_pgno &&
            x.dirty_pages.back().pgno < x.first_pgno + 320,
        "pages",
        "a page outside its segment");
    put(x.dirty_pages, staged_);
    segments_.push_back(x.first_pgno);
    return storage_answer{protocol::sqlite_commit_stage_segment_ok{}};
  }

  storage_result finalize(const protocol::sqlite_commit_finalize_request& x) {
    if (x.txid != staging_) return no("depot/head_fence_mismatch");
    must(x.segment_first_pgnos == segments_, "pages", "other segments than were staged");
    for (const auto& [pgno, version] : staged_) now.pages[pgno] = version;
    set_size(x.new_db_size_pages);
    head = std::exchange(staging_, std::nullopt);
    return storage_answer{protocol::sqlite_commit_finalize_ok{head}};
  }

  std::optional<std::uint64_t> staging_;
  versions staged_;
  std::vector<std::uint32_t> segments_;
};

class pages_world : machine_run<pages_row, pages_size> {
public:
  pages_world(std::uint64_t seed, bool tracing) : machine_run(seed, tracing, pages_size::sizes) {}

  machine_result go() {
    return judge([this] {
      draw();
      open();
      for (int n = 0; n < transactions_ && !pages_.broken(); ++n) transaction();
    });
  }

private:
  void draw() {
    options_.clean_bytes_max = 4096 * (2 + random_.below(100));
    options_.attempts_max = 1 + static_cast<unsigned>(random_.below(8));
    transactions_ = 2 + static_cast<int>(random_.below(8));
    if (random_.percent(70)) lose_percent_ = static_cast<unsigned>(random_.below(50));
    if (random_.percent(50)) refuse_percent_ = static_cast<unsigned>(random_.below(20));
    another_percent_ = random_.percent(20) ? 10 : 0;
    // The generation keeps others out; one that came in all the same can be told from ourselves only
    // where no answer is lost.
    if (another_percent_ != 0) lose_percent_ = refuse_percent_ = 0;
    large_percent_ = random_.percent(30) ? 40 : 0;
  }

  void count(pages_row r) { seen_.count(r, size_); }

  // -- the wire: one request at a time

  outcome<void> run() {
    while (const auto call = pages_.poll_transmit()) {
      must(++steps_ < 100'000, "liveness", "it asks for ever");
      trace("asks {}", name_of(*call));
      pages_.handle_result(answer(*call));
    }
    return pages_.take_outcome();
  }

  storage_result answer(const storage_call& call) {
    const auto writes = !is_read(call);
    if (random_.percent(lose_percent_)) {
      const auto after = random_.percent(50);
      count(after ? pages_row::lost_after : pages_row::lost_before);
      if (after) static_cast<void>(store_(call));
      lost_ = true;
      return storage_failure{errc::link_lost, "cut", writes, {}};
    }
    if (random_.percent(refuse_percent_)) {
      const auto sent = random_.percent(50);
      count(sent ? pages_row::refused : pages_row::not_sent);
      not_sent_ = not_sent_ || !sent;
      if (!sent) return storage_failure{errc::queue_full, "full", false, {}};
      lost_ = true;  // an error of no known meaning says nothing
      ++refusals_;
      if (random_.percent(50)) static_cast<void>(store_(call));
      return storage_failure{errc::refused, "no", false, "core/internal_error"};
    }
    return store_(call);
  }

  // -- what a database does

  void open() {
    for (;;) {
      pages_ = sqlite_pages{options_};
      pages_.begin_open();
      if (run()) break;
    }
    must(pages_.size() == believed_.size, "pages", "opened with another size");
    work_ = believed_;
  }

  void read(std::uint32_t pgno) {
    for (int n = 0; n < 1000 && !pages_.broken(); ++n) {
      if (const auto page = pages_.find(pgno)) {
        const auto at = work_.pages.find(pgno);
        must(
            version_in(*page) == (at == work_.pages.end() ? 0 : at->second),
            "pages",
            "another page reads back than was written");
        return count(pages_row::read);
      }
      pages_.begin_fetch(pgno);
      static_cast<void>(run());
    }
  }

  void write(std::uint32_t pgno) {
    work_.pages[pgno] = ++version_;
    work_.size = std::max(work_.size, pgno);
  }

  void transaction() {
    const auto large = random_.percent(large_percent_);
    size_ = large ? pages_size::staged : pages_size::one_commit;
    lost_ = not_sent_ = false;
    refusals_ = 0;
    if (another_percent_ != 0 && store_.head && random_.percent(another_percent_)) {
      another_ = true;
      store_.change_by_another();
    }
    if (work_.size > 0 && random_.percent(50))
      read(1 + static_cast<std::uint32_t>(random_.below(work_.size)));
    if (pages_.broken()) return ended();
    change(large);
    commit();
  }

  // A transaction that shrinks states the new size on page 1; the file is cut when it is committed.
  bool shrink() {
    if (work_.size < 2 || !random_.percent(20)) return false;
    count(pages_row::shrunk);
    work_.size = 1 + static_cast<std::uint32_t>(random_.below(work_.size));
    work_.pages.erase(work_.pages.upper_bound(work_.size), work_.pages.end());
    return true;
  }

  void change(bool large) {
    const auto most = !large && shrink() ? work_.size : work_.size + 12;
    std::set<std::uint32_t> which{1};  // SQLite counts changes there, and the size
    const auto from = 1 + static_cast<std::uint32_t>(random_.below(700));
    for (auto n = large ? 330 + random_.below(400) : random_.below(12); n > 0; --n)
      which.insert(static_cast<std::uint32_t>(large ? from + n : 1 + random_.below(most)));
    for (const auto pgno : which) write(pgno);
    for (const auto pgno : which) put(pgno);
  }

  void put(std::uint32_t pgno) {
    must(
        pages_.write(pgno, make_page(pgno, work_.pages[pgno], work_.size)).ok(),
        "pages",
        "a write was refused");
  }

  void commit() {
    const auto before = store_.head;
    const auto probes = pages_.stats().probes;
    pages_.begin_commit(7);
    const auto done = run();
    if (pages_.stats().probes != probes) count(pages_row::probed);
    if (pages_.broken()) return ended();
    if (done) {
      count(lost_ ? pages_row::committed_though_lost : pages_row::committed);
      must(store_.head == before.value_or(0) + 1, "pages", "committed not once");
      must(store_.now == work_, "pages", "something else was committed");
      must(!another_, "pages", "committed over somebody else's change");
      believed_ = work_;
      pages_.truncate(work_.size);
      if (random_.percent(20)) {
        count(pages_row::opened_again);
        open();
      }
      return;
    }
    must(
        not_sent_ || refusals_ > options_.attempts_max,
        "pages",
        "a commit failed that could have been tried again");
    count(pages_row::commit_failed);
    trace("failed: {}", done.error().message);
    must(store_.head == before, "pages", "a commit is said to have failed that happened");
    roll_back();
  }

  // As SQLite does it: what was there is written back, and the file cut.
  void roll_back() {
    count(pages_row::rolled_back);
    if (believed_.size == 0) return open();
    const auto tried = std::exchange(work_, believed_);
    pages_.truncate(work_.size);
    for (const auto& [pgno, version] : tried.pages) {
      const auto at = work_.pages.find(pgno);
      const auto was = at == work_.pages.end() ? 0 : at->second;
      if (pgno <= work_.size && was != version)
        must(pages_.write(pgno, make_page(pgno, was, work_.size)).ok(), "pages", "no way back");
    }
  }

  void ended() {
    trace("broken: {}", pages_.broken()->message);
    count(another_ ? pages_row::broken_by_another : pages_row::broken_by_doubt);
    const std::string_view why = pages_.broken()->message;
    must(another_ || lost_, "pages", "broken for no reason");
    must(another_ || !why.starts_with("somebody else"), "pages", "taken for somebody else");
  }

  sqlite_pages_options options_;
  int transactions_ = 0;
  unsigned lose_percent_ = 0, refuse_percent_ = 0, another_percent_ = 0, large_percent_ = 0;

  page_store store_;
  sqlite_pages pages_;
  database believed_, work_;  // committed as its owner was told, and the open transaction
  std::uint32_t version_ = 0;
  pages_size size_{};
  unsigned refusals_ = 0;  ///< of this transaction, without a reason
  bool lost_ = false, not_sent_ = false, another_ = false;
};

}  // namespace

machine_simulation simulate_pages() {
  return {
      .run = &run_world<pages_world>,
      .rows =
          {"committed",
           "committed, an answer lost",
           "commit failed",
           "rolled back",
           "broken by another's change",
           "broken by doubt",
           "lost before it was done",
           "lost after it was done",
           "not sent",
           "refused without a reason",
           "head asked for",
           "shrunk",
           "pages read",
           "opened again"},
      .columns = {"one commit", "staged"},
      .impossible = {
          {{static_cast<std::size_t>(pages_row::shrunk),
            static_cast<std::size_t>(pages_size::staged)},
           "large ones only grow here"}}};
}

}  // namespace nuncio::simulation

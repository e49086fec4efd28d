// SQLite at page level (docs/protocol.md H.3): reads, commits, staged commits, fences.
#include <fmt/format.h>

#include "storage_answers.hpp"

namespace nuncio::testing::engine {

namespace {

using namespace protocol;

constexpr std::size_t read_pages_max = 8192;
constexpr std::size_t commit_bytes_max = 1310720;
constexpr std::uint32_t shard_pages = 64;
constexpr std::uint32_t segment_pages = 5 * shard_pages;

sqlite_error_response failed(std::string_view group, std::string_view code, std::string message) {
  return {text{group}, text{code}, text{std::move(message)}};
}

sqlite_error_response internal(std::string message) {
  return failed("core", "internal_error", std::move(message));
}

sqlite_error_response fence_mismatch(std::uint64_t expected, std::uint64_t head) {
  return failed(
      "depot",
      "head_fence_mismatch",
      fmt::format(
          "transaction failed: sqlite head fence mismatch: expected head txid {}, current head "
          "txid {}",
          expected,
          head));
}

sqlite_error_response bad_segment(std::string_view why) {
  return failed(
      "depot",
      "stage_segment_invalid",
      fmt::format("transaction failed: StageSegmentInvalid: {}", why));
}

std::optional<sqlite_error_response> refuse(
    const engine_core& core,
    const actor_id& actor,
    const std::optional<std::uint64_t>& generation,
    std::string_view what) {
  if (!generation)
    return failed(
        "sqlite", "invalid_request", fmt::format("sqlite {} missing expectedGeneration", what));
  return refuse_sqlite(core, actor, *generation);
}

}  // namespace

std::optional<sqlite_error_response> refuse_sqlite(
    const engine_core& core, const actor_id& actor, std::uint64_t generation) {
  if (!is_id(actor.view())) return internal("invalid sqlite actor id: unsupported ID version");
  const auto* a = core.find(actor);
  if (a == nullptr || a->generation != generation) return internal("actor does not exist");
  return std::nullopt;
}

sqlite_get_pages_response answer_get_pages(
    const storage& store, const engine_core& core, const sqlite_get_pages_request& r) {
  if (auto why = refuse(core, r.actor_id, r.expected_generation, "get_pages")) return *why;
  if (r.pgnos.size() > read_pages_max)
    return failed(
        "sqlite",
        "invalid_request",
        fmt::format(
            "sqlite get_pages requested {} pages, exceeding limit {}",
            r.pgnos.size(),
            read_pages_max));
  for (const auto pgno : r.pgnos)
    if (pgno == 0) return internal("get_pages does not accept page 0");
  const auto& db = store.of(r.actor_id).db;
  if (db.head == 0)
    return failed(
        "depot",
        "database_not_found",
        "transaction failed: sqlite database was not found in this bucket branch");
  if (r.expected_head_txid && *r.expected_head_txid != db.head)
    return fence_mismatch(*r.expected_head_txid, db.head);
  sqlite_get_pages_ok out;
  out.head_txid = db.head;
  static const bytes zeros{std::vector<std::uint8_t>(page_bytes)};
  for (const auto pgno : r.pgnos) {
    std::optional<bytes> page;
    if (const auto at = db.pages.find(pgno); at != db.pages.end()) {
      page = at->second;
    } else if (pgno <= db.size_pages) {
      page = zeros;
    }
    out.pages.push_back({pgno, std::move(page)});
  }
  return out;
}

sqlite_commit_response answer_commit(
    storage& store, const engine_core& core, const sqlite_commit_request& r) {
  if (auto why = refuse(core, r.actor_id, r.expected_generation, "commit")) return *why;
  std::map<std::uint32_t, bytes> pages;
  std::size_t total = 0;
  for (const auto& page : r.dirty_pages) {
    if (page.pgno == 0) return internal("sqlite commit does not accept page 0");
    if (page.bytes.size() != page_bytes)
      return internal(fmt::format(
          "sqlite commit page {} had {} bytes, expected {}",
          page.pgno,
          page.bytes.size(),
          page_bytes));
    if (!pages.emplace(page.pgno, page.bytes).second)
      return internal(
          fmt::format("sqlite commit duplicated page {} in a single request", page.pgno));
    total += page.bytes.size();
  }
  if (total > commit_bytes_max)
    return failed(
        "depot",
        "commit_too_large",
        fmt::format(
            "sqlite commit too large: actual_size_bytes={}, max_size_bytes={}",
            total,
            commit_bytes_max));
  const auto head = store.of(r.actor_id).db.head;
  if (r.expected_head_txid && *r.expected_head_txid != head)
    return fence_mismatch(*r.expected_head_txid, head);
  return sqlite_commit_ok{store.commit(r.actor_id, pages, r.db_size_pages)};
}

sqlite_commit_stage_begin_response answer_stage_begin(
    storage& store, const engine_core& core, const sqlite_commit_stage_begin_request& r) {
  if (auto why = refuse(core, r.actor_id, r.expected_generation, "staged commit")) return *why;
  const auto head = store.of(r.actor_id).db.head;
  if (r.expected_head_txid && *r.expected_head_txid != head)
    return fence_mismatch(*r.expected_head_txid, head);
  store.stage_of(r.actor_id) = staged_commit{head + 1, {}};
  return sqlite_commit_stage_begin_ok{head + 1};
}

sqlite_commit_stage_segment_response answer_stage_segment(
    storage& store, const engine_core& core, const sqlite_commit_stage_segment_request& r) {
  if (auto why = refuse(core, r.actor_id, r.expected_generation, "staged commit")) return *why;
  const auto head = store.of(r.actor_id).db.head;
  if (r.txid != head + 1) return fence_mismatch(r.txid - 1, head);
  const auto first = r.first_pgno;
  if (r.dirty_pages.empty()) return bad_segment("segment has no pages");
  if (first % shard_pages != 0)
    return bad_segment(fmt::format("first page {} is not shard-aligned", first));
  auto& stage = store.stage_of(r.actor_id);
  if (!stage || stage->txid != r.txid) stage = staged_commit{r.txid, {}};
  if (!stage->segments.empty())
    if (const auto last = stage->segments.rbegin()->first; first < last + segment_pages)
      return bad_segment(
          fmt::format("segment {} overlaps the span of the segment at {}", first, last));
  std::map<std::uint32_t, bytes> pages;
  std::uint64_t staged = 0;
  for (const auto& page : r.dirty_pages) {
    if (page.pgno >= first + segment_pages)
      return bad_segment(fmt::format("page {} sits past the segment's 5-shard span", page.pgno));
    if (page.pgno < first || page.pgno == 0)
      return bad_segment(fmt::format("page {} sits before the segment's span", page.pgno));
    const auto broken = [&](std::string_view why) {
      return internal(
          fmt::format("transaction failed: encode staged commit segment {}: {}", first, why));
    };
    if (page.bytes.size() != page_bytes)
      return broken(fmt::format(
          "page {} had {} bytes, expected {}", page.pgno, page.bytes.size(), page_bytes));
    if (!pages.emplace(page.pgno, bytes::copy_of(page.bytes.span())).second)
      return broken("page numbers must be unique and strictly increasing");
    staged += page.bytes.size();
  }
  stage->segments[first] = std::move(pages);
  return sqlite_commit_stage_segment_ok{staged};
}

sqlite_commit_finalize_response answer_stage_finalize(
    storage& store, const engine_core& core, const sqlite_commit_finalize_request& r) {
  if (auto why = refuse(core, r.actor_id, r.expected_generation, "staged commit")) return *why;
  const auto head = store.of(r.actor_id).db.head;
  if (r.txid != head + 1) return fence_mismatch(r.txid - 1, head);
  auto& stage = store.stage_of(r.actor_id);
  if (!stage || stage->txid != r.txid) stage = staged_commit{r.txid, {}};
  std::map<std::uint32_t, bytes> pages;
  for (const auto first : r.segment_first_pgnos) {
    const auto at = stage->segments.find(first);
    if (at == stage->segments.end())
      return failed(
          "depot",
          "stage_not_found",
          fmt::format(
              "transaction failed: StageNotFound: no staged segment at page {} for txid {}",
              first,
              r.txid));
    pages.insert(at->second.begin(), at->second.end());
  }
  if (r.segment_first_pgnos.size() != stage->segments.size())
    return bad_segment(fmt::format(
        "finalize claimed {} segments but {} were staged",
        r.segment_first_pgnos.size(),
        stage->segments.size()));
  stage.reset();
  return sqlite_commit_finalize_ok{store.commit(r.actor_id, pages, r.new_db_size_pages)};
}

}  // namespace nuncio::testing::engine

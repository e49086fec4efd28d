// See page_model.hpp.
#include "simulation/page_model.hpp"

#include <utility>

#include "simulation/violated.hpp"

namespace nuncio::simulation {
namespace {

constexpr std::size_t page_bytes = 4096, commit_pages_max = 320;
constexpr std::uint32_t shard_pages = 64;

protocol::sqlite_error_response no(std::string_view code) {
  return {text{"depot"}, text{code}, text{"no"}};
}

}  // namespace

std::vector<std::uint8_t> make_page(std::uint32_t pgno, std::uint32_t version, std::uint32_t size) {
  std::vector<std::uint8_t> out(page_bytes);
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

protocol::sqlite_get_pages_response page_model::answer(
    const protocol::sqlite_get_pages_request& x) const {
  if (!head) return no("database_not_found");
  if (x.expected_head_txid && x.expected_head_txid != head) return no("head_fence_mismatch");
  protocol::sqlite_get_pages_ok out;
  out.head_txid = head;
  for (const auto pgno : x.pgnos) {
    must(pgno != 0, "pages", "page 0 is asked for");
    std::optional<bytes> content;
    if (const auto at = now.pages.find(pgno); at != now.pages.end())
      content = bytes{make_page(pgno, at->second, now.size)};
    out.pages.push_back({pgno, std::move(content)});
  }
  return out;
}

void page_model::put(const std::vector<protocol::sqlite_dirty_page>& from, versions& to) {
  std::uint32_t last = 0;
  for (const auto& x : from) {
    must(
        x.pgno > last && x.bytes.size() == page_bytes, "pages", "a commit that the engine refuses");
    last = x.pgno;
    to[x.pgno] = version_in(x.bytes.span());
  }
}

void page_model::set_size(std::uint32_t size) {
  now.size = size;
  now.pages.erase(now.pages.upper_bound(size), now.pages.end());
  std::erase_if(now.pages, [](const auto& x) { return x.second == 0; });  // zeros, as if absent
}

protocol::sqlite_commit_response page_model::answer(const protocol::sqlite_commit_request& x) {
  must(x.dirty_pages.size() <= commit_pages_max, "pages", "a commit above 320 pages");
  if (x.expected_head_txid != head) return no("head_fence_mismatch");
  put(x.dirty_pages, now.pages);
  set_size(x.db_size_pages);
  head = head.value_or(0) + 1;
  staging_.reset();
  return protocol::sqlite_commit_ok{head};
}

protocol::sqlite_commit_stage_begin_response page_model::answer(
    const protocol::sqlite_commit_stage_begin_request& x) {
  if (x.expected_head_txid != head) return no("head_fence_mismatch");
  staging_ = head.value_or(0) + 1;
  staged_.clear();
  segments_.clear();
  return protocol::sqlite_commit_stage_begin_ok{*staging_};
}

protocol::sqlite_commit_stage_segment_response page_model::answer(
    const protocol::sqlite_commit_stage_segment_request& x) {
  if (x.txid != staging_) return no("head_fence_mismatch");
  if (!segments_.empty() && x.first_pgno < segments_.back() + commit_pages_max)
    return no("stage_segment_invalid");
  must(x.first_pgno % shard_pages == 0 && !x.dirty_pages.empty(), "pages", "no segment");
  must(
      x.dirty_pages.front().pgno >= x.first_pgno &&
          x.dirty_pages.back().pgno < x.first_pgno + commit_pages_max,
      "pages",
      "a page outside its segment");
  put(x.dirty_pages, staged_);
  segments_.push_back(x.first_pgno);
  return protocol::sqlite_commit_stage_segment_ok{};
}

protocol::sqlite_commit_finalize_response page_model::answer(
    const protocol::sqlite_commit_finalize_request& x) {
  if (x.txid != staging_) return no("head_fence_mismatch");
  must(x.segment_first_pgnos == segments_, "pages", "other segments than were staged");
  for (const auto& [pgno, version] : staged_) now.pages[pgno] = version;
  set_size(x.new_db_size_pages);
  head = std::exchange(staging_, std::nullopt);
  return protocol::sqlite_commit_finalize_ok{head};
}

}  // namespace nuncio::simulation

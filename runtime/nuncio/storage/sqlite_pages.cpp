// See sqlite_pages.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nuncio/storage/sqlite_pages.hpp>

namespace nuncio {
namespace {

using namespace protocol;

constexpr std::string_view no_database = "depot/database_not_found";
constexpr std::string_view head_moved = "depot/head_fence_mismatch";
constexpr std::string_view changed_by_another =
    "someone else has changed this database; this instance can't use it any more";

// The size in pages according to the header on page 1 (SQLite's file format, offset 28): every writer that commits through an
// engine maintains it.
std::uint32_t size_in_header(const std::vector<std::uint8_t>& page) {
  return (std::uint32_t{page[28]} << 24U) | (std::uint32_t{page[29]} << 16U) |
         (std::uint32_t{page[30]} << 8U) | std::uint32_t{page[31]};
}

bytes as_bytes(const sqlite_pages::page& x) { return {x, *x}; }

failure moved(const storage_failure& why) {
  return {errc::refused, fmt::format("{}: {}", changed_by_another, why.message)};
}

failure not_committed(const storage_failure& why) {
  return {why.code, why.message + "; the transaction is not committed"};
}

}  // namespace

// -- reading ------------------------------------------------------------------------

void sqlite_pages::begin_open() {
  step_ = step::open;
  sent_ = false;
  wanted_.clear();
  for (std::uint32_t pgno = 1; pgno <= options_.open_pages; ++pgno) wanted_.push_back(pgno);
}

sqlite_pages::page sqlite_pages::find(std::uint32_t pgno) {
  if (const auto at = dirty_.find(pgno); at != dirty_.end()) return at->second;
  const auto at = clean_.find(pgno);
  if (at == clean_.end()) return nullptr;
  ages_.splice(ages_.begin(), ages_, at->second.age);
  return at->second.content;
}

void sqlite_pages::begin_fetch(std::uint32_t pgno) {
  if (broken_) return fail(*broken_);
  // More than half of the clean pages at once would evict the pages that are read along with them.
  const auto most = std::max<std::size_t>(
      1, std::min<std::size_t>(options_.sequence_pages_max, clean_pages_max() / 2));
  const auto up = pgno == next_up_;
  const auto down = pgno == next_down_;
  window_ = std::min<std::size_t>(up || down ? window_ * 2 : options_.jump_pages, most);
  step_ = step::fetch;
  sent_ = false;
  wanted_ = {pgno};
  const auto within = [&](std::uint32_t x) { return x >= 1 && x <= committed_size_; };
  const auto stride = down ? UINT32_MAX : 1U;  // unsigned numbers go down by wrapping
  auto next = pgno + stride;
  for (std::size_t i = 1; i < window_ && within(next); ++i, next += stride)
    if (!clean_.contains(next) && !dirty_.contains(next)) wanted_.push_back(next);
  next_up_ = down ? 0 : next;
  next_down_ = down ? next : up ? 0 : pgno - 1;
}

void sqlite_pages::handle_pages(const sqlite_get_pages_ok& got) {
  if (step_ == step::open) head_ = got.head_txid;
  // Backwards, so that the page wanted now is the most recent.
  for (auto x = got.pages.rbegin(); x != got.pages.rend(); ++x) {
    if (x->bytes && x->bytes->size() != page_bytes)
      return break_with(
          {errc::malformed, fmt::format("page {} came with {} bytes", x->pgno, x->bytes->size())});
    // Copied: a page must not keep the frame alive in which it arrived. Omitted pages are zero.
    if (x->bytes)
      keep_clean(
          x->pgno,
          std::make_shared<const std::vector<std::uint8_t>>(x->bytes->begin(), x->bytes->end()));
    else if (x->pgno <= committed_size_)
      keep_clean(x->pgno, std::make_shared<const std::vector<std::uint8_t>>(page_bytes));
  }
  stats_.fetched += got.pages.size();
  if (step_ == step::open) {
    const auto first = find(1);
    size_ = committed_size_ = first ? size_in_header(*first) : 0;
  }
  step_ = step::idle;
}

void sqlite_pages::keep_clean(std::uint32_t pgno, page content) {
  if (const auto at = clean_.find(pgno); at != clean_.end()) {
    at->second.content = std::move(content);
    ages_.splice(ages_.begin(), ages_, at->second.age);
    return;
  }
  ages_.push_front(pgno);
  clean_.emplace(pgno, clean_page{std::move(content), ages_.begin()});
  while (clean_.size() > clean_pages_max()) {
    clean_.erase(ages_.back());
    ages_.pop_back();
  }
}

// -- writing ------------------------------------------------------------------------

outcome<void> sqlite_pages::write(std::uint32_t pgno, std::span<const std::uint8_t> content) {
  if (broken_) return *broken_;
  auto& place = dirty_[pgno];
  if (!place && dirty_.size() * page_bytes > options_.dirty_bytes_max) {
    dirty_.erase(pgno);
    return failure{
        errc::too_large,
        fmt::format(
            "a transaction may change {} bytes of pages at most", options_.dirty_bytes_max)};
  }
  place = std::make_shared<const std::vector<std::uint8_t>>(content.begin(), content.end());
  size_ = std::max(size_, pgno);
  return {};
}

void sqlite_pages::truncate(std::uint32_t pages) {
  size_ = pages;
  dirty_.erase(dirty_.upper_bound(pages), dirty_.end());
}

void sqlite_pages::begin_commit(std::int64_t now_ms) {
  if (broken_) return fail(*broken_);
  drop_unchanged();
  if (!dirty()) return;
  // SQLite truncates the file after the commit that makes it smaller; that commit's page 1 already has the size.
  const auto first = find(1);
  const auto stated = first ? size_in_header(*first) : 0;
  commit_size_ = stated != 0 ? std::min(stated, size_) : size_;
  dirty_.erase(dirty_.upper_bound(commit_size_), dirty_.end());
  now_ms_ = now_ms;
  attempts_ = 0;
  in_doubt_ = false;
  last_refusal_.reset();
  sent_ = false;
  segment_ = 0;
  segments_.clear();
  if (dirty_.size() <= commit_pages_max) {
    step_ = step::commit;
    return;
  }
  step_ = step::stage_begin;
  for (const auto& [pgno, content] : dirty_)
    if (segments_.empty() || pgno >= segments_.back() + commit_pages_max)
      segments_.push_back(pgno / shard_pages * shard_pages);
}

// Drops unchanged pages: a transaction that was rolled back after a spill writes back the old content.
void sqlite_pages::drop_unchanged() {
  std::erase_if(dirty_, [&](const auto& x) {
    const auto at = clean_.find(x.first);
    return at != clean_.end() && x.first <= committed_size_ && *at->second.content == *x.second;
  });
}

std::vector<sqlite_dirty_page> sqlite_pages::dirty_pages(
    std::uint32_t from, std::uint64_t to) const {
  std::vector<sqlite_dirty_page> out;
  for (auto at = dirty_.lower_bound(from); at != dirty_.end() && at->first < to; ++at)
    out.push_back({at->first, as_bytes(at->second)});
  return out;
}

// -- requests -----------------------------------------------------------------------

std::optional<storage_call> sqlite_pages::poll_transmit() {
  if (step_ == step::idle || std::exchange(sent_, true)) return std::nullopt;
  switch (step_) {
    case step::open:
      ++stats_.fetches;
      return sqlite_get_pages_request{{}, wanted_, {}, {}};
    case step::fetch:
      ++stats_.fetches;
      return sqlite_get_pages_request{{}, wanted_, {}, head_};
    case step::probe:
      ++stats_.probes;
      return sqlite_get_pages_request{{}, {1}, {}, {}};
    case step::commit:
      return sqlite_commit_request{
          {}, dirty_pages(0, UINT64_MAX), commit_size_, now_ms_, {}, head_};
    case step::stage_begin:
      return sqlite_commit_stage_begin_request{{}, {}, head_};
    case step::stage_segment: {
      const auto first = segments_[segment_];
      return sqlite_commit_stage_segment_request{
          {}, {}, txid_, first, dirty_pages(first, std::uint64_t{first} + commit_pages_max)};
    }
    case step::finalize:
      return sqlite_commit_finalize_request{{}, {}, txid_, commit_size_, now_ms_, segments_};
    case step::idle:
      break;
  }
  return std::nullopt;
}

void sqlite_pages::handle_result(const storage_result& x) {
  if (const auto* why = std::get_if<storage_failure>(&x)) return handle_failure(*why);
  const auto& answer = std::get<storage_answer>(x);
  switch (step_) {
    case step::open:
    case step::fetch:
      return handle_pages(std::get<sqlite_get_pages_ok>(answer));
    case step::probe:
      return handle_probe(std::get<sqlite_get_pages_ok>(answer).head_txid);
    case step::commit:
      return committed(std::get<sqlite_commit_ok>(answer).head_txid);
    case step::finalize:
      return committed(std::get<sqlite_commit_finalize_ok>(answer).head_txid);
    case step::stage_begin:
      txid_ = std::get<sqlite_commit_stage_begin_ok>(answer).txid;
      step_ = step::stage_segment;
      break;
    case step::stage_segment:
      if (++segment_ == segments_.size()) step_ = step::finalize;
      break;
    case step::idle:
      return;
  }
  sent_ = false;
}

void sqlite_pages::committed(std::optional<std::uint64_t> head) {
  // An engine without a head (before version 5) fences by the generation only.
  if (head || head_) head_ = head.value_or(next_head());
  ++stats_.commits;
  if (!segments_.empty()) ++stats_.staged;
  stats_.committed_pages += dirty_.size();
  for (auto& [pgno, content] : std::exchange(dirty_, {})) keep_clean(pgno, std::move(content));
  for (auto at = ages_.begin(); at != ages_.end();) {  // a truncated page may come back, empty
    const auto pgno = *at++;
    if (pgno <= commit_size_) continue;
    ages_.erase(clean_.at(pgno).age);
    clean_.erase(pgno);
  }
  committed_size_ = commit_size_;
  step_ = step::idle;
}

void sqlite_pages::handle_failure(const storage_failure& why) {
  if (step_ == step::idle) return;
  if (step_ == step::open && why.engine_code == no_database) {
    step_ = step::idle;
    return;  // no head, no pages: the first commit creates it
  }
  if (step_ == step::open || step_ == step::fetch) {
    if (why.engine_code == head_moved) return break_with(moved(why));
    return fail({why.code, why.message});
  }
  if (step_ == step::probe) {
    if (why.engine_code == no_database) return handle_probe(std::nullopt);
    return break_with({why.code, "it is unknown whether the last commit happened: " + why.message});
  }
  // The engine has refused, or nothing left this process.
  const auto judged =
      why.engine_code.starts_with("depot/") || why.engine_code.starts_with("sqlite/");
  const auto lost = why.may_have_happened || (why.code == errc::refused && !judged);
  const auto again =
      attempts_ > 0 && why.engine_code == head_moved;  // by an attempt whose answer was lost?
  if (!lost && !again) {
    if (why.engine_code == head_moved) return break_with(moved(why));
    return fail(not_committed(why));
  }
  in_doubt_ = in_doubt_ || why.may_have_happened;
  if (++attempts_ > options_.attempts_max) {
    if (in_doubt_ || why.engine_code == head_moved)
      return break_with(
          {why.code, "it is unknown whether the last commit happened: " + why.message});
    // Each attempt was answered with an error: none is under way, and the head is final.
    if (step_ != step::commit && step_ != step::finalize) return fail(not_committed(why));
    last_refusal_ = not_committed(why);
  }
  if (step_ == step::commit || step_ == step::finalize) {
    probed_ = step_;
    step_ = step::probe;
  } else {  // a segment that already exists would be refused: staging starts again, which discards it
    step_ = step::stage_begin;
    segment_ = 0;
  }
  sent_ = false;
}

void sqlite_pages::handle_probe(std::optional<std::uint64_t> head) {
  if (head == next_head()) return committed(head);
  if (head != head_ || (!head_ && committed_size_ != 0))
    return break_with({errc::refused, std::string{changed_by_another}});
  if (last_refusal_) return fail(*std::exchange(last_refusal_, std::nullopt));
  step_ = probed_;
  sent_ = false;
}

void sqlite_pages::fail(failure why) {
  step_ = step::idle;
  outcome_ = std::move(why);
}

void sqlite_pages::break_with(failure why) {
  broken_ = why;
  fail(std::move(why));
}

}  // namespace nuncio

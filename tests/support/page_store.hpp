// A model of the engine's SQLite pages of one actor, by the rules of docs/protocol.md H.3. One
// thread.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <nuncio/storage/sqlite_pages.hpp>
#include <optional>
#include <string>
#include <vector>

namespace nuncio::test {

inline storage_failure refused(std::string code) {
  return {errc::refused, "no", false, std::move(code)};
}

struct store {
  using pages_map = std::map<std::uint32_t, std::vector<std::uint8_t>>;

  std::optional<std::uint64_t> head;
  std::uint32_t size = 0;
  pages_map pages;
  std::optional<std::uint64_t> staging;
  std::map<std::uint32_t, pages_map> staged;

  storage_result operator()(const storage_call& call) {
    return std::visit([this](const auto& x) { return (*this)(x); }, call);
  }

  template <class T>
  storage_result operator()(const T&) {
    return refused("core/internal_error");
  }

  storage_result operator()(const protocol::sqlite_get_pages_request& x) {
    if (!head) return refused("depot/database_not_found");
    if (x.expected_head_txid && x.expected_head_txid != head)
      return refused("depot/head_fence_mismatch");
    protocol::sqlite_get_pages_ok out{{}, head};
    for (const auto pgno : x.pgnos) {
      const auto at = pages.find(pgno);
      out.pages.push_back(
          {pgno, at == pages.end() ? std::nullopt : std::optional{bytes{at->second}}});
    }
    return storage_answer{out};
  }

  static pages_map checked(const std::vector<protocol::sqlite_dirty_page>& dirty) {
    pages_map out;
    for (const auto& x : dirty) {
      CHECK(x.pgno != 0);
      CHECK(x.bytes.size() == sqlite_pages::page_bytes);
      [[maybe_unused]] const auto once =
          out.emplace(x.pgno, std::vector<std::uint8_t>(x.bytes.begin(), x.bytes.end())).second;
      CHECK(once);
    }
    return out;
  }

  storage_result operator()(const protocol::sqlite_commit_request& x) {
    if (x.expected_head_txid != head) return refused("depot/head_fence_mismatch");
    if (x.dirty_pages.size() > 320) return refused("depot/commit_too_large");
    apply(checked(x.dirty_pages), x.db_size_pages);
    return storage_answer{protocol::sqlite_commit_ok{head}};
  }

  storage_result operator()(const protocol::sqlite_commit_stage_begin_request& x) {
    if (x.expected_head_txid != head) return refused("depot/head_fence_mismatch");
    staged.clear();
    staging = head.value_or(0) + 1;
    return storage_answer{protocol::sqlite_commit_stage_begin_ok{*staging}};
  }

  storage_result operator()(const protocol::sqlite_commit_stage_segment_request& x) {
    if (staging != x.txid) return refused("depot/head_fence_mismatch");
    auto part = checked(x.dirty_pages);
    const auto fits = x.first_pgno % 64 == 0 && !part.empty() &&
                      part.begin()->first >= x.first_pgno &&
                      part.rbegin()->first < x.first_pgno + 320 &&
                      (staged.empty() || staged.rbegin()->first + 320 <= x.first_pgno);
    if (!fits) return refused("depot/stage_segment_invalid");
    staged[x.first_pgno] = std::move(part);
    return storage_answer{protocol::sqlite_commit_stage_segment_ok{1}};
  }

  storage_result operator()(const protocol::sqlite_commit_finalize_request& x) {
    if (staging != x.txid) return refused("depot/head_fence_mismatch");
    pages_map all;
    for (const auto first : x.segment_first_pgnos) {
      if (!staged.contains(first)) return refused("depot/stage_not_found");
      all.merge(staged[first]);
    }
    apply(std::move(all), x.new_db_size_pages);
    staging.reset();
    staged.clear();
    return storage_answer{protocol::sqlite_commit_finalize_ok{head}};
  }

  void apply(pages_map dirty, std::uint32_t db_pages) {
    for (auto& [pgno, content] : dirty) pages[pgno] = std::move(content);
    head = head.value_or(0) + 1;
    size = db_pages;
  }
};

}  // namespace nuncio::test

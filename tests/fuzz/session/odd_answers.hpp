// Wrong answers of storage: errors, another kind, malformed. A step's number selects one. Values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <nuncio/messages.hpp>
#include <nuncio/support/overloaded.hpp>
#include <string_view>
#include <utility>
#include <variant>

#include "session/step.hpp"

namespace nuncio::fuzz {

/// The same answer as an error.
inline void refuse(protocol::to_envoy& answer, std::uint8_t which) {
  using code = std::pair<std::string_view, std::string_view>;
  constexpr std::array<code, 8> codes{
      code{"sqlite", "busy"},
      code{"depot", "head_fence_mismatch"},
      code{"depot", "database_not_found"},
      code{"depot", "commit_too_large"},
      code{"depot", "stage_not_found"},
      code{"core", "internal_error"},
      code{"", ""},
      code{"sqlite", "remote_unavailable"}};
  const auto& [group, name] = codes[which % codes.size()];
  const protocol::sqlite_error_response sql{text{group}, text{name}, text{"no"}};
  std::visit(
      [&](auto& x) {
        if constexpr (requires { x.data = sql; })
          x.data = sql;
        else if constexpr (requires { x.data = protocol::kv_error_response{}; })
          x.data = protocol::kv_error_response{text{"no"}};
      },
      answer);
}

/// An answer to request `id` of any kind.
inline protocol::to_envoy answer_of_kind(std::uint32_t id, std::uint8_t which) {
  using namespace protocol;
  switch (which % 13) {
    case 0:
      return to_envoy_kv_response{id, kv_drop_response{}};
    case 1:
      return to_envoy_kv_response{id, kv_put_response{}};
    case 2:
      return to_envoy_kv_response{id, kv_get_response{}};
    case 3:
      return to_envoy_kv_response{id, kv_list_response{}};
    case 4:
      return to_envoy_kv_response{id, kv_delete_response{}};
    case 5:
      return to_envoy_sqlite_get_pages_response{id, sqlite_get_pages_ok{}};
    case 6:
      return to_envoy_sqlite_commit_response{id, sqlite_commit_ok{}};
    case 7:
      return to_envoy_sqlite_commit_stage_begin_response{id, sqlite_commit_stage_begin_ok{}};
    case 8:
      return to_envoy_sqlite_commit_stage_segment_response{id, sqlite_commit_stage_segment_ok{}};
    case 9:
      return to_envoy_sqlite_commit_finalize_response{id, sqlite_commit_finalize_ok{}};
    case 10:
      return to_envoy_sqlite_exec_response{id, sqlite_exec_ok{}};
    case 11:
      return to_envoy_sqlite_execute_response{id, sqlite_execute_ok{}};
    default:
      return to_envoy_sqlite_execute_batch_response{id, sqlite_execute_batch_ok{}};
  }
}

/// Of pages, some other ones, or of another size, or with another head.
inline void distort(protocol::sqlite_get_pages_ok& x, std::uint8_t which, std::uint8_t number) {
  switch (which % 8) {
    case 0:
      if (!x.pages.empty()) x.pages.pop_back();
      break;
    case 1:
      if (!x.pages.empty()) x.pages.back().bytes = bytes{std::string(4095, 'p')};
      break;
    case 2:
      if (!x.pages.empty()) x.pages.back().bytes = bytes{};
      break;
    case 3:
      x.pages.push_back({static_cast<std::uint32_t>(edge(number)), bytes{std::string(4096, 'p')}});
      break;
    case 4:
      if (!x.pages.empty()) x.pages.push_back(x.pages.front());
      break;
    case 5:
      x.head_txid = static_cast<std::uint64_t>(edge(number));
      break;
    case 6:
      x.head_txid.reset();
      break;
    default:
      x.pages.clear();
  }
}

/// Lists of different lengths.
template <class List>
void distort_list(List& x, std::uint8_t which) {
  if (which % 4 == 0) x.keys.push_back(bytes{"key"});
  if (which % 4 == 1) x.values.clear();
  if (which % 4 == 2) x.metadata.clear();
  if (which % 4 == 3) x.keys.clear();
}

/// The same answer, out of shape or with numbers at the ends of their ranges.
inline void distort(protocol::to_envoy& answer, std::uint8_t which, std::uint8_t number) {
  using namespace protocol;
  const auto any = static_cast<std::uint64_t>(edge(number));
  const auto head = which % 2 == 0 ? std::optional<std::uint64_t>{} : any;
  const auto distort_data = overloaded{
      [&](kv_get_response& x) { distort_list(x, which); },
      [&](kv_list_response& x) { distort_list(x, which); },
      [&](sqlite_get_pages_ok& x) { distort(x, which, number); },
      [&](sqlite_commit_ok& x) { x.head_txid = head; },
      [&](sqlite_commit_stage_begin_ok& x) { x.txid = any; },
      [&](sqlite_commit_stage_segment_ok& x) { x.staged_bytes = any; },
      [&](sqlite_commit_finalize_ok& x) { x.head_txid = head; },
      [&](sqlite_exec_ok& x) { x.result.rows.push_back({sqlite_value_integer{1}}); },
      [&](sqlite_execute_ok& x) {
        x.result.rows.push_back({sqlite_value_integer{1}});
        x.result.changes = edge(number);
      },
      [&](sqlite_execute_batch_ok& x) {
        if (which % 2 == 0 || x.results.empty())
          x.results.emplace_back();
        else
          x.results.pop_back();
      },
      [](auto&) {}};
  std::visit(
      [&](auto& x) {
        if constexpr (requires { std::visit(distort_data, x.data); })
          std::visit(distort_data, x.data);
      },
      answer);
}

}  // namespace nuncio::fuzz

// See storage_call.hpp.
#include <algorithm>
#include <array>
#include <cctype>
#include <nuncio/overloaded.hpp>
#include <nuncio/storage_call.hpp>

namespace nuncio {
namespace {

using namespace protocol;

// Fixed parts of a request: ids, counts, lengths.
constexpr std::size_t overhead = 64;

std::string_view skip_blanks_and_comments(std::string_view sql) {
  while (!sql.empty()) {
    if (const auto at = sql.find_first_not_of(" \t\r\n\f;"); at != 0) {
      sql.remove_prefix(std::min(at, sql.size()));
    } else if (sql.starts_with("--")) {
      sql.remove_prefix(std::min(sql.find('\n'), sql.size()));
    } else if (sql.starts_with("/*")) {
      const auto end = sql.find("*/", 2);
      sql.remove_prefix(end == std::string_view::npos ? sql.size() : end + 2);
    } else {
      break;
    }
  }
  return sql;
}

bool begins_with_word(std::string_view sql, std::string_view upper) {
  if (sql.size() < upper.size()) return false;
  const auto same = [](char a, char b) {
    return a == b || (a >= 'a' && a <= 'z' && a - 'a' + 'A' == b);
  };
  if (!std::equal(
          upper.begin(), upper.end(), sql.begin(), [&](char u, char s) { return same(s, u); }))
    return false;
  const auto next = sql.size() > upper.size() ? sql[upper.size()] : ' ';
  return next != '_' && std::isalnum(static_cast<unsigned char>(next)) == 0;
}

bool statement_reads(std::string_view sql) {
  sql = skip_blanks_and_comments(sql);
  constexpr std::array<std::string_view, 3> words = {"SELECT", "VALUES", "EXPLAIN"};
  return std::any_of(words.begin(), words.end(), [&](auto w) { return begins_with_word(sql, w); });
}

std::size_t size_of(const std::vector<bytes>& xs) {
  std::size_t n = 0;
  for (const auto& x : xs) n += x.size() + 2;
  return n;
}

std::size_t size_of(const std::vector<sqlite_dirty_page>& xs) {
  std::size_t n = 0;
  for (const auto& x : xs) n += x.bytes.size() + 8;
  return n;
}

std::size_t size_of(const std::optional<std::vector<sqlite_bind_param>>& xs) {
  std::size_t n = 0;
  if (!xs) return n;
  for (const auto& x : *xs) {
    n += 16;
    if (const auto* text = std::get_if<sqlite_value_text>(&x)) n += text->value.size();
    if (const auto* blob = std::get_if<sqlite_value_blob>(&x)) n += blob->value.size();
  }
  return n;
}

}  // namespace

bool is_read(const storage_call& call) {
  return std::visit(
      overloaded{
          [](const kv_request_data& x) {
            return std::holds_alternative<kv_get_request>(x) ||
                   std::holds_alternative<kv_list_request>(x);
          },
          [](const sqlite_get_pages_request&) { return true; },
          [](const sqlite_execute_request& x) { return statement_reads(x.sql.view()); },
          [](const auto&) { return false; }},
      call);
}

bool answers_storage(const to_envoy& x) {
  return std::visit(
      []<class T>(const T& message) {
        return requires { message.request_id; };
      },
      x);
}

std::string_view name_of(const storage_call& call) {
  static constexpr std::array<std::string_view, 6> kv = {
      "KvGet", "KvList", "KvPut", "KvDelete", "KvDeleteRange", "KvDrop"};
  static constexpr std::array<std::string_view, 9> all = {
      "",
      "SqliteGetPages",
      "SqliteCommit",
      "SqliteCommitStageBegin",
      "SqliteCommitStageSegment",
      "SqliteCommitFinalize",
      "SqliteExec",
      "SqliteExecute",
      "SqliteExecuteBatch"};
  if (const auto* x = std::get_if<kv_request_data>(&call)) return kv[x->index()];
  return all[call.index()];
}

std::size_t size_of(const storage_call& call) {
  return overhead +
         std::visit(
             overloaded{
                 [](const kv_request_data& x) {
                   return std::visit(
                       overloaded{
                           [](const kv_get_request& r) { return size_of(r.keys); },
                           [](const kv_put_request& r) {
                             return size_of(r.keys) + size_of(r.values);
                           },
                           [](const kv_delete_request& r) { return size_of(r.keys); },
                           [](const kv_delete_range_request& r) {
                             return r.start.size() + r.end.size();
                           },
                           [](const auto&) -> std::size_t { return 0; }},
                       x);
                 },
                 [](const sqlite_get_pages_request& x) { return x.pgnos.size() * 4; },
                 [](const sqlite_commit_request& x) { return size_of(x.dirty_pages); },
                 [](const sqlite_commit_stage_segment_request& x) {
                   return size_of(x.dirty_pages);
                 },
                 [](const sqlite_commit_finalize_request& x) {
                   return x.segment_first_pgnos.size() * 4;
                 },
                 [](const sqlite_exec_request& x) { return x.sql.size(); },
                 [](const sqlite_execute_request& x) { return x.sql.size() + size_of(x.params); },
                 [](const sqlite_execute_batch_request& x) {
                   std::size_t n = 0;
                   for (const auto& s : x.statements) n += s.sql.size() + size_of(s.params) + 16;
                   return n;
                 },
                 [](const auto&) -> std::size_t { return 0; }},
             call);
}

}  // namespace nuncio

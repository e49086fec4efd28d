// See storage_call.hpp.
#include <algorithm>
#include <array>
#include <cctype>
#include <nuncio/storage/kv_limits.hpp>
#include <nuncio/storage/storage_call.hpp>
#include <nuncio/support/overloaded.hpp>

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

template <std::size_t N>
bool begins_with_one_of(std::string_view sql, const std::array<std::string_view, N>& words) {
  return std::any_of(words.begin(), words.end(), [&](auto w) { return begins_with_word(sql, w); });
}

bool statement_reads(std::string_view sql) {
  constexpr std::array<std::string_view, 3> words = {"SELECT", "VALUES", "EXPLAIN"};
  return begins_with_one_of(skip_blanks_and_comments(sql), words);
}

// Anywhere, even within a name: a false positive only means waiting longer.
bool says_returning(std::string_view sql) {
  constexpr std::string_view word = "RETURNING";
  return std::search(sql.begin(), sql.end(), word.begin(), word.end(), [](char s, char u) {
           return s == u || s == u - 'A' + 'a';
         }) != sql.end();
}

// Whether `sql` can't return rows.
bool statement_is_silent(std::string_view sql) {
  constexpr std::array<std::string_view, 12> words = {
      "INSERT",
      "UPDATE",
      "DELETE",
      "REPLACE",
      "CREATE",
      "DROP",
      "ALTER",
      "BEGIN",
      "COMMIT",
      "ROLLBACK",
      "SAVEPOINT",
      "RELEASE"};
  return begins_with_one_of(skip_blanks_and_comments(sql), words) && !says_returning(sql);
}

// For a key and its value in an answer, beyond their bytes.
constexpr std::size_t entry_overhead = 2 * sizeof(bytes) + sizeof(kv_metadata);

constexpr std::size_t page_bytes = 4096 + sizeof(sqlite_fetched_page);

std::size_t rows_max(bool silent) { return silent ? 0 : answer_bytes_longest; }

std::size_t values_max(const kv_request_data& call) {
  if (const auto* get = std::get_if<kv_get_request>(&call)) {
    std::size_t n = 0;
    for (const auto& key : get->keys) n += key.size() + kv_limits::value_bytes_max + entry_overhead;
    return n;
  }
  const auto* list = std::get_if<kv_list_request>(&call);
  if (list == nullptr) return 0;
  constexpr auto entry = kv_limits::key_bytes_max + kv_limits::value_bytes_max + entry_overhead;
  const auto entries = list->limit.value_or(UINT64_MAX);
  return entries < answer_bytes_longest / entry ? entries * entry : answer_bytes_longest;
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

// An answer with keys, values and metadata.
template <class Answer>
std::size_t size_of_entries(const Answer& x) {
  std::size_t n = (x.keys.size() + x.values.size()) * sizeof(bytes);
  for (const auto* each : {&x.keys, &x.values})
    for (const auto& part : *each) n += part.size();
  for (const auto& each : x.metadata) n += sizeof each + each.version.size();
  return n;
}

// An answer with columns and rows.
template <class Answer>
std::size_t size_of_rows(const Answer& x) {
  std::size_t n = 0;
  for (const auto& each : x.columns) n += sizeof each + each.size();
  for (const auto& row : x.rows) {
    n += sizeof row + row.size() * sizeof(sqlite_column_value);
    for (const auto& value : row) {
      if (const auto* text = std::get_if<sqlite_value_text>(&value)) n += text->value.size();
      if (const auto* blob = std::get_if<sqlite_value_blob>(&value)) n += blob->value.size();
    }
  }
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

std::string to_string(const storage_failure& x) { return to_string(failure{x.code, x.message}); }

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

std::size_t answer_bytes_max(const storage_call& call) {
  const auto values = std::visit(
      overloaded{
          [](const kv_request_data& x) { return values_max(x); },
          [](const sqlite_get_pages_request& x) { return x.pgnos.size() * page_bytes; },
          [](const sqlite_exec_request&) { return rows_max(false); },
          [](const sqlite_execute_request& x) {
            return rows_max(statement_is_silent(x.sql.view()));
          },
          [](const sqlite_execute_batch_request& x) {
            return rows_max(
                std::all_of(x.statements.begin(), x.statements.end(), [](const auto& each) {
                  return statement_is_silent(each.sql.view());
                }));
          },
          [](const auto&) -> std::size_t { return 0; }},
      call);
  return answer_overhead + std::min(values, answer_bytes_longest);
}

std::size_t size_of(const storage_result& x) {
  if (const auto* why = std::get_if<storage_failure>(&x))
    return answer_overhead + why->message.size() + why->engine_code.size();
  return answer_overhead +
         std::visit(
             overloaded{
                 [](const kv_response_data& answer) {
                   return std::visit(
                       []<class T>(const T& each) -> std::size_t {
                         if constexpr (requires { each.values; }) return size_of_entries(each);
                         return 0;
                       },
                       answer);
                 },
                 [](const sqlite_get_pages_ok& answer) {
                   std::size_t n = 0;
                   for (const auto& page : answer.pages)
                     n += sizeof page + (page.bytes ? page.bytes->size() : 0);
                   return n;
                 },
                 [](const sqlite_query_result& answer) { return size_of_rows(answer); },
                 [](const sqlite_execute_result& answer) { return size_of_rows(answer); },
                 [](const std::vector<sqlite_execute_result>& answer) {
                   std::size_t n = 0;
                   for (const auto& each : answer) n += sizeof each + size_of_rows(each);
                   return n;
                 },
                 [](const auto&) -> std::size_t { return 0; }},
             std::get<storage_answer>(x));
}

}  // namespace nuncio

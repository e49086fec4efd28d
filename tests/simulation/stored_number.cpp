// See stored_number.hpp.
#include "simulation/stored_number.hpp"

#include <fmt/format.h>

#include <charconv>
#include <nuncio/support/overloaded.hpp>

namespace nuncio::simulation {
namespace {

using namespace protocol;

// The places' keys are "k0" to "k2"; a key with a number after it names the write that erases, and is never stored.
std::string mark_of(const stored_number& x) { return fmt::format("{}#{}", key_of(x.at), x.number); }

std::optional<stored_place> place_of(std::string_view key) {
  // Real actors' keys have a prefix.
  const auto at = key.rfind('k');
  if (at == std::string_view::npos || at + 1 >= key.size()) return std::nullopt;
  const auto n = static_cast<unsigned>(key[at + 1] - '0');
  if (n > 2 || (at + 2 < key.size() && key[at + 2] != '#')) return std::nullopt;
  return static_cast<stored_place>(n);
}

bool is_mark(std::string_view key) { return key.find('#') != std::string_view::npos; }

std::optional<stored_number> erased(std::string_view mark) {
  if (!is_mark(mark)) return std::nullopt;
  const auto at = place_of(mark);
  if (!at) return std::nullopt;
  return stored_number{*at, number_in(mark), true};
}

std::optional<stored_number> written(const kv_request_data& x) {
  return std::visit(
      overloaded{
          [](const kv_put_request& put) -> std::optional<stored_number> {
            if (put.keys.size() != 1 || !put.values.front().view().starts_with('v'))
              return std::nullopt;
            const auto at = place_of(put.keys.front().view());
            if (!at) return std::nullopt;
            return stored_number{*at, number_in(put.values.front().view()), false};
          },
          [](const kv_delete_request& erase) { return erased(erase.keys.back().view()); },
          [](const kv_delete_range_request& erase) { return erased(erase.end.view()); },
          [](const auto&) -> std::optional<stored_number> { return std::nullopt; }},
      x);
}

std::optional<stored_number> written(std::string_view sql) {
  if (!sql.starts_with("INSERT")) return std::nullopt;
  return stored_number{stored_place::row, number_in(sql), false};
}

std::optional<std::uint64_t> in_rows(const std::vector<std::vector<sqlite_column_value>>& rows) {
  if (rows.empty()) return 0;
  return static_cast<std::uint64_t>(std::get<sqlite_value_integer>(rows.front().front()).value);
}

}  // namespace

std::string key_of(stored_place at) { return fmt::format("k{}", static_cast<unsigned>(at)); }

std::string value_of(std::uint64_t number) { return fmt::format("v{}", number); }

// The last number in it.
std::uint64_t number_in(std::string_view text) {
  std::uint64_t out = 0;
  const auto last = text.find_last_not_of("0123456789");
  const auto from = last == std::string_view::npos ? 0 : last + 1;
  std::from_chars(text.data() + from, text.data() + text.size(), out);
  return out;
}

storage_call make_write(const stored_number& what, std::uint64_t form) {
  if (what.at == stored_place::row) {
    const text sql{fmt::format("INSERT {}", what.number)};
    if (form % 3 == 0) {
      sqlite_execute_request x;
      x.sql = sql;
      return x;
    }
    if (form % 3 == 1) {
      sqlite_exec_request x;
      x.sql = text{fmt::format("SELECT; INSERT {}", what.number)};
      return x;
    }
    sqlite_execute_batch_request x;
    x.statements.emplace_back().sql = sql;
    if (form % 2 == 0) x.statements.emplace_back().sql = text{"SELECT"};
    return x;
  }
  const bytes key{key_of(what.at)};
  if (!what.erases) return kv_request_data{kv_put_request{{key}, {bytes{value_of(what.number)}}}};
  if (form % 2 == 0) return kv_request_data{kv_delete_request{{key, bytes{mark_of(what)}}}};
  return kv_request_data{kv_delete_range_request{key, bytes{mark_of(what)}}};
}

storage_call make_read(stored_place at, std::uint64_t form) {
  if (at == stored_place::row) {
    sqlite_execute_request x;
    x.sql = text{form % 2 == 0 ? "SELECT" : " -- x\n values"};
    return x;
  }
  const bytes key{key_of(at)};
  if (form % 2 == 0) return kv_request_data{kv_get_request{{key}}};
  return kv_request_data{kv_list_request{kv_list_prefix_query{key}, {}, {}}};
}

std::optional<stored_number> number_written(const to_rivet& request) {
  return std::visit(
      overloaded{
          [](const to_rivet_kv_request& x) { return written(x.data); },
          [](const to_rivet_sqlite_execute_request& x) { return written(x.data.sql.view()); },
          [](const to_rivet_sqlite_exec_request& x) {
            const auto sql = x.data.sql.view();
            const auto at = sql.find("INSERT");
            return at == std::string_view::npos ? std::nullopt : written(sql.substr(at));
          },
          [](const to_rivet_sqlite_execute_batch_request& x) {
            return x.data.statements.empty() ? std::nullopt
                                             : written(x.data.statements.front().sql.view());
          },
          [](const auto&) -> std::optional<stored_number> { return std::nullopt; }},
      request);
}

std::optional<std::uint64_t> number_read(const storage_answer& answer) {
  const auto found = [](const auto& x) -> std::optional<std::uint64_t> {
    return x.values.empty() ? 0 : number_in(x.values.front().view());
  };
  if (const auto* kv = std::get_if<kv_response_data>(&answer)) {
    if (const auto* got = std::get_if<kv_get_response>(kv)) return found(*got);
    if (const auto* listed = std::get_if<kv_list_response>(kv)) return found(*listed);
  }
  if (const auto* rows = std::get_if<sqlite_execute_result>(&answer)) return in_rows(rows->rows);
  return std::nullopt;
}

}  // namespace nuncio::simulation

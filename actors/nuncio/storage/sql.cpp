// See sql.hpp.
#include <fmt/format.h>

#include <nuncio/sql.hpp>
#include <nuncio/storage/sql_wire.hpp>
#include <nuncio/storage/storage_client.hpp>

namespace nuncio {
namespace {

using namespace protocol;

std::size_t size_of(const sql_value& x) {
  if (const auto text = x.string()) return text->size();
  if (const auto blob = x.blob()) return blob->size();
  return 8;
}

std::size_t size_of(const sql_statement& x) {
  std::size_t n = 0;
  for (const auto& value : x.params) n += size_of(value);
  return n;
}

std::optional<std::vector<sqlite_bind_param>> to_wire(const std::vector<sql_value>& params) {
  if (params.empty()) return std::nullopt;
  std::vector<sqlite_bind_param> out;
  out.reserve(params.size());
  for (const auto& x : params) out.push_back(internal::to_wire(x));
  return out;
}

template <class Result>
std::size_t size_of_rows(const Result& x) {
  std::size_t n = 0;
  for (const auto& row : x.rows)
    for (const auto& value : row) n += internal::size_of(value);
  return n;
}

// Rows and column names of either kind of result; `among`: the bytes of the whole answer.
template <class Result>
sql_result with_rows(const Result& from, std::size_t among) {
  sql_result out;
  for (const auto& name : from.columns) out.columns.push_back(name.str());
  out.rows.reserve(from.rows.size());
  for (const auto& row : from.rows) {
    auto& to = out.rows.emplace_back();
    to.reserve(row.size());
    for (const auto& x : row) to.push_back(internal::from_wire(x, among));
  }
  return out;
}

sql_result to_result(const sqlite_execute_result& from, std::size_t among) {
  auto out = with_rows(from, among);
  out.changes = from.changes;
  out.last_insert_row_id = from.last_insert_row_id;
  return out;
}

}  // namespace

template <class T>
storage_response<T> sql_client::ask(
    storage_call call, std::size_t param_bytes, typename storage_response<T>::reader read) {
  if (param_bytes > param_bytes_max) {
    auto why = fmt::format(
        "bind parameters of {} bytes: at most {}; it was not sent", param_bytes, param_bytes_max);
    return {
        through_->self(),
        through_->fail({errc::too_large, std::move(why), false, {}}),
        std::move(read)};
  }
  return {through_->self(), through_->ask(std::move(call), mode_), std::move(read)};
}

storage_response<sql_result> sql_client::exec(std::string script) {
  return ask<sql_result>(
      sqlite_exec_request{{}, {}, 0, text{std::move(script)}}, 0, [](storage_answer& x) {
        const auto& got = std::get<sqlite_query_result>(x);
        return with_rows(got, size_of_rows(got));
      });
}

storage_response<sql_result> sql_client::run(sql_statement statement) {
  const auto size = size_of(statement);
  return ask<sql_result>(
      sqlite_execute_request{{}, {}, 0, text{std::move(statement.sql)}, to_wire(statement.params)},
      size,
      [](storage_answer& x) {
        const auto& got = std::get<sqlite_execute_result>(x);
        return to_result(got, size_of_rows(got));
      });
}

storage_response<std::vector<sql_result>> sql_client::batch(std::vector<sql_statement> statements) {
  sqlite_execute_batch_request request;
  std::size_t size = 0;
  for (auto& x : statements) {
    size += size_of(x);
    request.statements.push_back({text{std::move(x.sql)}, to_wire(x.params)});
  }
  return ask<std::vector<sql_result>>(std::move(request), size, [](storage_answer& x) {
    const auto& got = std::get<std::vector<sqlite_execute_result>>(x);
    std::size_t all = 0;
    for (const auto& each : got) all += size_of_rows(each);
    std::vector<sql_result> out;
    out.reserve(got.size());
    for (const auto& each : got) out.push_back(to_result(each, all));
    return out;
  });
}

}  // namespace nuncio

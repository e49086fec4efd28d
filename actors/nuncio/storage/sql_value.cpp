// See sql_value.hpp.
#include <algorithm>
#include <bit>
#include <nuncio/sql_value.hpp>
#include <nuncio/storage/sql_wire.hpp>
#include <nuncio/support/overloaded.hpp>

namespace nuncio {

using namespace protocol;

namespace internal {

// Floats are big endian on the wire (docs/protocol.md H.2).
sqlite_bind_param to_wire(const sql_value& x) {
  return std::visit(
      overloaded{
          [](std::monostate) -> sqlite_bind_param { return sqlite_value_null{}; },
          [](std::int64_t v) -> sqlite_bind_param { return sqlite_value_integer{v}; },
          [](double v) -> sqlite_bind_param {
            auto word = std::bit_cast<std::uint64_t>(v);
            sqlite_value_float out;
            for (auto at = out.value.rbegin(); at != out.value.rend(); ++at, word >>= 8U)
              *at = static_cast<std::uint8_t>(word);
            return out;
          },
          [](const text& v) -> sqlite_bind_param { return sqlite_value_text{v}; },
          [](const bytes& v) -> sqlite_bind_param { return sqlite_value_blob{v}; }},
      x.content());
}

std::size_t size_of(const sqlite_column_value& x) {
  return std::visit(
      [](const auto& v) -> std::size_t {
        if constexpr (requires { v.value.size(); })
          return v.value.size();
        else
          return sizeof(std::int64_t);
      },
      x);
}

sql_value from_wire(const sqlite_column_value& x, std::size_t among) {
  return std::visit(
      overloaded{
          [](const sqlite_value_null&) { return sql_value{}; },
          [](const sqlite_value_float& v) {
            std::uint64_t word = 0;
            for (const auto byte : v.value) word = (word << 8U) | byte;
            return sql_value{std::bit_cast<double>(word)};
          },
          [](const sqlite_value_integer& v) { return sql_value{v.value}; },
          [&](const sqlite_value_text& v) { return sql_value{text{v.value.apart(among)}}; },
          [&](const sqlite_value_blob& v) { return sql_value{bytes{v.value.apart(among)}}; }},
      x);
}

}  // namespace internal

const sql_value& sql_result::at(std::size_t row, std::string_view column) const {
  static const sql_value null;
  const auto name = std::find(columns.begin(), columns.end(), column);
  const auto i = static_cast<std::size_t>(name - columns.begin());
  return row < rows.size() && i < rows[row].size() ? rows[row][i] : null;
}

}  // namespace nuncio

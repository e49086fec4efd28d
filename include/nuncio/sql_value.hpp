// SQL values and results in C++; shared by sql(), which the engine executes, and the local sqlite. Values; any thread.
//
//   const nuncio::sql_value param{42};
//   for (std::size_t i = 0; i < result.rows.size(); ++i) use(result.at(i, "score").integer());
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <nuncio/bytes.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace nuncio {

/// NULL, or one of SQLite's four kinds of value. Constructed from any C++ value that fits one of them.
class sql_value {
public:
  using content_type = std::variant<std::monostate, std::int64_t, double, text, bytes>;

  sql_value() = default;

  sql_value(std::nullptr_t) {}

  sql_value(std::nullopt_t) {}

  /// Unsigned values above 2^63 - 1 wrap: SQLite's integers are signed.
  template <std::integral T>
  sql_value(T x) : content_(static_cast<std::int64_t>(x)) {}

  template <std::floating_point T>
  sql_value(T x) : content_(static_cast<double>(x)) {}

  sql_value(const char* x) : content_(text{x}) {}

  sql_value(std::string_view x) : content_(text{x}) {}

  sql_value(std::string x) : content_(text{std::move(x)}) {}

  sql_value(text x) : content_(std::move(x)) {}

  sql_value(bytes x) : content_(std::move(x)) {}

  sql_value(std::vector<std::uint8_t> x) : content_(bytes{std::move(x)}) {}

  template <class T>
  sql_value(const std::optional<T>& x) : sql_value(x ? sql_value{*x} : sql_value{}) {}

  [[nodiscard]] bool is_null() const { return content_.index() == 0; }

  [[nodiscard]] const content_type& content() const { return content_; }

  /// The value if it is of that kind; an integer can also be read as a double.
  [[nodiscard]] std::optional<std::int64_t> integer() const {
    const auto* x = std::get_if<std::int64_t>(&content_);
    return x == nullptr ? std::nullopt : std::optional{*x};
  }

  [[nodiscard]] std::optional<double> real() const {
    if (const auto* x = std::get_if<double>(&content_)) return *x;
    if (const auto x = integer()) return static_cast<double>(*x);
    return std::nullopt;
  }

  /// Valid as long as this value.
  [[nodiscard]] std::optional<std::string_view> string() const {
    const auto* x = std::get_if<text>(&content_);
    return x == nullptr ? std::nullopt : std::optional{x->view()};
  }

  [[nodiscard]] std::optional<bytes> blob() const {
    const auto* x = std::get_if<bytes>(&content_);
    return x == nullptr ? std::nullopt : std::optional{*x};
  }

  bool operator==(const sql_value&) const = default;

private:
  content_type content_;
};

struct sql_statement {
  std::string sql;
  std::vector<sql_value> params{};  ///< for each '?', in order
};

/// Keeping a value keeps alive at most twice its size: what is less than half of its answer is a copy.
struct sql_result {
  std::vector<std::string> columns;
  std::vector<std::vector<sql_value>> rows;
  /// Counted by the connection, so meaningless after a statement that only reads.
  std::int64_t changes = 0;
  std::optional<std::int64_t> last_insert_row_id;

  /// The value of a row in a named column, with the name as in the statement; null if there is no such row or column.
  [[nodiscard]] const sql_value& at(std::size_t row, std::string_view column) const;
};

}  // namespace nuncio

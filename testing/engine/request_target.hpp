// Parsed request targets. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nuncio::testing::engine {

/// A parsed request target. `path` keeps its percent-encoding; query names and values are decoded.
struct url_target {
  std::string path;
  std::string raw_query;  ///< without the '?'
  std::vector<std::pair<std::string, std::string>> query;

  [[nodiscard]] const std::string* find(std::string_view name) const {
    for (const auto& [n, v] : query)
      if (n == name) return &v;
    return nullptr;
  }

  [[nodiscard]] std::vector<std::string> segments() const;
};

url_target parse_target(std::string_view target);

}  // namespace nuncio::testing::engine

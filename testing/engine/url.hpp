// Request targets and the base64 of inputs, decoded. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nuncio::testing::engine {

/// A request target cut apart. `path` keeps its percent-encoding; query names and values are
/// decoded.
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

std::string percent_decode(std::string_view x, bool plus_is_space = false);

/// Plain and URL alphabet, padded or not.
std::optional<std::string> base64_decode(std::string_view x);

}  // namespace nuncio::testing::engine

// See request_target.hpp.
#include "request_target.hpp"

#include <nuncio/engine/url.hpp>

namespace nuncio::testing::engine {

url_target parse_target(std::string_view target) {
  url_target out;
  const auto question = target.find('?');
  out.path = target.substr(0, question);
  if (question == std::string_view::npos) return out;
  auto rest = target.substr(question + 1);
  out.raw_query = rest;
  while (!rest.empty()) {
    const auto end = rest.find('&');
    const auto part = rest.substr(0, end);
    const auto equals = part.find('=');
    const auto value =
        equals == std::string_view::npos ? std::string_view{} : part.substr(equals + 1);
    if (!part.empty()) {
      out.query.emplace_back(
          percent_decoded(part.substr(0, equals), true), percent_decoded(value, true));
    }
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  }
  return out;
}

std::vector<std::string> url_target::segments() const {
  std::vector<std::string> out;
  std::string_view rest = path;
  while (!rest.empty()) {
    rest.remove_prefix(1);  // the slash
    const auto end = rest.find('/');
    out.push_back(percent_decoded(rest.substr(0, end), false));
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end);
  }
  if (!out.empty() && out.back().empty()) out.pop_back();
  return out;
}

}  // namespace nuncio::testing::engine

// See http_fields.hpp.
#include <algorithm>
#include <nuncio/tunnel/http_fields.hpp>

namespace nuncio {
namespace {

char lower_of(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_dots(std::string_view segment) {
  segment = segment.substr(0, segment.find(';'));
  return segment == "." || segment == "..";
}

}  // namespace

std::string lowered(std::string_view x) {
  std::string out{x};
  std::transform(out.begin(), out.end(), out.begin(), lower_of);
  return out;
}

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return lower_of(x) == lower_of(y);
  });
}

bool is_token(std::string_view x) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  const auto good = [&](char c) {
    return (c >= '0' && c <= '9') || (lower_of(c) >= 'a' && lower_of(c) <= 'z') ||
           marks.find(c) != std::string_view::npos;
  };
  return !x.empty() && std::all_of(x.begin(), x.end(), good);
}

bool is_field_value(std::string_view x) {
  return std::all_of(
      x.begin(), x.end(), [](char c) { return c == '\t' || (c >= ' ' && c <= '~'); });
}

bool is_hop_by_hop(std::string_view name) {
  static constexpr std::string_view names[] = {
      "connection",
      "keep-alive",
      "proxy-authorization",
      "proxy-connection",
      "te",
      "trailer",
      "transfer-encoding",
      "upgrade"};
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool has_dot_segment(std::string_view path_and_query) {
  const auto path = lowered(path_and_query.substr(0, path_and_query.find('?')));
  std::string segment;
  for (std::size_t i = 0; i < path.size();) {
    auto c = path[i];
    std::size_t taken = 1;
    for (const auto& [code, plain] :
         {std::pair{"%2e", '.'}, {"%2f", '/'}, {"%5c", '/'}, {"%3b", ';'}, {"\\", '/'}}) {
      const std::string_view text{code};
      if (!std::string_view{path}.substr(i).starts_with(text)) continue;
      c = plain;
      taken = text.size();
    }
    i += taken;
    if (c != '/') {
      segment += c;
      continue;
    }
    if (is_dots(segment)) return true;
    segment.clear();
  }
  return is_dots(segment);
}

}  // namespace nuncio

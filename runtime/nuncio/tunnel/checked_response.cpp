// See checked_response.hpp.
#include <algorithm>
#include <charconv>
#include <nuncio/tunnel/checked_response.hpp>
#include <nuncio/tunnel/http_fields.hpp>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace nuncio {
namespace {

using header_list = std::vector<std::pair<text, text>>;

constexpr std::string_view cookie_name = "set-cookie";
constexpr std::string_view length_name = "content-length";

// The number of different spellings of `set-cookie`: each of its nine letters in either case.
constexpr std::size_t cookies_max = 512;

failure fault(std::string_view name, std::string_view what) {
  return {
      errc::invalid_argument,
      "the response header '" + std::string{name} + "' " + std::string{what}};
}

bool has_one_value(std::string_view name) {
  static constexpr std::string_view names[] = {
      "access-control-allow-origin",
      "age",
      "content-disposition",
      "content-length",
      "content-location",
      "content-range",
      "content-type",
      "date",
      "etag",
      "expires",
      "last-modified",
      "location",
      "retry-after",
      "server"};
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool has_no_body(std::uint16_t status) { return status == 204 || status == 205 || status == 304; }

// The names in a value of `connection`, in lower case.
void add_names(std::string_view list, std::unordered_set<std::string>& to) {
  while (!list.empty()) {
    const auto end = std::min(list.find(','), list.size());
    auto one = list.substr(0, end);
    while (!one.empty() && (one.front() == ' ' || one.front() == '\t')) one.remove_prefix(1);
    while (!one.empty() && (one.back() == ' ' || one.back() == '\t')) one.remove_suffix(1);
    to.insert(lowered(one));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

std::optional<std::uint64_t> number_in(std::string_view x) {
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(x.data(), x.data() + x.size(), out);
  if (error != std::errc{} || end != x.data() + x.size()) return std::nullopt;
  return out;
}

// The n-th spelling of `set-cookie`.
text cookie_spelling(std::size_t n) {
  std::string out{cookie_name};
  for (char& c : out) {
    if (c == '-') continue;
    if ((n & 1U) != 0) c = static_cast<char>(c - 'a' + 'A');
    n >>= 1U;
  }
  return text{out};
}

header_list::iterator find(header_list& in, std::string_view name) {
  return std::find_if(in.begin(), in.end(), [&](const auto& x) { return x.first.view() == name; });
}

// Lower-case names, without those about one connection, each name once except for cookies. In one pass, however many there are:
// a handler may create a header for everything that its client has sent.
outcome<header_list> tidied(header_list all) {
  header_list out;
  out.reserve(all.size());
  std::unordered_map<std::string_view, std::size_t> places;  // of names in `out`, whose texts stay
  std::unordered_map<std::size_t, std::string> joined;       // values of repeated names
  std::unordered_set<std::string> connection;                // names
  std::size_t cookies = 0;
  for (auto& [name, value] : all) {
    if (!is_token(name)) return fault(name, "is not valid HTTP: its name is not a token");
    if (!is_field_value(value))
      return fault(name, "is not valid HTTP: its value is not visible ASCII");
    if (auto lower = lowered(name); lower != name.view()) name = text{lower};
    if (name.view() == "connection") add_names(value, connection);
    if (is_hop_by_hop(name)) continue;
    if (name.view() == cookie_name) {
      if (cookies == cookies_max) return fault(name, "occurs more than 512 times");
      out.emplace_back(cookie_spelling(cookies++), std::move(value));
      continue;
    }
    const auto [at, is_new] = places.try_emplace(name.view(), out.size());
    if (is_new) {
      out.emplace_back(std::move(name), std::move(value));
    } else if (has_one_value(name)) {
      return fault(name, "occurs twice; it may have one value only");
    } else {
      auto& values = joined.try_emplace(at->second, out[at->second].second.str()).first->second;
      values += ", ";
      values += value.view();
    }
  }
  for (auto& [place, values] : joined) out[place].second = text{std::move(values)};
  if (!connection.empty())
    std::erase_if(out, [&](const auto& x) { return connection.contains(lowered(x.first)); });
  return out;
}

}  // namespace

outcome<checked_response> check_response(
    protocol::to_rivet_response_start response, const response_rules& rules) {
  const auto status = response.status;
  if (status < 200 || status > 999)
    return failure{
        errc::invalid_argument,
        "the handler answered with status " + std::to_string(status) +
            ", which is not within 200 to 999"};
  const auto size = response.body ? response.body->size() : 0;
  if (size > rules.body_bytes_max)
    return failure{
        errc::too_large,
        "the response body has " + std::to_string(size) + " bytes, the engine takes at most " +
            std::to_string(rules.body_bytes_max)};
  auto headers = tidied(std::move(response.headers.entries));
  if (!headers) return headers.error();
  checked_response out;
  out.has_body = !rules.to_head && !has_no_body(status);
  const auto length = find(*headers, length_name);
  const bool says_length = length != headers->end();
  const bool counts = !has_no_body(status) && (rules.to_head ? size == 0 : rules.streamed);
  if (says_length && counts) {
    const auto n = number_in(length->second);
    if (!n) return fault(length_name, "is not a number");
    if (out.has_body) out.length = *n;
  } else if (says_length) {
    headers->erase(length);
  }
  if (!out.has_body) {
    response.body.reset();
    if (rules.to_head && size != 0 && !has_no_body(status))
      headers->emplace_back(text{length_name}, text{std::to_string(size)});
  }
  response.headers.entries = std::move(*headers);
  out.start = std::move(response);
  return out;
}

}  // namespace nuncio

// See state_record.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <nuncio/detail/state_record.hpp>

namespace nuncio {
namespace {

// The first part's header: version, form, number of parts.
constexpr std::size_t header_bytes = 3;
constexpr std::uint8_t record_version = 1;
constexpr std::size_t parts_limit = 255;

}  // namespace

outcome<std::vector<bytes>> split(
    const state_record& x, std::size_t part_bytes_max, std::size_t parts_max) {
  const auto all = header_bytes + x.content.size();
  const auto count = (all + part_bytes_max - 1) / part_bytes_max;
  const auto most = std::min(parts_max, parts_limit);
  if (count > most)
    return failure{
        errc::too_large,
        fmt::format(
            "a state of {} bytes: at most {}",
            x.content.size(),
            most * part_bytes_max - header_bytes)};
  std::vector<std::uint8_t> joined{
      record_version, static_cast<std::uint8_t>(x.as), static_cast<std::uint8_t>(count)};
  joined.insert(joined.end(), x.content.begin(), x.content.end());
  const bytes whole{std::move(joined)};
  std::vector<bytes> out;
  for (std::size_t at = 0; at < all; at += part_bytes_max)
    out.push_back(whole.part(at, std::min(part_bytes_max, all - at)));
  return out;
}

outcome<std::size_t> parts_of(const bytes& first) {
  if (first.size() < header_bytes || first.span()[0] != record_version)
    return failure{errc::malformed, "the stored state has an unknown version"};
  const auto as = static_cast<state_record::form>(first.span()[1]);
  if (as != state_record::form::json && as != state_record::form::caf)
    return failure{errc::malformed, "the stored state has an unknown form"};
  const std::size_t count = first.span()[2];
  if (count == 0) return failure{errc::malformed, "the stored state has no parts"};
  return count;
}

outcome<state_record> join(const std::vector<bytes>& parts) {
  if (parts.empty()) return failure{errc::malformed, "nothing is stored"};
  const auto count = parts_of(parts.front());
  if (!count) return count.error();
  if (parts.size() < *count)
    return failure{
        errc::malformed,
        fmt::format("of {} parts of the state, {} are stored", *count, parts.size())};
  std::vector<std::uint8_t> content;
  for (std::size_t i = 0; i < *count; ++i) {
    const auto part = parts[i].span().subspan(i == 0 ? header_bytes : 0);
    content.insert(content.end(), part.begin(), part.end());
  }
  return state_record{
      static_cast<state_record::form>(parts.front().span()[1]), bytes{std::move(content)}};
}

}  // namespace nuncio

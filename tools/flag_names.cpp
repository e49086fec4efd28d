// See flag_names.hpp.
#include "flag_names.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace nuncio {
namespace {

using namespace std::literals;

constexpr std::array flags_of_fields{
    std::pair{"actors_version"sv, "--actors-version"sv},
    std::pair{"drain_timeout"sv, "--drain-timeout"sv},
    std::pair{"endpoint"sv, "--endpoint"sv},
    std::pair{"envoy_key"sv, "--envoy-key"sv},
    std::pair{"links"sv, "--links"sv},
    std::pair{"namespace_name"sv, "--namespace"sv},
    std::pair{"pool"sv, "--pool"sv},
    std::pair{"protocol_version"sv, "--protocol-version"sv},
    std::pair{"token"sv, "--token"sv},
};

constexpr auto of_host = "host_options::"sv;

struct mention {
  std::string_view field;
  std::size_t size = 0;  // of the whole mention
};

// The mention at the start of `text`, if there is one.
mention mention_in(std::string_view text) {
  std::size_t before = 0;
  if (text.starts_with(of_host))
    before = of_host.size();
  else if (text.starts_with('`'))
    before = 1;
  else
    return {};
  const auto name =
      text.substr(before, text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", before) - before);
  if (before > 1) return {name, before + name.size()};
  const auto closed = text.substr(before + name.size()).starts_with('`');
  return {closed ? name : std::string_view{}, before + name.size() + 1};
}

}  // namespace

std::string with_flag_names(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto found = mention_in(text);
    const auto* const flag =
        std::find_if(flags_of_fields.begin(), flags_of_fields.end(), [&](const auto& x) {
          return x.first == found.field;
        });
    if (flag == flags_of_fields.end()) {
      out += text.front();
      text.remove_prefix(1);
    } else {
      out += flag->second;
      text.remove_prefix(found.size);
    }
  }
  return out;
}

log_sink with_flag_names(log_sink to) {
  return [to = std::move(to)](
             log_level level, std::string_view message, std::span<const log_field> fields) {
    std::vector<log_field> named{fields.begin(), fields.end()};
    for (auto& each : named) each.value = with_flag_names(each.value);
    to(level, with_flag_names(message), named);
  };
}

}  // namespace nuncio

// See parse_json.hpp.
#include <fmt/format.h>

#include <nuncio/parse_json.hpp>

namespace nuncio {

outcome<nlohmann::json> parse_json(std::string_view from, std::size_t depth_max) {
  using event = nlohmann::json::parse_event_t;

  struct too_deep {};

  const auto watch = [&](int around, event what, const nlohmann::json&) {
    const auto opens = what == event::array_start || what == event::object_start;
    if (opens && static_cast<std::size_t>(around) >= depth_max) throw too_deep{};
    return true;
  };
  try {
    return nlohmann::json::parse(from, watch);
  } catch (const too_deep&) {
    return failure{errc::too_large, fmt::format("JSON is nested deeper than {} levels", depth_max)};
  } catch (const nlohmann::json::exception& e) {
    return failure{errc::malformed, e.what()};
  }
}

}  // namespace nuncio

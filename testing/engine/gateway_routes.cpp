// Which actor a gateway URL names, by id or by name and key.
#include <algorithm>
#include <nuncio/engine/url.hpp>
#include <utility>

#include "api_error.hpp"
#include "gateway.hpp"
#include "random_id.hpp"

namespace nuncio::testing::engine {

namespace {

/// The serialized form of a key whose elements are joined with ','.
std::string key_of(std::string_view elements) {
  if (elements.empty()) return "/";
  std::string out;
  bool first = true;
  while (true) {
    const auto comma = elements.find(',');
    const auto element = elements.substr(0, comma);
    if (!first) out += '/';
    first = false;
    if (element.empty()) out += "\\0";
    for (const char c : element) {
      if (c == '\\' || c == '/') out += '\\';
      out += c;
    }
    if (comma == std::string_view::npos) return out;
    elements.remove_prefix(comma + 1);
  }
}

}  // namespace

gateway::route gateway::resolve(const std::string& target, millis now) {
  const auto cut = parse_target(target);
  const std::string_view after =
      std::string_view{cut.path}.substr(std::string_view{"/gateway/"}.size());
  const auto slash = after.find('/');
  auto name = std::string{after.substr(0, slash)};
  const auto rest =
      slash == std::string_view::npos ? std::string{"/"} : std::string{after.substr(slash)};
  for (const auto& [key, value] : cut.query)
    if (key.starts_with("rvt-")) return resolve_query(percent_decoded(name, false), cut, rest, now);
  if (const auto at = name.find('@'); at != std::string::npos) name.resize(at);
  name = percent_decoded(name, false);
  route out;
  if (!is_id(name)) {
    out.refused = internal_error();
    return out;
  }
  out.actor = actor_id{name};
  out.path = cut.raw_query.empty() ? rest : rest + "?" + cut.raw_query;
  const auto* a = core_.find(out.actor);
  if (a == nullptr || a->phase == actor_phase::destroyed) out.refused = actor_not_found();
  return out;
}

gateway::route gateway::resolve_query(
    const std::string& name, const url_target& target, const std::string& rest, millis now) {
  static constexpr std::string_view known[] = {
      "rvt-namespace",
      "rvt-method",
      "rvt-runner",
      "rvt-pool",
      "rvt-key",
      "rvt-input",
      "rvt-region",
      "rvt-crash-policy",
      "rvt-token",
      "rvt-skip-ready-wait"};
  route out;
  const auto invalid = [&](const std::string& why) {
    out.refused = gateway_error(400, "guard", "query_invalid_params", why);
    return out;
  };
  for (const auto& [key, value] : target.query)
    if (key.starts_with("rvt-") &&
        std::find(std::begin(known), std::end(known), key) == std::end(known)) {
      return invalid("unknown parameter " + key);
    }
  const auto* ns = target.find("rvt-namespace");
  const auto* method = target.find("rvt-method");
  if (ns == nullptr || method == nullptr || (*method != "get" && *method != "getOrCreate")) {
    return invalid("rvt-namespace and rvt-method (get or getOrCreate) are required");
  }
  if (!core_.state().namespaces.contains(*ns)) {
    out.refused = gateway_error(400, "namespace", "not_found", "The namespace does not exist.");
    return out;
  }
  const auto* elements = target.find("rvt-key");
  const auto key = key_of(elements == nullptr ? "" : *elements);
  const auto* a = core_.find_by_key(*ns, name, key);
  if (a == nullptr && *method == "getOrCreate") {
    const auto* pool =
        target.find("rvt-runner") != nullptr ? target.find("rvt-runner") : target.find("rvt-pool");
    if (pool == nullptr) {
      out.refused =
          gateway_error(400, "guard", "query_missing_pool", "getOrCreate needs rvt-runner");
      return out;
    }
    if (!core_.state().pools.contains({*ns, *pool})) {
      out.refused = gateway_error(
          400,
          "actor",
          "no_runner_config_configured",
          "No runner config with name '" + *pool + "'");
      return out;
    }
    create_request wanted{*ns, name, key, *pool, {}};
    if (const auto* input = target.find("rvt-input"))
      if (const auto decoded = base64_decoded(*input))
        wanted.input = bytes{std::string_view{*decoded}};
    a = &core_.create(wanted, now);
  }
  if (a == nullptr) {
    out.refused = actor_not_found();
    return out;
  }
  out.actor = a->id;
  out.path = rest;
  char separator = '?';
  std::string_view query = target.raw_query;
  while (!query.empty()) {
    const auto end = query.find('&');
    const auto part = query.substr(0, end);
    if (!part.starts_with("rvt-")) {
      out.path.append(1, separator).append(part);
      separator = '&';
    }
    query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
  }
  return out;
}

}  // namespace nuncio::testing::engine

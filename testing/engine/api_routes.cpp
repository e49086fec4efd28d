// Routes, JSON shapes and error texts of the HTTP API.
#include "api_routes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <map>
#include <nuncio/engine/url.hpp>
#include <optional>

#include "api_error.hpp"
#include "random_id.hpp"
#include "request_target.hpp"

namespace nuncio::testing::engine {

namespace {

using json = nlohmann::ordered_json;

http_reply bad_request(const std::string& why) {
  return api_error(400, "api", "bad_request", "Request is invalid: " + why, json{{"reason", why}});
}

http_reply no_such_namespace() {
  return api_error(400, "namespace", "not_found", "The namespace does not exist.");
}

http_reply not_found() {
  return api_error(404, "api", "not_found", "The requested resource was not found");
}

json optional_ts(const std::optional<millis>& x) { return x ? json(*x) : json(nullptr); }

json error_of(const actor_record& a) {
  switch (a.error) {
    case actor_error::no_envoys:
      return "no_envoys";
    case actor_error::no_capacity:
      return "no_capacity";
    case actor_error::crashed:
      return {{"crashed", {{"message", a.error_detail}}}};
    case actor_error::envoy_connection_lost:
      return {{"envoy_connection_lost", {{"envoy_key", a.error_detail}}}};
    case actor_error::envoy_no_response:
      return {{"envoy_no_response", {{"envoy_key", nullptr}}}};
    case actor_error::none:
      break;
  }
  return nullptr;
}

/// A JSON object with these members only; the failure's text is the sentence for the client.
outcome<json> object_of(const std::string& body, std::initializer_list<std::string_view> allowed) {
  auto parsed = json::parse(body, nullptr, false);
  if (parsed.is_discarded()) {
    return failure{errc::malformed, "Failed to parse the request body as JSON"};
  }
  const std::string typed = "Failed to deserialize the JSON body into the target type: ";
  if (!parsed.is_object()) return failure{errc::malformed, typed + "expected an object"};
  for (const auto& [name, value] : parsed.items())
    if (std::find(allowed.begin(), allowed.end(), name) == allowed.end()) {
      std::string expected;
      for (const auto& a : allowed)
        expected += fmt::format("{}`{}`", expected.empty() ? "" : ", ", a);
      return failure{
          errc::malformed,
          fmt::format("{}{}: unknown field `{}`, expected one of {}", typed, name, name, expected)};
    }
  return parsed;
}

/// A string member; none if absent or null.
std::optional<std::string> text_of(const json& x, const char* name) {
  const auto at = x.find(name);
  if (at == x.end() || !at->is_string()) return std::nullopt;
  return at->get<std::string>();
}

json actor_json(const engine_state& state, const actor_record& a) {
  const auto ns = state.namespaces.find(a.namespace_name);
  json out{
      {"actor_id", a.id.str()},
      {"name", a.name},
      {"key", a.key ? json(*a.key) : json(nullptr)},
      {"namespace_id", ns == state.namespaces.end() ? "" : ns->second.id},
      {"datacenter", "default"},
      {"runner_name_selector", a.pool},
      {"crash_policy", "sleep"},
      {"create_ts", a.create_ts},
      {"start_ts", optional_ts(a.start_ts)},
      {"pending_allocation_ts", optional_ts(a.pending_allocation_ts)},
      {"connectable_ts", optional_ts(a.connectable_ts)},
      {"sleep_ts", optional_ts(a.sleep_ts)},
      {"reschedule_ts", optional_ts(a.reschedule_ts)},
      {"destroy_ts", optional_ts(a.destroy_ts)}};
  if (auto error = error_of(a); !error.is_null()) out["error"] = std::move(error);
  return out;
}

json namespace_json(const namespace_record& n) {
  return {
      {"namespace_id", n.id},
      {"name", n.name},
      {"display_name", n.display_name},
      {"create_ts", n.create_ts}};
}

json page(const char* name, json content, json cursor = nullptr) {
  return {{name, std::move(content)}, {"pagination", {{"cursor", std::move(cursor)}}}};
}

}  // namespace

void engine_api::handle(
    const http_request& request, const std::shared_ptr<http_responder>& responder, millis now) {
  const auto target = parse_target(request.target);
  const auto path = target.segments();
  const bool deletes = request.method == "DELETE" && path.size() == 2 && path[0] == "actors";
  if (!deletes) {
    responder->answer(answer(request, now));
    return;
  }
  if (!is_id(path[1])) {
    responder->answer(bad_request("Invalid URL: unsupported ID version"));
    return;
  }
  const actor_id id{path[1]};
  if (core_.find(id) == nullptr) {
    responder->answer(
        api_error(404, "actor", "not_found", "The actor does not exist or was destroyed."));
    return;
  }
  deleting_[id].push_back(responder);
  core_.destroy(id, now);
  actor_changed(id);
}

void engine_api::actor_changed(const actor_id& id) {
  const auto waiting = deleting_.find(id);
  if (waiting == deleting_.end()) return;
  const auto* a = core_.find(id);
  if (a != nullptr && a->phase != actor_phase::destroyed) return;
  for (const auto& responder : waiting->second) responder->answer(json_reply(200, json::object()));
  deleting_.erase(waiting);
}

http_reply engine_api::answer(const http_request& request, millis now) {
  const auto target = parse_target(request.target);
  const auto path = target.segments();
  const auto& method = request.method;
  const auto wrong_method = [] { return http_reply{405, {}, ""}; };
  if (path.empty()) return not_found();
  if (path[0] == "health" && path.size() == 1) {
    return json_reply(200, {{"runtime", "engine"}, {"status", "ok"}, {"version", "2.3.19"}});
  }
  if (path[0] == "metadata" && path.size() == 1) {
    return json_reply(
        200,
        {{"runtime", "engine"},
         {"version", "2.3.19"},
         {"nuncio_dev_engine", true},
         {"envoy_protocol_version", reported_protocol_version_}});
  }
  if (path[0] == "datacenters" && path.size() == 1) {
    return json_reply(
        200, page("datacenters", {{{"label", 1}, {"name", "default"}, {"url", url_ + "/"}}}));
  }
  if (path[0] == "namespaces" && path.size() == 1) {
    return method == "GET" || method == "POST" ? namespaces(request, now) : wrong_method();
  }
  const bool known = path[0] == "runner-configs" || path[0] == "envoys" || path[0] == "actors";
  if (!known) return not_found();
  const auto* ns = target.find("namespace");
  if (ns == nullptr)
    return bad_request("Failed to deserialize query string: missing field `namespace`");
  if (!core_.state().namespaces.contains(*ns)) return no_such_namespace();
  if (path[0] == "runner-configs") return pools(request, path);
  if (path[0] == "envoys") return envoys(request);
  if (path.size() == 1) {
    if (method == "POST") return create(request, false, now);
    if (method == "PUT") return create(request, true, now);
    return method == "GET" ? list(request) : wrong_method();
  }
  if (path.size() == 2)
    return path[1] == "names" && method == "GET" ? names(request) : wrong_method();
  if (path.size() == 3 && method == "POST" && (path[2] == "sleep" || path[2] == "reschedule")) {
    if (!is_id(path[1])) return bad_request("Invalid URL: unsupported ID version");
    const actor_id id{path[1]};
    const auto* a = core_.find(id);
    if (a == nullptr || a->phase == actor_phase::destroyed) {
      return api_error(404, "actor", "not_found", "The actor does not exist or was destroyed.");
    }
    if (path[2] == "sleep") core_.sleep(id, now);
    if (path[2] == "reschedule") core_.reschedule(id, now);
    return json_reply(200, json::object());
  }
  return not_found();
}

http_reply engine_api::namespaces(const http_request& request, millis now) {
  if (request.method == "POST") {
    auto body = object_of(request.body, {"name", "display_name"});
    if (!body) return bad_request(body.error().message);
    const auto name = text_of(*body, "name");
    if (!name || name->empty()) return bad_request("missing field `name`");
    if (!core_.add_namespace(*name, text_of(*body, "display_name").value_or(*name), now)) {
      return api_error(400, "namespace", "name_not_unique", "Namespace name must be unique.");
    }
    return json_reply(200, {{"namespace", namespace_json(core_.state().namespaces.at(*name))}});
  }
  const auto target = parse_target(request.target);
  const auto* wanted = target.find("name");
  json found = json::array();
  for (const auto& [name, n] : core_.state().namespaces)
    if (wanted == nullptr || *wanted == name) found.push_back(namespace_json(n));
  return json_reply(200, page("namespaces", std::move(found)));
}

http_reply engine_api::pools(const http_request& request, const std::vector<std::string>& path) {
  const auto target = parse_target(request.target);
  const auto& ns = *target.find("namespace");
  if (path.size() == 2 && request.method == "PUT") {
    auto body = object_of(request.body, {"datacenters"});
    if (!body) return bad_request(body.error().message);
    const auto datacenters = body->find("datacenters");
    if (datacenters == body->end() || !datacenters->is_object())
      return bad_request("missing field `datacenters`");
    for (const auto& [name, config] : datacenters->items())
      if (name != "default") {
        return api_error(400, "datacenter", "not_found", "The provided datacenter does not exist.");
      }
    core_.add_pool(ns, path[1]);
    return json_reply(200, {{"endpoint_config_changed", true}});
  }
  if (path.size() == 2 && request.method == "DELETE") {
    core_.remove_pool(ns, path[1]);
    return json_reply(200, json::object());
  }
  if (path.size() != 1 || request.method != "GET") return {405, {}, ""};
  json found = json::object();
  for (const auto& [key, pool] : core_.state().pools) {
    if (key.first != ns) continue;
    bool wanted = true;
    for (const auto& [name, value] : target.query)
      if (name == "runner_names" || name == "runner_name") wanted = false;
    for (const auto& [name, value] : target.query)
      if ((name == "runner_names" || name == "runner_name") &&
          ("," + value + ",").find("," + pool.name + ",") != std::string::npos) {
        wanted = true;
      }
    if (!wanted) continue;
    const json normal{
        {"drain_on_version_upgrade", true},
        {"actor_eviction_delay", 0},
        {"actor_eviction_period", 0},
        {"actor_eviction_rate", 1.0}};
    found[pool.name] = {
        {"datacenters",
         {{"default",
           {{"normal", normal},
            {"protocol_version",
             pool.protocol_version ? json(*pool.protocol_version) : json(nullptr)}}}}}};
  }
  return json_reply(200, page("runner_configs", std::move(found)));
}

http_reply engine_api::envoys(const http_request& request) {
  const auto target = parse_target(request.target);
  const auto& ns = *target.find("namespace");
  const auto* pool = target.find("name");
  json found = json::array();
  for (const auto& [key, e] : core_.state().envoys) {
    if (e.connection == 0 || e.namespace_name != ns || (pool != nullptr && e.pool != *pool))
      continue;
    auto metadata = json::parse(e.metadata, nullptr, false);
    std::uint64_t slots = 0;
    for (const auto& [id, a] : core_.state().actors)
      if (a.envoy == key && a.phase != actor_phase::destroyed && a.phase != actor_phase::sleeping)
        ++slots;
    found.push_back(
        {{"envoy_key", key},
         {"namespace_id", core_.state().namespaces.at(ns).id},
         {"datacenter", "default"},
         {"pool_name", e.pool},
         {"version", e.version},
         {"slots", slots},
         {"create_ts", e.create_ts},
         {"stop_ts", nullptr},
         {"last_ping_ts", e.last_ping_ts},
         {"last_connected_ts", e.last_connected_ts},
         {"last_rtt", e.last_rtt},
         {"metadata", metadata.is_object() ? std::move(metadata) : json::object()}});
  }
  return json_reply(200, page("envoys", std::move(found)));
}

http_reply engine_api::create(const http_request& request, bool or_get, millis now) {
  const auto ns = *parse_target(request.target).find("namespace");
  auto body = object_of(
      request.body, {"datacenter", "name", "key", "input", "runner_name_selector", "crash_policy"});
  if (!body) return bad_request(body.error().message);
  for (const auto* required : {"name", "runner_name_selector", "crash_policy"})
    if (!text_of(*body, required)) {
      return bad_request(fmt::format(
          "Failed to deserialize the JSON body into the target type: missing field `{}`",
          required));
    }
  const auto policy = *text_of(*body, "crash_policy");
  if (policy != "sleep" && policy != "restart" && policy != "destroy") {
    return bad_request(
        fmt::format("unknown variant `{}`, expected one of `restart`, `sleep`, `destroy`", policy));
  }
  create_request wanted{
      ns,
      *text_of(*body, "name"),
      text_of(*body, "key"),
      *text_of(*body, "runner_name_selector"),
      {}};
  if (or_get && !wanted.key) return bad_request("missing field `key`");
  if (const auto input = text_of(*body, "input"))
    if (const auto decoded = base64_decoded(*input))
      wanted.input = bytes{std::string_view{*decoded}};
  if (const auto* existing = core_.find_by_key(ns, wanted.name, wanted.key)) {
    if (or_get) {
      return json_reply(200, {{"actor", actor_json(core_.state(), *existing)}, {"created", false}});
    }
    return api_error(
        400,
        "actor",
        "duplicate_key",
        fmt::format(
            "Actor key '{}' already in use for actor '{}'", *wanted.key, existing->id.view()),
        json{{"existing_actor_id", existing->id.str()}, {"key", *wanted.key}});
  }
  if (!core_.state().pools.contains({ns, wanted.pool})) {
    return api_error(
        400,
        "actor",
        "no_runner_config_configured",
        fmt::format(
            "No runner config with name '{}' are available in any datacenter for the namespace "
            "'{}'. Validate a "
            "provider is listed that matches the requested pool name.",
            wanted.pool,
            ns),
        json{{"namespace", ns}, {"pool_name", wanted.pool}});
  }
  json reply{{"actor", actor_json(core_.state(), core_.create(wanted, now))}};
  if (or_get) reply["created"] = true;
  return json_reply(200, reply);
}

http_reply engine_api::list(const http_request& request) {
  const auto target = parse_target(request.target);
  const auto& ns = *target.find("namespace");
  json found = json::array();
  std::vector<std::string> ids;
  for (const auto& [name, value] : target.query) {
    if (name != "actor_ids" && name != "actor_id") continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      const auto comma = rest.find(',');
      const auto id = rest.substr(0, comma);
      if (is_id(id)) ids.emplace_back(id);
      rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    }
  }
  if (!ids.empty()) {
    for (const auto& id : ids)
      if (const auto* a = core_.find(actor_id{id}); a != nullptr && a->namespace_name == ns) {
        found.push_back(actor_json(core_.state(), *a));
      }
    return json_reply(200, page("actors", std::move(found)));
  }
  const auto* name = target.find("name");
  if (name == nullptr) {
    const std::string why = "Name is required when not using actor_ids.";
    return api_error(400, "validation", "invalid_input", why, json{{"message", why}});
  }
  const auto* key = target.find("key");
  const auto* all = target.find("include_destroyed");
  const auto* limit = target.find("limit");
  const auto* cursor = target.find("cursor");
  // Newest first; a cursor names the last entry of the previous page by its place in this order.
  const auto place = [](const actor_record& a) {
    return fmt::format(
        "{:020}:{}", std::numeric_limits<std::int64_t>::max() - a.create_ts, a.id.view());
  };
  std::map<std::string, const actor_record*> matching;
  for (const auto& [id, a] : core_.state().actors) {
    if (a.namespace_name != ns || a.name != *name) continue;
    if (key != nullptr && a.key != *key) continue;
    if (a.phase == actor_phase::destroyed && (all == nullptr || *all != "true")) continue;
    matching.emplace(place(a), &a);
  }
  const auto most =
      limit == nullptr ? std::size_t{100} : std::size_t{std::strtoull(limit->c_str(), nullptr, 10)};
  json next = nullptr;
  for (auto at = cursor == nullptr ? matching.begin() : matching.upper_bound(*cursor);
       at != matching.end() && found.size() < most;
       ++at) {
    found.push_back(actor_json(core_.state(), *at->second));
    next = at->first;
  }
  return json_reply(200, page("actors", std::move(found), std::move(next)));
}

http_reply engine_api::names(const http_request& request) {
  const auto ns = *parse_target(request.target).find("namespace");
  json found = json::object();
  json cursor = nullptr;
  for (const auto& [key, metadata] : core_.state().actor_names) {
    if (key.first != ns) continue;
    auto parsed = json::parse(metadata, nullptr, false);
    found[key.second] = {{"metadata", parsed.is_object() ? std::move(parsed) : json::object()}};
    cursor = key.second;
  }
  return json_reply(200, page("names", std::move(found), std::move(cursor)));
}

}  // namespace nuncio::testing::engine

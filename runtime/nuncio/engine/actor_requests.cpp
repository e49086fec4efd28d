// See actor_requests.hpp and actor_calls.hpp.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <nuncio/engine/actor_calls.hpp>
#include <nuncio/engine/url.hpp>
#include <nuncio/tunnel/http_fields.hpp>
#include <nuncio/utf8.hpp>

namespace nuncio {
namespace {

using nlohmann::json;

constexpr std::size_t name_bytes_max = 64;
constexpr std::size_t id_bytes_max = 64;
constexpr std::size_t body_bytes_max = std::size_t{20} << 20U;
constexpr std::size_t head_bytes_max = std::size_t{64} << 10U;

http_call call(
    const engine_access& at,
    std::string method,
    std::string_view path_and_query,
    std::string body = {}) {
  http_call out;
  out.method = std::move(method);
  out.url = at.endpoint.base_url() + std::string{path_and_query};
  out.headers.emplace_back("accept", "application/json");
  if (!body.empty()) out.headers.emplace_back("content-type", "application/json");
  if (!at.token.empty()) out.headers.emplace_back("authorization", "Bearer " + at.token);
  out.body = std::move(body);
  out.timeout = std::chrono::seconds{
      35};  // under load a create may take the engine 30 s (docs/protocol.md I)
  return out;
}

std::string in_namespace(const engine_access& at) {
  return "?namespace=" + percent_encoded(at.namespace_name);
}

outcome<void> check_name(std::string_view name) {
  if (!name.empty() && name.size() <= name_bytes_max && is_utf8(name)) return {};
  return failure{errc::invalid_argument, "the name of an actor is UTF-8 text of 1 to 64 bytes"};
}

outcome<void> check_id(std::string_view id) {
  const auto good = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_';
  };
  if (!id.empty() && id.size() <= id_bytes_max && std::all_of(id.begin(), id.end(), good))
    return {};
  return failure{errc::invalid_argument, "that is not an actor id"};
}

template <class T>
outcome<http_call> make_call(
    const T& what,
    const actor_key* key,
    std::string method,
    const engine_access& at,
    std::string_view pool) {
  if (auto good = check_name(what.name); !good) return good.error();
  if (key != nullptr)
    if (auto good = check(*key); !good) return good.error();
  json body{
      {"name", what.name},
      {"key", nullptr},
      {"runner_name_selector", what.pool.empty() ? std::string{pool} : what.pool},
      {"crash_policy", "sleep"}};  // required, but without effect (docs/protocol.md F.2)
  if (key != nullptr) body["key"] = to_text(*key);
  if (!what.input.empty()) body["input"] = base64(what.input);
  // A pool's name need not be UTF-8 here; the engine accepts nothing else.
  return call(
      at,
      std::move(method),
      "/actors" + in_namespace(at),
      body.dump(-1, ' ', false, json::error_handler_t::replace));
}

// -- answers ----------------------------------------------------------------------------

std::string text_at(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

bool present(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && !it->is_null();
}

engine_failure failed(const failure& why) { return {.code = why.code, .message = why.message}; }

engine_failure unreadable(const http_reply& reply) {
  return {
      .code = errc::malformed,
      .message = "the response is not from a Rivet engine; check `endpoint`",
      .status = reply.status};
}

engine_failure said_no(const http_reply& reply) {
  engine_failure out{.code = errc::refused, .status = reply.status};
  const auto body = json::parse(reply.body, nullptr, false);
  if (body.is_object() && !text_at(body, "group").empty()) {
    out.engine_code = text_at(body, "group") + "." + text_at(body, "code");
    out.message = text_at(body, "message");
    if (const auto more = body.find("metadata"); more != body.end() && more->is_object())
      out.existing_id = text_at(*more, "existing_actor_id");
  } else if (const auto header = reply.header("x-rivet-error"); !header.empty()) {
    out.engine_code = header;
  }
  if (reply.status == 404 || out.engine_code == "actor.not_found" ||
      out.engine_code == "namespace.not_found")
    out.code = errc::not_found;
  else if (reply.status >= 500)
    out.code = errc::unreachable;
  if (out.message.empty())
    out.message = "the engine answered with status " + std::to_string(reply.status);
  if (!out.engine_code.empty()) out.message = out.engine_code + ": " + out.message;
  return out;
}

engine_answer<json> body_of(const outcome<http_reply>& reply) {
  if (!reply) return failed(reply.error());
  if (reply->status / 100 != 2) return said_no(*reply);
  auto body = json::parse(reply->body, nullptr, false);
  if (!body.is_object()) return unreadable(*reply);
  return body;
}

std::optional<actor_info> described(const json& x) {
  if (!x.is_object() || text_at(x, "actor_id").empty()) return std::nullopt;
  actor_info out{.id = text_at(x, "actor_id"), .name = text_at(x, "name")};
  if (present(x, "key")) out.key = key_from_text(text_at(x, "key"));
  out.pool = text_at(x, "runner_name_selector");
  out.connectable = present(x, "connectable_ts");
  out.sleeping = present(x, "sleep_ts") && !out.connectable;
  out.destroyed = present(x, "destroy_ts");
  if (present(x, "error"))
    out.error = x.at("error").dump(-1, ' ', false, json::error_handler_t::replace);
  return out;
}

}  // namespace

std::string to_string(const engine_failure& x) {
  auto out = to_string(failure{x.code, x.message});
  if (!x.engine_code.empty()) out += " (" + x.engine_code + ")";
  return out;
}

outcome<http_call> to_call(
    const create_actor& what, const engine_access& at, std::string_view pool) {
  return make_call(what, what.key ? &*what.key : nullptr, "POST", at, pool);
}

outcome<http_call> to_call(
    const get_or_create_actor& what, const engine_access& at, std::string_view pool) {
  return make_call(what, &what.key, "PUT", at, pool);
}

outcome<http_call> to_call(const get_actor& what, const engine_access& at) {
  if (auto good = check_name(what.name); !good) return good.error();
  if (auto good = check(what.key); !good) return good.error();
  return call(
      at,
      "GET",
      "/actors" + in_namespace(at) + "&name=" + percent_encoded(what.name) +
          "&key=" + percent_encoded(to_text(what.key)));
}

outcome<http_call> to_call(const get_actor_by_id& what, const engine_access& at) {
  if (auto good = check_id(what.id); !good) return good.error();
  return call(at, "GET", "/actors" + in_namespace(at) + "&actor_ids=" + what.id);
}

outcome<http_call> to_call(const list_actors& what, const engine_access& at) {
  if (auto good = check_name(what.name); !good) return good.error();
  auto path = "/actors" + in_namespace(at) + "&name=" + percent_encoded(what.name) +
              "&limit=" + std::to_string(what.limit);
  if (!what.cursor.empty()) path += "&cursor=" + percent_encoded(what.cursor);
  if (what.include_destroyed) path += "&include_destroyed=true";
  return call(at, "GET", path);
}

outcome<http_call> to_call(const destroy_actor& what, const engine_access& at) {
  if (auto good = check_id(what.id); !good) return good.error();
  return call(at, "DELETE", "/actors/" + what.id + in_namespace(at));
}

outcome<http_call> to_call(const call_actor& what, const engine_access& at) {
  if (auto good = check_id(what.id); !good) return good.error();
  const auto bad = [](std::string why) { return failure{errc::invalid_argument, std::move(why)}; };
  const auto visible = [](unsigned char c) { return c > ' ' && c < 127 && c != '#'; };
  if (!is_token(what.method)) return bad("the method is not a valid token");
  if (!what.path.starts_with('/') || !std::all_of(what.path.begin(), what.path.end(), visible))
    return bad("the path must begin with / and be percent-encoded, and has no fragment");
  // Outside the actor's own path lies the engine's API, and the call carries this host's token.
  if (has_dot_segment(what.path))
    return bad("the path has a segment that is . or .., plain or percent-encoded");
  if (what.body.size() > body_bytes_max)
    return failure{errc::too_large, "the engine takes bodies of at most 20 MiB"};
  http_call out;
  out.method = what.method;
  // The gateway reads whatever follows an @ in the id as a token.
  out.url = at.endpoint.base_url() + "/gateway/" + what.id;
  if (!at.token.empty()) out.url += "@" + percent_encoded(at.token);
  out.url += what.path;
  auto head = out.url.size();
  for (const auto& [name, value] : what.headers) {
    if (!is_token(name) || !is_field_value(value))
      return bad("the header '" + std::string{name} + "' is not valid HTTP");
    // A handler may forward its own client's headers, which are about that client's connection, not this one.
    auto lower = lowered(name);
    if (is_hop_by_hop(lower) || lower == "content-length" || lower == "host" || lower == "expect")
      continue;
    head += name.size() + value.size();
    out.headers.emplace_back(std::move(lower), value);
  }
  if (head > head_bytes_max)
    return failure{errc::too_large, "path and headers are longer than 64 KiB"};
  out.body = what.body.view();
  out.timeout = what.timeout;
  return out;
}

std::chrono::milliseconds delay_after_race(unsigned n) {
  return std::chrono::milliseconds{100} * (1U << std::min(n - 1, 4U));
}

bool lost_race(const create_actor& what, const engine_failure& why) {
  return what.key && why.engine_code == "actor.destroyed_during_creation";
}

bool lost_race(const get_or_create_actor&, const engine_failure& why) {
  return why.engine_code == "actor.destroyed_during_creation";
}

engine_answer<actor_info> read_actor(const outcome<http_reply>& reply) {
  auto body = body_of(reply);
  if (auto* why = std::get_if<engine_failure>(&body)) return std::move(*why);
  const auto& said = std::get<json>(body);
  if (const auto one = said.find("actor"); one != said.end()) {
    auto out = described(*one);
    if (!out) return unreadable(*reply);
    const auto made = said.find("created");
    out->created = made == said.end() || (made->is_boolean() && made->get<bool>());
    return std::move(*out);
  }
  const auto all = said.find("actors");
  if (all == said.end() || !all->is_array()) return unreadable(*reply);
  if (all->empty())
    return engine_failure{
        .code = errc::not_found, .message = "there is no such actor", .status = 404};
  auto out = described(all->front());
  if (!out) return unreadable(*reply);
  return std::move(*out);
}

engine_answer<actor_page> read_page(const outcome<http_reply>& reply) {
  auto body = body_of(reply);
  if (auto* why = std::get_if<engine_failure>(&body)) return std::move(*why);
  const auto& said = std::get<json>(body);
  const auto all = said.find("actors");
  if (all == said.end() || !all->is_array()) return unreadable(*reply);
  actor_page out;
  for (const auto& each : *all) {
    auto one = described(each);
    if (!one) return unreadable(*reply);
    out.actors.push_back(std::move(*one));
  }
  if (const auto more = said.find("pagination"); more != said.end() && more->is_object())
    out.cursor = text_at(*more, "cursor");
  return out;
}

engine_answer<std::monostate> read_destroyed(const outcome<http_reply>& reply) {
  auto body = body_of(reply);
  if (auto* why = std::get_if<engine_failure>(&body)) return std::move(*why);
  return std::monostate{};
}

engine_answer<http_reply> read_called(outcome<http_reply> reply) {
  if (!reply) return failed(reply.error());
  if (!reply->header("x-rivet-error").empty()) return said_no(*reply);
  return std::move(*reply);
}

}  // namespace nuncio

// URLs, JSON and error texts of the engine's HTTP API; see engine_api.hpp.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <nuncio/engine/engine_api.hpp>
#include <nuncio/engine/url.hpp>
#include <nuncio/token_source.hpp>

namespace nuncio {

namespace {

using nlohmann::json;

// The URL without what may be secret: user name, password, query.
std::string shown(std::string_view url) {
  const auto mark = url.find("://");
  const auto from = mark == std::string_view::npos ? 0 : mark + 3;
  const auto at = url.rfind('@');
  std::string out{url.substr(0, from)};
  out += at != std::string_view::npos && at >= from ? "***" + std::string{url.substr(at)}
                                                    : std::string{url.substr(from)};
  if (const auto query = out.find_first_of("?#"); query != out.npos)
    out.replace(query + 1, out.npos, "***");
  return out;
}

failure bad_endpoint(std::string_view url, std::string_view why) {
  return {
      errc::invalid_argument,
      "the endpoint \"" + shown(url) + "\" " + std::string{why} +
          "; set `endpoint` to a URL such as http://127.0.0.1:6420"};
}

// Schemes and hosts are case-insensitive (RFC 3986 6.2.2.1).
std::string lower_case(std::string_view x) {
  std::string out{x};
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string text_of(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

// The server, or something in front of it, has no time for us now.
bool is_passing(int status) {
  return status >= 500 || status == 408 || status == 425 || status == 429;
}

// What to change, for errors that a setting causes.
failure explain(const http_reply& reply, const engine_access& access, std::string_view what) {
  const auto body = json::parse(reply.body, nullptr, false);
  std::string code;
  std::string message;
  if (body.is_object() && body.contains("group")) {
    code = text_of(body, "group") + "." + text_of(body, "code");
    message = text_of(body, "message");
  }
  const auto said = without_token(
      " (the engine said " + std::to_string(reply.status) + (code.empty() ? "" : " " + code) +
          (message.empty() ? "" : ": " + message) + ")",
      access.token);
  if (code == "namespace.not_found")
    return {
        errc::not_found,
        "the engine has no namespace \"" + access.namespace_name +
            "\"; create it or set `namespace_name`" + said};
  if (reply.status == 401 || reply.status == 403)
    return {
        errc::refused,
        std::string{
            access.token.empty() ? "the engine requires a token"
                                 : "the engine does not accept the token"} +
            "; set `token`" + said};
  if (is_passing(reply.status))
    return {errc::unreachable, std::string{what} + " failed; try again" + said};
  if (code.empty())
    return {
        errc::malformed,
        std::string{what} + " failed: " + access.endpoint.base_url() +
            " does not answer like a Rivet engine; check `endpoint`" + said};
  return {errc::refused, std::string{what} + " failed" + said};
}

failure unreadable(const engine_access& access, std::string_view what) {
  return {
      errc::malformed,
      std::string{what} + ": " + access.endpoint.base_url() +
          " does not answer like a Rivet engine; check `endpoint`"};
}

failure with_setting(const failure& why, const engine_access& access) {
  auto copy = why;
  if (why.code == errc::unreachable || why.code == errc::timed_out)
    copy.message = "no engine answers at " + access.endpoint.base_url() +
                   "; start it or change `endpoint` (" + why.message + ")";
  return copy;
}

}  // namespace

std::string engine_endpoint::base_url() const {
  const auto name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return (tls ? "https://" : "http://") + name + ":" + std::to_string(port) + path_prefix;
}

outcome<engine_endpoint> parse_endpoint(std::string_view url) {
  const auto whole = url;
  engine_endpoint result;
  const auto mark = url.find("://");
  if (mark == std::string_view::npos) return bad_endpoint(whole, "has no scheme");
  const auto scheme = lower_case(url.substr(0, mark));
  if (scheme == "https" || scheme == "wss")
    result.tls = true;
  else if (scheme != "http" && scheme != "ws")
    return bad_endpoint(whole, "is neither http, https, ws nor wss");
  url.remove_prefix(mark + 3);
  for (const char c : url)
    if (c <= ' ' || c >= 127)
      return bad_endpoint(whole, "has a character that must be percent-encoded");
  if (url.find_first_of("?#") != std::string_view::npos)
    return bad_endpoint(whole, "has a query or fragment");
  const auto slash = url.find('/');
  auto authority = url.substr(0, slash);
  auto path = slash == std::string_view::npos ? std::string_view{} : url.substr(slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  result.path_prefix = path;
  if (authority.find('@') != std::string_view::npos)
    return bad_endpoint(
        whole.substr(0, mark + 3),
        "with a user name or password is not supported, use `token` instead");
  std::string_view port;
  bool has_port = false;
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    if (end == std::string_view::npos) return bad_endpoint(whole, "has a [ without ]");
    result.host = authority.substr(1, end - 1);
    authority.remove_prefix(end + 1);
    if (!authority.empty() && authority.front() != ':')
      return bad_endpoint(whole, "is malformed after ]");
    has_port = !authority.empty();
    if (has_port) port = authority.substr(1);
  } else {
    const auto colon = authority.find(':');
    result.host = authority.substr(0, colon);
    has_port = colon != std::string_view::npos;
    if (has_port) port = authority.substr(colon + 1);
  }
  result.host = lower_case(result.host);
  if (result.host.empty()) return bad_endpoint(whole, "has no host");
  result.port = result.tls ? 443 : 80;
  if (has_port) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), result.port);
    if (error != std::errc{} || end != port.data() + port.size() || result.port == 0)
      return bad_endpoint(whole, "has a port that is not between 1 and 65535");
  }
  return result;
}

engine_api::engine_api(http_client& client, engine_access access)
    : client_(&client), access_(std::move(access)) {}

http_call engine_api::call(
    std::string method, std::string_view path_and_query, std::string body) const {
  http_call result;
  result.method = std::move(method);
  result.url = access_.endpoint.base_url() + std::string{path_and_query};
  result.headers.emplace_back("accept", "application/json");
  if (!body.empty()) result.headers.emplace_back("content-type", "application/json");
  if (!access_.token.empty())
    result.headers.emplace_back("authorization", "Bearer " + access_.token);
  result.body = std::move(body);
  return result;
}

void engine_api::get_metadata(callback<engine_metadata> done) const {
  client_->send(
      call("GET", "/metadata"),
      [access = access_, done = std::move(done)](outcome<http_reply> reply) {
        if (!reply) return done(with_setting(reply.error(), access));
        if (reply->status != 200)
          return done(explain(*reply, access, "reading the engine's metadata"));
        const auto body = json::parse(reply->body, nullptr, false);
        if (!body.is_object() || text_of(body, "version").empty())
          return done(unreadable(access, "reading the engine's metadata"));
        engine_metadata result{text_of(body, "version"), 0};
        if (const auto it = body.find("envoy_protocol_version");
            it != body.end() && it->is_number_unsigned())
          result.envoy_protocol_version =
              static_cast<int>(std::min<std::uint64_t>(it->get<std::uint64_t>(), 65535));
        done(std::move(result));
      });
}

void engine_api::ensure_pool(std::string pool, callback<bool> done) const {
  const auto in_namespace = "?namespace=" + percent_encoded(access_.namespace_name);
  auto look =
      call("GET", "/runner-configs" + in_namespace + "&runner_names=" + percent_encoded(pool));
  auto create = call(
      "PUT",
      "/runner-configs/" + percent_encoded(pool) + in_namespace,
      R"({"datacenters":{"default":{"normal":{}}}})");
  client_->send(
      std::move(look),
      [client = client_,
       access = access_,
       pool = std::move(pool),
       create = std::move(create),
       done = std::move(done)](outcome<http_reply> reply) mutable {
        if (!reply) return done(with_setting(reply.error(), access));
        if (reply->status != 200)
          return done(explain(*reply, access, "looking for the pool \"" + pool + "\""));
        const auto body = json::parse(reply->body, nullptr, false);
        if (!body.is_object()) return done(unreadable(access, "looking for the pool"));
        const auto configs = body.find("runner_configs");
        if (configs == body.end() || !configs->is_object())
          return done(unreadable(access, "looking for the pool"));
        if (configs->contains(pool)) return done(false);
        client->send(std::move(create), [access, pool, done](outcome<http_reply> created) {
          if (!created) return done(with_setting(created.error(), access));
          if (created->status / 100 == 2) return done(true);
          auto why = explain(*created, access, "creating the pool \"" + pool + "\"");
          if (created->status == 400 && why.code != errc::not_found)
            why.message += "; check `pool`";
          done(std::move(why));
        });
      });
}

}  // namespace nuncio

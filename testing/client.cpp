// See client.hpp. One libcurl handle for each call: slower than a kept one, but threads share nothing.
#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <nuncio/engine/url.hpp>
#include <nuncio/testing/client.hpp>
#include <thread>

namespace nuncio::testing {
namespace {

using nlohmann::json;

constexpr std::size_t body_bytes_max = std::size_t{64} << 20U;
constexpr auto poll_interval = std::chrono::milliseconds{50};

struct transfer {
  client_reply reply;
  const client_call* call = nullptr;
  std::size_t sent = 0;
  const std::atomic<bool>* give_up = nullptr;
};

std::size_t take_body(char* data, std::size_t size, std::size_t n, void* to) {
  auto& body = static_cast<transfer*>(to)->reply.body;
  if (body.size() + size * n > body_bytes_max) return 0;
  body.append(data, size * n);
  return size * n;
}

std::size_t take_header(char* data, std::size_t size, std::size_t n, void* to) {
  auto& reply = static_cast<transfer*>(to)->reply;
  std::string_view line{data, size * n};
  if (line.starts_with("HTTP/")) reply.headers.clear();
  const auto colon = line.find(':');
  if (colon == line.npos) return size * n;
  std::string name{line.substr(0, colon)};
  for (auto& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  auto value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  while (!value.empty() && (value.back() == '\n' || value.back() == '\r')) value.remove_suffix(1);
  reply.headers.emplace_back(std::move(name), value);
  return size * n;
}

std::size_t give_body(char* data, std::size_t size, std::size_t n, void* from) {
  auto& t = *static_cast<transfer*>(from);
  const auto part = std::min(size * n, t.call->body.size() - t.sent);
  std::copy_n(t.call->body.data() + t.sent, part, data);
  t.sent += part;
  return part;
}

int progress(void* from, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto* give_up = static_cast<transfer*>(from)->give_up;
  return give_up != nullptr && *give_up ? 1 : 0;
}

errc code_of(CURLcode x) {
  switch (x) {
    case CURLE_OPERATION_TIMEDOUT:
      return errc::timed_out;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
      return errc::unreachable;
    case CURLE_ABORTED_BY_CALLBACK:
      return errc::cancelled;
    case CURLE_WRITE_ERROR:
      return errc::too_large;
    default:
      return errc::link_lost;
  }
}

/// Empty if there is none.
std::string url_part(const std::string& url, CURLUPart which) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed{curl_url(), &curl_url_cleanup};
  char* part = nullptr;
  if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK ||
      curl_url_get(parsed.get(), which, &part, CURLU_DEFAULT_PORT) != CURLUE_OK)
    return {};
  const std::unique_ptr<char, decltype(&curl_free)> kept{part, &curl_free};
  return part;
}

std::string text_of(const json& x, const char* name) {
  const auto at = x.find(name);
  return at != x.end() && at->is_string() ? at->get<std::string>() : std::string{};
}

bool present(const json& x, const char* name) {
  const auto at = x.find(name);
  return at != x.end() && !at->is_null();
}

actor_view view_of(const json& x) {
  actor_view out;
  out.id = text_of(x, "actor_id");
  out.name = text_of(x, "name");
  out.key = text_of(x, "key");
  out.connectable = present(x, "connectable_ts");
  out.sleeping = present(x, "sleep_ts") && !out.connectable;
  out.destroyed = present(x, "destroy_ts");
  if (present(x, "error")) out.error = x["error"].dump();
  return out;
}

outcome<json> parsed(const client_reply& reply) {
  auto out = json::parse(reply.body, nullptr, false);
  if (!out.is_object())
    return failure{errc::malformed, "not a JSON object: " + reply.body.substr(0, 200)};
  return out;
}

outcome<std::vector<actor_view>> actors_of(const outcome<client_reply>& reply) {
  if (!reply) return reply.error();
  auto document = parsed(*reply);
  if (!document) return document.error();
  const auto list = document->find("actors");
  if (list == document->end() || !list->is_array())
    return failure{errc::malformed, "not a list of actors: " + reply->body};
  std::vector<actor_view> out;
  for (const auto& x : *list)
    if (x.is_object()) out.push_back(view_of(x));
  return out;
}

outcome<void> done(const outcome<client_reply>& reply) {
  if (!reply) return reply.error();
  return {};
}

class network_transport final : public client_transport {
public:
  explicit network_transport(const client_settings& options)
      : endpoint_(options.endpoint), give_up_(options.give_up) {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_ALL); });
  }

  outcome<client_reply> call(const client_call& what) override;
  outcome<socket_client> open(const std::string& target) override;

  void wait(std::chrono::milliseconds time) override { std::this_thread::sleep_for(time); }

private:
  const std::string endpoint_;
  const std::atomic<bool>* const give_up_;
};

outcome<client_reply> network_transport::call(const client_call& what) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle{
      curl_easy_init(), &curl_easy_cleanup};
  if (!handle) return failure{errc::internal, "libcurl could not create a handle"};
  auto* curl = handle.get();
  transfer state;
  state.call = &what;
  state.give_up = give_up_;
  const auto url = endpoint_ + what.target;
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(what.timeout.count()));
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, what.method.c_str());
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &state);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &state);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &state);
  curl_slist* lines = nullptr;
  std::string line;
  for (const auto& [name, value] : what.headers) {
    line.assign(name).append(": ").append(value);
    lines = curl_slist_append(lines, line.c_str());
  }
  lines = curl_slist_append(lines, "Expect:");
  if (what.chunked) {
    lines = curl_slist_append(lines, "Transfer-Encoding: chunked");
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(curl, CURLOPT_READDATA, &state);
  } else if (!what.body.empty() || what.method == "POST" || what.method == "PUT") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(what.body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, what.body.c_str());
  }
  if (what.method == "HEAD") curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> kept{
      lines, &curl_slist_free_all};
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, lines);
  const auto result = curl_easy_perform(curl);
  if (result != CURLE_OK)
    return failure{
        code_of(result), fmt::format("{} {}: {}", what.method, url, curl_easy_strerror(result))};
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  state.reply.status = static_cast<int>(status);
  return std::move(state.reply);
}

outcome<socket_client> network_transport::open(const std::string& target) {
  const auto host = url_part(endpoint_, CURLUPART_HOST);
  const auto port = std::strtoul(url_part(endpoint_, CURLUPART_PORT).c_str(), nullptr, 10);
  if (host.empty() || port == 0 || port > 65535)
    return failure{errc::invalid_argument, endpoint_ + " is not the URL of an engine"};
  socket_client out{static_cast<std::uint16_t>(port), target, "rivet", host};
  if (out.http_status() == 0)
    return failure{errc::unreachable, fmt::format("{}{}: no answer", endpoint_, target)};
  if (out.http_status() != 101)
    return failure{errc::refused, fmt::format("{}{}: {}", endpoint_, target, out.http_status())};
  return out;
}

}  // namespace

std::string_view client_reply::header(std::string_view name) const {
  for (const auto& [n, value] : headers)
    if (n == name) return value;
  return {};
}

std::string client_reply::error_code() const {
  if (const auto named = header("x-rivet-error"); !named.empty()) return std::string{named};
  if (status < 400) return {};
  const auto document = json::parse(body, nullptr, false);
  if (!document.is_object() || !document.contains("group")) return {};
  return text_of(document, "group") + "." + text_of(document, "code");
}

client::client(client_settings options)
    : options_(std::move(options)), transport_(std::make_shared<network_transport>(options_)) {}

client::client(client_settings options, std::shared_ptr<client_transport> through)
    : options_(std::move(options)), transport_(std::move(through)) {}

outcome<client_reply> client::call(const client_call& what) const {
  if (what.timeout.count() > 0) return transport_->call(what);
  auto limited = what;
  limited.timeout = options_.timeout;
  return transport_->call(limited);
}

outcome<client_reply> client::api(std::string method, std::string target, std::string body) const {
  client_call what{
      .method = std::move(method), .target = std::move(target), .body = std::move(body)};
  what.headers = {{"content-type", "application/json"}, {"authorization", "Bearer dev"}};
  auto reply = call(what);
  if (!reply || reply->status < 400) return reply;
  const auto document = json::parse(reply->body, nullptr, false);
  const auto said =
      document.is_object() ? text_of(document, "message") : reply->body.substr(0, 200);
  return failure{
      reply->status == 404 ? errc::not_found : errc::refused,
      fmt::format(
          "{} {}: {} {}: {}", what.method, what.target, reply->status, reply->error_code(), said)};
}

std::string client::scoped(std::string path) const {
  path += path.find('?') == path.npos ? "?namespace=" : "&namespace=";
  return path + percent_encoded(options_.namespace_name);
}

outcome<std::string> client::health() const {
  auto reply = api("GET", "/health");
  if (!reply) return reply.error();
  auto document = parsed(*reply);
  if (!document) return document.error();
  return text_of(*document, "version");
}

outcome<void> client::ensure_pool() const {
  const json body{{"datacenters", {{"default", {{"normal", json::object()}}}}}};
  return done(api("PUT", scoped("/runner-configs/" + percent_encoded(options_.pool)), body.dump()));
}

outcome<void> client::create_namespace(const std::string& name) const {
  const json body{{"name", name}, {"display_name", name}};
  return done(api("POST", "/namespaces", body.dump()));
}

outcome<actor_view> client::put_actor(const char* method, const new_actor& what) const {
  json body{
      {"name", what.name}, {"runner_name_selector", options_.pool}, {"crash_policy", "sleep"}};
  if (!what.key.empty()) body["key"] = what.key;
  if (!what.input.empty()) body["input"] = base64(what.input);
  auto reply = api(method, scoped("/actors"), body.dump());
  if (!reply) return reply.error();
  auto document = parsed(*reply);
  if (!document) return document.error();
  if (!document->contains("actor") || !(*document)["actor"].is_object())
    return failure{errc::malformed, "no actor in: " + reply->body};
  return view_of((*document)["actor"]);
}

outcome<actor_view> client::create(const new_actor& what) const { return put_actor("POST", what); }

outcome<actor_view> client::get_or_create(const new_actor& what) const {
  return put_actor("PUT", what);
}

outcome<actor_view> client::get(const std::string& id) const {
  auto all = actors_of(api("GET", scoped("/actors?actor_ids=" + percent_encoded(id))));
  if (!all) return all.error();
  if (all->empty()) return failure{errc::not_found, "the engine has no actor " + id};
  return all->front();
}

outcome<std::vector<actor_view>> client::list(const std::string& name) const {
  return actors_of(api("GET", scoped("/actors?limit=1000&name=" + percent_encoded(name))));
}

outcome<void> client::sleep(const std::string& id) const {
  return done(api("POST", scoped("/actors/" + percent_encoded(id) + "/sleep"), "{}"));
}

outcome<void> client::reschedule(const std::string& id) const {
  return done(api("POST", scoped("/actors/" + percent_encoded(id) + "/reschedule"), "{}"));
}

outcome<void> client::destroy(const std::string& id) const {
  return done(api("DELETE", scoped("/actors/" + percent_encoded(id))));
}

outcome<void> client::await_pool_known(std::chrono::milliseconds limit) const {
  for (auto left = limit;; left -= poll_interval) {
    auto reply =
        api("GET", scoped("/runner-configs?runner_names=" + percent_encoded(options_.pool)));
    if (!reply) return reply.error();
    auto document = parsed(*reply);
    if (!document) return document.error();
    const auto pool = document->value("runner_configs", json::object())
                          .value(options_.pool, json::object())
                          .value("datacenters", json::object())
                          .value("default", json::object());
    if (const auto spoken = pool.find("protocol_version");
        spoken != pool.end() && !spoken->is_null())
      return {};
    if (left.count() <= 0)
      return failure{
          errc::timed_out, fmt::format("the engine has no envoy of pool {}", options_.pool)};
    transport_->wait(poll_interval);
  }
}

outcome<std::vector<std::string>> client::envoys() const {
  auto reply = api("GET", scoped("/envoys?name=" + percent_encoded(options_.pool)));
  if (!reply) return reply.error();
  auto document = parsed(*reply);
  if (!document) return document.error();
  std::vector<std::string> out;
  for (const auto& x : document->value("envoys", json::array()))
    out.push_back(text_of(x, "envoy_key"));
  return out;
}

outcome<client_reply> client::request(
    const std::string& id, std::string method, std::string_view path, std::string body) const {
  return call(
      {.method = std::move(method),
       .target = fmt::format("/gateway/{}{}", id, path),
       .body = std::move(body)});
}

outcome<socket_client> client::open_socket(const std::string& id, std::string_view path) const {
  return transport_->open(fmt::format("/gateway/{}{}", id, path));
}

outcome<actor_view> client::wait_for(
    const std::string& id,
    const std::function<bool(const actor_view&)>& good,
    std::chrono::milliseconds limit) const {
  for (auto left = limit;; left -= poll_interval) {
    auto seen = get(id);
    if (seen && good(*seen)) return seen;
    if (!seen && seen.error().code == errc::cancelled) return seen.error();
    if (left.count() <= 0)
      return failure{
          errc::timed_out,
          fmt::format(
              "actor {} did not reach the expected state within {} ms: {}",
              id,
              limit.count(),
              seen ? fmt::format(
                         "connectable={} sleeping={} destroyed={} error={}",
                         seen->connectable,
                         seen->sleeping,
                         seen->destroyed,
                         seen->error)
                   : seen.error().message)};
    transport_->wait(poll_interval);
  }
}

}  // namespace nuncio::testing

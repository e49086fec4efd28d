// HTTP for handlers: a request with its complete body, and the response to it. Values that share memory; any thread may read,
// copies are cheap.
//
//   [](const nuncio::http_request& r) -> nuncio::http_response {
//     if (r.path_only() != "/hello") return {.status = 404};
//     return nuncio::http_response::text("hello, " + r.query("name").value_or("world"));
//   }
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <nuncio/bytes.hpp>
#include <nuncio/detail/attempt_origin.hpp>
#include <nuncio/detail/wire.hpp>
#include <nuncio/ids.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace nuncio {

using http_headers = wire::map_of<text, text>;

/// The value of `name` in the query of `path`, percent-decoded ('+' is a space).
std::optional<std::string> query_value(std::string_view path, std::string_view name);

/// The same as a decimal number; none if it is not one, whole, or does not fit.
template <std::integral T>
std::optional<T> query_number(std::string_view path, std::string_view name) {
  const auto given = query_value(path, name);
  if (!given) return std::nullopt;
  T n{};
  const auto* const last = given->data() + given->size();
  const auto [end, bad] = std::from_chars(given->data(), last, n);
  if (bad != std::errc{} || end != last) return std::nullopt;
  return n;
}

/// A request that the engine routed to this actor. HTTP is at least once: the gateway repeats a request whose attempt failed
/// before its response began, under the same `exchange`. Its members share memory; keeping one of them keeps alive at most
/// shared_bytes_max, or twice its size.
struct http_request {
  static constexpr std::size_t shared_bytes_max = 4096;

  text method;  ///< as the client sent it, such as "GET"
  text path;    ///< begins with '/', percent-encoded, with the query
  /// Names in lower case, each once: if a client repeats a name, the gateway passes on the last value (docs/protocol.md G.2).
  http_headers headers;
  bytes body;  ///< complete; empty if there is none, or if `streamed`
  bool streamed =
      false;  ///< the body comes in parts: engine_actor::on_body (serve_options::stream_requests)
  exchange_id exchange;      ///< the same for each repetition: for handlers that deduplicate
  std::uint64_t ticket = 0;  ///< this attempt, unique in the process
  internal::attempt_origin origin{};  ///< what nuncio needs to answer it

  /// The value of a header; `name` in lower case.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const {
    if (const auto* value = headers.find(name)) return value->view();
    return std::nullopt;
  }

  /// The value of `name` in the path's query, percent-decoded ('+' is a space).
  [[nodiscard]] std::optional<std::string> query(std::string_view name) const {
    return query_value(path, name);
  }

  /// The path without the query.
  [[nodiscard]] std::string_view path_only() const {
    return path.view().substr(0, path.view().find('?'));
  }
};

/// A part of a request's body.
struct request_part {
  bytes data{};  ///< shares the memory of its frame, which holds little else
  bool last = false;
  bool failed = false;  ///< the client gave up: the rest will not come
  text why{};           ///< why it failed, for a person
};

/// Harmless deviations are corrected, mistakes are answered with 500 and named: checked_response.hpp.
struct http_response {
  std::uint16_t status = 200;  ///< 200 to 999
  /// Visible ASCII. `set-cookie` and lists may be repeated. Headers about the connection (`connection`, `transfer-encoding`,
  /// ...) belong to the gateway and are left out. So is `content-length`, unless nothing else tells the length: for a HEAD, or
  /// for a streaming response, which must then have that length.
  std::vector<std::pair<nuncio::text, nuncio::text>> headers{};
  /// Up to the engine's maxResponsePayloadSize (20 MiB by default). Left out for a HEAD and with status 204, 205 or 304.
  bytes body{};

  /// text/plain in UTF-8.
  static http_response text(std::string body, std::uint16_t status = 200) {
    return of("text/plain; charset=utf-8", std::move(body), status);
  }

  /// application/json: a nlohmann::json, in which invalid UTF-8 is replaced, or text that is already JSON.
  template <class T>
  static http_response json(const T& x, std::uint16_t status = 200) {
    constexpr std::string_view type = "application/json";
    if constexpr (requires { T::error_handler_t::replace; })
      return of(type, x.dump(-1, ' ', false, T::error_handler_t::replace), status);
    else
      return of(type, std::string{x}, status);
  }

  static http_response of(
      std::string_view content_type, std::string body, std::uint16_t status = 200);
};

}  // namespace nuncio

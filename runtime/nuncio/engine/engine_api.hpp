// The part of an engine's HTTP API that a host needs, with errors that name the setting to change. Asynchronous, on an
// http_client whose threading rules apply; knows URLs and JSON, and nothing about the envoy protocol.
#pragma once

#include <cstdint>
#include <functional>
#include <nuncio/engine/http_client.hpp>
#include <nuncio/outcome.hpp>
#include <string>
#include <string_view>

namespace nuncio {

/// Where an engine is: the parsed `endpoint` setting.
struct engine_endpoint {
  bool tls = false;
  std::string host;  ///< IPv6 without brackets
  std::uint16_t port = 0;
  std::string path_prefix;  ///< empty, or "/..." without a trailing slash

  /// "http://host:port/prefix", to which a path is appended.
  [[nodiscard]] std::string base_url() const;

  bool operator==(const engine_endpoint&) const = default;
};

/// Accepts http, https, ws and wss URLs (ws means http) with an optional port and path; no user, query or fragment.
/// @returns errc::invalid_argument with a message that names the `endpoint` setting
outcome<engine_endpoint> parse_endpoint(std::string_view url);

/// The result of `GET /metadata`.
struct engine_metadata {
  std::string version;
  int envoy_protocol_version = 0;  ///< the newest that it supports; 0: it did not say
};

/// Which engine, and with which identity.
struct engine_access {
  engine_endpoint endpoint;
  std::string namespace_name = "default";
  std::string token;  ///< empty: none is sent
};

/// One engine's API. Copyable; the client must outlive the calls.
class engine_api {
public:
  template <class T>
  using callback = std::function<void(outcome<T>)>;

  engine_api(http_client& client, engine_access access);

  void get_metadata(callback<engine_metadata> done) const;

  /// Configures the pool for plain hosts if the namespace does not have it yet. An existing pool is left unchanged.
  /// @returns whether it was created
  void ensure_pool(std::string pool, callback<bool> done) const;

private:
  [[nodiscard]] http_call call(
      std::string method, std::string_view path_and_query, std::string body = {}) const;

  http_client* client_;
  engine_access access_;
};

}  // namespace nuncio

// A pool with one actor `outside`, the probe of docs/probe.md, and the requests that most cases send it.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <nuncio/testing/socket_client.hpp>
#include <string>
#include <string_view>

#include "fixture.hpp"

namespace nuncio::e2e {

/// What a probe says of itself.
inline nlohmann::json info_of(const pool_client& client, const std::string& id) {
  return nlohmann::json::parse(client.get(id, "/request/info").body);
}

struct probed_pool : hosted_pool {
  using hosted_pool::hosted_pool;

  std::string id = client.create_running("outside");

  [[nodiscard]] nlohmann::json info() const { return info_of(client, id); }

  /// In the gateway; `path` begins with a slash.
  [[nodiscard]] std::string target(std::string_view path) const {
    return fmt::format("/gateway/{}{}", id, path);
  }

  /// A WebSocket of the probe, or of another actor `to`.
  [[nodiscard]] socket_client open(std::string_view path) const { return open(id, path); }

  [[nodiscard]] socket_client open(const std::string& to, std::string_view path) const {
    return socket_client{engine.port(), fmt::format("/gateway/{}/websocket/{}", to, path)};
  }
};

}  // namespace nuncio::e2e

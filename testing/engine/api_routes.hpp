// The HTTP API that hosts, tests and clients use (docs/protocol.md I), with the real engine's texts. Engine thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine_core.hpp"
#include "web.hpp"

namespace nuncio::testing::engine {

class engine_api {
public:
  engine_api(engine_core& core, std::uint16_t reported_protocol_version)
      : core_(core), reported_protocol_version_(reported_protocol_version) {}

  /// The URL that GET /datacenters reports for this engine.
  void set_url(std::string url) { url_ = std::move(url); }

  void handle(
      const http_request& request, const std::shared_ptr<http_responder>& responder, millis now);

  /// Answers the DELETEs that wait for this actor.
  void actor_changed(const actor_id& id);

private:
  http_reply answer(const http_request& request, millis now);
  http_reply namespaces(const http_request& request, millis now);
  http_reply pools(const http_request& request, const std::vector<std::string>& path);
  http_reply envoys(const http_request& request);
  http_reply create(const http_request& request, bool or_get, millis now);
  http_reply list(const http_request& request);
  http_reply names(const http_request& request);

  engine_core& core_;
  std::uint16_t reported_protocol_version_;
  std::string url_;
  std::map<actor_id, std::vector<std::shared_ptr<http_responder>>> deleting_;
};

}  // namespace nuncio::testing::engine

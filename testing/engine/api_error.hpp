// The real engine's error bodies. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "web.hpp"

namespace nuncio::testing::engine {

inline http_reply json_reply(unsigned status, const nlohmann::ordered_json& body) {
  return {
      status,
      {{"content-type", "application/json"}},
      body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)};
}

/// {"group","code","message","metadata"}.
inline http_reply api_error(
    unsigned status,
    std::string group,
    std::string code,
    std::string message,
    nlohmann::ordered_json metadata = nullptr) {
  nlohmann::ordered_json body{
      {"group", std::move(group)}, {"code", std::move(code)}, {"message", std::move(message)}};
  if (!metadata.is_null()) body["metadata"] = std::move(metadata);
  return json_reply(status, body);
}

/// An error of the gateway itself, which also names it in a header.
inline http_reply gateway_error(
    unsigned status,
    std::string group,
    std::string code,
    std::string message,
    nlohmann::ordered_json metadata = nullptr) {
  const auto name = group + "." + code;
  auto reply =
      api_error(status, std::move(group), std::move(code), std::move(message), std::move(metadata));
  reply.headers.push_back({"x-rivet-error", name});
  return reply;
}

inline http_reply actor_not_found() {
  return gateway_error(404, "actor", "not_found", "The actor does not exist or was destroyed.");
}

/// @param why  the reason why it could not be read
inline http_reply invalid_body(std::string_view why) {
  const std::string reason{why};
  return gateway_error(
      413,
      "guard",
      "invalid_request_body",
      "Unable to parse request body: " + reason + ".",
      {{"reason", reason}});
}

inline http_reply internal_error() {
  return gateway_error(500, "core", "internal_error", "An internal error occurred");
}

}  // namespace nuncio::testing::engine

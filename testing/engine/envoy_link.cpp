// The checks of /envoys/connect.
#include "envoy_link.hpp"

#include <charconv>
#include <limits>
#include <nuncio/detail/wire.hpp>

#include "engine_core.hpp"
#include "request_target.hpp"

namespace nuncio::testing::engine {

namespace {

template <class Int>
bool number(const std::string& x, Int& into) {
  const auto [end, ec] = std::from_chars(x.data(), x.data() + x.size(), into);
  return ec == std::errc{} && end == x.data() + x.size() && !x.empty();
}

}  // namespace

std::string parse_connect(std::string_view target, connect_request& into) {
  const auto url = parse_target(target);
  const auto* protocol_version = url.find("protocol_version");
  const auto* ns = url.find("namespace");
  const auto* key = url.find("envoy_key");
  const auto* version = url.find("version");
  const auto* pool = url.find("pool_name");
  if (protocol_version == nullptr || ns == nullptr || key == nullptr || version == nullptr ||
      pool == nullptr) {
    return "ws.invalid_request";
  }
  if (!number(*protocol_version, into.protocol_version) || !number(*version, into.version)) {
    return "core.internal_error";
  }
  static constexpr std::string_view letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
  const bool good_key = key->size() >= 3 && key->size() <= 128 &&
                        key->find_first_not_of(letters) == std::string::npos;
  if (into.protocol_version < wire::version_min || into.protocol_version > wire::version_max ||
      !good_key || pool->size() > 128) {
    return "ws.invalid_request";
  }
  into.namespace_name = *ns;
  into.envoy_key = *key;
  into.pool = *pool;
  return {};
}

}  // namespace nuncio::testing::engine

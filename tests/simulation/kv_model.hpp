// The engine's key-value store according to docs/protocol.md, as far as the simulation needs it. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <nuncio/ids.hpp>
#include <nuncio/messages.hpp>
#include <string>

namespace nuncio::simulation {

class kv_model {
public:
  [[nodiscard]] protocol::to_envoy_kv_response answer(const protocol::to_rivet_kv_request& x);

  /// Null: nothing is there.
  [[nodiscard]] const std::string* find(const actor_id& of, const std::string& key) const;

private:
  using actor_store = std::map<std::string, std::string>;

  std::map<actor_id, actor_store> stored_;
};

}  // namespace nuncio::simulation

// Values that a Start brought along, for the first reads of an instance: they hold until it writes.
// Pure; owned by one instance.
#pragma once

#include <nuncio/messages_kv.hpp>
#include <optional>
#include <string_view>
#include <unordered_map>

namespace nuncio {

class kv_preload {
public:
  kv_preload() = default;

  explicit kv_preload(const protocol::preloaded_kv& from) {
    // A key that was asked for and is not among the entries does not exist. What prefixes left out
    // nobody knows.
    for (const auto& key : from.requested_get_keys)
      known_.emplace(key.view(), found{key, std::nullopt});
    for (const auto& x : from.entries)
      known_.insert_or_assign(x.key.view(), found{x.key, std::pair{x.value, x.metadata}});
  }

  /// Answers a get if everything that it asks for is known.
  [[nodiscard]] std::optional<protocol::kv_get_response> find(
      const protocol::kv_get_request& get) const {
    if (known_.empty()) return std::nullopt;
    protocol::kv_get_response out;
    for (const auto& key : get.keys) {
      const auto at = known_.find(key.view());
      if (at == known_.end()) return std::nullopt;
      if (!at->second.value) continue;
      out.keys.push_back(key);
      out.values.push_back(at->second.value->first);
      out.metadata.push_back(at->second.value->second);
    }
    return out;
  }

  /// The instance writes something: from here on the engine is asked.
  void handle_write() { known_.clear(); }

private:
  struct found {
    bytes key;  ///< keeps what the map's own key points to
    std::optional<std::pair<bytes, protocol::kv_metadata>> value;
  };

  std::unordered_map<std::string_view, found> known_;
};

}  // namespace nuncio

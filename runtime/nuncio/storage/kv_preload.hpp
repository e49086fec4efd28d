// Values that came with a Start, for an instance's first reads: valid until it writes.
//
// Only existing values count. The engine preloads within limits that it does not report, and does not mark what it cut: it may
// name a prefix of which it sent a part (anyone who registers the actor's name can request that), and some versions name a key
// whose value did not fit. So a list, and a get of a key without a value, ask the engine. Pure; owned by one instance.
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
    for (const auto& x : from.entries)
      known_.insert_or_assign(x.key.view(), found{x.key, x.value, x.metadata});
  }

  /// Answers a get if everything that it requests is known.
  [[nodiscard]] std::optional<protocol::kv_get_response> find(
      const protocol::kv_get_request& get) const {
    if (known_.empty()) return std::nullopt;
    protocol::kv_get_response out;
    for (const auto& key : get.keys) {
      const auto at = known_.find(key.view());
      if (at == known_.end()) return std::nullopt;
      out.keys.push_back(key);
      out.values.push_back(at->second.value);
      out.metadata.push_back(at->second.metadata);
    }
    return out;
  }

  /// The instance writes something: from now on the engine is asked.
  void handle_write() { known_.clear(); }

private:
  struct found {
    bytes key;  ///< owns the memory of the map's key
    bytes value;
    protocol::kv_metadata metadata;
  };

  std::unordered_map<std::string_view, found> known_;
};

}  // namespace nuncio

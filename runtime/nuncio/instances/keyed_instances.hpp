// The instances that were created with a key, by name and key. Pure; owned by instance_table.
#pragma once

#include <cstddef>
#include <functional>
#include <nuncio/actor_key.hpp>
#include <nuncio/instances/instance.hpp>
#include <string_view>
#include <unordered_map>

namespace nuncio {

class keyed_instances {
public:
  /// Until remove().
  void add(instance& x) {
    if (const auto& key = x.context->start.key)
      all_.emplace(hash_of(x.context->start.name.view(), key_from_text(key->view())), &x);
  }

  void remove(const instance& x) {
    const auto& key = x.context->start.key;
    if (!key) return;
    auto [at, end] =
        all_.equal_range(hash_of(x.context->start.name.view(), key_from_text(key->view())));
    while (at != end && at->second != &x) ++at;
    if (at != end) all_.erase(at);
  }

  /// The running one; null if there is none.
  [[nodiscard]] const instance* find(std::string_view name, const actor_key& key) const {
    const auto [from, to] = all_.equal_range(hash_of(name, key));
    for (auto at = from; at != to; ++at) {
      const auto& start = at->second->context->start;
      if (at->second->runs() && start.name.view() == name &&
          key_from_text(start.key->view()) == key)
        return at->second;
    }
    return nullptr;
  }

  void clear() { all_.clear(); }

private:
  // A hash of the key's elements, so that every spelling of the key finds it.
  static std::size_t hash_of(std::string_view name, const actor_key& key) {
    auto out = std::hash<std::string_view>{}(name);
    for (const auto& element : key) out = out * 31 + std::hash<std::string_view>{}(element);
    return out;
  }

  std::unordered_multimap<std::size_t, instance*> all_;  ///< by the hash of name and key
};

}  // namespace nuncio

// KV requests (docs/protocol.md H.1), with the limits and error texts of the real engine.
#include <algorithm>
#include <limits>

#include "storage_answers.hpp"

namespace nuncio::testing::engine {

namespace {

using namespace protocol;

constexpr std::size_t key_bytes_max = 2046;
constexpr std::size_t value_bytes_max = 131072;
constexpr std::size_t keys_max = 128;
constexpr std::size_t put_bytes_max = std::size_t{976} * 1024;
constexpr std::size_t key_overhead = 2;  ///< bytes added for each key of a put

kv_response_data error(std::string_view why) { return kv_error_response{text{why}}; }

std::string string_of(const bytes& x) { return std::string{x.view()}; }

/// "", or why these keys can't be read or deleted.
std::string_view refusal(const std::vector<bytes>& keys) {
  if (keys.size() > keys_max) return "a maximum of 128 keys is allowed";
  for (const auto& k : keys)
    if (k.size() > key_bytes_max) return "key is too long (max 2048 bytes)";
  return "";
}

template <class Response>
void add(Response& to, std::string_view key, const kv_entry& entry) {
  to.keys.emplace_back(key);
  to.values.push_back(entry.value);
  to.metadata.push_back({bytes{std::string_view{"2.3.19"}}, entry.update_ts});
}

kv_response_data get(const actor_storage& from, const kv_get_request& r) {
  if (const auto why = refusal(r.keys); !why.empty()) return error(why);
  kv_get_response out;
  std::set<std::string> seen;
  for (const auto& key : r.keys) {
    const auto at = from.kv.find(string_of(key));
    if (at != from.kv.end() && seen.insert(at->first).second) add(out, at->first, at->second);
  }
  return out;
}

kv_response_data list(const actor_storage& from, const kv_list_request& r) {
  auto begin = from.kv.begin(), end = from.kv.end();
  if (const auto* range = std::get_if<kv_list_range_query>(&r.query)) {
    if (range->start.size() > key_bytes_max || range->end.size() > key_bytes_max)
      return error("key is too long (max 2048 bytes)");
    const auto first = string_of(range->start), last = string_of(range->end);
    if (first > last) return kv_list_response{};
    begin = from.kv.lower_bound(first);
    end = range->exclusive ? from.kv.lower_bound(last) : from.kv.upper_bound(last);
  } else if (const auto* prefix = std::get_if<kv_list_prefix_query>(&r.query)) {
    if (prefix->key.size() > key_bytes_max) return error("prefix key is too long (max 2048 bytes)");
    const auto p = string_of(prefix->key);
    begin = from.kv.lower_bound(p);
    end = from.kv.lower_bound(p + '\xff');  // keys that continue with 0xff are left out (measured)
  }
  kv_list_response out;
  auto left = r.limit.value_or(std::numeric_limits<std::uint64_t>::max());
  if (r.reverse.value_or(false)) {
    for (; left > 0 && end != begin; --left) {
      --end;
      add(out, end->first, end->second);
    }
  } else {
    for (; left > 0 && begin != end; --left, ++begin) add(out, begin->first, begin->second);
  }
  return out;
}

kv_response_data put(storage& to, const actor_id& actor, const kv_put_request& r, millis now) {
  std::size_t total = 0;
  bool good = r.keys.size() == r.values.size() && r.keys.size() <= keys_max;
  for (const auto& key : r.keys) {
    good = good && key.size() <= key_bytes_max;
    total += key.size() + key_overhead;
  }
  for (const auto& value : r.values) {
    good = good && value.size() <= value_bytes_max;
    total += value.size();
  }
  if (!good || total > put_bytes_max) return error("transaction failed");
  for (std::size_t i = 0; i < r.keys.size(); ++i)
    to.put(actor, string_of(r.keys[i]), r.values[i], now);
  return kv_put_response{};
}

void erase_range(
    storage& from, const actor_id& actor, const std::string* first, const std::string* last) {
  const auto& kv = from.of(actor).kv;
  std::vector<std::string> keys;
  for (auto at = first == nullptr ? kv.begin() : kv.lower_bound(*first);
       at != kv.end() && (last == nullptr || at->first < *last);
       ++at)
    keys.push_back(at->first);
  for (const auto& key : keys) from.erase(actor, key);
}

}  // namespace

kv_response_data answer_kv(
    storage& store, const engine_core& core, const to_rivet_kv_request& request, millis now) {
  const auto& actor = request.actor_id;
  if (!is_id(actor.view())) return error("unsupported ID version");
  // Neither the generation nor the requesting envoy is checked: fencing is the envoy's job.
  if (core.find(actor) == nullptr) return error("actor does not exist");
  const auto& data = request.data;
  if (const auto* r = std::get_if<kv_get_request>(&data)) return get(store.of(actor), *r);
  if (const auto* r = std::get_if<kv_list_request>(&data)) return list(store.of(actor), *r);
  if (const auto* r = std::get_if<kv_put_request>(&data)) return put(store, actor, *r, now);
  if (const auto* r = std::get_if<kv_delete_request>(&data)) {
    if (const auto why = refusal(r->keys); !why.empty()) return error(why);
    for (const auto& key : r->keys) store.erase(actor, string_of(key));
    return kv_delete_response{};
  }
  if (const auto* r = std::get_if<kv_delete_range_request>(&data)) {
    const auto first = string_of(r->start), last = string_of(r->end);
    erase_range(store, actor, &first, &last);
    return kv_delete_response{};
  }
  erase_range(store, actor, nullptr, nullptr);
  return kv_drop_response{};
}

}  // namespace nuncio::testing::engine

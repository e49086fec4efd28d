// See kv_limits.hpp.
#include <fmt/format.h>

#include <nuncio/storage/kv_limits.hpp>

namespace nuncio::kv_limits {
namespace {

using namespace protocol;

failure too_large(std::string_view what, std::size_t size, std::size_t max, std::string_view unit) {
  return {errc::too_large, fmt::format("{} of {} {}: at most {}", what, size, unit, max)};
}

outcome<void> check_key(const bytes& key) {
  if (key.size() > key_bytes_max) return too_large("a key", key.size(), key_bytes_max, "bytes");
  return {};
}

outcome<void> check_keys(const std::vector<bytes>& keys) {
  if (keys.size() > batch_keys_max)
    return too_large("one request", keys.size(), batch_keys_max, "keys");
  for (const auto& key : keys)
    if (auto good = check_key(key); !good) return good;
  return {};
}

outcome<void> check_put(const kv_put_request& put) {
  if (put.keys.size() != put.values.size())
    return failure{
        errc::invalid_argument,
        fmt::format("{} keys with {} values", put.keys.size(), put.values.size())};
  if (auto good = check_keys(put.keys); !good) return good;
  std::size_t all = 0;
  for (std::size_t i = 0; i < put.keys.size(); ++i) {
    if (put.values[i].size() > value_bytes_max)
      return too_large("a value", put.values[i].size(), value_bytes_max, "bytes");
    all += cost(put.keys[i], put.values[i]);
  }
  if (all > put_bytes_max)
    return too_large("one put", all, put_bytes_max, "bytes of keys and values");
  return {};
}

outcome<void> check_both(const bytes& a, const bytes& b) {
  if (auto good = check_key(a); !good) return good;
  return check_key(b);
}

outcome<void> check_query(const kv_list_query& query) {
  if (const auto* range = std::get_if<kv_list_range_query>(&query))
    return check_both(range->start, range->end);
  if (const auto* prefix = std::get_if<kv_list_prefix_query>(&query)) return check_key(prefix->key);
  return {};
}

}  // namespace

outcome<void> check(const kv_request_data& request) {
  if (const auto* get = std::get_if<kv_get_request>(&request)) return check_keys(get->keys);
  if (const auto* put = std::get_if<kv_put_request>(&request)) return check_put(*put);
  if (const auto* erase = std::get_if<kv_delete_request>(&request)) return check_keys(erase->keys);
  if (const auto* range = std::get_if<kv_delete_range_request>(&request))
    return check_both(range->start, range->end);
  if (const auto* list = std::get_if<kv_list_request>(&request)) return check_query(list->query);
  return {};
}

std::size_t cost(const bytes& key, const bytes& value) {
  return key.size() + key_overhead_bytes + value.size();
}

}  // namespace nuncio::kv_limits

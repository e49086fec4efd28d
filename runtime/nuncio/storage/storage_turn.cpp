// See storage_turn.hpp.
#include <nuncio/storage/kv_limits.hpp>
#include <nuncio/storage/storage_turn.hpp>
#include <utility>

namespace nuncio {
namespace {

using namespace protocol;

template <class T>
T* kv_call(storage_call& call) {
  auto* kv = std::get_if<kv_request_data>(&call);
  return kv == nullptr ? nullptr : std::get_if<T>(kv);
}

}  // namespace

void storage_turn::add(storage_call call, std::uint64_t ticket, write_mode mode) {
  const auto* put = kv_call<kv_put_request>(call);
  const auto* erase = kv_call<kv_delete_request>(call);
  const auto joins = !requests_.empty() && requests_.back().mode == mode;
  if (joins && ((put != nullptr && join_put(*put)) || (erase != nullptr && join_delete(*erase)))) {
    requests_.back().tickets.push_back(ticket);
    return;
  }
  places_.clear();
  put_bytes_ = 0;
  if (put == nullptr) {
    requests_.push_back({std::move(call), {ticket}, mode});
  } else {  // not joined, so that it has each key once
    requests_.push_back({kv_request_data{kv_put_request{}}, {ticket}, mode});
    join_put(*put);
  }
}

bool storage_turn::join_put(const kv_put_request& more) {
  auto* last = requests_.empty() ? nullptr : kv_call<kv_put_request>(requests_.back().call);
  if (last == nullptr) return false;
  std::size_t keys = last->keys.size();
  std::size_t all = put_bytes_;
  for (std::size_t i = 0; i < more.keys.size(); ++i) {
    if (!places_.contains(more.keys[i].view())) ++keys;
    all += kv_limits::cost(
        more.keys[i], more.values[i]);  // a replaced value counts until the put is sent: simple
  }
  if (keys > kv_limits::batch_keys_max || all > kv_limits::put_bytes_max) return false;
  put_bytes_ = all;
  for (std::size_t i = 0; i < more.keys.size(); ++i) {
    if (const auto at = places_.find(more.keys[i].view()); at != places_.end()) {
      last->values[at->second] = more.values[i];
      continue;
    }
    last->keys.push_back(more.keys[i]);
    last->values.push_back(more.values[i]);
    places_.emplace(last->keys.back().view(), last->keys.size() - 1);  // a key's bytes do not move
  }
  return true;
}

bool storage_turn::join_delete(const kv_delete_request& more) {
  auto* last = requests_.empty() ? nullptr : kv_call<kv_delete_request>(requests_.back().call);
  if (last == nullptr || last->keys.size() + more.keys.size() > kv_limits::batch_keys_max)
    return false;
  last->keys.insert(last->keys.end(), more.keys.begin(), more.keys.end());
  return true;
}

std::vector<storage_turn::joined> storage_turn::take() {
  places_.clear();
  put_bytes_ = 0;
  return std::exchange(requests_, {});
}

}  // namespace nuncio

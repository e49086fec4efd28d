// See kv.hpp.
#include <nuncio/kv.hpp>
#include <nuncio/storage/kv_limits.hpp>
#include <nuncio/storage/storage_call.hpp>
#include <nuncio/storage/storage_client.hpp>
#include <unordered_map>

namespace nuncio {

using namespace protocol;

namespace {

// The size of an answer: everything that its slices keep alive together.
template <class Response>
std::size_t size_of(const Response& x) {
  std::size_t out = 0;
  for (const auto* each : {&x.keys, &x.values})
    for (const auto& part : *each) out += part.size();
  for (const auto& each : x.metadata) out += each.version.size() + sizeof each.update_ts;
  return out;
}

}  // namespace

bytes kv_store::full(const bytes& key) const {
  if (prefix_.empty()) return key;
  std::string out{prefix_};
  out += key.view();
  return bytes{std::move(out)};
}

std::vector<bytes> kv_store::full(const std::vector<octets>& keys) const {
  std::vector<bytes> out;
  out.reserve(keys.size());
  for (const auto& key : keys) out.push_back(full(key));
  return out;
}

// As a range: the engine's listing by prefix leaves out keys that continue with the byte 0xff (docs/protocol.md).
kv_list_query starting_with(const bytes& prefix) {
  auto next = std::string{prefix.view()};
  while (!next.empty() && next.back() == '\xff') next.pop_back();
  if (next.empty()) return kv_list_prefix_query{prefix};
  ++next.back();
  return kv_list_range_query{prefix, bytes{std::move(next)}, true};
}

// After every key of ours: the next prefix, or without one the largest possible key.
bytes kv_store::end_of(const bytes& last) const {
  if (!last.empty()) return full(last);
  if (prefix_.empty()) return bytes{std::string(kv_limits::key_bytes_max, '\xff')};
  auto next = std::string{prefix_};
  ++next.back();
  return bytes{std::move(next)};
}

/// The requests of kv_store.
struct kv_requests {
  template <class T>
  static storage_response<T> ask(
      const kv_store& of, kv_request_data what, typename storage_response<T>::reader read) {
    return {of.through_->self(), of.through_->ask(std::move(what), of.mode_), std::move(read)};
  }

  static storage_response<void> write(const kv_store& of, kv_request_data what) {
    return ask<void>(of, std::move(what), [](storage_answer&) {});
  }
};

storage_response<std::optional<bytes>> kv_store::get(octets key) {
  return kv_requests::ask<std::optional<bytes>>(
      *this, kv_get_request{{full(key)}}, [](storage_answer& x) -> std::optional<bytes> {
        const auto& got = std::get<kv_get_response>(std::get<kv_response_data>(x));
        if (got.values.empty()) return std::nullopt;
        return got.values.front().apart(size_of(got));
      });
}

storage_response<std::vector<std::optional<bytes>>> kv_store::get_all(std::vector<octets> keys) {
  auto asked = full(keys);
  return kv_requests::ask<std::vector<std::optional<bytes>>>(
      *this, kv_get_request{asked}, [asked](storage_answer& x) {
        // The engine names the existing keys, in the requested order.
        const auto& got = std::get<kv_get_response>(std::get<kv_response_data>(x));
        std::unordered_map<std::string_view, const bytes*> found;
        for (std::size_t i = 0; i < std::min(got.keys.size(), got.values.size()); ++i)
          found.emplace(got.keys[i].view(), &got.values[i]);
        const auto all = size_of(got);
        std::vector<std::optional<bytes>> out;
        out.reserve(asked.size());
        for (const auto& key : asked) {
          auto& to = out.emplace_back();
          if (const auto at = found.find(key.view()); at != found.end())
            to = at->second->apart(all);
        }
        return out;
      });
}

storage_response<std::vector<kv_entry>> kv_store::list(kv_query what) {
  const auto read = [cut = prefix_.size()](storage_answer& x) {
    const auto& got = std::get<kv_list_response>(std::get<kv_response_data>(x));
    const auto all = size_of(got);
    std::vector<kv_entry> out;
    out.reserve(got.keys.size());
    for (std::size_t i = 0; i < std::min(got.keys.size(), got.values.size()); ++i) {
      const auto ms = i < got.metadata.size() ? got.metadata[i].update_ts : 0;
      out.push_back(
          {got.keys[i].part(cut).apart(all),
           got.values[i].apart(all),
           std::chrono::system_clock::time_point{std::chrono::milliseconds{ms}}});
    }
    return out;
  };
  const auto ranged = !what.first.empty() || !what.last.empty();
  if (ranged && !what.prefix.empty())
    return {
        through_->self(),
        through_->fail(
            {errc::invalid_argument,
             "a list by prefix and by range together; it was not sent",
             false,
             {}}),
        read};
  kv_list_request request;
  if (ranged)
    request.query = kv_list_range_query{full(what.first), end_of(what.last), true};
  else if (const auto prefix = full(what.prefix); !prefix.empty())
    request.query = starting_with(prefix);
  request.reverse = what.reverse;
  request.limit = what.limit;
  return kv_requests::ask<std::vector<kv_entry>>(*this, std::move(request), read);
}

storage_response<void> kv_store::put(octets key, octets value) {
  return kv_requests::write(*this, kv_put_request{{full(key)}, {std::move(value)}});
}

storage_response<void> kv_store::put_all(std::vector<std::pair<octets, octets>> entries) {
  kv_put_request put;
  for (auto& [key, value] : entries) {
    put.keys.push_back(full(key));
    put.values.push_back(std::move(value));
  }
  return kv_requests::write(*this, std::move(put));
}

storage_response<void> kv_store::erase(octets key) {
  return kv_requests::write(*this, kv_delete_request{{full(key)}});
}

storage_response<void> kv_store::erase_all(std::vector<octets> keys) {
  return kv_requests::write(*this, kv_delete_request{full(keys)});
}

storage_response<void> kv_store::erase_range(octets first, octets last) {
  return kv_requests::write(*this, kv_delete_range_request{full(first), end_of(last)});
}

storage_response<void> kv_store::drop() {
  if (prefix_.empty()) return kv_requests::write(*this, kv_drop_request{});
  return erase_range({}, {});
}

}  // namespace nuncio

// See kv_model.hpp.
#include "simulation/kv_model.hpp"

#include <nuncio/support/overloaded.hpp>

namespace nuncio::simulation {
namespace {

std::string text_of(const bytes& x) { return std::string{x.view()}; }

template <class Response>
void add(Response& to, const std::string& key, const std::string& value) {
  to.keys.push_back(bytes{key});
  to.values.push_back(bytes{value});
  to.metadata.emplace_back();
}

bool asked(const protocol::kv_list_query& query, const std::string& key) {
  return std::visit(
      overloaded{
          [](const protocol::kv_list_all_query&) { return true; },
          [&](const protocol::kv_list_range_query& x) {
            return key >= x.start.view() &&
                   (x.exclusive ? key < x.end.view() : key <= x.end.view());
          },
          [&](const protocol::kv_list_prefix_query& x) { return key.starts_with(x.key.view()); }},
      query);
}

}  // namespace

const std::string* kv_model::find(const actor_id& of, const std::string& key) const {
  const auto all = stored_.find(of);
  if (all == stored_.end()) return nullptr;
  const auto at = all->second.find(key);
  return at == all->second.end() ? nullptr : &at->second;
}

protocol::to_envoy_kv_response kv_model::answer(const protocol::to_rivet_kv_request& x) {
  auto& all = stored_[x.actor_id];
  const auto data = std::visit(
      overloaded{
          [&](const protocol::kv_get_request& get) -> protocol::kv_response_data {
            protocol::kv_get_response out;
            for (const auto& key : get.keys)
              if (const auto at = all.find(text_of(key)); at != all.end())
                add(out, at->first, at->second);
            return out;
          },
          [&](const protocol::kv_list_request& list) -> protocol::kv_response_data {
            protocol::kv_list_response out;
            for (const auto& [key, value] : all)
              if (asked(list.query, key) && out.keys.size() < list.limit.value_or(1000))
                add(out, key, value);
            return out;
          },
          [&](const protocol::kv_put_request& put) -> protocol::kv_response_data {
            for (std::size_t n = 0; n < put.keys.size(); ++n)
              all[text_of(put.keys[n])] = text_of(put.values[n]);
            return protocol::kv_put_response{};
          },
          [&](const protocol::kv_delete_request& erase) -> protocol::kv_response_data {
            for (const auto& key : erase.keys) all.erase(text_of(key));
            return protocol::kv_delete_response{};
          },
          [&](const protocol::kv_delete_range_request& erase) -> protocol::kv_response_data {
            std::erase_if(all, [&](const auto& each) {
              return each.first >= erase.start.view() && each.first < erase.end.view();
            });
            return protocol::kv_delete_response{};
          },
          [&](const protocol::kv_drop_request&) -> protocol::kv_response_data {
            all.clear();
            return protocol::kv_drop_response{};
          }},
      x.data);
  return {x.request_id, data};
}

}  // namespace nuncio::simulation

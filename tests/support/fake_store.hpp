// The engine's KV store as far as the actor suite needs it: answers what a sim_host has sent. For tests on one thread.
#pragma once

#include <map>
#include <string>

#include "support/sim_host.hpp"

namespace nuncio::test {

class fake_store {
public:
  std::map<std::string, std::string> content;
  std::size_t answered = 0;
  bool silent = false;  ///< answers nothing

  /// Answers all that waits, and what the answers lead to.
  void serve(sim_host& host) {
    while (!silent) {
      const auto sent = host.storage_requests_sent();
      if (seen_ >= sent.size()) return;
      for (; seen_ < sent.size(); ++seen_) {
        const auto& request = std::get<protocol::to_rivet_kv_request>(sent[seen_]);
        ++answered;
        host.deliver(protocol::to_envoy_kv_response{request.request_id, answer(request.data)});
      }
    }
  }

  /// What was sent and not answered never arrives.
  void lose(const sim_host& host) { seen_ = host.storage_requests_sent().size(); }

  /// What was sent has been forgotten by the link.
  void handle_cleared() { seen_ = 0; }

private:
  protocol::kv_response_data answer(const protocol::kv_request_data& what) {
    if (const auto* put = std::get_if<protocol::kv_put_request>(&what)) {
      for (std::size_t i = 0; i < put->keys.size(); ++i)
        content[std::string{put->keys[i].view()}] = std::string{put->values[i].view()};
      return protocol::kv_put_response{};
    }
    if (const auto* gone = std::get_if<protocol::kv_delete_request>(&what)) {
      for (const auto& key : gone->keys) content.erase(std::string{key.view()});
      return protocol::kv_delete_response{};
    }
    if (const auto* get = std::get_if<protocol::kv_get_request>(&what)) {
      protocol::kv_get_response out;
      for (const auto& key : get->keys)
        if (const auto at = content.find(std::string{key.view()}); at != content.end())
          add(out, *at);
      return out;
    }
    if (const auto* list = std::get_if<protocol::kv_list_request>(&what)) {
      protocol::kv_list_response out;
      const auto* prefix = std::get_if<protocol::kv_list_prefix_query>(&list->query);
      for (const auto& each : content)
        if (prefix == nullptr || each.first.starts_with(prefix->key.view())) add(out, each);
      return out;
    }
    return protocol::kv_error_response{text{"not in this store"}};
  }

  template <class T>
  static void add(T& to, const std::pair<const std::string, std::string>& entry) {
    to.keys.push_back(bytes{entry.first});
    to.values.push_back(bytes{entry.second});
    to.metadata.push_back({});
  }

  std::size_t seen_ = 0;
};

}  // namespace nuncio::test

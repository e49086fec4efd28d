// The engine's storage of one actor as far as tests of actors need it: KV, the SQL that persistent_actor uses for its state,
// and pages. Answers requests that a sim_host has sent. For tests on one thread.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "support/page_store.hpp"
#include "support/sim_host.hpp"

namespace nuncio::test {

class fake_store {
public:
  std::map<std::string, std::string> content;
  std::optional<std::vector<bytes>> table;  ///< _nuncio_state
  store pages;
  std::size_t answered = 0;
  bool silent = false;                        ///< answers nothing
  std::size_t lists = 0;                      ///< that were asked for
  std::size_t answer_entries_max = SIZE_MAX;  ///< a longer list is one that the host does not take
  std::size_t lists_until_failure = SIZE_MAX;

  /// Answers all that waits, and what the answers lead to.
  void serve(sim_host& host) {
    while (!silent && (process(host) || answer(host))) {
    }
  }

  /// Carries out the next request, if there is one.
  bool process(const sim_host& host) {
    const auto* request = host.next_storage_request(seen_);
    if (request == nullptr) return false;
    answers_.push_back(carry_out(*request));
    return true;
  }

  /// Carries out one request, and what the engine says to it.
  protocol::to_envoy carry_out(const protocol::to_rivet& request) {
    return std::visit([this](const auto& x) { return this->answer_to(x); }, request);
  }

  /// Gives the next answer, if there is one.
  bool answer(sim_host& host) {
    if (answers_.empty()) return false;
    ++answered;
    const auto next = std::move(answers_.front());
    answers_.pop_front();
    if (entries_of(next) > answer_entries_max)
      host.too_long(next);
    else
      host.deliver(next);
    return true;
  }

  /// What was sent and not processed never arrives, and no answer does.
  void lose(const sim_host& host) {
    seen_ = host.link->sent.size();
    answers_.clear();
  }

  /// What was sent has been forgotten by the link.
  void handle_cleared() { seen_ = 0; }

private:
  protocol::to_envoy answer_to(const protocol::to_rivet_kv_request& x) {
    return protocol::to_envoy_kv_response{x.request_id, answer(x.data)};
  }

  protocol::to_envoy answer_to(const protocol::to_rivet_sqlite_execute_request& x) {
    protocol::sqlite_execute_result out;
    if (table && x.data.sql.view().find("sqlite_master") != std::string_view::npos) {
      out.rows.push_back({protocol::sqlite_value_integer{1}});
    } else if (table) {
      for (const auto& part : *table) out.rows.push_back({protocol::sqlite_value_blob{part}});
    }
    return protocol::to_envoy_sqlite_execute_response{
        x.request_id, protocol::sqlite_execute_ok{std::move(out)}};
  }

  protocol::to_envoy answer_to(const protocol::to_rivet_sqlite_execute_batch_request& x) {
    for (const auto& each : x.data.statements) {
      const auto statement = each.sql.view();
      if (statement.find("_nuncio_state") == std::string_view::npos) continue;
      const auto from = statement.find("x'");
      if (from == std::string_view::npos) {
        table.emplace();
        continue;
      }
      const auto until = statement.rfind('\'');
      std::string part;
      for (auto i = from + 2; i < until; i += 2)
        part += static_cast<char>(std::stoi(std::string{statement.substr(i, 2)}, nullptr, 16));
      table->push_back(bytes{std::move(part)});
    }
    protocol::sqlite_execute_batch_ok out;
    out.results.resize(x.data.statements.size());
    return protocol::to_envoy_sqlite_execute_batch_response{x.request_id, std::move(out)};
  }

  static protocol::to_envoy answer_to(const protocol::to_rivet_sqlite_exec_request& x) {
    return protocol::to_envoy_sqlite_exec_response{x.request_id, protocol::sqlite_exec_ok{}};
  }

  protocol::to_envoy answer_to(const protocol::to_rivet_sqlite_get_pages_request& x) {
    return paged<protocol::to_envoy_sqlite_get_pages_response, protocol::sqlite_get_pages_ok>(x);
  }

  protocol::to_envoy answer_to(const protocol::to_rivet_sqlite_commit_request& x) {
    return paged<protocol::to_envoy_sqlite_commit_response, protocol::sqlite_commit_ok>(x);
  }

  protocol::to_envoy answer_to(const protocol::to_rivet_sqlite_commit_stage_begin_request& x) {
    return paged<
        protocol::to_envoy_sqlite_commit_stage_begin_response,
        protocol::sqlite_commit_stage_begin_ok>(x);
  }

  protocol::to_envoy answer_to(const protocol::to_rivet_sqlite_commit_stage_segment_request& x) {
    return paged<
        protocol::to_envoy_sqlite_commit_stage_segment_response,
        protocol::sqlite_commit_stage_segment_ok>(x);
  }

  protocol::to_envoy answer_to(const protocol::to_rivet_sqlite_commit_finalize_request& x) {
    return paged<
        protocol::to_envoy_sqlite_commit_finalize_response,
        protocol::sqlite_commit_finalize_ok>(x);
  }

  template <class T>
  protocol::to_envoy answer_to(const T&) {
    throw std::logic_error{"a request that fake_store does not know"};
  }

  template <class Response, class Ok, class Request>
  protocol::to_envoy paged(const Request& x) {
    const auto got = pages(storage_call{x.data});
    if (const auto* done = std::get_if<storage_answer>(&got))
      return Response{x.request_id, std::get<Ok>(*done)};
    const auto& why = std::get<storage_failure>(got);
    const std::string_view code{why.engine_code};
    const auto slash = code.find('/');
    return Response{
        x.request_id,
        protocol::sqlite_error_response{
            text{code.substr(0, slash)}, text{code.substr(slash + 1)}, text{why.message}}};
  }

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
    if (const auto* range = std::get_if<protocol::kv_delete_range_request>(&what)) {
      std::erase_if(content, [&](const auto& each) {
        return each.first >= range->start.view() && each.first < range->end.view();
      });
      return protocol::kv_delete_response{};
    }
    if (std::holds_alternative<protocol::kv_drop_request>(what)) {
      content.clear();
      return protocol::kv_drop_response{};
    }
    if (const auto* get = std::get_if<protocol::kv_get_request>(&what)) {
      protocol::kv_get_response out;
      for (const auto& key : get->keys)
        if (const auto at = content.find(std::string{key.view()}); at != content.end())
          add(out, *at);
      return out;
    }
    if (const auto* list = std::get_if<protocol::kv_list_request>(&what)) {
      if (lists++ >= lists_until_failure) return protocol::kv_error_response{text{"no list today"}};
      protocol::kv_list_response out;
      const auto* range = std::get_if<protocol::kv_list_range_query>(&list->query);
      for (const auto& each : content)
        if (out.keys.size() < list->limit.value_or(SIZE_MAX) &&
            (range == nullptr ||
             (each.first >= range->start.view() && each.first < range->end.view())))
          add(out, each);
      return out;
    }
    return protocol::kv_error_response{text{"not in this store"}};
  }

  static std::size_t entries_of(const protocol::to_envoy& x) {
    const auto* kv = std::get_if<protocol::to_envoy_kv_response>(&x);
    const auto* list = kv ? std::get_if<protocol::kv_list_response>(&kv->data) : nullptr;
    return list ? list->keys.size() : 0;
  }

  template <class T>
  static void add(T& to, const std::pair<const std::string, std::string>& entry) {
    to.keys.push_back(bytes{entry.first});
    to.values.push_back(bytes{entry.second});
    to.metadata.push_back({});
  }

  std::size_t seen_ = 0;
  std::deque<protocol::to_envoy> answers_;  ///< not given yet
};

}  // namespace nuncio::test

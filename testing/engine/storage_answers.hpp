// Answers envoys' KV and SQLite requests (docs/protocol.md H), with the real engine's texts. Engine thread; SQL runs on it too,
// within a time limit.
#pragma once

#include <map>
#include <memory>
#include <nuncio/messages.hpp>
#include <optional>

#include "engine_core.hpp"
#include "random_id.hpp"
#include "sql_session.hpp"
#include "stored_data.hpp"

namespace nuncio::testing::engine {

protocol::kv_response_data answer_kv(
    storage& store,
    const engine_core& core,
    const protocol::to_rivet_kv_request& request,
    millis now);

/// Errors such as "actor does not exist"; none if `generation` of `actor` may use its database.
std::optional<protocol::sqlite_error_response> refuse_sqlite(
    const engine_core& core, const actor_id& actor, std::uint64_t generation);

/// Page level (H.3).
protocol::sqlite_get_pages_response answer_get_pages(
    const storage& store, const engine_core& core, const protocol::sqlite_get_pages_request& r);
protocol::sqlite_commit_response answer_commit(
    storage& store, const engine_core& core, const protocol::sqlite_commit_request& r);
protocol::sqlite_commit_stage_begin_response answer_stage_begin(
    storage& store, const engine_core& core, const protocol::sqlite_commit_stage_begin_request& r);
protocol::sqlite_commit_stage_segment_response answer_stage_segment(
    storage& store,
    const engine_core& core,
    const protocol::sqlite_commit_stage_segment_request& r);
protocol::sqlite_commit_finalize_response answer_stage_finalize(
    storage& store, const engine_core& core, const protocol::sqlite_commit_finalize_request& r);

class storage_requests {
public:
  explicit storage_requests(const engine_core& core) : core_(core) {}

  /// @returns none if `message` is not about storage
  std::optional<protocol::to_envoy> answer(const protocol::to_rivet& message, millis now);

  /// Its data is deleted when it is destroyed.
  void actor_changed(const actor_id& id);

  [[nodiscard]] storage& store() { return storage_; }

  [[nodiscard]] const storage& store() const { return storage_; }

private:
  struct open_session {
    std::uint64_t generation = 0;
    std::unique_ptr<sql_session> session;
  };

  std::optional<protocol::sqlite_error_response> refuse_sql(
      const text& namespace_name, const actor_id& actor, std::uint64_t generation);
  /// The actor's connection; a new one if there is none or the pages have changed.
  outcome<sql_session*> session_of(const actor_id& actor, std::uint64_t generation);
  template <class Response, class Ok, class Run>
  Response run_sql(
      const text& namespace_name, const actor_id& actor, std::uint64_t generation, Run run);

  const engine_core& core_;
  storage storage_;
  std::map<actor_id, open_session> sessions_;
};

}  // namespace nuncio::testing::engine

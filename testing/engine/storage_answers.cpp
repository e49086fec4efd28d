// Which answer belongs to which request, and SQL with its sessions.
#include "storage_answers.hpp"

#include <utility>

namespace nuncio::testing::engine {

using namespace protocol;

namespace {

sqlite_error_response internal(std::string message) {
  return {"core", "internal_error", text{std::move(message)}};
}

}  // namespace

void storage_requests::actor_changed(const actor_id& id) {
  const auto* a = core_.find(id);
  if (a != nullptr && a->phase != actor_phase::destroyed) return;
  sessions_.erase(id);
  storage_.wipe(id);
}

std::optional<sqlite_error_response> storage_requests::refuse_sql(
    const text& namespace_name, const actor_id& actor, std::uint64_t generation) {
  if (auto why = refuse_sqlite(core_, actor, generation)) return why;
  // The namespace's name, where one would expect its id.
  if (core_.find(actor)->namespace_name != namespace_name.view())
    return internal("actor does not exist");
  return std::nullopt;
}

outcome<sql_session*> storage_requests::session_of(
    const actor_id& actor, std::uint64_t generation) {
  auto& open = sessions_[actor];
  const auto& db = storage_.of(actor).db;
  if (!open.session || open.generation != generation || open.session->head != db.head) {
    open.session.reset();
    auto fresh = sql_session::open(db);
    if (!fresh) {
      sessions_.erase(actor);
      return fresh.error();
    }
    open = {generation, std::move(*fresh)};
  }
  return open.session.get();
}

template <class Response, class Ok, class Run>
Response storage_requests::run_sql(
    const text& namespace_name, const actor_id& actor, std::uint64_t generation, Run run) {
  if (auto why = refuse_sql(namespace_name, actor, generation)) return *why;
  const auto session = session_of(actor, generation);
  if (!session) return internal(session.error().message);
  auto result = run(**session);
  // Also after a failure: a script that fails half way has committed what came before.
  if (const auto change = (*session)->take_change(storage_.of(actor).db))
    (*session)->head = storage_.commit(actor, change->pages, change->size_pages);
  if (!result) return internal(result.error().message);
  return Ok{std::move(*result)};
}

std::optional<to_envoy> storage_requests::answer(const to_rivet& message, millis now) {
  if (const auto* r = std::get_if<to_rivet_kv_request>(&message))
    return to_envoy_kv_response{r->request_id, answer_kv(storage_, core_, *r, now)};
  if (const auto* r = std::get_if<to_rivet_sqlite_get_pages_request>(&message))
    return to_envoy_sqlite_get_pages_response{
        r->request_id, answer_get_pages(storage_, core_, r->data)};
  if (const auto* r = std::get_if<to_rivet_sqlite_commit_request>(&message))
    return to_envoy_sqlite_commit_response{r->request_id, answer_commit(storage_, core_, r->data)};
  if (const auto* r = std::get_if<to_rivet_sqlite_commit_stage_begin_request>(&message))
    return to_envoy_sqlite_commit_stage_begin_response{
        r->request_id, answer_stage_begin(storage_, core_, r->data)};
  if (const auto* r = std::get_if<to_rivet_sqlite_commit_stage_segment_request>(&message))
    return to_envoy_sqlite_commit_stage_segment_response{
        r->request_id, answer_stage_segment(storage_, core_, r->data)};
  if (const auto* r = std::get_if<to_rivet_sqlite_commit_finalize_request>(&message))
    return to_envoy_sqlite_commit_finalize_response{
        r->request_id, answer_stage_finalize(storage_, core_, r->data)};
  if (const auto* r = std::get_if<to_rivet_sqlite_exec_request>(&message)) {
    const auto& q = r->data;
    return to_envoy_sqlite_exec_response{
        r->request_id,
        run_sql<sqlite_exec_response, sqlite_exec_ok>(
            q.namespace_id, q.actor_id, q.generation, [&](sql_session& s) {
              return s.exec(q.sql);
            })};
  }
  if (const auto* r = std::get_if<to_rivet_sqlite_execute_request>(&message)) {
    const auto& q = r->data;
    return to_envoy_sqlite_execute_response{
        r->request_id,
        run_sql<sqlite_execute_response, sqlite_execute_ok>(
            q.namespace_id, q.actor_id, q.generation, [&](sql_session& s) {
              return s.execute(q.sql, q.params);
            })};
  }
  if (const auto* r = std::get_if<to_rivet_sqlite_execute_batch_request>(&message)) {
    const auto& q = r->data;
    return to_envoy_sqlite_execute_batch_response{
        r->request_id,
        run_sql<sqlite_execute_batch_response, sqlite_execute_batch_ok>(
            q.namespace_id, q.actor_id, q.generation, [&](sql_session& s) {
              return s.execute_batch(q.statements);
            })};
  }
  return std::nullopt;
}

}  // namespace nuncio::testing::engine

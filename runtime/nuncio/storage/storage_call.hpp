// An instance's requests to the engine's storage, and the answers. Values; any thread.
#pragma once

#include <cstdint>
#include <nuncio/detail/storage_failure.hpp>
#include <nuncio/messages.hpp>
#include <nuncio/outcome.hpp>
#include <string>
#include <string_view>
#include <variant>

namespace nuncio {

/// The body of one request. Its actor id, generation and namespace are filled in when it is sent.
struct storage_call : std::variant<
                          protocol::kv_request_data,
                          protocol::sqlite_get_pages_request,
                          protocol::sqlite_commit_request,
                          protocol::sqlite_commit_stage_begin_request,
                          protocol::sqlite_commit_stage_segment_request,
                          protocol::sqlite_commit_finalize_request,
                          protocol::sqlite_exec_request,
                          protocol::sqlite_execute_request,
                          protocol::sqlite_execute_batch_request> {
  using variant::variant;
};

/// The engine's answer to a successful request, with the same index as its storage_call.
struct storage_answer : std::variant<
                            protocol::kv_response_data,
                            protocol::sqlite_get_pages_ok,
                            protocol::sqlite_commit_ok,
                            protocol::sqlite_commit_stage_begin_ok,
                            protocol::sqlite_commit_stage_segment_ok,
                            protocol::sqlite_commit_finalize_ok,
                            protocol::sqlite_query_result,
                            protocol::sqlite_execute_result,
                            std::vector<protocol::sqlite_execute_result>> {
  using variant::variant;
};

using storage_result = std::variant<storage_answer, storage_failure>;

/// Whether `call` changes nothing, so that it can be sent again. A statement is a read if it begins with SELECT, VALUES or
/// EXPLAIN.
bool is_read(const storage_call& call);

/// Whether `x` is the engine's answer to a storage request.
bool answers_storage(const protocol::to_envoy& x);

/// "KvPut", "SqliteExecute", ...: for messages.
std::string_view name_of(const storage_call& call);

/// The estimated bytes of its keys, values, pages and texts.
std::size_t size_of(const storage_call& call);

/// The longest possible answer: the size of one frame of the engine (websocket_options::message_bytes_max).
inline constexpr std::size_t answer_bytes_longest = 32UL << 20U;

/// The most that a stored answer may take. Short keys, and columns of NULL, take many times the size of their frame.
inline constexpr std::size_t answer_bytes_kept_max = 2 * answer_bytes_longest;

/// What an answer takes beyond its values: its message to the requester, and what belongs to that.
inline constexpr std::size_t answer_overhead = 512;

/// The most that its answer takes, as size_of(storage_result) counts it. For a list without a limit, and for SQL that may
/// return rows, that is unknown: answer_bytes_longest.
std::size_t answer_bytes_max(const storage_call& call);

/// The bytes that it takes until the requester has handled it: values and their containers, a message's text, and
/// answer_overhead.
std::size_t size_of(const storage_result& x);

}  // namespace nuncio

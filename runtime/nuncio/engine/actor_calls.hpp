// The questions of actor_requests.hpp as HTTP calls to an engine, and its answers as values. Pure; knows URLs, JSON and the
// engine's error codes. The caller decides about time limits and repetition.
#pragma once

#include <chrono>
#include <nuncio/actor_requests.hpp>
#include <nuncio/engine/engine_api.hpp>
#include <nuncio/engine/http_client.hpp>
#include <nuncio/outcome.hpp>
#include <string_view>
#include <variant>

namespace nuncio {

template <class T>
using engine_answer = std::variant<T, engine_failure>;

/// @returns errc::invalid_argument or too_large for what the engine would not accept
outcome<http_call> to_call(
    const create_actor& what, const engine_access& at, std::string_view pool);
outcome<http_call> to_call(
    const get_or_create_actor& what, const engine_access& at, std::string_view pool);
outcome<http_call> to_call(const get_actor& what, const engine_access& at);
outcome<http_call> to_call(const get_actor_by_id& what, const engine_access& at);
outcome<http_call> to_call(const list_actors& what, const engine_access& at);
outcome<http_call> to_call(const destroy_actor& what, const engine_access& at);
outcome<http_call> to_call(const call_actor& what, const engine_access& at);

/// Whether the engine has refused one of two requests that create an actor with the same key at the same time: it says that the
/// actor was destroyed during creation. Asking again returns the other actor.
bool lost_race(const create_actor& what, const engine_failure& why);
bool lost_race(const get_or_create_actor& what, const engine_failure& why);

/// How long the loser of that race waits before the `n`th repetition, from 1: the winner must have its actor by then. The real
/// engine has refused one request four times within 0.2 s.
std::chrono::milliseconds delay_after_race(unsigned n);

template <class Question>
bool lost_race(const Question&, const engine_failure&) {
  return false;
}

/// The actor in the answer to a question about a single actor.
engine_answer<actor_info> read_actor(const outcome<http_reply>& reply);
engine_answer<actor_page> read_page(const outcome<http_reply>& reply);
engine_answer<std::monostate> read_destroyed(const outcome<http_reply>& reply);

/// The actor's own response, whatever its status; errors of the gateway, which a header marks, are failures.
engine_answer<http_reply> read_called(outcome<http_reply> reply);

}  // namespace nuncio

// What a client asks of an engine about actors anywhere: each question as an HTTP call, each answer
// as a value. Pure; knows URLs, JSON and the engine's error codes. Who sends the calls decides
// about time and repetition.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nuncio/actor_key.hpp"
#include "nuncio/bytes.hpp"
#include "nuncio/engine_api.hpp"
#include "nuncio/http_client.hpp"
#include "nuncio/outcome.hpp"

namespace nuncio {

/// Why a question has no answer. Value.
struct engine_failure {
  errc code = errc::internal;  ///< not_found, refused, timed_out, unreachable, queue_full,
                               ///< too_large, invalid_argument, ...
  std::string message{};       ///< for a person
  std::string engine_code{};   ///< "group.code" as the engine said it, such as
                               ///< "actor.duplicate_key"; empty: it did not
  int status = 0;              ///< of the engine's answer; 0: there was none
  std::string existing_id{};   ///< with actor.duplicate_key: who has the key

  bool operator==(const engine_failure&) const = default;
};

/// "code: message (the engine's code)".
std::string to_string(const engine_failure& x);

template <class T>
using engine_answer = std::variant<T, engine_failure>;

/// An actor as the engine describes it.
struct actor_info {
  std::string id;
  std::string name;
  std::optional<actor_key> key{};  ///< none: created without one
  std::string pool{};
  bool connectable = false;  ///< an instance is running
  bool sleeping = false;     ///< it wakes with the next request
  bool destroyed = false;
  bool created = false;  ///< by this very question
  std::string error{};   ///< JSON, as the engine puts it; empty: none
};

struct actor_page {
  std::vector<actor_info> actors;
  std::string cursor{};  ///< for the next page; empty: this was the last
};

// -- the questions ----------------------------------------------------------------------

/// Fails with actor.duplicate_key if there is one of that name and key. Without a key there may be
/// any number.
struct create_actor {
  std::string name;
  std::optional<actor_key> key{};
  std::string input{};  ///< raw bytes that every instance is started with
  std::string pool{};   ///< empty: the client's
};

/// The one of that name and key, which is made if there is none.
struct get_or_create_actor {
  std::string name;
  actor_key key;
  std::string input{};  ///< if it is made
  std::string pool{};   ///< if it is made; empty: the client's
};

/// The one of that name and key; not_found if there is none.
struct get_actor {
  std::string name;
  actor_key key;
};

/// The one of that id, also when it is destroyed; not_found if there never was one.
struct get_actor_by_id {
  std::string id;
};

/// All of a name, newest first, in pages.
struct list_actors {
  std::string name;
  std::size_t limit = 100;
  std::string cursor{};  ///< of the page before
  bool include_destroyed = false;
};

/// Ends it for good, with its data. Answered once the engine has seen its end; repeatable.
struct destroy_actor {
  std::string id;
};

/// An HTTP request to an actor, wherever it runs; wakes it if it sleeps. At least once, like
/// everything that passes the gateway: docs/protocol.md G.4.
struct call_actor {
  std::string id;
  std::string method = "GET";
  /// Begins with a slash, percent-encoded, with the query; goes out as it is. No segment is `.` or `..`, also not encoded.
  std::string path = "/";
  /// Those about the connection of another client (`content-length`, `host`, `transfer-encoding`, ...) are left out, so
  /// that a handler may pass on what it got.
  std::vector<std::pair<std::string, std::string>> headers{};
  bytes body{};                               ///< the engine takes 20 MiB
  std::chrono::milliseconds timeout{60'000};  ///< for all of it; 1 ms to a day
};

// -- as HTTP ----------------------------------------------------------------------------

/// @returns errc::invalid_argument or too_large for what the engine would not take
outcome<http_call> to_call(
    const create_actor& what, const engine_access& at, std::string_view pool);
outcome<http_call> to_call(
    const get_or_create_actor& what, const engine_access& at, std::string_view pool);
outcome<http_call> to_call(const get_actor& what, const engine_access& at);
outcome<http_call> to_call(const get_actor_by_id& what, const engine_access& at);
outcome<http_call> to_call(const list_actors& what, const engine_access& at);
outcome<http_call> to_call(const destroy_actor& what, const engine_access& at);
outcome<http_call> to_call(const call_actor& what, const engine_access& at);

/// Whether this is how the engine refuses one of two that make an actor of the same key at the same time: it says that the
/// actor was destroyed while it was made. Who asks again hears of the other one.
bool lost_race(const create_actor& what, const engine_failure& why);
bool lost_race(const get_or_create_actor& what, const engine_failure& why);

/// How long who has lost that race waits before the `n`th repetition, from 1: the winner must have its actor by then. The
/// real engine has refused one four times within 0.2 s.
std::chrono::milliseconds delay_after_race(unsigned n);

template <class Question>
bool lost_race(const Question&, const engine_failure&) {
  return false;
}

/// The actor of an answer to one of the questions for one.
engine_answer<actor_info> read_actor(const outcome<http_reply>& reply);
engine_answer<actor_page> read_page(const outcome<http_reply>& reply);
engine_answer<std::monostate> read_destroyed(const outcome<http_reply>& reply);

/// The actor's own answer, whatever its status; errors of the gateway, which say so in a header,
/// are failures.
engine_answer<http_reply> read_called(outcome<http_reply> reply);

}  // namespace nuncio

// What can be asked of an engine about actors anywhere, through a client (engine_client.hpp), and what it answers. Values; any
// thread.
//
//   self->request(client, 10s, nuncio::get_actor{"room", {"lobby"}})
//       .then([=](const nuncio::actor_info& room) { … room.id … });
#pragma once

#include <chrono>
#include <cstdint>
#include <nuncio/actor_key.hpp>
#include <nuncio/bytes.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

}  // namespace nuncio

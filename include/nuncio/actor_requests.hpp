// Questions about actors anywhere, which a client (engine_client.hpp) asks the engine, and the answers. Values; any thread.
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

/// Why a question failed. Value.
struct engine_failure {
  errc code = errc::internal;  ///< not_found, refused, timed_out, unreachable, queue_full,
                               ///< too_large, invalid_argument, ...
  std::string message{};       ///< for a person
  std::string engine_code{};   ///< "group.code" as the engine gave it, such as
                               ///< "actor.duplicate_key"; empty: none given
  int status = 0;              ///< of the engine's response; 0: there was none
  std::string existing_id{};   ///< with actor.duplicate_key: the actor that has the key

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
  bool created = false;  ///< this request created it
  std::string error{};   ///< JSON, as the engine gives it; empty: none
};

struct actor_page {
  std::vector<actor_info> actors;
  std::string cursor{};  ///< for the next page; empty: this is the last
};

// -- the questions ----------------------------------------------------------------------

/// Creates an actor. Fails with actor.duplicate_key if the name and key are taken. Without a key there may be any number.
struct create_actor {
  std::string name;
  std::optional<actor_key> key{};
  std::string input{};  ///< raw bytes that every instance is started with
  std::string pool{};   ///< empty: the client's
};

/// The actor with that name and key; created if there is none.
struct get_or_create_actor {
  std::string name;
  actor_key key;
  std::string input{};  ///< if it is created
  std::string pool{};   ///< if it is created; empty: the client's
};

/// The actor with that name and key; not_found if there is none.
struct get_actor {
  std::string name;
  actor_key key;
};

/// The actor with that id, even if it is destroyed; not_found if there never was one.
struct get_actor_by_id {
  std::string id;
};

/// All actors with a name, newest first, in pages.
struct list_actors {
  std::string name;
  std::size_t limit = 100;
  std::string cursor{};  ///< from the previous page
  bool include_destroyed = false;
};

/// Destroys an actor and its data for good. Answered once the engine has seen its end; may be repeated.
struct destroy_actor {
  std::string id;
};

/// An HTTP request to an actor, wherever it runs; wakes it if it sleeps. Delivered at least once, like everything that passes
/// the gateway (docs/protocol.md G.4).
struct call_actor {
  std::string id;
  std::string method = "GET";
  /// Begins with a slash and includes the query, percent-encoded; sent as it is. No segment may be `.` or `..`, encoded or not.
  std::string path = "/";
  /// Headers about another client's connection (`content-length`, `host`, `transfer-encoding`, ...) are left out, so a handler
  /// may forward the headers that it received.
  std::vector<std::pair<std::string, std::string>> headers{};
  bytes body{};                               ///< the engine accepts 20 MiB
  std::chrono::milliseconds timeout{60'000};  ///< for the whole call; 1 ms to one day
};

}  // namespace nuncio

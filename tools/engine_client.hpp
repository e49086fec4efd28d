// A blocking client of an engine's HTTP API and gateway, for tests and the demo. Every call has a
// limit and every failure a reason. Any thread; a call may be ended early by a flag. Hosts don't
// use it: they have runtime's engine_api.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nuncio {

/// The answer to a call, whatever its status.
struct client_reply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;

  /// The first header of that (lower-case) name, or empty.
  [[nodiscard]] std::string_view header(std::string_view name) const;
  /// "group.code" of an error of the engine or its gateway, or empty.
  [[nodiscard]] std::string error_code() const;
};

struct client_call {
  std::string method = "GET";
  std::string target;  ///< from the first slash on
  std::vector<std::pair<std::string, std::string>> headers{};
  std::string body{};
  bool chunked = false;                  ///< send the body chunked, as stock clients do
  std::chrono::milliseconds timeout{0};  ///< 0: the client's
};

/// What the engine says of an actor.
struct actor_view {
  std::string id;
  std::string name;
  std::string key;
  bool connectable = false;  ///< Running, as the engine sees it
  bool sleeping = false;
  bool destroyed = false;
  std::string error;  ///< the JSON of its error, or empty
};

struct new_actor {
  std::string name = "bench";
  std::string key{};    ///< empty: none
  std::string input{};  ///< raw; sent as base64
};

struct engine_client_options {
  std::string endpoint = "http://127.0.0.1:6420";
  std::string namespace_name = "default";
  std::string pool = "default";
  std::chrono::milliseconds timeout{std::chrono::seconds{35}};
  const std::atomic<bool>* give_up =
      nullptr;  ///< when it becomes true, calls under way end with errc::cancelled
};

class engine_client {
public:
  explicit engine_client(engine_client_options options);

  /// Any call. @returns the reply whatever its status, or errc::unreachable | timed_out | link_lost
  /// | cancelled
  outcome<client_reply> call(const client_call& what) const;

  // -- the API; a status of 400 or more is errc::refused (404: not_found) with "group.code:
  // message"
  outcome<std::string> health() const;  ///< the engine's version
  outcome<void> ensure_pool() const;
  outcome<void> create_namespace(const std::string& name) const;
  outcome<actor_view> create(const new_actor& what) const;
  outcome<actor_view> get_or_create(const new_actor& what) const;
  outcome<actor_view> get(const std::string& id) const;
  outcome<std::vector<actor_view>> list(const std::string& name) const;
  outcome<void> sleep(const std::string& id) const;
  outcome<void> reschedule(const std::string& id) const;
  /// Blocks until the engine has seen Stopped.
  outcome<void> destroy(const std::string& id) const;
  /// Waits until the engine has learnt from a first envoy what the pool speaks. An actor that is created before is not
  /// started (docs/protocol.md F.6). @returns errc::timed_out
  outcome<void> await_pool_known(std::chrono::milliseconds limit) const;
  /// Keys of the envoys connected to the pool.
  outcome<std::vector<std::string>> envoys() const;

  /// Through the gateway: `path` from the first slash on, e.g. "/request/instance".
  outcome<client_reply> request(
      const std::string& id,
      std::string method,
      std::string_view path,
      std::string body = {}) const;

  /// Asks for the actor again and again until `good` says so. @returns what was seen last, or
  /// errc::timed_out
  outcome<actor_view> wait_for(
      const std::string& id,
      const std::function<bool(const actor_view&)>& good,
      std::chrono::milliseconds limit) const;

  [[nodiscard]] const engine_client_options& options() const { return options_; }

private:
  outcome<client_reply> api(std::string method, std::string target, std::string body = {}) const;
  [[nodiscard]] std::string scoped(std::string path) const;
  outcome<actor_view> put_actor(const char* method, const new_actor& what) const;

  engine_client_options options_;
};

}  // namespace nuncio

// A client of an engine, the dev engine or a real one: its HTTP API, and its gateway to actors. For tests; an application's
// actors use `host.client()`.
//
//   nuncio::testing::client client{{.endpoint = engine.endpoint(), .pool = "game"}};
//   auto made = client.create({.name = "room", .key = "lobby"});    // outcome: the actor as the engine sees it
//   auto reply = client.request(made->id, "POST", "/players", "ann");  // outcome: reply->status, reply->body
//   auto socket = client.open_socket(made->id, "/websocket/chat");     // outcome: socket_client.hpp
//
// It blocks: every call has a time limit, and every failure a reason. Any thread; a flag can end calls early.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nuncio/outcome.hpp>
#include <nuncio/testing/socket_client.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nuncio::testing {

/// The response to a call, whatever its status.
struct client_reply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;

  /// The first header with that (lower-case) name, or empty.
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

/// An actor as the engine describes it.
struct actor_view {
  std::string id;
  std::string name;
  std::string key;
  bool connectable = false;  ///< Running, according to the engine
  bool sleeping = false;
  bool destroyed = false;
  std::string error;  ///< the JSON of its error, or empty
};

struct new_actor {
  std::string name;     ///< the name under which a host of the pool serves it
  std::string key{};    ///< empty: none
  std::string input{};  ///< raw; sent as base64
};

struct client_settings {
  std::string endpoint = "http://127.0.0.1:6420";
  std::string namespace_name = "default";
  std::string pool = "default";
  std::chrono::milliseconds timeout{std::chrono::seconds{35}};
  const std::atomic<bool>* give_up =
      nullptr;  ///< once it is true, calls under way end with errc::cancelled
};

/// How calls reach an engine: over a network, or in a simulation.
class client_transport {
public:
  virtual ~client_transport() = default;
  /// @param what  with a timeout
  virtual outcome<client_reply> call(const client_call& what) = 0;
  /// @param target  from the first slash on
  virtual outcome<socket_client> open(const std::string& target) = 0;
  /// Waits between two checks.
  virtual void wait(std::chrono::milliseconds time) = 0;
};

class client {
public:
  explicit client(client_settings options);
  client(client_settings options, std::shared_ptr<client_transport> through);

  /// Any call. @returns the reply whatever its status, or errc::unreachable | timed_out | link_lost | cancelled
  outcome<client_reply> call(const client_call& what) const;

  // -- the API; a status of 400 or more is errc::refused (404: not_found) with "group.code: message"
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
  /// Waits until the engine has learnt from a first envoy which version the pool speaks. An actor created before that is not
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

  /// A WebSocket to the actor through the gateway. If there is no such actor, the gateway opens it and closes it at once.
  /// @returns errc::unreachable, or refused with the status of a response other than 101
  outcome<socket_client> open_socket(const std::string& id, std::string_view path) const;

  /// Requests the actor again and again until `good` returns true. @returns the last view, or errc::timed_out
  outcome<actor_view> wait_for(
      const std::string& id,
      const std::function<bool(const actor_view&)>& good,
      std::chrono::milliseconds limit) const;

  [[nodiscard]] const client_settings& options() const { return options_; }

private:
  outcome<client_reply> api(std::string method, std::string target, std::string body = {}) const;
  [[nodiscard]] std::string scoped(std::string path) const;
  outcome<actor_view> put_actor(const char* method, const new_actor& what) const;

  client_settings options_;
  std::shared_ptr<client_transport> transport_;
};

}  // namespace nuncio::testing

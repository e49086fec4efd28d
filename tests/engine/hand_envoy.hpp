// An envoy driven by hand against the dev engine, and helpers to create actors for it. One thread.
#pragma once

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <nuncio/codec.hpp>
#include <string>
#include <utility>

#include "plain_client.hpp"

namespace nuncio::test {

inline std::string connect_target(
    const std::string& key = "host", const std::string& pool = "p", int version = 8) {
  return "/envoys/connect?protocol_version=" + std::to_string(version) +
         "&namespace=default&envoy_key=" + key + "&version=1&pool_name=" + pool;
}

/// An envoy that does only what a test tells it.
struct hand_envoy {
  ws_client socket;
  std::uint16_t version;
  std::int64_t next_event = 250;

  explicit hand_envoy(
      std::uint16_t port,
      const std::string& key = "host",
      std::uint16_t v = 8,
      const std::string& pool = "p")
      : socket(port, connect_target(key, pool, v)), version(v) {}

  void send(const protocol::to_rivet& message) {
    const auto frame = protocol::encode(message, version);
    REQUIRE(frame);
    socket.send({reinterpret_cast<const char*>(frame->data()), frame->size()});
  }

  /// The next message of type T; Pings are answered and others passed over.
  template <class T>
  T expect() {
    while (true) {
      const auto got = socket.receive();
      CAPTURE(got.code);
      CAPTURE(got.data);
      REQUIRE_FALSE(got.closed);
      const auto message = protocol::decode_to_envoy(bytes{got.data}, version);
      REQUIRE(message);
      if (const auto* wanted = std::get_if<T>(&*message)) return *wanted;
      if (const auto* ping = std::get_if<protocol::to_envoy_ping>(&*message))
        send(protocol::to_rivet_pong{ping->ts});
    }
  }

  /// The close code; what comes before it is passed over.
  std::uint16_t wait_closed() {
    while (true)
      if (const auto got = socket.receive(); got.closed) return got.code;
  }

  template <class Kind>
  std::pair<protocol::message_id, Kind> expect_tunnel() {
    auto message = expect<protocol::to_envoy_tunnel_message>();
    REQUIRE(std::holds_alternative<Kind>(message.message_kind));
    return {message.message_id, std::get<Kind>(message.message_kind)};
  }

  void reply(
      protocol::message_id to, std::uint16_t index, protocol::to_rivet_tunnel_message_kind kind) {
    to.message_index = index;
    send(protocol::to_rivet_tunnel_message{to, std::move(kind)});
  }

  void event(const protocol::actor_checkpoint& of, protocol::event what) {
    send(protocol::to_rivet_events{{{{of.actor_id, of.generation, next_event}, std::move(what)}}});
    next_event += 251;
  }

  /// Takes the next command, which must be a Start, and reports Running.
  protocol::actor_checkpoint start() {
    const auto commands = expect<protocol::to_envoy_commands>().commands;
    REQUIRE(commands.size() == 1);
    REQUIRE(std::holds_alternative<protocol::command_start_actor>(commands[0].inner));
    event(
        commands[0].checkpoint,
        protocol::event_actor_state_update{protocol::actor_state_running{}});
    return commands[0].checkpoint;
  }

  void stopped(const protocol::actor_checkpoint& of, protocol::stop_code code) {
    event(of, protocol::event_actor_state_update{protocol::actor_state_stopped{code, {}}});
  }
};

inline nlohmann::json create(
    std::uint16_t port,
    const std::string& method = "POST",
    const std::string& key = "null",
    const std::string& pool = "p") {
  const auto made = http(
      port,
      method,
      "/actors?namespace=default",
      R"({"name":"x","key":)" + key + R"(,"runner_name_selector":")" + pool +
          R"(","crash_policy":"sleep","input":"aGk="})");
  CAPTURE(made.body);
  REQUIRE(made.status == 200);
  return nlohmann::json::parse(made.body);
}

inline std::string id_of(const nlohmann::json& made) { return made.at("actor").at("actor_id"); }

}  // namespace nuncio::test

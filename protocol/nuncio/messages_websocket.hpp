// Clients' WebSockets, as they travel through the tunnel. Values; any thread.
#pragma once

#include <cstdint>
#include <nuncio/bytes.hpp>
#include <nuncio/detail/wire.hpp>
#include <nuncio/ids.hpp>
#include <optional>

namespace nuncio::protocol {

using wire::field;
using wire::record;
using wire::since_droppable;

struct to_envoy_web_socket_open {
  nuncio::actor_id actor_id;
  std::optional<std::uint32_t> actor_generation;
  text path;
  wire::map_of<text, text> headers;

  static constexpr auto wire = record(
      "ToEnvoyWebSocketOpen",
      field("actorId", &to_envoy_web_socket_open::actor_id),
      field("actorGeneration", &to_envoy_web_socket_open::actor_generation, since_droppable(8)),
      field("path", &to_envoy_web_socket_open::path),
      field("headers", &to_envoy_web_socket_open::headers));
  bool operator==(const to_envoy_web_socket_open&) const = default;
};

struct to_envoy_web_socket_message {
  bytes data;
  bool binary = false;

  static constexpr auto wire = record(
      "ToEnvoyWebSocketMessage",
      field("data", &to_envoy_web_socket_message::data),
      field("binary", &to_envoy_web_socket_message::binary));
  bool operator==(const to_envoy_web_socket_message&) const = default;
};

struct to_envoy_web_socket_close {
  std::optional<std::uint16_t> code;
  std::optional<text> reason;

  static constexpr auto wire = record(
      "ToEnvoyWebSocketClose",
      field("code", &to_envoy_web_socket_close::code),
      field("reason", &to_envoy_web_socket_close::reason));
  bool operator==(const to_envoy_web_socket_close&) const = default;
};

struct to_rivet_web_socket_open {
  bool can_hibernate = false;

  static constexpr auto wire = record(
      "ToRivetWebSocketOpen", field("canHibernate", &to_rivet_web_socket_open::can_hibernate));
  bool operator==(const to_rivet_web_socket_open&) const = default;
};

struct to_rivet_web_socket_message {
  bytes data;
  bool binary = false;

  static constexpr auto wire = record(
      "ToRivetWebSocketMessage",
      field("data", &to_rivet_web_socket_message::data),
      field("binary", &to_rivet_web_socket_message::binary));
  bool operator==(const to_rivet_web_socket_message&) const = default;
};

struct to_rivet_web_socket_message_ack {
  std::uint16_t index = 0;

  static constexpr auto wire =
      record("ToRivetWebSocketMessageAck", field("index", &to_rivet_web_socket_message_ack::index));
  bool operator==(const to_rivet_web_socket_message_ack&) const = default;
};

struct to_rivet_web_socket_close {
  std::optional<std::uint16_t> code;
  std::optional<text> reason;
  bool hibernate = false;

  static constexpr auto wire = record(
      "ToRivetWebSocketClose",
      field("code", &to_rivet_web_socket_close::code),
      field("reason", &to_rivet_web_socket_close::reason),
      field("hibernate", &to_rivet_web_socket_close::hibernate));
  bool operator==(const to_rivet_web_socket_close&) const = default;
};

}  // namespace nuncio::protocol

// What travels through the tunnel: HTTP exchanges and client WebSockets, and to which of them a message belongs. Values; any
// thread.
#pragma once

#include <cstdint>
#include <nuncio/detail/wire.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/messages_http.hpp>
#include <nuncio/messages_websocket.hpp>
#include <variant>

namespace nuncio::protocol {

using wire::field;
using wire::record;

struct message_id {
  nuncio::gateway_id gateway_id;
  nuncio::request_id request_id;
  std::uint16_t message_index = 0;

  static constexpr auto wire = record(
      "MessageId",
      field("gatewayId", &message_id::gateway_id),
      field("requestId", &message_id::request_id),
      field("messageIndex", &message_id::message_index));
  bool operator==(const message_id&) const = default;
};

using to_rivet_tunnel_message_kind = std::variant<
    to_rivet_response_start,
    to_rivet_response_chunk,
    to_rivet_response_abort,
    to_rivet_request_body_window_update,
    to_rivet_request_body_cancel,
    to_rivet_web_socket_open,
    to_rivet_web_socket_message,
    to_rivet_web_socket_message_ack,
    to_rivet_web_socket_close>;

struct to_rivet_tunnel_message {
  protocol::message_id message_id;
  to_rivet_tunnel_message_kind message_kind;

  static constexpr auto wire = record(
      "ToRivetTunnelMessage",
      field("messageId", &to_rivet_tunnel_message::message_id),
      field("messageKind", &to_rivet_tunnel_message::message_kind));
  bool operator==(const to_rivet_tunnel_message&) const = default;
};

using to_envoy_tunnel_message_kind = std::variant<
    to_envoy_request_start,
    to_envoy_request_chunk,
    to_envoy_request_abort,
    to_envoy_request_body_cancel,
    to_envoy_response_body_window_update,
    to_envoy_web_socket_open,
    to_envoy_web_socket_message,
    to_envoy_web_socket_close>;

struct to_envoy_tunnel_message {
  protocol::message_id message_id;
  to_envoy_tunnel_message_kind message_kind;

  static constexpr auto wire = record(
      "ToEnvoyTunnelMessage",
      field("messageId", &to_envoy_tunnel_message::message_id),
      field("messageKind", &to_envoy_tunnel_message::message_kind));
  bool operator==(const to_envoy_tunnel_message&) const = default;
};

}  // namespace nuncio::protocol

// What travels through the tunnel of one exchange: HTTP requests and responses in parts, client
// WebSockets. Values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <nuncio/bytes.hpp>
#include <nuncio/detail/wire.hpp>
#include <nuncio/ids.hpp>
#include <optional>
#include <variant>
#include <vector>

namespace nuncio::protocol {

using wire::enumerate;
using wire::field;
using wire::newtype;
using wire::record;
using wire::since;
using wire::since_droppable;

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

struct to_envoy_request_start {
  nuncio::actor_id actor_id;
  std::optional<std::uint32_t> actor_generation;
  text method;
  text path;
  wire::map_of<text, text> headers;
  std::optional<bytes> body;
  bool stream = false;
  bool response_stream = false;

  static constexpr auto wire = record(
      "ToEnvoyRequestStart",
      field("actorId", &to_envoy_request_start::actor_id),
      field("actorGeneration", &to_envoy_request_start::actor_generation, since_droppable(8)),
      field("method", &to_envoy_request_start::method),
      field("path", &to_envoy_request_start::path),
      field("headers", &to_envoy_request_start::headers),
      field("body", &to_envoy_request_start::body),
      field("stream", &to_envoy_request_start::stream),
      field("responseStream", &to_envoy_request_start::response_stream, since_droppable(8)));
  bool operator==(const to_envoy_request_start&) const = default;
};

struct to_envoy_request_chunk {
  bytes body;
  bool finish = false;

  static constexpr auto wire = record(
      "ToEnvoyRequestChunk",
      field("body", &to_envoy_request_chunk::body),
      field("finish", &to_envoy_request_chunk::finish));
  bool operator==(const to_envoy_request_chunk&) const = default;
};

struct to_rivet_request_body_window_update {
  std::uint64_t consumed_bytes = 0;

  static constexpr auto wire = record(
      "ToRivetRequestBodyWindowUpdate",
      since(8),
      field("consumedBytes", &to_rivet_request_body_window_update::consumed_bytes));
  bool operator==(const to_rivet_request_body_window_update&) const = default;
};

struct to_rivet_request_body_cancel {
  static constexpr auto wire = record("ToRivetRequestBodyCancel", since(8));
  bool operator==(const to_rivet_request_body_cancel&) const = default;
};

enum class http_stream_abort_reason_kind : std::uint8_t {
  unknown,
  cancelled,
  handler_error,
  internal_error
};

constexpr auto wire_enum(http_stream_abort_reason_kind) {
  return enumerate(
      "HttpStreamAbortReasonKind", "UNKNOWN", "CANCELLED", "HANDLER_ERROR", "INTERNAL_ERROR");
}

struct http_stream_abort_reason {
  http_stream_abort_reason_kind kind{};
  std::optional<text> detail;

  static constexpr auto wire = record(
      "HttpStreamAbortReason",
      field("kind", &http_stream_abort_reason::kind),
      field("detail", &http_stream_abort_reason::detail));
  bool operator==(const http_stream_abort_reason&) const = default;
};

struct to_envoy_request_abort {
  std::optional<nuncio::actor_id> actor_id;
  std::optional<std::uint32_t> actor_generation;
  http_stream_abort_reason reason;

  static constexpr auto wire = record(
      "ToEnvoyRequestAbort",
      field("actorId", &to_envoy_request_abort::actor_id, since_droppable(8)),
      field("actorGeneration", &to_envoy_request_abort::actor_generation, since_droppable(8)),
      field("reason", &to_envoy_request_abort::reason, since_droppable(8)));
  bool operator==(const to_envoy_request_abort&) const = default;
};

struct to_envoy_request_body_cancel {
  static constexpr auto wire = record("ToEnvoyRequestBodyCancel", since(8));
  bool operator==(const to_envoy_request_body_cancel&) const = default;
};

struct to_rivet_response_start {
  std::uint16_t status = 0;
  wire::map_of<text, text> headers;
  std::optional<bytes> body;
  bool stream = false;

  static constexpr auto wire = record(
      "ToRivetResponseStart",
      field("status", &to_rivet_response_start::status),
      field("headers", &to_rivet_response_start::headers),
      field("body", &to_rivet_response_start::body),
      field("stream", &to_rivet_response_start::stream));
  bool operator==(const to_rivet_response_start&) const = default;
};

struct to_rivet_response_chunk {
  bytes body;
  bool finish = false;

  static constexpr auto wire = record(
      "ToRivetResponseChunk",
      field("body", &to_rivet_response_chunk::body),
      field("finish", &to_rivet_response_chunk::finish));
  bool operator==(const to_rivet_response_chunk&) const = default;
};

struct to_envoy_response_body_window_update {
  std::uint64_t consumed_bytes = 0;

  static constexpr auto wire = record(
      "ToEnvoyResponseBodyWindowUpdate",
      since(8),
      field("consumedBytes", &to_envoy_response_body_window_update::consumed_bytes));
  bool operator==(const to_envoy_response_body_window_update&) const = default;
};

struct to_rivet_response_abort {
  http_stream_abort_reason reason;

  static constexpr auto wire = record(
      "ToRivetResponseAbort",
      field("reason", &to_rivet_response_abort::reason, since_droppable(8)));
  bool operator==(const to_rivet_response_abort&) const = default;
};

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

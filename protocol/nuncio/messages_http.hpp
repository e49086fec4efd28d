// HTTP requests and responses, whole and in chunks, as they travel through the tunnel. Values; any thread.
#pragma once

#include <cstdint>
#include <nuncio/bytes.hpp>
#include <nuncio/detail/wire.hpp>
#include <nuncio/ids.hpp>
#include <optional>

namespace nuncio::protocol {

using wire::enumerate;
using wire::field;
using wire::record;
using wire::since;
using wire::since_droppable;

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

}  // namespace nuncio::protocol

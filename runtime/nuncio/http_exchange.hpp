// One HTTP exchange with a client behind the engine: body chunks, credits and message indexes in
// both directions; a complete body is its simplest use. Pure; owned by whoever answers. A repeated
// RequestStart gets a new object. Nothing is sent after the end, and never a body byte that the
// engine has not given credit for.
//
// Inputs: handle_* (engine), respond to abort (handler). Outputs, polled in this order until none
// is left after every input: poll_request, poll_body (only with stream_request), poll_transmit.
#pragma once

#include <cstdint>
#include <deque>
#include <nuncio/messages_tunnel.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string_view>
#include <vector>

namespace nuncio {

struct http_exchange_options {
  std::uint16_t protocol_version = 8;
  /// The handler takes the body in parts; otherwise the whole request comes at once.
  bool stream_request = false;
  /// Longest complete request body; more is answered 413.
  std::size_t body_bytes_max = std::size_t{20} << 20;
  /// The engine's maxResponsePayloadSize: a longer complete body is answered 500.
  std::size_t response_bytes_max = std::size_t{20} << 20;
  /// Body bytes of a streamed response that wait here for credit at most.
  std::size_t buffer_bytes_max = std::size_t{1} << 20;
};

/// Body bytes on the way without credit, in each direction, and the largest chunk that we send.
inline constexpr std::uint64_t http_window_bytes = 1 << 20;
inline constexpr std::size_t http_chunk_bytes_max = 65536;

class http_exchange {
public:
  explicit http_exchange(exchange_id id, http_exchange_options options = {})
      : id_(id), options_(options) {}

  // -- inputs from the engine

  void handle_request_start(protocol::to_envoy_request_start start);
  void handle_request_chunk(const protocol::to_envoy_request_chunk& chunk);
  /// The client or the engine gave up: nothing more is sent.
  void handle_abort();
  /// No more of the request's body comes.
  void handle_body_cancel();
  /// `total` bytes of the response's body have been taken since its beginning.
  void handle_window_update(std::uint64_t total);

  // -- inputs from the handler

  /// Answers at once. What can't be sent is answered 500, and the failure says why.
  outcome<void> respond(protocol::to_rivet_response_start response);
  /// Begins a response whose body follows by write_chunk; collected where the gateway takes no
  /// stream.
  outcome<void> start_response(std::uint16_t status, wire::map_of<text, text> headers);
  /// @returns errc::queue_full when buffer_bytes_max is reached: write again after credit came; see
  /// writable()
  outcome<void> write_chunk(bytes part);
  outcome<void> finish();
  /// Ends without a response (the gateway may then repeat the request elsewhere) or cuts one that
  /// has begun.
  void abort(protocol::http_stream_abort_reason_kind kind, std::string_view detail = {});
  /// The handler failed: 500 if nothing was said yet, otherwise a cut response.
  void fail(std::string_view why);

  // -- outputs

  /// The request, once: whole with its joined body, or its head when the handler takes the body in
  /// parts.
  std::optional<protocol::to_envoy_request_start> poll_request();
  /// The next part of the body; taking it gives the engine credit for as much.
  std::optional<protocol::to_envoy_request_chunk> poll_body();
  std::optional<protocol::to_rivet_tunnel_message> poll_transmit();

  // -- getters

  /// Over: nothing is or will be sent any more.
  [[nodiscard]] bool done() const {
    return closed_ && control_.empty() && !head_ && body_.empty() && !finishing_;
  }

  /// The engine or the client gave up.
  [[nodiscard]] bool cancelled() const { return cancelled_; }

  /// A response was begun or the exchange aborted: a further one is refused.
  [[nodiscard]] bool answered() const { return answered_ || closed_; }

  /// Bytes that write_chunk takes now.
  [[nodiscard]] std::size_t writable() const;

  /// Index of the next message to the engine.
  [[nodiscard]] std::uint16_t next_index() const { return index_; }

private:
  [[nodiscard]] bool streams() const {
    return request_ && request_->response_stream && options_.protocol_version >= 8;
  }

  [[nodiscard]] outcome<void> check_open() const;
  void give_credit(bool all);
  void too_large();
  void send_error(std::uint16_t status, std::string_view why);
  void send_complete(protocol::to_rivet_response_start response);
  void drop_buffers();

  exchange_id id_;
  http_exchange_options options_;

  // the request
  std::optional<protocol::to_envoy_request_start> request_;  // its body stays empty until whole
  std::vector<std::uint8_t> joined_;
  std::deque<protocol::to_envoy_request_chunk> parts_;
  std::uint64_t received_ = 0, consumed_ = 0, credited_ = 0;
  bool request_whole_ = false, request_given_ = false, body_refused_ = false;

  // the response
  std::deque<protocol::to_rivet_tunnel_message_kind> control_;  // goes before head and body
  std::optional<protocol::to_rivet_response_start> head_;
  std::deque<bytes> body_;
  std::size_t buffered_ = 0;
  std::uint64_t sent_ = 0, acknowledged_ = 0;
  std::uint16_t index_ = 0;
  bool answered_ = false;    // respond, start_response
  bool collecting_ = false;  // a response in parts for a gateway that takes none
  bool finishing_ = false;   // a streamed response: its end follows the last byte
  bool closed_ = false;      // nothing is added any more
  bool cancelled_ = false;
};

/// Whether the engine takes this head: status 100 to 999, names lower-case tokens and unique,
/// values visible ASCII.
outcome<void> check_response_head(std::uint16_t status, const wire::map_of<text, text>& headers);

}  // namespace nuncio

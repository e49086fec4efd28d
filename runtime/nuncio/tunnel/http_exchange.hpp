// One HTTP exchange with a client behind the engine: body chunks, credits and message indexes in both directions; a complete
// body is the simplest case. Pure. A request body is joined until it is complete, or handed out in parts as they arrive. A
// response body is cut according to the engine's credit, whether it was complete at once or is a streaming response. Owned by
// ingress until the request is complete (or its first part is there, for a streamed request), then by the part that answers,
// from the position where ingress stopped. A repeated RequestStart gets a new object, and an exchange that the engine aborts is
// simply dropped.
//
// Inputs: handle_* (engine), respond, begin, write, finish, refuse, abort (handler, host). Outputs, polled after every input
// until none is left: poll_body or poll_part, poll_transmit. Once done(), drop it.
#pragma once

#include <cstdint>
#include <deque>
#include <nuncio/http.hpp>
#include <nuncio/messages_tunnel.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string_view>
#include <vector>

namespace nuncio {

struct http_exchange_options {
  /// The longest request body; a longer one is answered with 413. The engine has the same limit (docs/protocol.md G.2).
  std::size_t body_bytes_max = 20'971'520;
  /// The engine's maxResponsePayloadSize: a longer response body is answered with 500.
  std::size_t response_bytes_max = 20'971'520;
  /// The request body is handed out in parts instead of being joined.
  bool parts = false;
};

/// Body bytes under way without credit, in each direction, and the largest chunk that we send (docs/protocol.md G.5).
inline constexpr std::uint64_t http_window_bytes = 1 << 20;
inline constexpr std::size_t http_chunk_bytes_max = 65536;

/// Bytes of a streaming response that we have under way without credit. One chunk below the window: the gateway's queue, as
/// long as the window, may still count the chunk for which it last gave credit, and one chunk too many ends the exchange
/// (docs/protocol.md G.5).
inline constexpr std::uint64_t http_outstanding_bytes_max =
    http_window_bytes - http_chunk_bytes_max;

class http_exchange {
public:
  explicit http_exchange(exchange_id id, http_exchange_options options = {})
      : options_(options), id_(id) {}

  /// Continues where another object's request became complete.
  explicit http_exchange(const exchange_position& at, http_exchange_options options = {})
      : options_(options),
        id_(at.exchange),
        index_(at.next_index),
        inbound_(at.inbound),
        streams_(at.streams),
        body_state_(at.uploading ? body::coming : body::given),
        received_(at.received),
        consumed_(at.received),
        to_head_(at.to_head) {
    options_.parts = at.uploading;
  }

  // -- inputs from the engine; `index` is the index of the message

  /// Takes the body out of `start`.
  void handle_request_start(std::uint16_t index, protocol::to_envoy_request_start& start);
  /// A repeated chunk is ignored. If one is missing the body can't be completed, and the exchange is aborted.
  void handle_request_chunk(std::uint16_t index, const protocol::to_envoy_request_chunk& chunk);
  /// No more of the request body will come.
  void handle_body_cancel();
  /// `total` bytes of the response body were taken since its beginning. Without `index` it repeats an earlier update.
  void handle_window_update(std::uint64_t total, std::optional<std::uint16_t> index = {});
  /// Nothing has arrived for a long time. If the client was waited for all that time, which takes two calls to find out, it is
  /// given up: the notice of its leaving may have been lost.
  void handle_quiet();

  // -- inputs from the answering part; only the first counts

  /// Answers, as corrected by check_response. If that refuses the response, the answer is 500, and the failure says why.
  outcome<void> respond(protocol::to_rivet_response_start response);
  /// Begins a streaming response. If check_response refuses it, the answer is 500, and the failure says why. A gateway without
  /// streaming gets the whole response at its end. If no body may follow, this completes the response.
  outcome<void> begin(protocol::to_rivet_response_start head);
  /// Takes `data`, of at most room() bytes. @returns errc::queue_full for more, and nothing of it is taken; too_large if a
  /// complete body gets too long, which is answered with 500; invalid_argument for more than its content-length, which ends it;
  /// cancelled if the response is over
  outcome<void> write(bytes data);
  /// Ends the response. @returns errc::invalid_argument if its content-length is larger: then it is cut
  outcome<void> finish();
  /// Stops an upload: the rest of the request body is not wanted.
  void cancel_upload();
  /// Answers with a line of text instead of the handler, and stops an upload under way.
  void refuse(std::uint16_t status, std::string_view why);
  /// The answering part can't continue: answers `status` with a line of text, or cuts the response that has begun.
  void fail(std::string_view why, std::uint16_t status = 500);
  /// The client has stopped sending or taking data: answers 408, or cuts the response that has begun.
  void give_up_client();
  /// Ends without a response (the gateway may then repeat the request elsewhere), or cuts one that has begun.
  void abort(protocol::http_stream_abort_reason_kind kind = {}, std::string_view detail = {});

  /// The link did not accept `message`, the last result of poll_transmit. After errc::queue_full it is returned again; after
  /// cancelled nothing is, since nothing is sent any more. A message that no link will ever accept becomes 500, or its exchange
  /// is cut.
  void handle_not_sent(protocol::to_rivet_tunnel_message message, const failure& why);

  // -- outputs

  /// The request body, once complete; empty if there is none.
  std::optional<bytes> poll_body();
  /// The next part of the request body, in order; it counts as consumed.
  std::optional<request_part> poll_part();
  std::optional<protocol::to_rivet_tunnel_message> poll_transmit();

  // -- getters

  /// Over: nothing is or will be sent any more.
  [[nodiscard]] bool done() const { return answered_ && !head_ && !abort_ && !streaming_; }

  /// The response body waits for credit, or will once its first part was sent.
  [[nodiscard]] bool streaming() const { return streaming_; }

  /// Its next message may be long, so that short ones go first: see link_port::has_room_for_bodies.
  [[nodiscard]] bool bulky() const { return streaming_ || head_bytes() > http_chunk_bytes_max; }

  /// The rest is one message, not sent yet: the answering part need not stay.
  [[nodiscard]] bool whole() const { return !writing_ && !streaming_ && (head_ || abort_); }

  /// Bytes of the response that may be written now. Never 0 if a complete body is needed: a write that is one byte too long
  /// tells the writer that its body is too long.
  [[nodiscard]] std::size_t room() const;

  /// A response was begun, and its end was not written.
  [[nodiscard]] bool writing() const { return writing_; }

  /// The gateway accepts a response in parts, and counts credits.
  [[nodiscard]] bool streams() const { return streams_; }

  /// The request body is still arriving.
  [[nodiscard]] bool uploading() const { return body_state_ == body::coming; }

  /// Of these, the bytes of the response that were written and not sent. Short writes are joined, so little more memory is
  /// used.
  [[nodiscard]] std::size_t unsent() const { return held_ + head_bytes(); }

  /// Bytes of a request or response body that are held here.
  [[nodiscard]] std::size_t held() const {
    return held_ + head_bytes() + joined_.size() + whole_.size() + parts_bytes_;
  }

  [[nodiscard]] exchange_position position() const {
    const auto in_parts = options_.parts && body_state_ == body::coming;
    return {id_, index_, streams_, in_parts, inbound_, in_parts ? received_ : 0, to_head_};
  }

private:
  enum class body : std::uint8_t { coming, whole, given };

  [[nodiscard]] std::optional<std::uint64_t> waits_at() const;

  [[nodiscard]] std::size_t head_bytes() const {
    return head_ && head_->body ? head_->body->size() : 0;
  }

  void put_back(protocol::to_rivet_tunnel_message_kind kind);
  void replace(const protocol::to_rivet_tunnel_message_kind& kind, std::string_view why);
  void drop_response();
  void drop_all();
  void too_large();
  void drop_request();
  bytes next_chunk(std::size_t size);
  void append(bytes data);
  void close_tail();
  void send(protocol::to_rivet_response_start response);

  http_exchange_options options_;
  exchange_id id_;
  std::uint16_t index_ = 0;    // of the next message to the engine
  std::uint16_t inbound_ = 0;  // of the next message from it
  bool streams_ = false;

  // the request
  body body_state_ = body::coming;
  std::vector<std::uint8_t> joined_;
  bytes whole_;
  std::deque<request_part> parts_;  // not handed out yet
  std::size_t parts_bytes_ = 0;
  std::uint64_t received_ = 0, consumed_ = 0, credited_ = 0;
  std::uint64_t credited_before_ = 0;  // the last update, which may not have been sent
  bool cancel_body_ = false;
  bool to_head_ = false;
  std::optional<std::uint64_t> quiet_at_;  // the result of waits_at() at the last quiet check

  // the response
  std::optional<protocol::to_rivet_response_start> head_;
  std::optional<protocol::http_stream_abort_reason> abort_;
  std::deque<bytes> rest_;          // shares the response's memory: not sent yet
  std::vector<std::uint8_t> tail_;  // what follows `rest_`: short writes, joined
  std::size_t held_ = 0;  // of both, or of what is collected for a gateway without streaming
  std::optional<std::uint64_t> declared_;  // the streamed body's length, if declared
  std::uint64_t written_ = 0;
  std::uint64_t sent_ = 0, acknowledged_ = 0;
  bool answered_ = false;
  bool writing_ = false;
  bool streaming_ = false;  // the end was not sent
  bool replaced_ = false;   // by a line of text, since no link accepts the original
};

}  // namespace nuncio

// One HTTP exchange with a client behind the engine: body chunks, credits and message indexes in
// both directions; a complete body is its simplest use. Pure. A request's body is joined until it
// is whole, or given out in parts as they come; a response's is cut into what the engine has given
// credit for, whether it was there at once or is written bit by bit. Owned by ingress until the
// request is whole (or its first part is there, if it goes out in parts), then by whoever answers,
// at the position where ingress stopped; a repeated RequestStart gets a new object, and an exchange
// that the engine aborts is simply dropped.
//
// Inputs: handle_* (engine), respond, begin, write, finish, refuse, abort (handler, host). Outputs,
// polled after every input until none is left: poll_body or poll_part, poll_transmit. Then, if
// done(), drop it.
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
  /// Longest request body; more is answered 413. The engine refuses as much itself
  /// (docs/protocol.md G.2).
  std::size_t body_bytes_max = 20'971'520;
  /// The engine's maxResponsePayloadSize: a longer response body is answered 500.
  std::size_t response_bytes_max = 20'971'520;
  /// The request's body goes out in parts instead of being joined.
  bool parts = false;
};

/// Body bytes on the way without credit, in each direction, and the largest chunk that we send
/// (docs/protocol.md G.5).
inline constexpr std::uint64_t http_window_bytes = 1 << 20;
inline constexpr std::size_t http_chunk_bytes_max = 65536;

/// How much of a response in parts we have on the way without credit. A chunk below the window: the gateway's queue, as
/// long as the window, may still count the chunk that it gave credit for last, and a chunk too many ends the exchange
/// (docs/protocol.md G.5).
inline constexpr std::uint64_t http_outstanding_bytes_max =
    http_window_bytes - http_chunk_bytes_max;

class http_exchange {
public:
  explicit http_exchange(exchange_id id, http_exchange_options options = {})
      : options_(options), id_(id) {}

  /// Goes on where another one's request became whole.
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

  // -- inputs from the engine; `index` is the message's own

  /// Takes the body out of `start`.
  void handle_request_start(std::uint16_t index, protocol::to_envoy_request_start& start);
  /// One that came before is ignored; when one is missing the body can't be whole any more, and the
  /// exchange is aborted.
  void handle_request_chunk(std::uint16_t index, const protocol::to_envoy_request_chunk& chunk);
  /// No more of the request's body comes.
  void handle_body_cancel();
  /// `total` bytes of the response's body have been taken since its beginning. Without `index` it is one that came before,
  /// told again.
  void handle_window_update(std::uint64_t total, std::optional<std::uint16_t> index = {});
  /// Nothing has come for long. If all that time it was waited for, which takes two calls to know, the client is given
  /// up: word of its leaving may have been lost.
  void handle_quiet();

  // -- inputs from whoever answers; all but the first are ignored

  /// Answers, as check_response corrects it. What that refuses is answered 500, and the failure says why.
  outcome<void> respond(protocol::to_rivet_response_start response);
  /// Begins a response whose body is written bit by bit; what check_response refuses is answered 500, and the failure
  /// says why. A gateway that takes no stream gets it whole, at its end. Where no body may follow, the response is
  /// complete with this.
  outcome<void> begin(protocol::to_rivet_response_start head);
  /// Takes `data`, of at most room() bytes. @returns errc::queue_full for more, of which nothing is
  /// taken; too_large where a complete body gets too long, which is answered 500; invalid_argument for
  /// more than its content-length says, which ends it; cancelled when the response is over
  outcome<void> write(bytes data);
  /// Ends the response that was begun. @returns errc::invalid_argument if its content-length says more: it is cut
  outcome<void> finish();
  /// Stops an upload: no more of the request's body is wanted.
  void cancel_upload();
  /// Answers with a line of text instead of the handler, and stops an upload that still runs.
  void refuse(std::uint16_t status, std::string_view why);
  /// Whoever answers can't go on: `status` with a line of text, or the response that has begun is cut.
  void fail(std::string_view why, std::uint16_t status = 500);
  /// The client has stopped sending or taking what is waited for: 408, or the response that has begun is cut.
  void give_up_client();
  /// Ends without a response (the gateway may then repeat the request elsewhere), or cuts one that
  /// has begun.
  void abort(protocol::http_stream_abort_reason_kind kind = {}, std::string_view detail = {});

  /// The link did not take `message`, which poll_transmit gave out last. After errc::queue_full it is given out again; after
  /// cancelled nothing is, as nothing leaves any more. What no link will ever take becomes 500, or what it belongs to is cut.
  void handle_not_sent(protocol::to_rivet_tunnel_message message, const failure& why);

  // -- outputs

  /// The request's body, once it is whole; empty if there is none.
  std::optional<bytes> poll_body();
  /// The next part of the request's body, in order; it counts as consumed.
  std::optional<request_part> poll_part();
  std::optional<protocol::to_rivet_tunnel_message> poll_transmit();

  // -- getters

  /// Over: nothing is or will be sent any more.
  [[nodiscard]] bool done() const { return answered_ && !head_ && !abort_ && !streaming_; }

  /// A response's body waits for credit, or will when its first part has been sent.
  [[nodiscard]] bool streaming() const { return streaming_; }

  /// What it says next may be long, so that all that is short goes before it: see link_port::has_room_for_bodies.
  [[nodiscard]] bool bulky() const { return streaming_ || head_bytes() > http_chunk_bytes_max; }

  /// All that there is to say stands in one message, which has not been sent: whoever answered need not stay.
  [[nodiscard]] bool whole() const { return !writing_ && !streaming_ && (head_ || abort_); }

  /// How many bytes of the response may be written now. Where a complete body is wanted it is never 0: one byte too much
  /// is how a writer hears that its body gets too long.
  [[nodiscard]] std::size_t room() const;

  /// A response was begun, and its end has not been written.
  [[nodiscard]] bool writing() const { return writing_; }

  /// The gateway takes a response in parts, and counts credits.
  [[nodiscard]] bool streams() const { return streams_; }

  /// The request's body is still on its way.
  [[nodiscard]] bool uploading() const { return body_state_ == body::coming; }

  /// Of these, what of the response was written and not sent. Short writes are joined, so that it is kept in little more.
  [[nodiscard]] std::size_t unsent() const { return held_ + head_bytes(); }

  /// Bytes of a body, of the request or the response, that are held here.
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
  std::deque<request_part> parts_;  // not given out yet
  std::size_t parts_bytes_ = 0;
  std::uint64_t received_ = 0, consumed_ = 0, credited_ = 0;
  std::uint64_t credited_before_ = 0;  // the last update, which may not have been sent
  bool cancel_body_ = false;
  bool to_head_ = false;
  std::optional<std::uint64_t> quiet_at_;  // what waits_at() said when nothing had come for long

  // the response
  std::optional<protocol::to_rivet_response_start> head_;
  std::optional<protocol::http_stream_abort_reason> abort_;
  std::deque<bytes> rest_;          // shares the response's memory: what is not sent yet
  std::vector<std::uint8_t> tail_;  // what follows `rest_`: short writes, joined
  std::size_t held_ = 0;  // of both, or of what is collected for a gateway that takes no stream
  std::optional<std::uint64_t> declared_;  // how long its handler says that a streamed body is
  std::uint64_t written_ = 0;
  std::uint64_t sent_ = 0, acknowledged_ = 0;
  bool answered_ = false;
  bool writing_ = false;
  bool streaming_ = false;  // the end has not been sent
  bool replaced_ = false;   // by a line of text, since no link takes what was to be said
};

}  // namespace nuncio

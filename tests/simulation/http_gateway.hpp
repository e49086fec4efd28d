// The engine's side of one HTTP exchange, and the client behind it, written from docs/protocol.md G and not from our code:
// sends a body within the window, takes a response, and throws `violated` if the real one would not accept it.
#pragma once

#include <cstdint>
#include <nuncio/messages_tunnel.hpp>

#include "simulation/scheduler.hpp"
#include "simulation/violated.hpp"

namespace nuncio::simulation {

/// Random bytes that all bodies of all runs are cut from.
const bytes& pattern();

/// A message to the host, as the wire carries it.
struct to_host {
  std::uint16_t index = 0;
  protocol::to_envoy_tunnel_message_kind kind;
};

class http_gateway {
public:
  static constexpr std::uint64_t window = 1'048'576;

  struct terms {
    bool chunks = false;   ///< the request's body comes in chunks
    bool credits = false;  ///< it takes a stream, and both bodies have a window
    bytes upload{};
    std::size_t first = 0;  ///< how much of the body goes with the start, of one in chunks
    std::size_t chunk_max = 65536;
    std::uint16_t index = 0;      ///< of its first message
    std::size_t response_at = 0;  ///< where in the pattern the handler's response is
    std::uint16_t said = 0;       ///< the host's first message has this index, or 0
    bool strict =
        false;  ///< what comes twice in a stream ends it (docs/protocol.md M); otherwise it is passed over
  };

  enum class end : std::uint8_t {
    none,
    clean,    ///< the response came whole
    cut,      ///< after its head
    aborted,  ///< before its head
    left,     ///< the client went
    refused,  ///< the gateway has ended it: what came twice is no stream
  };

  explicit http_gateway(terms what) : terms_(std::move(what)), next_(terms_.index) {}

  /// The start of the exchange.
  to_host start();

  /// Whether a chunk can be sent now, or could if the window were open.
  [[nodiscard]] bool can_send() const { return wants_to_send() && (room() > 0 || rest() == 0); }

  [[nodiscard]] bool window_is_full() const { return wants_to_send() && room() == 0 && rest() > 0; }

  to_host next_chunk(chance& random);

  /// The client gives up the upload alone.
  [[nodiscard]] bool can_cancel() const { return wants_to_send(); }

  to_host cancel_upload();
  to_host leave();

  /// What ends an exchange that the gateway itself has ended.
  to_host abort() { return {next_++, protocol::to_envoy_request_abort{}}; }

  /// The client reads some of what has come; the credit for it, if there is a window.
  [[nodiscard]] bool has_unread() const { return drained_ < received_; }

  std::optional<to_host> read(std::uint64_t most);

  /// @returns false for what came before
  bool handle(const protocol::to_rivet_tunnel_message& message);

  [[nodiscard]] end ended() const { return end_; }

  [[nodiscard]] bool begun() const { return head_; }

  [[nodiscard]] std::uint16_t status() const { return status_; }

  [[nodiscard]] std::uint64_t sent() const { return sent_; }

  [[nodiscard]] std::uint64_t received() const { return received_; }

  [[nodiscard]] const terms& how() const { return terms_; }

  /// What the host said first had a high index, and the indexes have begun anew since.
  [[nodiscard]] bool wrapped() const { return began_at_ != 0 && expected_ < began_at_; }

private:
  [[nodiscard]] std::size_t rest() const { return terms_.upload.size() - sent_; }

  [[nodiscard]] std::uint64_t room() const {
    return terms_.credits ? credited_ + window - sent_ : window;
  }

  [[nodiscard]] bool wants_to_send() const {
    return terms_.chunks && !finished_ && !stopped_ && end_ == end::none;
  }

  void take(const protocol::to_rivet_response_start& x);
  void take(const protocol::to_rivet_response_chunk& x);
  void take(const protocol::to_rivet_response_abort&);
  void take(const protocol::to_rivet_request_body_window_update& x);
  void take(const protocol::to_rivet_request_body_cancel&);

  template <class Other>
  void take(const Other&) {
    throw violated("tunnel", "a message that belongs to no HTTP exchange");
  }

  bool handle_repeated(const protocol::to_rivet_tunnel_message_kind& what);
  void take_body(const bytes& part);

  terms terms_;
  std::uint16_t next_, expected_ = 0, began_at_ = 0;
  bool heard_ = false;
  // the request
  std::uint64_t sent_ = 0, credited_ = 0;
  bool finished_ = false, stopped_ = false;
  // the response
  std::uint64_t received_ = 0, drained_ = 0;
  std::uint16_t status_ = 0;
  bool head_ = false, streams_ = false;
  end end_ = end::none;
};

}  // namespace nuncio::simulation

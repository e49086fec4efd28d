// One client WebSocket behind the engine, as two small machines: the client's messages (socket_intake, owned by ingress) and
// the messages to it (socket_session, owned by the instance that serves it). Pure. Message indexes count modulo 2^16,
// separately in each direction; a repeated WebSocketOpen gets new objects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nuncio/ids.hpp>
#include <nuncio/messages_tunnel.hpp>
#include <nuncio/outcome.hpp>
#include <optional>
#include <string_view>

namespace nuncio {

/// Close codes that the host itself uses, all from RFC 6455's registry.
inline constexpr std::uint16_t close_normal = 1000;
inline constexpr std::uint16_t close_left = 1006;  ///< never sent: no close frame from the client
inline constexpr std::uint16_t close_bad_text = 1007;
inline constexpr std::uint16_t close_policy = 1008;
inline constexpr std::uint16_t close_too_large = 1009;
inline constexpr std::uint16_t close_failed = 1011;
inline constexpr std::uint16_t close_restart = 1012;
inline constexpr std::uint16_t close_later = 1013;

/// The longest message to a client: what the engine accepts as a response. Above 32 MiB it would drop the whole connection of
/// the host (docs/protocol.md C.2, G.3).
inline constexpr std::size_t socket_message_bytes_max = 20'971'520;

/// Whether a WebSocket may be closed with this: 1000, 1003, 1007 to 1014 but not 1010, or 3000 to 4999, and a reason of at most
/// 123 bytes of UTF-8 (RFC 6455 7.4 and 5.5).
outcome<void> check_close(std::uint16_t code, std::string_view reason);

/// Checks the client's messages: in order, each once.
class socket_intake {
public:
  enum class verdict : std::uint8_t {
    fresh,
    duplicate,  ///< it came before: its ack was lost
    lost,       ///< an earlier one is missing, so the order can't be kept
  };

  explicit socket_intake(std::uint16_t open_index)
      : next_(static_cast<std::uint16_t>(open_index + 1)) {}

  /// For a socket that another instance served: it continues at any index, since the engine has dropped exactly what was acked.
  static socket_intake restored() { return socket_intake{}; }

  verdict handle_message(std::uint16_t index);

private:
  socket_intake() = default;

  std::optional<std::uint16_t> next_;
};

/// The messages from the host to the client, and the acks for the client's messages.
class socket_session {
public:
  enum class state : std::uint8_t { opening, open, closed };
  using message = protocol::to_rivet_tunnel_message;

  explicit socket_session(exchange_id id) : id_(id) {}

  /// A hibernating socket that another instance served, at its record's position; `exact` if that instance consumed nothing
  /// after the record was written.
  socket_session(
      exchange_id id,
      std::uint16_t next_index,
      std::optional<std::uint16_t> consumed,
      bool exact = false)
      : id_(id),
        index_(next_index),
        consumed_(consumed),
        state_(state::open),
        hibernates_(true),
        exact_(exact && consumed) {}

  // -- inputs from the actor; their results are for the engine, in this order

  outcome<message> accept(bool hibernates);
  /// @returns errc::invalid_argument before accept, or for text that is not UTF-8; too_large; cancelled if it is closed
  outcome<message> send(bytes data, bool binary);
  /// Accept a socket before closing it: the gateway repeats an open that is refused (docs/protocol.md G.6).
  outcome<message> close(std::uint16_t code, std::string_view reason);

  /// The actor has handled the client's message `index`.
  void handle_consumed(std::uint16_t index, std::size_t size);

  // -- inputs from the engine
  void handle_closed() { state_ = state::closed; }

  /// The client's message was repeated, so its ack was lost.
  void handle_duplicate() { ack_due_ = ack_due_ || consumed_.has_value(); }

  // -- outputs

  /// The ack for everything that was consumed, if one is due. Without `now` only if much is unacked; so call it with `now`
  /// within seconds (the engine drops a client with messages unacked for 30 s, docs/protocol.md G.7).
  std::optional<message> poll_ack(bool now);

  // -- getters
  [[nodiscard]] exchange_id id() const { return id_; }

  [[nodiscard]] state now_in() const { return state_; }

  [[nodiscard]] bool hibernates() const { return hibernates_; }

  [[nodiscard]] bool ack_due() const { return ack_due_; }

  [[nodiscard]] std::uint16_t next_index() const { return index_; }

  /// The client's last message that the actor has handled.
  [[nodiscard]] std::optional<std::uint16_t> consumed() const { return consumed_; }

  /// Whether `index` was consumed by the instance that wrote the record.
  [[nodiscard]] bool consumed_before(std::uint16_t index) const;

  /// The record is still up to date: this instance has consumed nothing.
  [[nodiscard]] bool exact() const { return exact_; }

  /// Whether a message before `index`, the first to arrive, is missing, as far as the record shows.
  [[nodiscard]] bool skips_to(std::uint16_t index) const;

private:
  message next(protocol::to_rivet_tunnel_message_kind what) {
    return {{id_.gateway, id_.request, index_++}, std::move(what)};
  }

  exchange_id id_;
  std::uint16_t index_ = 0;
  std::optional<std::uint16_t> consumed_;
  std::size_t unacked_bytes_ = 0;
  std::uint32_t unacked_ = 0;
  state state_ = state::opening;
  bool hibernates_ = false;
  bool ack_due_ = false;
  bool exact_ = false;
};

}  // namespace nuncio

// See socket_exchange.hpp.
#include <nuncio/tunnel/socket_exchange.hpp>
#include <nuncio/utf8.hpp>
#include <string>
#include <utility>

namespace nuncio {
namespace {

constexpr std::size_t close_reason_bytes_max = 123;

// This many unacked bytes are acked at once: a small part of the 128 MiB that the engine keeps for a socket (docs/protocol.md
// G.7), and few enough frames.
constexpr std::size_t unacked_bytes_max = 256UL << 10U;
constexpr std::uint32_t unacked_max = 64;

std::int16_t distance(std::uint16_t from, std::uint16_t to) {
  return static_cast<std::int16_t>(to - from);
}

}  // namespace

outcome<void> check_close(std::uint16_t code, std::string_view reason) {
  const auto registered =
      code == 1000 || code == 1003 || (code >= 1007 && code <= 1014 && code != 1010);
  if (!registered && (code < 3000 || code > 4999))
    return failure{
        errc::invalid_argument,
        "a WebSocket can't be closed with " + std::to_string(code) +
            ": it must be 1000, 1003, 1007 to 1009, 1011 to 1014 or 3000 to 4999"};
  if (reason.size() > close_reason_bytes_max)
    return failure{
        errc::invalid_argument,
        "the reason for closing a WebSocket has " + std::to_string(reason.size()) +
            " bytes, at most 123 are allowed"};
  if (!is_utf8(reason))
    return failure{errc::invalid_argument, "the reason for closing a WebSocket is not UTF-8"};
  return {};
}

socket_intake::verdict socket_intake::handle_message(std::uint16_t index) {
  if (next_) {
    const auto ahead = distance(*next_, index);
    if (ahead < 0) return verdict::duplicate;
    if (ahead > 0) return verdict::lost;
  }
  next_ = static_cast<std::uint16_t>(index + 1);
  return verdict::fresh;
}

outcome<socket_session::message> socket_session::accept(bool hibernates) {
  if (state_ == state::closed) return failure{errc::cancelled, "this WebSocket is closed"};
  if (state_ == state::open)
    return failure{errc::invalid_argument, "this WebSocket was accepted before"};
  state_ = state::open;
  hibernates_ = hibernates;
  return next(protocol::to_rivet_web_socket_open{hibernates});
}

outcome<socket_session::message> socket_session::send(bytes data, bool binary) {
  if (state_ == state::closed) return failure{errc::cancelled, "this WebSocket is closed"};
  if (state_ == state::opening)
    return failure{errc::invalid_argument, "this WebSocket has not been accepted yet"};
  if (data.size() > socket_message_bytes_max)
    return failure{
        errc::too_large,
        "a message to a WebSocket has " + std::to_string(data.size()) + " bytes, at most " +
            std::to_string(socket_message_bytes_max) + " are allowed"};
  if (!binary && !is_utf8(data.view()))
    return failure{errc::invalid_argument, "a text message to a WebSocket must be UTF-8"};
  return next(protocol::to_rivet_web_socket_message{std::move(data), binary});
}

outcome<socket_session::message> socket_session::close(
    std::uint16_t code, std::string_view reason) {
  if (state_ == state::closed) return failure{errc::cancelled, "this WebSocket is closed"};
  if (state_ == state::opening)
    return failure{errc::invalid_argument, "this WebSocket has not been accepted yet"};
  if (auto good = check_close(code, reason); !good) return good.error();
  state_ = state::closed;
  std::optional<text> why;
  if (!reason.empty()) why = text{reason};
  return next(protocol::to_rivet_web_socket_close{code, std::move(why), false});
}

void socket_session::handle_consumed(std::uint16_t index, std::size_t size) {
  if (consumed_ && distance(*consumed_, index) <= 0) return handle_duplicate();
  consumed_ = index;
  exact_ = false;
  ack_due_ = true;
  ++unacked_;
  unacked_bytes_ += size;
}

std::optional<socket_session::message> socket_session::poll_ack(bool now) {
  if (!hibernates_ || !ack_due_ || !consumed_ || state_ == state::closed) return std::nullopt;
  if (!now && unacked_ < unacked_max && unacked_bytes_ < unacked_bytes_max) return std::nullopt;
  ack_due_ = false;
  unacked_ = 0;
  unacked_bytes_ = 0;
  return next(protocol::to_rivet_web_socket_message_ack{*consumed_});
}

bool socket_session::skips_to(std::uint16_t index) const {
  return exact_ && distance(*consumed_, index) > 1;
}

bool socket_session::consumed_before(std::uint16_t index) const {
  return consumed_ && distance(*consumed_, index) <= 0;
}

}  // namespace nuncio

// A WebSocket of the web server. See web.hpp for what it does, and web_connection.hpp.
#pragma once

#include <array>
#include <boost/asio/post.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "web.hpp"
#include "web_connection.hpp"

namespace nuncio::testing::engine {

namespace http = beast::http;
namespace websocket = beast::websocket;

/// The connection below a WebSocket. Bytes that the client sent after its request are read first. Beast's own close frames, its
/// answer to a client that breaks the protocol, are not sent: the session sends its own.
class socket_stream final : public tcp::socket {
public:
  socket_stream(tcp::socket socket, std::string early)
      : tcp::socket(std::move(socket)), early_(std::move(early)) {}

  template <class Buffers, class Handler>
  void async_read_some(const Buffers& to, Handler&& then) {
    if (early_.empty()) {
      tcp::socket::async_read_some(to, std::forward<Handler>(then));
      return;
    }
    const auto n = asio::buffer_copy(to, asio::buffer(early_));
    early_.erase(0, n);
    complete(std::forward<Handler>(then), n);
  }

  template <class Buffers, class Handler>
  void async_write_some(const Buffers& from, Handler&& then) {
    // Beast's frame has a code and nothing else.
    std::array<std::uint8_t, 5> begin{};
    const auto size = asio::buffer_copy(asio::buffer(begin), from);
    if (closes_ || within_message_ || size != 4 || begin[0] != 0x88 || begin[1] != 2) {
      tcp::socket::async_write_some(from, std::forward<Handler>(then));
      return;
    }
    broken_ = true;
    complete(std::forward<Handler>(then), size);
  }

  /// While on, written bytes belong to a message.
  void set_within_message(bool on) { within_message_ = on; }

  /// From now on close frames are the session's.
  void let_close() { closes_ = true; }

  /// Beast finds it when a WebSocket is over.
  template <class Handler>
  friend void async_teardown(beast::role_type role, socket_stream& x, Handler&& then) {
    if (x.broken_)
      x.complete(std::forward<Handler>(then));
    else
      websocket::async_teardown(role, static_cast<tcp::socket&>(x), std::forward<Handler>(then));
  }

private:
  template <class Handler, class... Results>
  void complete(Handler&& then, Results... results) {
    asio::post(
        get_executor(),
        beast::bind_front_handler(std::forward<Handler>(then), error_code{}, results...));
  }

  std::string early_;
  bool closes_ = false;
  bool within_message_ = false;
  bool broken_ = false;
};

inline constexpr std::size_t socket_message_limit = 64U << 20U;

class socket_session final : public web_socket,
                             public web_connection,
                             public std::enable_shared_from_this<socket_session> {
public:
  /// @param early  bytes received after the request
  socket_session(tcp::socket socket, std::string early, web_registry& open)
      : stream_(socket_stream{std::move(socket), std::move(early)}), registry_(open) {
    registry_.open.insert(this);
    error_code ignored;
    stream_.next_layer().set_option(tcp::no_delay(true), ignored);
    stream_.read_message_max(socket_message_limit);
    stream_.auto_fragment(false);
    // A peer that never answers our close frame must not keep the connection open.
    stream_.set_option(websocket::stream_base::timeout{
        std::chrono::seconds{5}, websocket::stream_base::none(), false});
    stream_.set_option(websocket::stream_base::decorator([](websocket::response_type& response) {
      response.set(http::field::sec_websocket_protocol, "rivet");
    }));
    stream_.control_callback([this](websocket::frame_type kind, beast::string_view) {
      if (kind == websocket::frame_type::close) answer_close();
    });
  }

  ~socket_session() override { registry_.open.erase(this); }

  template <class Then>
  void accept(const http::request<http::string_body>& request, Then then) {
    stream_.async_accept(request, [self = shared_from_this(), then](error_code ec) {
      if (ec) return;
      then(self);
      self->read();
    });
  }

  void send(bytes data, bool binary) override;

  void close(std::uint16_t code, std::string reason) override;

  void drop(bool by_reset) override;

  void set_reading(bool on) override;

  void set_unsent_max(std::size_t bytes) override;

  [[nodiscard]] socket_flow flow() const override;

  void reset_now(bool by_reset) override;

private:
  struct message {
    bytes data;
    bool binary = false;
  };

  [[nodiscard]] bool reads() const;

  void resume();

  void read();

  void take();

  /// Beast would answer a close frame with its code only, and one without a code with 1000: the real engine repeats it.
  void answer_close();

  void gone(error_code ec);

  /// Tells a client that breaks the protocol what the real engine tells it, and ends.
  void refuse(error_code why);

  /// Ends the connection, but not at once: otherwise a client that is still sending would lose the final frame.
  void linger();

  void write();

  /// The peer does not read what it is sent.
  void drop_now();

  /// For ends that we cause: no read may be under way that would report them.
  void report_end() { report(asio::error::operation_aborted); }

  void report(error_code ec);

  websocket::stream<socket_stream> stream_;
  web_registry& registry_;
  asio::steady_timer linger_{stream_.get_executor()};
  beast::flat_buffer buffer_;
  std::deque<message> queue_;
  message current_;
  std::optional<websocket::close_reason> close_with_;
  std::size_t queued_bytes_ = 0;
  std::size_t unsent_max_ = SIZE_MAX;
  std::uint64_t sent_ = 0;
  bool writing_ = false;
  bool ending_ = false;
  bool drop_when_flushed_ = false;
  bool drop_by_reset_ = false;
  bool reading_ = true;
  bool stalled_ = false;        ///< not read further until wanted
  bool holds_message_ = false;  ///< the data read so far is in buffer_
};

}  // namespace nuncio::testing::engine

// A connection of the web server that speaks HTTP: one exchange after the other, until one becomes a WebSocket. Bodies come
// whole or in parts, as the server's handler wants. See web_connection.hpp.
#pragma once

#include <boost/beast/http.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "request_head.hpp"
#include "web.hpp"
#include "web_connection.hpp"

namespace nuncio::testing::engine {

namespace http = beast::http;

class http_session final : public web_connection,
                           public std::enable_shared_from_this<http_session> {
public:
  http_session(tcp::socket socket, web_registry& open, web_handler& handler)
      : socket_(std::move(socket)), registry_(open), handler_(handler) {
    registry_.open.insert(this);
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
  }

  ~http_session() override {
    registry_.open.erase(this);
    registry_.bodies.give_back(this);
  }

  void run();

  void reset_now(bool by_reset) override { end_socket(socket_, by_reset); }

private:
  class responder;

  [[nodiscard]] bool has_ended(error_code ec);

  /// The body is not complete, and the client may still be told.
  static bool is_broken(error_code ec);

  // -- the head

  void read_head();

  // -- a body

  void welcome_body();

  // -- a body in parts

  void begin_parts();

  void read_part();

  void handle_part(error_code ec);

  void read_or_pause();

  void break_body();

  void lose_client();

  void set_reading(bool on);

  /// The response was sent before the whole request arrived. The connection ends, but not at once: otherwise a client that is
  /// still sending would lose the response.
  void linger();

  void discard();

  void end_lingering();

  void read_body();

  void read_whole();

  /// Reads a body of unknown length. It counts by its stored size, and reading continues as it finds more room.
  void read_growing();

  void begin_patience();

  void lose_patience();

  http_request request_of(const http::request<http::string_body>& parsed);

  void dispatch();

  /// Rejects anything that is not HTTP.
  void refuse(unsigned status);

  void refuse_body(std::string_view why);

  void hand_over(http_request request);

  /// Notices a client that leaves while its request is being handled.
  void watch_client();

  std::string head_of(const http_reply& reply);

  void write(std::string data, std::uint64_t body_bytes);

  void write_next();

  void finish();

  void next();

  struct part {
    std::string data;
    std::uint64_t body_bytes = 0;
  };

  tcp::socket socket_;
  web_registry& registry_;
  web_handler& handler_;
  beast::flat_buffer buffer_;
  request_head head_;
  std::string head_text_;  ///< not read by Beast yet
  std::optional<http::request_parser<http::string_body>> parser_;
  std::weak_ptr<responder> current_;
  std::uint64_t exchange_ = 0;
  std::deque<part> queue_;
  part out_;
  std::uint64_t body_total_ = 0;
  asio::steady_timer linger_{socket_.get_executor()};
  asio::steady_timer patience_{socket_.get_executor()};
  std::size_t body_allowed_ = 0;  ///< of a body of unknown length, until it asks for more
  std::size_t body_counted_ = 0;
  bool writing_ = false;
  bool finished_ = false;
  bool in_parts_ = false;  ///< the body comes in parts, and its end has not arrived
  bool broken_ = false;    ///< the rest is not read
  bool paused_ = false;    ///< the next part is not being read
  bool wanted_ = true;
  bool lingers_ = false;
  bool keep_alive_ = true;
  bool head_request_ = false;
  bool counted_ = false;  ///< a body in parts has a length instead of chunks
};

}  // namespace nuncio::testing::engine

// The web server on Boost.Beast: the only file that includes Boost. One io_context, one thread, no
// locks.
#include <algorithm>
#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include "body_room.hpp"
#include "random_id.hpp"
#include "request_head.hpp"
#include "web.hpp"

namespace nuncio::testing::engine {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr std::uint64_t request_body_limit = 64U << 20U;
constexpr std::size_t bodies_limit = 512U << 20U;  ///< of requests that are not answered
constexpr std::size_t small_body = 64U << 10U;  ///< not counted; also the most that one read takes
constexpr auto body_patience = std::chrono::minutes{1};  ///< from the first byte to the last
constexpr std::size_t socket_message_limit = 64U << 20U;
constexpr std::size_t socket_queue_limit = 256U << 20U;  ///< unsent bytes before a peer is dropped
constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr auto tick_interval = std::chrono::milliseconds{5};
constexpr auto accept_pause = std::chrono::milliseconds{100};
constexpr auto linger_limit = std::chrono::seconds{2};

/// Whether these are characters that a target may have; all others are to be encoded.
bool is_target(std::string_view x) {
  return std::all_of(x.begin(), x.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

/// A target as it counts: what stands before its path is about proxies, a fragment is the client's.
std::string_view path_and_query(std::string_view x) {
  if (const auto scheme = x.find("://"); !x.starts_with('/') && scheme != x.npos)
    x.remove_prefix(std::min(x.find('/', scheme + 3), x.size()));
  return x.substr(0, x.find('#'));
}

/// Anything with a TCP socket that a kill has to reset.
class connection {
public:
  virtual ~connection() = default;
  virtual void reset_now(bool by_reset) = 0;
};

struct registry {
  std::set<connection*> open;
  body_room bodies{bodies_limit};
  std::mt19937_64 random{std::random_device{}()};  ///< for ids that nobody asks for again
};

void end_socket(tcp::socket& socket, bool by_reset) {
  error_code ignored;
  if (by_reset) socket.set_option(asio::socket_base::linger(true, 0), ignored);
  if (!by_reset) socket.shutdown(tcp::socket::shutdown_both, ignored);
  socket.close(ignored);
}

/// Codes that the real engine lets a client close with; it refuses the others.
bool may_close_with(std::uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1013) ||
         (code >= 3000 && code <= 4999);
}

/// What the real engine says to a client that closes with another one.
constexpr std::string_view bad_code = "Protocol violation";

/// The connection below a WebSocket. What its client had sent behind the request is read first. And Beast's own close frames
/// do not go out, with which it answers a client that breaks the protocol: its session has other words for that.
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
    // Beast's has a code and nothing else.
    std::array<std::uint8_t, 5> begin{};
    const auto size = asio::buffer_copy(asio::buffer(begin), from);
    if (closes_ || within_message_ || size != 4 || begin[0] != 0x88 || begin[1] != 2) {
      tcp::socket::async_write_some(from, std::forward<Handler>(then));
      return;
    }
    broken_ = true;
    complete(std::forward<Handler>(then), size);
  }

  /// Until then, what is written belongs to a message.
  void set_within_message(bool on) { within_message_ = on; }

  /// From here on close frames are the session's.
  void let_close() { closes_ = true; }

  /// Found by Beast when a WebSocket is over.
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

class socket_session final : public web_socket,
                             public connection,
                             public std::enable_shared_from_this<socket_session> {
public:
  /// @param early  what has come behind the request
  socket_session(tcp::socket socket, std::string early, registry& open)
      : stream_(socket_stream{std::move(socket), std::move(early)}), registry_(open) {
    registry_.open.insert(this);
    error_code ignored;
    stream_.next_layer().set_option(tcp::no_delay(true), ignored);
    stream_.read_message_max(socket_message_limit);
    stream_.auto_fragment(false);
    // A peer that never answers our close frame must not keep the connection.
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

  void send(bytes data, bool binary) override {
    if (ending_) return;
    // One message may be longer than what may wait, as on the real engine.
    const auto waits = std::exchange(queued_bytes_, queued_bytes_ + data.size()) != 0;
    if (waits && queued_bytes_ > socket_queue_limit) return drop_now();
    sent_ += data.size();
    queue_.push_back({std::move(data), binary});
    write();
  }

  void close(std::uint16_t code, std::string reason) override {
    if (ending_) return;
    ending_ = true;
    close_with_.emplace(static_cast<websocket::close_code>(code), reason);
    write();
  }

  void drop(bool by_reset) override {
    ending_ = true;
    drop_when_flushed_ = true;
    drop_by_reset_ = by_reset;
    write();
  }

  void set_reading(bool on) override {
    if (reading_ == on) return;
    reading_ = on;
    resume();
  }

  void set_unsent_max(std::size_t bytes) override {
    unsent_max_ = bytes;
    resume();
  }

  [[nodiscard]] socket_flow flow() const override {
    return {sent_, sent_ - queued_bytes_ - current_.data.size()};
  }

  void reset_now(bool by_reset) override {
    ending_ = true;
    end_socket(stream_.next_layer(), by_reset);
  }

private:
  struct message {
    bytes data;
    bool binary = false;
  };

  [[nodiscard]] bool reads() const {
    return reading_ && queued_bytes_ + current_.data.size() <= unsent_max_;
  }

  void resume() {
    if (!stalled_ || !reads()) return;
    stalled_ = false;
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
      if (self->holds_message_)
        self->take();
      else
        self->read();
    });
  }

  void read() {
    if (!reads()) {
      stalled_ = true;
      return;
    }
    stream_.async_read(buffer_, [self = shared_from_this()](error_code ec, std::size_t) {
      if (ec) return self->gone(ec);
      self->holds_message_ = true;
      self->take();
    });
  }

  void take() {
    if (!reads()) {
      stalled_ = true;
      return;
    }
    holds_message_ = false;
    const auto data = buffer_.data();
    auto copy = bytes::copy_of({static_cast<const std::uint8_t*>(data.data()), data.size()});
    buffer_.consume(buffer_.size());
    if (on_message) on_message(std::move(copy), stream_.got_binary());
    read();
  }

  /// Beast would answer a close frame with its code alone, and one without a code with 1000: the real engine repeats it.
  void answer_close() {
    if (ending_) return;
    ending_ = true;
    queue_.clear();
    auto answer = stream_.reason();
    if (answer.code != websocket::close_code::none && !may_close_with(answer.code))
      answer = {websocket::close_code::protocol_error, {bad_code.data(), bad_code.size()}};
    stream_.next_layer().let_close();
    stream_.async_close(answer, [self = shared_from_this()](error_code) {});
    // Told at once: the read ends only when the peer has ended TCP.
    report(websocket::error::closed);
  }

  void gone(error_code ec) {
    const auto was_ending = std::exchange(ending_, true);
    queue_.clear();
    const auto broken =
        ec == websocket::condition::protocol_violation || ec == websocket::error::message_too_big;
    // Whoever still holds the session must not hold its connection: the peer waits for the end of
    // it.
    if (broken && !was_ending)
      refuse(ec);
    else if (ec != websocket::error::closed && ec != asio::error::operation_aborted)
      end_socket(stream_.next_layer(), false);
    const auto told = std::exchange(on_close, nullptr);
    on_message = nullptr;
    if (!told) return;
    const auto& why = stream_.reason();
    const bool coded = why.code != websocket::close_code::none;
    if (ec == websocket::error::bad_close_code || (coded && !may_close_with(why.code)))
      told(1002, std::string{bad_code});
    else if (ec == websocket::error::closed)
      told(coded ? why.code : 1005, std::string{why.reason.data(), why.reason.size()});
    else
      told(std::nullopt, "");
  }

  /// Says to a client that breaks the protocol what the real engine says, and ends.
  void refuse(error_code why) {
    const auto code_is_bad = why == websocket::error::bad_close_code;
    const auto code = code_is_bad ? 1002 : 1011;
    const auto reason =
        code_is_bad ? std::string{bad_code} : "core.internal_error#" + random_id(registry_.random);
    auto frame = std::make_shared<std::string>("\x88");
    for (const auto byte : {static_cast<int>(reason.size()) + 2, code >> 8, code & 0xff})
      *frame += static_cast<char>(byte);
    *frame += reason;
    stream_.next_layer().let_close();
    asio::async_write(
        stream_.next_layer(),
        asio::buffer(*frame),
        [self = shared_from_this(), frame](error_code, std::size_t) { self->linger(); });
  }

  /// Ends the connection, but not at once: that would take the last word from a client that still sends.
  void linger() {
    error_code ignored;
    stream_.next_layer().shutdown(tcp::socket::shutdown_send, ignored);
    linger_.expires_after(linger_limit);
    linger_.async_wait(
        [self = shared_from_this()](error_code) { end_socket(self->stream_.next_layer(), false); });
  }

  void write() {
    if (writing_) return;
    if (!queue_.empty()) {
      writing_ = true;
      current_ = std::move(queue_.front());
      queue_.pop_front();
      queued_bytes_ -= current_.data.size();
      stream_.binary(current_.binary);
      stream_.next_layer().set_within_message(true);
      stream_.async_write(
          asio::buffer(current_.data.data(), current_.data.size()),
          [self = shared_from_this()](error_code ec, std::size_t) {
            self->writing_ = false;
            self->stream_.next_layer().set_within_message(false);
            self->current_ = {};
            if (ec) return;
            self->resume();
            self->write();
          });
    } else if (drop_when_flushed_) {
      end_socket(stream_.next_layer(), drop_by_reset_);
      report_end();
    } else if (close_with_) {
      writing_ = true;
      const auto reason = *std::exchange(close_with_, std::nullopt);
      stream_.next_layer().let_close();
      stream_.async_close(reason, [self = shared_from_this()](error_code) { self->report_end(); });
    }
  }

  /// The peer does not take what it is sent.
  void drop_now() {
    reset_now(true);
    report_end();
  }

  /// For ends of our own making: a read that would report them may not be under way.
  void report_end() { report(asio::error::operation_aborted); }

  void report(error_code ec) {
    asio::post(stream_.get_executor(), [self = shared_from_this(), ec] { self->gone(ec); });
  }

  websocket::stream<socket_stream> stream_;
  registry& registry_;
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
  bool stalled_ = false;        ///< not read further until it is wanted
  bool holds_message_ = false;  ///< and what was read is in buffer_
};

class http_session final : public connection, public std::enable_shared_from_this<http_session> {
public:
  http_session(tcp::socket socket, registry& open, web_handler& handler)
      : socket_(std::move(socket)), registry_(open), handler_(handler) {
    registry_.open.insert(this);
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
  }

  ~http_session() override {
    registry_.open.erase(this);
    registry_.bodies.give_back(this);
  }

  void run() {
    parser_.emplace();
    parser_->body_limit(request_body_limit);
    parser_->header_limit(UINT32_MAX);  // request_head has its own
    head_ = {};
    head_text_.clear();
    ++exchange_;
    read_head();
  }

  void reset_now(bool by_reset) override { end_socket(socket_, by_reset); }

private:
  class responder final : public http_responder {
  public:
    responder(std::shared_ptr<http_session> session, std::uint64_t exchange)
        : session_(std::move(session)), exchange_(exchange) {}

    void answer(http_reply reply) override {
      if (!live()) return;
      auto head = session_->head_of(reply);
      const bool no_body = reply.status == 204 || reply.status == 304 || reply.status < 200;
      const bool counted =
          reply.header("content-length") || (session_->head_request_ && reply.body.empty());
      if (!no_body && !counted)
        head += "content-length: " + std::to_string(reply.body.size()) + "\r\n";
      head += "\r\n";
      if (!no_body && !session_->head_request_) head += reply.body;
      session_->write(std::move(head), 0);
      session_->finish();
    }

    void begin(http_reply reply) override {
      if (!live()) return;
      session_->counted_ = reply.header("content-length");
      session_->write(
          session_->head_of(reply) +
              (session_->counted_ ? "\r\n" : "transfer-encoding: chunked\r\n\r\n"),
          0);
      if (!reply.body.empty()) chunk(reply.body);
    }

    void chunk(std::string_view body) override {
      if (!live() || body.empty() || session_->head_request_) return;
      if (session_->counted_) {
        session_->write(std::string{body}, body.size());
        return;
      }
      char size[20];
      std::snprintf(size, sizeof size, "%zx\r\n", body.size());
      session_->write(std::string{size}.append(body).append("\r\n"), body.size());
    }

    void end() override {
      if (!live()) return;
      if (!session_->head_request_ && !session_->counted_) session_->write("0\r\n\r\n", 0);
      session_->finish();
    }

    void cut() override {
      if (live()) end_socket(session_->socket_, true);
    }

    void set_reading(bool on) override {
      if (live()) session_->set_reading(on);
    }

  private:
    [[nodiscard]] bool live() const {
      return session_->exchange_ == exchange_ && session_->socket_.is_open();
    }

    std::shared_ptr<http_session> session_;
    std::uint64_t exchange_;
  };

  [[nodiscard]] bool has_ended(error_code ec) {
    if (ec == http::error::body_limit)
      refuse_body(body_too_long);
    else if (is_broken(ec))
      refuse_body(body_broken);
    else if (ec)
      end_socket(socket_, false);
    return ec.failed();
  }

  /// What has come is no whole body, and who sent it may still hear so.
  static bool is_broken(error_code ec) {
    return ec.category() == http::make_error_code(http::error::bad_chunk).category();
  }

  // -- the head

  void read_head() {
    const auto come = buffer_.data();
    buffer_.consume(head_.take({static_cast<const char*>(come.data()), come.size()}));
    head_text_ += head_.text();
    error_code ec;
    if (!head_text_.empty()) head_text_.erase(0, parser_->put(asio::buffer(head_text_), ec));
    if (ec == http::error::body_limit) return refuse_body(body_too_long);
    if (ec && ec != http::error::need_more) return refuse(400);
    if (head_.refused() != 0) return refuse(head_.refused());
    if (head_.over()) return welcome_body();
    socket_.async_read_some(
        buffer_.prepare(small_body), [self = shared_from_this()](error_code failed, std::size_t n) {
          if (self->has_ended(failed)) return;
          self->buffer_.commit(n);
          self->read_head();
        });
  }

  // -- a body

  // Some clients send a long body only once they are told to, or after a second.
  void welcome_body() {
    const auto target = parser_->get().target();
    if (!is_target({target.data(), target.size()})) return refuse(400);
    if (parser_->is_done()) return dispatch();
    // The sizes of chunks are believed: what comes is counted.
    if (head_.chunked()) parser_->body_limit(boost::none);
    if (!beast::iequals(parser_->get()[http::field::expect], "100-continue")) return read_body();
    asio::async_write(
        socket_, asio::buffer(go_on), [self = shared_from_this()](error_code ec, std::size_t) {
          if (!self->has_ended(ec)) self->read_body();
        });
  }

  // -- a body in parts

  void begin_parts() {
    auto request = request_of(parser_->get());
    request.body_follows = true;
    in_parts_ = wanted_ = true;
    hand_over(std::move(request));
    read_or_pause();
  }

  void read_part() {
    http::async_read_some(
        socket_, buffer_, *parser_, [self = shared_from_this()](error_code ec, std::size_t) {
          self->handle_part(ec);
        });
  }

  void handle_part(error_code ec) {
    if (ec) {
      in_parts_ = false;
      if (finished_) return end_lingering();
      return is_broken(ec) ? break_body() : lose_client();
    }
    const auto part = std::exchange(parser_->get().body(), {});
    const auto last = parser_->is_done();
    in_parts_ = !last;
    if (finished_) return last ? end_lingering() : read_part();
    const auto current = current_.lock();
    if (current && current->on_body && (last || !part.empty())) current->on_body(part, last);
    if (finished_ || !socket_.is_open()) return;
    if (last)
      watch_client();
    else
      read_or_pause();
  }

  // A client that resets its connection is noticed while nothing is read.
  void read_or_pause() {
    if (wanted_) return read_part();
    paused_ = true;
    socket_.async_wait(
        tcp::socket::wait_error, [self = shared_from_this(), exchange = exchange_](error_code) {
          if (self->exchange_ == exchange && self->paused_ && !self->finished_) self->lose_client();
        });
  }

  void break_body() {
    broken_ = true;
    if (const auto current = current_.lock(); current && current->on_broken_body)
      current->on_broken_body();
  }

  void lose_client() {
    if (const auto current = current_.lock(); current && current->on_gone) current->on_gone();
    end_socket(socket_, false);
  }

  void set_reading(bool on) {
    wanted_ = on;
    if (on && std::exchange(paused_, false)) read_part();
  }

  /// The answer has gone out before all of the request has come. The connection ends, but not at once: that would take
  /// the answer from a client that still sends.
  void linger() {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    linger_.expires_after(linger_limit);
    linger_.async_wait([weak = weak_from_this()](error_code ec) {
      if (const auto self = weak.lock(); self && !ec) end_socket(self->socket_, false);
    });
    if (broken_)
      discard();
    else if (std::exchange(paused_, false))
      read_part();
  }

  void discard() {
    socket_.async_read_some(
        buffer_.prepare(small_body), [self = shared_from_this()](error_code ec, std::size_t) {
          if (ec)
            self->end_lingering();
          else
            self->discard();
        });
  }

  void end_lingering() {
    if (lingers_) end_socket(socket_, false);
  }

  void read_body() {
    const auto target = parser_->get().target();
    if (handler_.wants_parts(path_and_query({target.data(), target.size()}))) return begin_parts();
    const auto announced = parser_->content_length();
    if (!announced) {
      begin_patience();
      body_allowed_ = 2 * small_body;
      body_counted_ = 0;
      return read_growing();
    }
    const auto size = std::min<std::uint64_t>(*announced, request_body_limit);
    if (size <= small_body) return read_whole();
    registry_.bodies.ask(this, size, [self = shared_from_this()] { self->read_whole(); });
  }

  void read_whole() {
    begin_patience();
    http::async_read(
        socket_, buffer_, *parser_, [self = shared_from_this()](error_code ec, std::size_t) {
          self->patience_.cancel();
          if (!self->has_ended(ec)) self->dispatch();
        });
  }

  /// A body of unknown length. It counts as what is kept of it, and is read on as it finds room for more.
  void read_growing() {
    auto& body = parser_->get().body();
    if (body.size() + small_body > body_allowed_) {
      body_allowed_ = std::min(2 * body_allowed_, std::size_t{request_body_limit} + small_body);
      const auto more = body_allowed_ - std::exchange(body_counted_, body_allowed_);
      registry_.bodies.ask(this, more, [self = shared_from_this()] {
        self->parser_->get().body().reserve(self->body_allowed_);
        self->read_growing();
      });
      return;
    }
    http::async_read_some(
        socket_, buffer_, *parser_, [self = shared_from_this()](error_code ec, std::size_t) {
          if (ec || self->parser_->is_done()) self->patience_.cancel();
          if (self->has_ended(ec)) return;
          if (self->parser_->get().body().size() > request_body_limit)
            self->refuse_body(body_too_long);
          else if (self->parser_->is_done())
            self->dispatch();
          else
            self->read_growing();
        });
  }

  void begin_patience() {
    patience_.expires_after(body_patience);
    patience_.async_wait([weak = weak_from_this()](error_code ec) {
      if (const auto self = weak.lock(); self && !ec) self->lose_patience();
    });
  }

  void lose_patience() {
    end_socket(socket_, false);
    registry_.bodies.give_back(this);  // nothing is read that would do it, if it waits for room
  }

  http_request request_of(const http::request<http::string_body>& parsed) {
    http_request request;
    request.method = std::string{parsed.method_string()};
    request.target = std::string{path_and_query({parsed.target().data(), parsed.target().size()})};
    for (const auto& field : parsed) {
      const auto name = lower({field.name_string().data(), field.name_string().size()});
      if (field.name() == http::field::transfer_encoding ||
          field.name() == http::field::content_length)
        continue;
      const auto value = std::string{field.value()};
      // Of a name that is there more than once the last stays, as in the engine.
      const auto before =
          std::find_if(request.headers.begin(), request.headers.end(), [&](const auto& x) {
            return x.name == name;
          });
      if (before == request.headers.end())
        request.headers.push_back({name, value});
      else
        before->value = value;
    }
    for (const auto& said : head_.framing()) request.headers.push_back(said);
    keep_alive_ = parsed.keep_alive();
    head_request_ = parsed.method() == http::verb::head;
    return request;
  }

  void dispatch() {
    auto parsed = parser_->release();
    auto request = request_of(parsed);
    if (websocket::is_upgrade(parsed)) {
      const auto behind = buffer_.data();
      auto session = std::make_shared<socket_session>(
          std::move(socket_),
          std::string{static_cast<const char*>(behind.data()), behind.size()},
          registry_);
      session->accept(parsed, [&handler = handler_, request](std::shared_ptr<socket_session> open) {
        handler.on_socket(request, std::move(open));
      });
      return;
    }
    request.body = std::move(parsed.body());
    hand_over(std::move(request));
  }

  /// What is no HTTP.
  void refuse(unsigned status) {
    keep_alive_ = false;
    broken_ = true;
    finished_ = true;
    write(
        head_of({.status = status, .headers = {{"content-length", "0"}}, .body = {}}) + "\r\n", 0);
  }

  void refuse_body(std::string_view why) {
    patience_.cancel();
    auto request = request_of(parser_->get());
    request.body_fault = why;
    keep_alive_ = false;
    broken_ = true;
    hand_over(std::move(request));
  }

  void hand_over(http_request request) {
    finished_ = false;
    body_total_ = 0;
    auto answer = std::make_shared<responder>(shared_from_this(), exchange_);
    current_ = answer;
    if (!request.body_follows) watch_client();
    handler_.on_request(std::move(request), std::move(answer));
  }

  /// Notices a client that leaves while its request is being worked on.
  void watch_client() {
    socket_.async_wait(
        tcp::socket::wait_read, [self = shared_from_this(), exchange = exchange_](error_code ec) {
          if (self->exchange_ != exchange || self->finished_) return;
          error_code peek;
          if (!ec && self->socket_.available(peek) > 0) return;
          if (const auto current = self->current_.lock(); current && current->on_gone)
            current->on_gone();
        });
  }

  std::string head_of(const http_reply& reply) {
    if (in_parts_ || broken_) keep_alive_ = false;
    std::string out = "HTTP/1.1 " + std::to_string(reply.status) + " ";
    const auto reason = http::obsolete_reason(http::int_to_status(reply.status));
    out.append(reason.data(), reason.size()).append("\r\n");
    for (const auto& h : reply.headers)
      out.append(h.name).append(": ").append(h.value).append("\r\n");
    if (!keep_alive_) out += "connection: close\r\n";
    return out;
  }

  void write(std::string data, std::uint64_t body_bytes) {
    queue_.push_back({std::move(data), body_bytes});
    if (!writing_) write_next();
  }

  void write_next() {
    if (queue_.empty()) {
      if (finished_) next();
      return;
    }
    writing_ = true;
    out_ = std::move(queue_.front());
    queue_.pop_front();
    asio::async_write(
        socket_, asio::buffer(out_.data), [self = shared_from_this()](error_code ec, std::size_t) {
          self->writing_ = false;
          if (ec) {
            self->queue_.clear();
            return;
          }
          self->body_total_ += self->out_.body_bytes;
          if (self->out_.body_bytes > 0)
            if (const auto current = self->current_.lock(); current && current->on_drained)
              current->on_drained(self->body_total_);
          self->write_next();
        });
  }

  void finish() {
    finished_ = true;
    if (!writing_ && queue_.empty()) next();
  }

  void next() {
    ++exchange_;
    registry_.bodies.give_back(this);
    if (keep_alive_) {
      run();
    } else if (in_parts_ || broken_) {
      lingers_ = true;
      linger();
    } else {
      end_socket(socket_, false);
    }
  }

  struct part {
    std::string data;
    std::uint64_t body_bytes = 0;
  };

  tcp::socket socket_;
  registry& registry_;
  web_handler& handler_;
  beast::flat_buffer buffer_;
  request_head head_;
  std::string head_text_;  ///< what of it Beast has not read
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
  bool in_parts_ = false;  ///< the body comes bit by bit, and its end has not
  bool broken_ = false;    ///< what comes further is not read
  bool paused_ = false;    ///< and the next part is not being read
  bool wanted_ = true;
  bool lingers_ = false;
  bool keep_alive_ = true;
  bool head_request_ = false;
  bool counted_ = false;  ///< a body in parts has a length instead of chunks
};

}  // namespace

struct web_server::implementation {
  explicit implementation(web_handler& h) : handler(h) {}

  void accept() {
    acceptor.async_accept([this](error_code ec, tcp::socket socket) {
      if (ec == asio::error::operation_aborted) return;
      if (!ec) {
        std::make_shared<http_session>(std::move(socket), open, handler)->run();
      } else if (acceptor.is_open()) {
        // Out of files, as a rule: who knocks stays in the kernel's queue, and accepting at once would fail as fast.
        full.expires_after(accept_pause);
        return full.async_wait([this](error_code over) {
          if (!over) accept();
        });
      }
      if (acceptor.is_open()) accept();
    });
  }

  void tick() {
    timer.expires_after(tick_interval);
    timer.async_wait([this](error_code ec) {
      if (ec) return;
      handler.on_tick();
      tick();
    });
  }

  web_handler& handler;
  registry open;  // outlives the sessions, which the io_context owns
  asio::io_context context{1};
  tcp::acceptor acceptor{context};
  asio::steady_timer timer{context};
  asio::steady_timer full{context};
  std::thread thread;
};

web_server::web_server(web_handler& handler)
    : implementation_(std::make_unique<implementation>(handler)) {}

web_server::~web_server() { stop(true); }

outcome<std::uint16_t> web_server::start(const std::string& address, std::uint16_t port) {
  auto& me = *implementation_;
  error_code ec;
  const auto ip = asio::ip::make_address(address, ec);
  if (ec) return failure{errc::invalid_argument, "\"" + address + "\" is not an IP address"};
  const tcp::endpoint endpoint{ip, port};
  me.acceptor.open(endpoint.protocol(), ec);
  if (!ec) me.acceptor.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) me.acceptor.bind(endpoint, ec);
  if (!ec) me.acceptor.listen(1024, ec);
  if (ec) {
    return failure{
        errc::unreachable,
        "can't listen on " + address + " port " + std::to_string(port) + ": " + ec.message()};
  }
  me.accept();
  me.tick();
  const auto bound = me.acceptor.local_endpoint().port();
  me.thread = std::thread{[&me] { me.context.run(); }};
  return bound;
}

void web_server::post(std::function<void()> work) {
  asio::post(implementation_->context, std::move(work));
}

void web_server::stop(bool by_reset) {
  auto& me = *implementation_;
  if (!me.thread.joinable()) return;
  asio::post(me.context, [&me, by_reset] {
    error_code ignored;
    me.acceptor.close(ignored);
    me.timer.cancel();
    me.full.cancel();
    me.open.bodies.forget_waiting();
    for (auto* c : std::set<connection*>{me.open.open}) c->reset_now(by_reset);
    me.context.stop();
  });
  me.thread.join();
}

}  // namespace nuncio::testing::engine

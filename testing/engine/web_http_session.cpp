// See web_http_session.hpp.
#include "web_http_session.hpp"

#include <algorithm>
#include <boost/asio/write.hpp>

#include "web_socket_session.hpp"

namespace nuncio::testing::engine {

namespace {

constexpr std::uint64_t request_body_limit = 64U << 20U;
constexpr std::size_t small_body = 64U << 10U;  ///< not counted; also the most for one read
constexpr auto body_patience = std::chrono::minutes{1};  ///< from the first byte to the last
constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";

/// Whether `x` has only characters that a target may have; all others must be encoded.
bool is_target(std::string_view x) {
  return std::all_of(x.begin(), x.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

/// The part of a target that counts: anything before its path is about proxies, and a fragment is the client's.
std::string_view path_and_query(std::string_view x) {
  if (const auto scheme = x.find("://"); !x.starts_with('/') && scheme != x.npos)
    x.remove_prefix(std::min(x.find('/', scheme + 3), x.size()));
  return x.substr(0, x.find('#'));
}

}  // namespace

class http_session::responder final : public http_responder {
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

void http_session::run() {
  parser_.emplace();
  parser_->body_limit(request_body_limit);
  parser_->header_limit(UINT32_MAX);  // request_head has its own
  head_ = {};
  head_text_.clear();
  ++exchange_;
  read_head();
}

bool http_session::has_ended(error_code ec) {
  if (ec == http::error::body_limit)
    refuse_body(body_too_long);
  else if (is_broken(ec))
    refuse_body(body_broken);
  else if (ec)
    end_socket(socket_, false);
  return ec.failed();
}

bool http_session::is_broken(error_code ec) {
  return ec.category() == http::make_error_code(http::error::bad_chunk).category();
}

// -- the head

void http_session::read_head() {
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

// Some clients send a long body only once they are told to, or after a second.
void http_session::welcome_body() {
  const auto target = parser_->get().target();
  if (!is_target({target.data(), target.size()})) return refuse(400);
  if (parser_->is_done()) return dispatch();
  // Chunk sizes are trusted: received bytes are counted.
  if (head_.chunked()) parser_->body_limit(boost::none);
  if (!beast::iequals(parser_->get()[http::field::expect], "100-continue")) return read_body();
  asio::async_write(
      socket_, asio::buffer(go_on), [self = shared_from_this()](error_code ec, std::size_t) {
        if (!self->has_ended(ec)) self->read_body();
      });
}

// -- a body in parts

void http_session::begin_parts() {
  auto request = request_of(parser_->get());
  request.body_follows = true;
  in_parts_ = wanted_ = true;
  hand_over(std::move(request));
  read_or_pause();
}

void http_session::read_part() {
  http::async_read_some(
      socket_, buffer_, *parser_, [self = shared_from_this()](error_code ec, std::size_t) {
        self->handle_part(ec);
      });
}

void http_session::handle_part(error_code ec) {
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

// While nothing is read, this notices a client that resets its connection.
void http_session::read_or_pause() {
  if (wanted_) return read_part();
  paused_ = true;
  socket_.async_wait(
      tcp::socket::wait_error, [self = shared_from_this(), exchange = exchange_](error_code) {
        if (self->exchange_ == exchange && self->paused_ && !self->finished_) self->lose_client();
      });
}

void http_session::break_body() {
  broken_ = true;
  if (const auto current = current_.lock(); current && current->on_broken_body)
    current->on_broken_body();
}

void http_session::lose_client() {
  if (const auto current = current_.lock(); current && current->on_gone) current->on_gone();
  end_socket(socket_, false);
}

void http_session::set_reading(bool on) {
  wanted_ = on;
  if (on && std::exchange(paused_, false)) read_part();
}

void http_session::linger() {
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

void http_session::discard() {
  socket_.async_read_some(
      buffer_.prepare(small_body), [self = shared_from_this()](error_code ec, std::size_t) {
        if (ec)
          self->end_lingering();
        else
          self->discard();
      });
}

void http_session::end_lingering() {
  if (lingers_) end_socket(socket_, false);
}

// -- a whole body

void http_session::read_body() {
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

void http_session::read_whole() {
  begin_patience();
  http::async_read(
      socket_, buffer_, *parser_, [self = shared_from_this()](error_code ec, std::size_t) {
        self->patience_.cancel();
        if (!self->has_ended(ec)) self->dispatch();
      });
}

void http_session::read_growing() {
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

void http_session::begin_patience() {
  patience_.expires_after(body_patience);
  patience_.async_wait([weak = weak_from_this()](error_code ec) {
    if (const auto self = weak.lock(); self && !ec) self->lose_patience();
  });
}

void http_session::lose_patience() {
  end_socket(socket_, false);
  registry_.bodies.give_back(this);  // no read will do it if the body waits for room
}

// -- requests

http_request http_session::request_of(const http::request<http::string_body>& parsed) {
  http_request request;
  request.method = std::string{parsed.method_string()};
  request.target = std::string{path_and_query({parsed.target().data(), parsed.target().size()})};
  for (const auto& field : parsed) {
    const auto name = lower({field.name_string().data(), field.name_string().size()});
    if (field.name() == http::field::transfer_encoding ||
        field.name() == http::field::content_length)
      continue;
    const auto value = std::string{field.value()};
    // If a name is repeated the last value stays, as in the engine.
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

void http_session::dispatch() {
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

void http_session::refuse(unsigned status) {
  keep_alive_ = false;
  broken_ = true;
  finished_ = true;
  write(head_of({.status = status, .headers = {{"content-length", "0"}}, .body = {}}) + "\r\n", 0);
}

void http_session::refuse_body(std::string_view why) {
  patience_.cancel();
  auto request = request_of(parser_->get());
  request.body_fault = why;
  keep_alive_ = false;
  broken_ = true;
  hand_over(std::move(request));
}

void http_session::hand_over(http_request request) {
  finished_ = false;
  body_total_ = 0;
  auto answer = std::make_shared<responder>(shared_from_this(), exchange_);
  current_ = answer;
  if (!request.body_follows) watch_client();
  handler_.on_request(std::move(request), std::move(answer));
}

void http_session::watch_client() {
  socket_.async_wait(
      tcp::socket::wait_read, [self = shared_from_this(), exchange = exchange_](error_code ec) {
        if (self->exchange_ != exchange || self->finished_) return;
        error_code peek;
        if (!ec && self->socket_.available(peek) > 0) return;
        if (const auto current = self->current_.lock(); current && current->on_gone)
          current->on_gone();
      });
}

// -- answers

std::string http_session::head_of(const http_reply& reply) {
  if (in_parts_ || broken_) keep_alive_ = false;
  std::string out = "HTTP/1.1 " + std::to_string(reply.status) + " ";
  const auto reason = http::obsolete_reason(http::int_to_status(reply.status));
  out.append(reason.data(), reason.size()).append("\r\n");
  for (const auto& h : reply.headers)
    out.append(h.name).append(": ").append(h.value).append("\r\n");
  if (!keep_alive_) out += "connection: close\r\n";
  return out;
}

void http_session::write(std::string data, std::uint64_t body_bytes) {
  queue_.push_back({std::move(data), body_bytes});
  if (!writing_) write_next();
}

void http_session::write_next() {
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

void http_session::finish() {
  finished_ = true;
  if (!writing_ && queue_.empty()) next();
}

void http_session::next() {
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

}  // namespace nuncio::testing::engine

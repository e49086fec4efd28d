// See web_socket_session.hpp.
#include "web_socket_session.hpp"

#include <boost/asio/write.hpp>

#include "random_id.hpp"

namespace nuncio::testing::engine {

namespace {

constexpr std::size_t socket_queue_limit = 256U << 20U;  ///< unsent bytes before a peer is dropped

/// Codes with which the real engine lets a client close; it refuses the others.
bool may_close_with(std::uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1013) ||
         (code >= 3000 && code <= 4999);
}

/// The real engine's text for a client that closes with another code.
constexpr std::string_view bad_code = "Protocol violation";

}  // namespace

void socket_session::send(bytes data, bool binary) {
  if (ending_) return;
  // One message may be longer than the limit, as on the real engine.
  const auto waits = std::exchange(queued_bytes_, queued_bytes_ + data.size()) != 0;
  if (waits && queued_bytes_ > socket_queue_limit) return drop_now();
  sent_ += data.size();
  queue_.push_back({std::move(data), binary});
  write();
}

void socket_session::close(std::uint16_t code, std::string reason) {
  if (ending_) return;
  ending_ = true;
  close_with_.emplace(static_cast<websocket::close_code>(code), reason);
  write();
}

void socket_session::drop(bool by_reset) {
  ending_ = true;
  drop_when_flushed_ = true;
  drop_by_reset_ = by_reset;
  write();
}

void socket_session::set_reading(bool on) {
  if (reading_ == on) return;
  reading_ = on;
  resume();
}

void socket_session::set_unsent_max(std::size_t bytes) {
  unsent_max_ = bytes;
  resume();
}

socket_flow socket_session::flow() const {
  return {sent_, sent_ - queued_bytes_ - current_.data.size()};
}

void socket_session::reset_now(bool by_reset) {
  ending_ = true;
  end_socket(stream_.next_layer(), by_reset);
}

bool socket_session::reads() const {
  return reading_ && queued_bytes_ + current_.data.size() <= unsent_max_;
}

void socket_session::resume() {
  if (!stalled_ || !reads()) return;
  stalled_ = false;
  asio::post(stream_.get_executor(), [self = shared_from_this()] {
    if (self->holds_message_)
      self->take();
    else
      self->read();
  });
}

void socket_session::read() {
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

void socket_session::take() {
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

void socket_session::answer_close() {
  if (ending_) return;
  ending_ = true;
  queue_.clear();
  auto answer = stream_.reason();
  if (answer.code != websocket::close_code::none && !may_close_with(answer.code))
    answer = {websocket::close_code::protocol_error, {bad_code.data(), bad_code.size()}};
  stream_.next_layer().let_close();
  stream_.async_close(answer, [self = shared_from_this()](error_code) {});
  // Reported at once: the read ends only when the peer has ended TCP.
  report(websocket::error::closed);
}

void socket_session::gone(error_code ec) {
  const auto was_ending = std::exchange(ending_, true);
  queue_.clear();
  const auto broken =
      ec == websocket::condition::protocol_violation || ec == websocket::error::message_too_big;
  // Other holders of the session must not hold its connection: the peer waits for its end.
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

void socket_session::refuse(error_code why) {
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

void socket_session::linger() {
  error_code ignored;
  stream_.next_layer().shutdown(tcp::socket::shutdown_send, ignored);
  linger_.expires_after(linger_limit);
  linger_.async_wait(
      [self = shared_from_this()](error_code) { end_socket(self->stream_.next_layer(), false); });
}

void socket_session::write() {
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

void socket_session::drop_now() {
  reset_now(true);
  report_end();
}

void socket_session::report(error_code ec) {
  asio::post(stream_.get_executor(), [self = shared_from_this(), ec] { self->gone(ec); });
}

}  // namespace nuncio::testing::engine

// See http_exchange.hpp.
#include <algorithm>
#include <nuncio/support/overloaded.hpp>
#include <nuncio/tunnel/checked_response.hpp>
#include <nuncio/tunnel/http_exchange.hpp>
#include <string>
#include <utility>

namespace nuncio {
namespace {

// Writes below this size are joined up to it: each would need an allocation or two, several times its own length.
constexpr std::size_t join_bytes = 4096;

protocol::to_rivet_response_start plain(std::uint16_t status, std::string_view why) {
  protocol::to_rivet_response_start out;
  out.status = status;
  out.headers.entries.emplace_back("content-type", "text/plain; charset=utf-8");
  out.body = bytes{std::string{why} + "\n"};
  return out;
}

}  // namespace

// -- the request

void http_exchange::handle_request_start(
    std::uint16_t index, protocol::to_envoy_request_start& start) {
  inbound_ = static_cast<std::uint16_t>(index + 1);
  streams_ = start.response_stream;
  to_head_ = start.method.view() == "HEAD";
  auto part = std::exchange(start.body, std::nullopt).value_or(bytes{});
  options_.parts = options_.parts && start.stream;
  if (!start.stream) body_state_ = body::whole;
  if (part.size() > options_.body_bytes_max) return too_large();
  received_ = part.size();
  if (!start.stream) {
    whole_ = std::move(part);
  } else if (options_.parts) {
    parts_bytes_ = part.size();
    if (!part.empty()) parts_.push_back({std::move(part)});
  } else {
    joined_.assign(part.begin(), part.end());
    consumed_ = received_;
  }
}

void http_exchange::handle_request_chunk(
    std::uint16_t index, const protocol::to_envoy_request_chunk& chunk) {
  const auto ahead = static_cast<std::int16_t>(index - inbound_);
  if (!uploading() || ahead < 0) return;
  if (ahead > 0)
    return abort(
        protocol::http_stream_abort_reason_kind::internal_error,
        "a part of the request body was lost");
  ++inbound_;
  received_ += chunk.body.size();
  if (streams_ && received_ - credited_ > http_window_bytes)
    return abort(
        protocol::http_stream_abort_reason_kind::internal_error,
        "the request body's window was exceeded");
  if (options_.parts) {
    parts_bytes_ += chunk.body.size();
    parts_.push_back({chunk.body, chunk.finish});
    if (chunk.finish) body_state_ = body::whole;
    return;
  }
  if (received_ > options_.body_bytes_max) return too_large();
  joined_.insert(joined_.end(), chunk.body.begin(), chunk.body.end());
  consumed_ = received_;
  if (!chunk.finish) return;
  whole_ = bytes{std::exchange(joined_, {})};
  body_state_ = body::whole;
}

void http_exchange::handle_body_cancel() {
  if (!uploading()) return;
  body_state_ = body::given;  // there is nothing left to stop
  if (options_.parts)
    parts_.push_back({{}, false, true, text{"the client aborted its upload"}});
  else
    refuse(400, "the request body ended early");
}

void http_exchange::too_large() {
  refuse(
      413, "the request body is longer than " + std::to_string(options_.body_bytes_max) + " bytes");
}

std::optional<bytes> http_exchange::poll_body() {
  if (body_state_ != body::whole || answered_ || options_.parts) return std::nullopt;
  body_state_ = body::given;
  return std::move(whole_);
}

std::optional<request_part> http_exchange::poll_part() {
  if (parts_.empty()) return std::nullopt;
  auto part = std::move(parts_.front());
  parts_.pop_front();
  parts_bytes_ -= part.data.size();
  consumed_ += part.data.size();
  return part;
}

void http_exchange::cancel_upload() {
  cancel_body_ = streams_ && body_state_ == body::coming;
  drop_request();
}

void http_exchange::drop_request() {
  body_state_ = body::given;
  joined_ = {};
  whole_ = {};
  parts_.clear();
  parts_bytes_ = 0;
}

// -- the response

outcome<void> http_exchange::respond(protocol::to_rivet_response_start response) {
  if (answered_) return failure{errc::invalid_argument, "this exchange has been answered"};
  auto good = check_response(
      std::move(response), {.body_bytes_max = options_.response_bytes_max, .to_head = to_head_});
  if (!good) {
    refuse(500, good.error().message);
    return good.error();
  }
  cancel_upload();
  send(std::move(good->start));
  return {};
}

void http_exchange::refuse(std::uint16_t status, std::string_view why) {
  if (answered_) return;
  cancel_upload();
  send(std::move(check_response(plain(status, why), {.to_head = to_head_})->start));
}

void http_exchange::send(protocol::to_rivet_response_start response) {
  answered_ = true;
  // More than the window would have to wait for credit, so it is sent in parts.
  streaming_ = streams_ && response.body && response.body->size() > http_window_bytes;
  response.stream = streaming_;
  if (streaming_) {
    held_ = response.body->size();
    rest_.push_back(*std::exchange(response.body, std::nullopt));
  }
  head_ = std::move(response);
}

outcome<void> http_exchange::begin(protocol::to_rivet_response_start head) {
  if (answered_) return failure{errc::invalid_argument, "this exchange has been answered"};
  head.body.reset();
  auto good = check_response(std::move(head), {.to_head = to_head_, .streamed = true});
  if (!good) {
    refuse(500, good.error().message);
    return good.error();
  }
  if (!good->has_body) {
    cancel_upload();
    send(std::move(good->start));
    return {};
  }
  answered_ = writing_ = streaming_ = true;
  declared_ = good->length;
  good->start.stream = streams_;
  head_ = std::move(good->start);
  return {};
}

std::size_t http_exchange::room() const {
  if (!writing_) return 0;
  if (streams_) return static_cast<std::size_t>(http_window_bytes) - held_;
  return options_.response_bytes_max - held_ + 1;
}

outcome<void> http_exchange::write(bytes data) {
  if (!writing_) return failure{errc::cancelled, "this response is over"};
  if (streams_ && data.size() > room())
    return failure{
        errc::queue_full,
        "a response takes " + std::to_string(room()) + " bytes now, not " +
            std::to_string(data.size())};
  if (!streams_ && held_ + data.size() > options_.response_bytes_max) {
    const auto why = "the response body is longer than " +
                     std::to_string(options_.response_bytes_max) +
                     " bytes, and this gateway does not stream";
    fail(why);
    return failure{errc::too_large, why};
  }
  if (declared_ && data.size() > *declared_ - written_) {
    const auto why = "the handler wrote more than the " + std::to_string(*declared_) +
                     " bytes of its content-length";
    fail(why);
    return failure{errc::invalid_argument, why};
  }
  if (data.empty()) return {};
  written_ += data.size();
  held_ += data.size();
  append(std::move(data));
  return {};
}

void http_exchange::append(bytes data) {
  if (data.size() >= join_bytes) {
    close_tail();
    rest_.push_back(std::move(data));
    return;
  }
  for (auto left = data.span(); !left.empty();) {
    const auto part = left.first(std::min(left.size(), join_bytes - tail_.size()));
    if (const auto size = tail_.size() + part.size(); size > tail_.capacity())
      tail_.reserve(std::min(join_bytes, std::max(size, 2 * tail_.capacity())));
    tail_.insert(tail_.end(), part.begin(), part.end());
    left = left.subspan(part.size());
    if (tail_.size() == join_bytes) close_tail();
  }
}

void http_exchange::close_tail() {
  if (tail_.empty()) return;
  tail_.shrink_to_fit();
  rest_.emplace_back(std::exchange(tail_, {}));
}

outcome<void> http_exchange::finish() {
  if (!writing_) return {};
  if (declared_ && written_ != *declared_) {
    const auto why = "the handler wrote " + std::to_string(written_) + " of the " +
                     std::to_string(*declared_) + " bytes of its content-length";
    fail(why);
    return failure{errc::invalid_argument, why};
  }
  writing_ = false;
  if (streams_) return {};
  head_->body = next_chunk(held_);
  streaming_ = false;
  return {};
}

void http_exchange::fail(std::string_view why, std::uint16_t status) {
  if (answered_ && !head_)
    return abort(protocol::http_stream_abort_reason_kind::handler_error, why);
  drop_response();
  answered_ = false;
  refuse(status, why);
}

void http_exchange::drop_response() {
  writing_ = streaming_ = false;
  head_.reset();
  rest_.clear();
  tail_ = {};
  held_ = 0;
}

// Drops everything pending, inbound and outbound, except for a final message.
void http_exchange::drop_all() {
  answered_ = true;
  drop_request();
  drop_response();
}

void http_exchange::abort(protocol::http_stream_abort_reason_kind kind, std::string_view detail) {
  if (done() || abort_) return;
  drop_all();
  abort_.emplace().kind = kind;
  if (!detail.empty()) abort_->detail = text{detail};
}

void http_exchange::handle_window_update(std::uint64_t total, std::optional<std::uint16_t> index) {
  // All messages of the gateway share one count, so this takes the place of one between two chunks. If an earlier one is
  // missing, the next chunk detects that.
  if (index == inbound_) ++inbound_;
  // Totals, so a lost or late update does no harm. Credit for bytes that were never sent does not count.
  acknowledged_ = std::clamp(total, acknowledged_, std::max(sent_, acknowledged_));
}

// How much has passed in either direction, if only the engine can make progress.
std::optional<std::uint64_t> http_exchange::waits_at() const {
  const bool for_body = uploading() && consumed_ == received_;
  const bool for_credit =
      streams_ && streaming_ && held_ != 0 && sent_ - acknowledged_ == http_outstanding_bytes_max;
  return for_body || for_credit ? std::optional{received_ + acknowledged_} : std::nullopt;
}

void http_exchange::handle_quiet() {
  const auto before = std::exchange(quiet_at_, waits_at());
  if (before && before == quiet_at_) give_up_client();
}

void http_exchange::give_up_client() {
  if (answered_)
    abort(protocol::http_stream_abort_reason_kind::cancelled, "the client has stopped reading");
  else
    refuse(408, "the request body stopped arriving");
}

// The next `size` bytes of the response: cut from one write, or joined from several.
bytes http_exchange::next_chunk(std::size_t size) {
  held_ -= size;
  close_tail();
  if (rest_.empty()) return {};
  auto& front = rest_.front();
  if (front.size() > size) {
    bytes part{front.part(0, size)};
    front = bytes{front.part(size)};
    return part;
  }
  if (front.size() == size) {
    auto part = std::move(front);
    rest_.pop_front();
    return part;
  }
  std::vector<std::uint8_t> joined;
  joined.reserve(size);
  while (joined.size() < size) {
    auto& next = rest_.front();
    const auto part = next.part(0, size - joined.size());
    joined.insert(joined.end(), part.begin(), part.end());
    if (part.size() == next.size())
      rest_.pop_front();
    else
      next = bytes{next.part(part.size())};
  }
  return bytes{std::move(joined)};
}

std::optional<protocol::to_rivet_tunnel_message> http_exchange::poll_transmit() {
  const auto message = [&](protocol::to_rivet_tunnel_message_kind kind) {
    return protocol::to_rivet_tunnel_message{{id_.gateway, id_.request, index_++}, std::move(kind)};
  };
  if (std::exchange(cancel_body_, false)) return message(protocol::to_rivet_request_body_cancel{});
  if (abort_)
    return message(protocol::to_rivet_response_abort{*std::exchange(abort_, std::nullopt)});
  // Half a window is often enough that the sender need not stall, and saves messages.
  if (streams_ && body_state_ == body::coming && consumed_ - credited_ >= http_window_bytes / 2) {
    credited_before_ = std::exchange(credited_, consumed_);
    return message(protocol::to_rivet_request_body_window_update{credited_});
  }
  if (head_ && (streams_ || !writing_)) return message(*std::exchange(head_, std::nullopt));
  if (!streaming_ || !streams_) return std::nullopt;
  const auto credit = http_outstanding_bytes_max - (sent_ - acknowledged_);
  const auto size = std::min({held_, http_chunk_bytes_max, static_cast<std::size_t>(credit)});
  const auto ends = !writing_ && size == held_;
  if (size == 0 && !ends) return std::nullopt;
  auto part = next_chunk(size);
  sent_ += size;
  streaming_ = !ends;
  return message(protocol::to_rivet_response_chunk{std::move(part), ends});
}

void http_exchange::handle_not_sent(protocol::to_rivet_tunnel_message message, const failure& why) {
  --index_;
  if (why.code == errc::queue_full) return put_back(std::move(message.message_kind));
  if (why.code != errc::cancelled) return replace(message.message_kind, why.message);
  drop_all();
  cancel_body_ = false;
  abort_.reset();
}

void http_exchange::put_back(protocol::to_rivet_tunnel_message_kind kind) {
  std::visit(
      overloaded{
          [&](protocol::to_rivet_response_start& x) { head_ = std::move(x); },
          [&](protocol::to_rivet_response_chunk& x) {
            sent_ -= x.body.size();
            held_ += x.body.size();
            if (!x.body.empty()) rest_.push_front(std::move(x.body));
            streaming_ = true;
          },
          [&](protocol::to_rivet_response_abort& x) { abort_ = std::move(x.reason); },
          [&](protocol::to_rivet_request_body_cancel&) { cancel_body_ = true; },
          [&](protocol::to_rivet_request_body_window_update&) { credited_ = credited_before_; },
          [](auto&) {}},
      kind);
}

// Our own texts are never refused, but this must not loop.
void http_exchange::replace(
    const protocol::to_rivet_tunnel_message_kind& kind, std::string_view why) {
  const auto* cut = std::get_if<protocol::to_rivet_response_abort>(&kind);
  if (std::holds_alternative<protocol::to_rivet_response_start>(kind) &&
      !std::exchange(replaced_, true)) {
    drop_response();
    answered_ = false;
    refuse(500, why);
  } else if (cut == nullptr) {
    drop_all();
    abort_.emplace().kind = protocol::http_stream_abort_reason_kind::internal_error;
    abort_->detail = text{why};
  } else if (cut->reason.detail) {
    abort_.emplace().kind = cut->reason.kind;  // without the text that is refused
  }
}

}  // namespace nuncio

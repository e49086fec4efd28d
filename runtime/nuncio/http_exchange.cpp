// See http_exchange.hpp.
#include <algorithm>
#include <nuncio/http_exchange.hpp>
#include <string>
#include <utility>

namespace nuncio {
namespace {

constexpr std::uint16_t first_version_with_credits = 8;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_token(std::string_view x) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  const auto good = [&](char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
           marks.find(c) != std::string_view::npos;
  };
  return !x.empty() && std::all_of(x.begin(), x.end(), good);
}

bool is_value(std::string_view x) {
  return std::all_of(
      x.begin(), x.end(), [](char c) { return c == '\t' || (c >= ' ' && c <= '~'); });
}

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

protocol::to_rivet_response_start plain(std::uint16_t status, std::string_view why) {
  protocol::to_rivet_response_start out;
  out.status = status;
  out.headers.entries.emplace_back("content-type", "text/plain; charset=utf-8");
  out.body = bytes{std::string{why} + "\n"};
  return out;
}

}  // namespace

outcome<void> check_response_head(std::uint16_t status, const wire::map_of<text, text>& headers) {
  if (status < 100 || status > 999)
    return failure{
        errc::invalid_argument,
        "response status " + std::to_string(status) + " is not within 100 to 999"};
  const auto& all = headers.entries;
  for (auto at = all.begin(); at != all.end(); ++at) {
    if (!is_token(at->first))
      return failure{
          errc::invalid_argument,
          "a response header's name is not a token of ASCII letters, digits and marks"};
    if (!is_value(at->second))
      return failure{
          errc::invalid_argument,
          "the value of response header " + at->first.str() + " is not visible ASCII"};
    if (std::any_of(all.begin(), at, [&](const auto& x) { return same_name(x.first, at->first); }))
      return failure{
          errc::invalid_argument,
          "response header " + at->first.str() + " is there twice; the engine takes one"};
  }
  return {};
}

// -- the request

void http_exchange::handle_request_start(protocol::to_envoy_request_start start) {
  if (request_) return;
  const bool whole = !start.stream;
  auto body = std::exchange(start.body, std::nullopt);
  request_ = std::move(start);
  if (body && body->size() > options_.body_bytes_max) return too_large();
  if (options_.stream_request) {
    if (whole) parts_.push_back({body.value_or(bytes{}), true});
  } else if (whole) {
    request_->body = std::move(body);
  } else if (body) {
    joined_.assign(body->begin(), body->end());
  }
  request_whole_ = whole;
}

void http_exchange::handle_request_chunk(const protocol::to_envoy_request_chunk& chunk) {
  if (!request_ || request_whole_ || body_refused_ || closed_) return;
  received_ += chunk.body.size();
  if (received_ - credited_ > http_window_bytes &&
      options_.protocol_version >= first_version_with_credits)
    return abort(
        protocol::http_stream_abort_reason_kind::internal_error,
        "the request body's window was exceeded");
  request_whole_ = chunk.finish;
  if (options_.stream_request) {
    // Without credits the sender can't be slowed down, so the bound ends the exchange.
    if (received_ - consumed_ > std::max<std::uint64_t>(http_window_bytes, options_.body_bytes_max))
      return too_large();
    parts_.push_back(chunk);
    return;
  }
  if (joined_.size() + chunk.body.size() > options_.body_bytes_max) return too_large();
  joined_.insert(joined_.end(), chunk.body.begin(), chunk.body.end());
  consumed_ = received_;
  if (!request_whole_) return give_credit(false);
  request_->body = bytes{std::move(joined_)};
  joined_ = {};
}

void http_exchange::handle_body_cancel() {
  if (!request_ || request_whole_ || closed_) return;
  body_refused_ = true;
  // A handler of whole requests never saw this one.
  if (!options_.stream_request) send_error(400, "the request's body ended early");
}

void http_exchange::give_credit(bool all) {
  if (options_.protocol_version < first_version_with_credits || closed_ || body_refused_) return;
  // Half a window is often enough that the sender need not stall, and spares messages.
  if (consumed_ == credited_ || (!all && consumed_ - credited_ < http_window_bytes / 2)) return;
  credited_ = consumed_;
  control_.push_back(protocol::to_rivet_request_body_window_update{credited_});
}

void http_exchange::too_large() {
  joined_ = {};
  parts_.clear();
  if (!request_whole_ && request_->stream &&
      options_.protocol_version >= first_version_with_credits)
    control_.push_back(protocol::to_rivet_request_body_cancel{});
  body_refused_ = true;
  request_given_ = request_given_ || !options_.stream_request;
  send_error(
      413,
      "the request's body is longer than " + std::to_string(options_.body_bytes_max) + " bytes");
}

std::optional<protocol::to_envoy_request_start> http_exchange::poll_request() {
  if (!request_ || request_given_ || closed_ || (!options_.stream_request && !request_whole_))
    return std::nullopt;
  request_given_ = true;
  auto out = *request_;
  request_->body.reset();
  return out;
}

std::optional<protocol::to_envoy_request_chunk> http_exchange::poll_body() {
  if (parts_.empty() || closed_) return std::nullopt;
  auto part = std::move(parts_.front());
  parts_.pop_front();
  consumed_ += part.body.size();
  if (!request_whole_) give_credit(parts_.empty() && received_ - credited_ > http_window_bytes / 2);
  return part;
}

// -- the response

outcome<void> http_exchange::check_open() const {
  if (cancelled_) return failure{errc::cancelled, "the client or the engine gave this exchange up"};
  if (!request_) return failure{errc::invalid_argument, "there is no request yet"};
  if (closed_) return failure{errc::invalid_argument, "this exchange has been answered"};
  return {};
}

outcome<void> http_exchange::respond(protocol::to_rivet_response_start response) {
  if (auto open = check_open(); !open) return open;
  if (answered_) return failure{errc::invalid_argument, "a response has been begun already"};
  if (auto head = check_response_head(response.status, response.headers); !head) {
    send_error(500, head.error().message);
    return head;
  }
  const auto size = response.body ? response.body->size() : 0;
  if (size > options_.response_bytes_max) {
    failure why{
        errc::too_large,
        "the response's body has " + std::to_string(size) + " bytes; the engine takes " +
            std::to_string(options_.response_bytes_max)};
    send_error(500, why.message);
    return why;
  }
  send_complete(std::move(response));
  return {};
}

void http_exchange::send_complete(protocol::to_rivet_response_start response) {
  answered_ = closed_ = true;
  response.stream = false;
  head_ = std::move(response);
  // More than the window would be cut by a gateway that counts it, so it goes in parts.
  if (streams() && head_->body && head_->body->size() > http_window_bytes) {
    head_->stream = true;
    buffered_ = head_->body->size();
    body_.push_back(*std::exchange(head_->body, std::nullopt));
    finishing_ = true;
  }
}

void http_exchange::send_error(std::uint16_t status, std::string_view why) {
  if (closed_) return;
  if (answered_ && !collecting_)
    return abort(protocol::http_stream_abort_reason_kind::handler_error, why);
  body_.clear();
  buffered_ = 0;
  collecting_ = false;
  send_complete(plain(status, why));
}

outcome<void> http_exchange::start_response(
    std::uint16_t status, wire::map_of<text, text> headers) {
  if (auto open = check_open(); !open) return open;
  if (answered_) return failure{errc::invalid_argument, "a response has been begun already"};
  if (auto head = check_response_head(status, headers); !head) {
    send_error(500, head.error().message);
    return head;
  }
  answered_ = true;
  collecting_ = !streams();
  head_ = protocol::to_rivet_response_start{status, std::move(headers), std::nullopt, !collecting_};
  return {};
}

std::size_t http_exchange::writable() const {
  if (!answered_ || closed_) return 0;
  const auto bound = collecting_ ? options_.response_bytes_max : options_.buffer_bytes_max;
  return bound - std::min(bound, buffered_);
}

outcome<void> http_exchange::write_chunk(bytes part) {
  if (auto open = check_open(); !open) return open;
  if (!answered_) return failure{errc::invalid_argument, "start_response comes first"};
  if (part.empty()) return {};
  if (collecting_ && part.size() > writable()) {
    failure why{
        errc::too_large,
        "the response's body has more than " + std::to_string(options_.response_bytes_max) +
            " bytes, and this engine takes no stream"};
    send_error(500, why.message);
    return why;
  }
  // A part larger than the whole buffer passes when nothing waits, or it never could.
  if (part.size() > writable() && buffered_ != 0)
    return failure{
        errc::queue_full,
        "the client is slower than the handler: write again when it has read more"};
  buffered_ += part.size();
  body_.push_back(std::move(part));
  return {};
}

outcome<void> http_exchange::finish() {
  if (auto open = check_open(); !open) return open;
  if (!answered_) return failure{errc::invalid_argument, "start_response comes first"};
  if (!collecting_) {
    finishing_ = closed_ = true;
    return {};
  }
  std::vector<std::uint8_t> all;
  all.reserve(buffered_);
  for (const auto& part : body_) all.insert(all.end(), part.begin(), part.end());
  body_.clear();
  buffered_ = 0;
  auto head = std::move(*head_);
  if (!all.empty()) head.body = bytes{std::move(all)};
  collecting_ = false;
  send_complete(std::move(head));
  return {};
}

void http_exchange::drop_buffers() {
  joined_ = {};
  parts_.clear();
  control_.clear();
  head_.reset();
  body_.clear();
  buffered_ = 0;
  finishing_ = false;
  closed_ = true;
}

void http_exchange::handle_abort() {
  drop_buffers();
  cancelled_ = true;
}

void http_exchange::handle_window_update(std::uint64_t total) {
  // Credit for what was never sent is none.
  acknowledged_ = std::clamp(total, acknowledged_, std::max(sent_, acknowledged_));
}

void http_exchange::abort(protocol::http_stream_abort_reason_kind kind, std::string_view detail) {
  if (closed_ && done()) return;
  // A complete answer that waits to be sent is better than none.
  if (closed_ && !finishing_) return;
  drop_buffers();
  protocol::http_stream_abort_reason why{kind, std::nullopt};
  if (!detail.empty()) why.detail = text{detail};
  control_.push_back(protocol::to_rivet_response_abort{std::move(why)});
}

void http_exchange::fail(std::string_view why) { send_error(500, why); }

std::optional<protocol::to_rivet_tunnel_message> http_exchange::poll_transmit() {
  const auto message = [&](protocol::to_rivet_tunnel_message_kind kind) {
    return protocol::to_rivet_tunnel_message{{id_.gateway, id_.request, index_++}, std::move(kind)};
  };
  if (!control_.empty()) {
    auto kind = std::move(control_.front());
    control_.pop_front();
    return message(std::move(kind));
  }
  if (collecting_) return std::nullopt;
  if (head_) {
    auto head = std::move(*head_);
    head_.reset();
    return message(std::move(head));
  }
  if (body_.empty()) {
    if (!finishing_) return std::nullopt;
    finishing_ = false;
    return message(protocol::to_rivet_response_chunk{{}, true});
  }
  const auto credit = http_window_bytes - (sent_ - acknowledged_);
  if (credit == 0) return std::nullopt;
  auto& first = body_.front();
  const auto size =
      std::min({first.size(), http_chunk_bytes_max, static_cast<std::size_t>(credit)});
  bytes part{first.part(0, size)};
  if (size == first.size())
    body_.pop_front();
  else
    first = bytes{first.part(size)};
  sent_ += size;
  buffered_ -= size;
  const bool last = finishing_ && body_.empty();
  if (last) finishing_ = false;
  return message(protocol::to_rivet_response_chunk{std::move(part), last});
}

}  // namespace nuncio

// See http_exchange.hpp.
#include <algorithm>
#include <nuncio/http_exchange.hpp>
#include <string>
#include <utility>

namespace nuncio {
namespace {

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

outcome<void> check_response(
    const protocol::to_rivet_response_start& response, std::size_t body_bytes_max) {
  if (response.status < 100 || response.status > 999)
    return failure{
        errc::invalid_argument,
        "the handler answered with status " + std::to_string(response.status) +
            ", which is not one of 100 to 999"};
  if (response.body && response.body->size() > body_bytes_max)
    return failure{
        errc::too_large,
        "the response body has " + std::to_string(response.body->size()) +
            " bytes, the engine takes at most " + std::to_string(body_bytes_max)};
  const auto& all = response.headers.entries;
  for (auto at = all.begin(); at != all.end(); ++at) {
    const auto fault = [&](std::string_view what) {
      return failure{
          errc::invalid_argument,
          "the response header '" + at->first.str() + "' " + std::string{what}};
    };
    if (!is_token(at->first)) return fault("is not valid HTTP: its name is no token");
    if (!is_value(at->second)) return fault("is not valid HTTP: its value is not visible ASCII");
    if (std::any_of(all.begin(), at, [&](const auto& x) { return same_name(x.first, at->first); }))
      return fault("is there twice; the engine takes one");
  }
  return {};
}

// -- the request

void http_exchange::handle_request_start(
    std::uint16_t index, protocol::to_envoy_request_start& start) {
  inbound_ = static_cast<std::uint16_t>(index + 1);
  streams_ = start.response_stream;
  auto part = std::exchange(start.body, std::nullopt).value_or(bytes{});
  if (!start.stream) body_state_ = body::whole;
  if (part.size() > options_.body_bytes_max) return too_large();
  if (start.stream)
    joined_.assign(part.begin(), part.end());
  else
    whole_ = std::move(part);
}

void http_exchange::handle_request_chunk(
    std::uint16_t index, const protocol::to_envoy_request_chunk& chunk) {
  const auto ahead = static_cast<std::int16_t>(index - inbound_);
  if (!uploading() || ahead < 0) return;
  if (ahead > 0)
    return abort(
        protocol::http_stream_abort_reason_kind::internal_error,
        "a part of the request's body was lost");
  ++inbound_;
  const auto size = joined_.size() + chunk.body.size();
  if (streams_ && size - credited_ > http_window_bytes)
    return abort(
        protocol::http_stream_abort_reason_kind::internal_error,
        "the request body's window was exceeded");
  if (size > options_.body_bytes_max) return too_large();
  joined_.insert(joined_.end(), chunk.body.begin(), chunk.body.end());
  if (!chunk.finish) return;
  whole_ = bytes{std::exchange(joined_, {})};
  body_state_ = body::whole;
}

void http_exchange::handle_body_cancel() {
  if (!uploading()) return;
  body_state_ = body::given;  // there is nothing left to stop
  refuse(400, "the request's body ended early");
}

void http_exchange::too_large() {
  refuse(
      413,
      "the request body is longer than " + std::to_string(options_.body_bytes_max) + " bytes");
}

std::optional<bytes> http_exchange::poll_body() {
  if (body_state_ != body::whole || answered_) return std::nullopt;
  body_state_ = body::given;
  return std::move(whole_);
}

// -- the response

outcome<void> http_exchange::respond(protocol::to_rivet_response_start response) {
  if (answered_) return failure{errc::invalid_argument, "this exchange has been answered"};
  if (auto good = check_response(response, options_.response_bytes_max); !good) {
    refuse(500, good.error().message);
    return good;
  }
  send(std::move(response));
  return {};
}

void http_exchange::refuse(std::uint16_t status, std::string_view why) {
  if (answered_) return;
  cancel_body_ = streams_ && body_state_ == body::coming;
  send(plain(status, why));
}

void http_exchange::send(protocol::to_rivet_response_start response) {
  answered_ = true;
  joined_ = {};
  whole_ = {};
  // More than the window would have to wait for credit, so it goes in parts.
  streaming_ = streams_ && response.body && response.body->size() > http_window_bytes;
  response.stream = streaming_;
  if (streaming_) {
    rest_ = *std::exchange(response.body, std::nullopt);
    held_ = rest_.size();
  }
  head_ = std::move(response);
}

void http_exchange::abort(
    protocol::http_stream_abort_reason_kind kind, std::string_view detail) {
  if (done() || abort_) return;
  answered_ = true;
  streaming_ = false;
  joined_ = {};
  whole_ = {};
  rest_ = {};
  head_.reset();
  abort_.emplace().kind = kind;
  if (!detail.empty()) abort_->detail = text{detail};
}

void http_exchange::handle_window_update(std::uint64_t total) {
  // Totals, so that one that is lost or comes late does no harm. Credit for what was never sent is
  // none.
  acknowledged_ = std::clamp(total, acknowledged_, std::max(sent_, acknowledged_));
}

std::optional<protocol::to_rivet_tunnel_message> http_exchange::poll_transmit() {
  const auto message = [&](protocol::to_rivet_tunnel_message_kind kind) {
    return protocol::to_rivet_tunnel_message{{id_.gateway, id_.request, index_++}, std::move(kind)};
  };
  if (std::exchange(cancel_body_, false)) return message(protocol::to_rivet_request_body_cancel{});
  if (abort_) return message(protocol::to_rivet_response_abort{*std::exchange(abort_, std::nullopt)});
  // Half a window is often enough that the sender need not stall, and spares messages.
  if (streams_ && uploading() && joined_.size() - credited_ >= http_window_bytes / 2) {
    credited_ = joined_.size();
    return message(protocol::to_rivet_request_body_window_update{credited_});
  }
  if (head_) return message(*std::exchange(head_, std::nullopt));
  if (!streaming_) return std::nullopt;
  const auto credit = http_window_bytes - (sent_ - acknowledged_);
  if (credit == 0) return std::nullopt;
  const auto size = std::min({rest_.size(), http_chunk_bytes_max, static_cast<std::size_t>(credit)});
  bytes part{rest_.part(0, size)};
  rest_ = bytes{rest_.part(size)};
  sent_ += size;
  streaming_ = !rest_.empty();
  return message(protocol::to_rivet_response_chunk{std::move(part), !streaming_});
}

}  // namespace nuncio

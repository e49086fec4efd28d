// The streaming part of engine_actor.
#include <nuncio/actor/instance_context.hpp>
#include <nuncio/actor/instance_sockets.hpp>
#include <nuncio/actor/instance_streams.hpp>
#include <nuncio/host/counters.hpp>
#include <nuncio/tunnel/shared_request.hpp>

namespace nuncio {

// @returns none if `x` does not belong to a stream
std::optional<caf::invoke_message_result> engine_actor::consume_stream(caf::mailbox_element& x) {
  using caf::invoke_message_result;
  auto& content = x.content();
  if (content.match_elements<internal::exchange_input>()) {
    if (streams_) streams_->handle(content.get_as<internal::exchange_input>(0));
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::response_credited>()) {
    if (streams_) streams_->handle_credited(content.get_as<internal::response_credited>(0));
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::room_freed>()) {
    if (sockets_) sockets_->handle_room();
    if (streams_) streams_->handle_room();
    finish_if_answered();
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::stream_quiet>()) {
    if (streams_) streams_->handle_quiet(content.get_as<internal::stream_quiet>(0).ticket);
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::upload_over>()) {
    const auto& over = content.get_as<internal::upload_over>(0);
    const auto touched = (streams_ && streams_->handle_over(over)) ||
                         (over.ticket <= newest_ticket_ && !skipped_.contains(over.ticket));
    if (!touched) internal::tell(*context_, internal::upload_untouched{over});
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::stream_turn>()) {
    // Like all other handlers, theirs wait while the actor awaits something.
    if (!awaited_responses_.empty()) return invoke_message_result::skipped;
    streams_->turn(content.get_as<internal::stream_turn>(0).ticket);
    return invoke_message_result::consumed;
  }
  if (content.match_elements<internal::stream_over>()) {
    if (!awaited_responses_.empty()) return invoke_message_result::skipped;
    streams_->tell_handlers(*content.get_as<internal::stream_over>(0).which);
    return invoke_message_result::consumed;
  }
  return std::nullopt;
}

std::size_t engine_actor::open_requests() const {
  return begun_.size() + (streams_ ? streams_->responding() : 0);
}

body_writer engine_actor::stream(const http_request& r, http_response head) {
  const auto begun = begun_.find(r.ticket);
  // The client has gone, the request was answered, or ingress is taking it back right now.
  if (begun == begun_.end() || !begun->second.claim->take()) return {};
  if (!streams_) streams_ = std::make_unique<internal::instance_streams>(this);
  const auto x = streams_->at(r.ticket, begun->second.position);
  begun_.erase(
      begun);  // a response that has begun may go on for ever: finish() does not wait for it
  context_->counts->responses.fetch_add(1, std::memory_order_relaxed);
  internal::tell(*context_, internal::response_begun{context_->start.self, r.exchange, r.ticket});
  protocol::to_rivet_response_start start;
  start.status = head.status;
  start.headers.entries = std::move(head.headers);
  const auto good = x->exchange.begin(std::move(start));
  if (!x->exchange.writing())
    x->why = text{
        good ? "a response to HEAD, or with status 204, 205 or 304, has no body"
             : good.error().message};
  if (!good)
    internal::log_limited(
        *context_,
        log_level::error,
        "a response can't be sent; the client gets 500",
        {{"reason", good.error().message}});
  body_writer out{x};
  if (!head.body.empty()) static_cast<void>(out.write(std::move(head.body)));
  streams_->advance_later(*x);
  finish_if_answered();
  return out;
}

void engine_actor::on_writable(const body_writer& to, writable_handler handler) {
  if (!to.stream_ || to.stream_->of == nullptr) return;
  to.stream_->on_writable = std::make_shared<writable_handler>(std::move(handler));
  to.stream_->wrote = true;
  to.stream_->of->wake(*to.stream_);
}

body_reader engine_actor::on_body(const http_request& r, part_handler handler) {
  const auto x = r.streamed && streams_ ? streams_->find(r.ticket) : nullptr;
  if (!x) {
    handler({r.body, !r.streamed, r.streamed});
    return {};
  }
  if (!r.body.empty()) handler({r.body});
  x->on_part = std::make_shared<part_handler>(std::move(handler));
  streams_->wake(*x);
  return body_reader{x};
}

}  // namespace nuncio

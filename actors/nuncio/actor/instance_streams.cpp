// See instance_streams.hpp and stream.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <nuncio/actor/access.hpp>
#include <nuncio/actor/instance_streams.hpp>
#include <nuncio/client/error_category.hpp>
#include <nuncio/host/counters.hpp>
#include <nuncio/tunnel/shared_request.hpp>
#include <nuncio/tunnel/transmit.hpp>

namespace nuncio {
namespace internal {
namespace {

// Bytes that one turn hands out before other messages of the actor are handled.
constexpr std::size_t turn_bytes = 256UL << 10U;

// When a writer that found too little room beside other responses is called again: they may stay for minutes.
constexpr std::chrono::milliseconds ask_again_interval{100};

}  // namespace

instance_streams::instance_streams(engine_actor* owner)
    : owner_(owner),
      waiting_(std::make_shared<waiting_pool>(
          access::context(*owner).written_bytes_max, access::context(*owner).written)) {
  collected_.join(
      access::context(*owner).written,
      http_window_bytes,
      access::context(*owner).written_bytes_max);
}

instance_streams::~instance_streams() {
  for (const auto& [ticket, x] : std::exchange(all_, {})) {
    x->of = nullptr;
    share_of(*x).give_back(std::exchange(x->charged, 0));
  }
}

stream_ptr instance_streams::at(std::uint64_t ticket, const exchange_position& position) {
  auto& x = all_[ticket];
  if (!x) {
    const auto& context = access::context(*owner_);
    x = std::make_shared<stream>(
        position,
        http_exchange_options{.response_bytes_max = context.response_bytes_max},
        ticket,
        this);
    x->share.join(waiting_, http_chunk_bytes_max, SIZE_MAX);
  }
  return x;
}

stream_ptr instance_streams::find(std::uint64_t ticket) const {
  const auto found = all_.find(ticket);
  return found != all_.end() ? found->second : nullptr;
}

std::size_t instance_streams::responding() const {
  return static_cast<std::size_t>(std::count_if(all_.begin(), all_.end(), [](const auto& each) {
    return each.second->written || each.second->exchange.writing();
  }));
}

// -- from ingress

void instance_streams::handle(const exchange_input& what) {
  const auto x = find(what.ticket);
  if (!x) return;
  if (const auto* chunk = std::get_if<protocol::to_envoy_request_chunk>(&what.kind)) {
    x->exchange.handle_request_chunk(what.index, *chunk);
  } else if (std::holds_alternative<protocol::to_envoy_request_body_cancel>(what.kind)) {
    x->exchange.handle_body_cancel();
  } else if (
      const auto* update =
          std::get_if<protocol::to_envoy_response_body_window_update>(&what.kind)) {
    x->exchange.handle_window_update(update->consumed_bytes, what.index);
    x->wrote = true;
    if (x->on_way) x->on_way->take(0);
  }
  advance(*x);
  wake(*x);
}

void instance_streams::handle_credited(const response_credited& what) {
  const auto total = what.credit->take_word();
  const auto x = find(what.ticket);
  if (!x) return;
  x->exchange.handle_window_update(total);
  x->wrote = true;
  advance(*x);
  wake(*x);
}

void instance_streams::handle_quiet(std::uint64_t ticket) {
  const auto x = find(ticket);
  if (!x) return;
  x->exchange.handle_quiet();
  advance(*x);
}

bool instance_streams::handle_over(const upload_over& what) {
  const auto x = find(what.ticket);
  if (!x) return false;
  const auto answered = x->written || x->exchange.writing();
  if (answered && what.status != 0) return true;  // just now
  x->why = text{what.why};
  if (what.status != 0)
    x->exchange.refuse(what.status, what.why);
  else
    x->exchange.abort(protocol::http_stream_abort_reason_kind::internal_error, what.why);
  advance(*x);
  return true;
}

bool instance_streams::handle_cancelled(const attempt_cancelled& what) {
  const auto x = find(what.ticket);
  if (!x) return false;
  x->why = what.why;
  leave(*x);
  tell_handlers(*x);
  return true;
}

// -- the turns of handlers

void instance_streams::wake(stream& x) {
  if (x.of == nullptr || x.pumping || (!x.on_part && !x.on_writable)) return;
  x.pumping = true;
  post(owner_, stream_turn{x.ticket});
}

void instance_streams::turn(std::uint64_t ticket) {
  const auto kept = find(ticket);
  if (!kept) return;
  auto& x = *kept;
  x.pumping = false;
  if (std::exchange(x.crowded_out, false)) x.wrote = true;
  std::size_t given = 0;
  while (x.of != nullptr && x.on_part && !x.paused && given < turn_bytes) {
    const auto part = x.exchange.poll_part();
    if (!part) break;
    given += part->data.size();
    if (x.on_way) x.on_way->take(part->data.size());
    x.read_all = part->last || part->failed;
    const auto handler = x.on_part;
    (*handler)(*part);
  }
  if (x.of == nullptr) return;
  advance(x);
  if (given >= turn_bytes) wake(x);
  if (x.of == nullptr || !x.on_writable || !x.exchange.writing() || room(x) == 0) return;
  if (!std::exchange(x.wrote, false)) return;
  const auto handler = x.on_writable;
  body_writer writer{kept};
  (*handler)(writer);
  if (x.of == nullptr) return;
  if (x.wrote)
    wake(x);
  else if (room(x) < x.exchange.room())
    ask_again(x);
}

// The client has gone, or the exchange was cut: each handler that is not finished is notified once.
void instance_streams::tell_handlers(stream& x) {
  std::erase_if(untold_, [&](const stream_ptr& each) { return each.get() == &x; });
  const auto on_part = std::exchange(x.on_part, nullptr);
  const auto on_writable = std::exchange(x.on_writable, nullptr);
  if (on_part && !x.read_all) (*on_part)({{}, false, true, x.why});
  body_writer writer{x.shared_from_this()};
  if (on_writable && !x.written) (*on_writable)(writer);
}

// -- to the engine

void instance_streams::advance_later(stream& x) {
  charge(x);
  if (!std::exchange(x.due, true)) due_.push_back(x.shared_from_this());
}

void instance_streams::flush() {
  for (const auto& x : std::exchange(due_, {})) {
    x->due = false;
    advance(*x);
  }
}

void instance_streams::advance(stream& x) {
  if (x.of == nullptr) return;
  const auto sent = transmit(
      x.exchange, *access::context(*owner_).link, source_of(access::shared_context(*owner_)));
  charge(x);
  if (sent.refused) report(*sent.refused);
  if (x.exchange.done()) return close(x);
  if (!sent.waits) return;
  // A complete one waits at ingress, where it is counted.
  if (x.exchange.whole()) return close(x);
  crowded_.join(x);
}

void instance_streams::handle_room() {
  crowded_.handle_room([&](stream& x) -> stream* {
    const auto kept = x.shared_from_this();
    x.wrote = true;
    advance(x);
    wake(x);
    return x.of != nullptr ? &x : nullptr;
  });
}

void instance_streams::leave(stream& x) {
  x.of = nullptr;
  x.unlink();
  share_of(x).give_back(std::exchange(x.charged, 0));
  all_.erase(x.ticket);
}

void instance_streams::close(stream& x) {
  const auto kept = x.shared_from_this();
  leave(*kept);
  const auto& context = access::context(*owner_);
  // If the request still waits for its handler, it was aborted, and a response may have to be taken back.
  const auto id = kept->exchange.position().exchange;
  if (kept->exchange.done())
    tell(context, attempt_done{context.start.self, id, kept->ticket});
  else
    tell(context, response_waits{context.start.self, kept->ticket, std::move(kept->exchange)});
  // Over without its handler's response, for which nothing waits any more.
  if (!kept->written) post(owner_, attempt_cancelled{kept->ticket});
  if (!kept->on_part && !kept->on_writable) return;
  untold_.push_back(kept);
  post(owner_, stream_over{kept});
}

// -- waiting bytes

waiting_share& instance_streams::share_of(stream& x) {
  return x.exchange.streams() ? x.share : collected_;
}

void instance_streams::charge(stream& x) {
  const auto now = x.exchange.unsent();
  const auto before = std::exchange(x.charged, now);
  auto& share = share_of(x);
  if (now > before)
    share.add(now - before);
  else
    share.give_back(before - now);
}

std::size_t instance_streams::room(const stream& x) const {
  const auto own = x.exchange.room();
  return x.exchange.streams() ? std::min(own, x.share.room()) : own;
}

outcome<void> instance_streams::write(stream& x, bytes data) {
  const auto size = data.size();
  if (size > share_of(x).room() && x.exchange.streams())
    return failure{
        errc::queue_full, fmt::format("this response takes {} bytes now, not {}", room(x), size)};
  if (size > share_of(x).room()) {
    const auto why = "too many responses wait to be complete";
    x.exchange.fail(why, 503);
    return failure{errc::too_large, why};
  }
  auto written = x.exchange.write(std::move(data));
  charge(x);
  return written;
}

// The client's own credit does not show when other responses make room.
void instance_streams::ask_again(stream& x) {
  if (!std::exchange(x.crowded_out, true))
    post_later(owner_, ask_again_interval, stream_turn{x.ticket});
}

void instance_streams::report(const failure& why) const {
  const auto& context = access::context(*owner_);
  log_limited(
      context,
      log_level::error,
      "a response differs from what its handler declared; it was cut off",
      {{"reason", why.message}});
}

http_exchange instance_streams::take(const stream_ptr& x) {
  x->forget_handlers();
  leave(*x);
  return std::move(x->exchange);
}

void instance_streams::handle_down(std::string_view why, std::vector<attempt_done>& answered) {
  const auto& context = access::context(*owner_);
  for (const auto& x : std::exchange(untold_, {})) x->forget_handlers();
  for (const auto& [ticket, x] : std::exchange(all_, {})) {
    const auto id = x->exchange.position().exchange;
    x->of = nullptr;
    share_of(*x).give_back(std::exchange(x->charged, 0));
    x->forget_handlers();
    const auto whole = !x->exchange.writing() && (x->exchange.streaming() || x->exchange.whole());
    if (!whole) {
      x->exchange.fail(why);
      if (const auto sent =
              transmit(x->exchange, *context.link, source_of(access::shared_context(*owner_)));
          sent.refused)
        report(*sent.refused);
    }
    if (x->exchange.done())
      answered.push_back({context.start.self, id, ticket});
    else
      tell(context, response_waits{context.start.self, ticket, std::move(x->exchange)});
  }
}

}  // namespace internal

// -- handles

caf::expected<void> body_writer::write(bytes data) const {
  if (!is_open())
    return make_error(failure{errc::cancelled, "this response is over, or its client has gone"});
  auto& of = *stream_->of;
  auto written = of.write(*stream_, std::move(data));
  if (written)
    stream_->wrote = true;  // otherwise its handler would be called again at once
  else if (written.error().code == errc::invalid_argument)
    of.report(written.error());
  of.advance_later(*stream_);
  return internal::to_expected(written);
}

void body_writer::finish() const {
  if (!is_open()) return;
  stream_->written = true;
  if (const auto good = stream_->exchange.finish(); !good) stream_->of->report(good.error());
  stream_->of->advance_later(*stream_);
}

void body_writer::fail(std::string_view why) const {
  if (!is_open()) return;
  stream_->written = true;
  stream_->exchange.fail(why);
  stream_->of->advance_later(*stream_);
}

std::size_t body_writer::room() const { return is_open() ? stream_->of->room(*stream_) : 0; }

bool body_writer::is_open() const {
  return stream_ && stream_->of != nullptr && stream_->exchange.writing();
}

std::string_view body_writer::why() const {
  return stream_ ? stream_->why.view() : std::string_view{};
}

void body_reader::pause() const {
  if (stream_) stream_->paused = true;
}

void body_reader::resume() const {
  if (!stream_ || stream_->of == nullptr) return;
  stream_->paused = false;
  stream_->of->wake(*stream_);
}

void body_reader::cancel() const {
  if (!stream_ || stream_->of == nullptr) return;
  stream_->exchange.cancel_upload();
  stream_->of->advance_later(*stream_);
}

}  // namespace nuncio

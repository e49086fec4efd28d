// See machine_streams.hpp.
#include "simulation/machine_streams.hpp"

#include <algorithm>
#include <nuncio/tunnel/transmit.hpp>

namespace nuncio::simulation {
namespace {

tunnel_source source_of(const std::shared_ptr<const instance_base>& x) {
  return {{x, &x->gate}, {room_waiter::kind::instance, x}};
}

protocol::to_rivet_response_start head_of_answer() {
  protocol::to_rivet_response_start x;
  x.status = 200;
  x.headers.entries.emplace_back("content-type", "x/y");
  return x;
}

// Nothing was said yet when the indexes are moved near their wrap.
exchange_position moved(exchange_position at, std::uint16_t said) {
  if (at.next_index == 0) at.next_index = said;
  return at;
}

}  // namespace

machine_streams::attempt::attempt(const http_request& x, std::size_t response_bytes_max)
    : request(x),
      asked(client_request::of(x.path_only())),
      exchange(
          moved(x.origin.position, asked.said),
          http_exchange_options{.response_bytes_max = response_bytes_max}),
      reads(asked) {}

void machine_streams::later(
    duration most, const attempt_ptr& x, void (machine_streams::*what)(const attempt_ptr&)) {
  to_.time.after(
      to_.random.between(0ms, to_.calm ? std::min<duration>(most, 200ms) : most),
      side::actors,
      [self = shared_from_this(), x, what] {
        if (self->find(x->request.ticket) == x) (self.get()->*what)(x);
      });
}

machine_streams::attempt_ptr machine_streams::find(std::uint64_t ticket) const {
  const auto at = all_.find(ticket);
  return at != all_.end() ? at->second : nullptr;
}

// -- from the host --------------------------------------------------------------------------

void machine_streams::handle(http_request& request) {
  if (down_) return;
  newest_ = std::max(newest_, request.ticket);
  if (cancelled_early_.erase(request.ticket) != 0)
    return to_.tell(internal::attempt_done{of_->start.self, request.exchange, request.ticket});
  const auto x = std::make_shared<attempt>(request, of_->response_bytes_max);
  all_[request.ticket] = x;
  if (!request.streamed) {
    x->reads.take({request.body, true});
    count(http_row::read_whole, *x);
  } else {
    x->reads.take({request.body});
    request.origin.on_way->take(request.body.size());
  }
  if (!request.streamed || x->asked.early) later(5s, x, &machine_streams::answer);
}

void machine_streams::handle(internal::exchange_input& what) {
  const auto x = find(what.ticket);
  if (!x) return;
  if (const auto* chunk = std::get_if<protocol::to_envoy_request_chunk>(&what.kind)) {
    const auto at = x->exchange.position();
    if (at.uploading && static_cast<std::int16_t>(what.index - at.inbound) > 0)
      count(http_row::gap_ends_it, *x);
    x->exchange.handle_request_chunk(what.index, *chunk);
  } else if (std::holds_alternative<protocol::to_envoy_request_body_cancel>(what.kind)) {
    x->exchange.handle_body_cancel();
  } else {
    const auto& credit = std::get<protocol::to_envoy_response_body_window_update>(what.kind);
    x->exchange.handle_window_update(credit.consumed_bytes, what.index);
    if (x->request.origin.on_way) x->request.origin.on_way->take(0);
  }
  advance(x);
  read_later(x);
  write_later(x);
}

void machine_streams::handle(internal::response_credited& what) {
  const auto total = what.credit->take_word();
  const auto x = find(what.ticket);
  if (!x) return;
  x->exchange.handle_window_update(total);
  advance(x);
  write_later(x);
}

void machine_streams::handle(internal::attempt_cancelled& what) {
  if (down_) return;
  if (const auto x = find(what.ticket)) {
    all_.erase(what.ticket);
    to_.tell(internal::attempt_done{of_->start.self, {}, what.ticket});
  } else if (what.ticket > newest_) {
    cancelled_early_.insert(what.ticket);
  }
}

void machine_streams::handle(internal::upload_over& what) {
  if (down_) return;
  const auto x = find(what.ticket);
  if (!x) {
    if (what.ticket > newest_) to_.tell(internal::upload_untouched{what});
    return;
  }
  if (x->claimed && what.status != 0) return;
  if (what.status != 0)
    x->exchange.refuse(what.status, what.why);
  else
    x->exchange.abort(protocol::http_stream_abort_reason_kind::internal_error, what.why);
  advance(x);
}

void machine_streams::handle(internal::stream_quiet& what) {
  const auto x = find(what.ticket);
  if (!x) return;
  x->exchange.handle_quiet();
  advance(x);
}

void machine_streams::handle_room() {
  const auto all = all_;
  for (const auto& [ticket, x] : all)
    if (std::exchange(x->crowded, false)) {
      advance(x);
      write_later(x);
    }
}

// -- the handler ------------------------------------------------------------------------------

void machine_streams::read_later(const attempt_ptr& x) {
  if (x->reading || !x->request.streamed || x->reads.over()) return;
  x->reading = true;
  later(to_.random.percent(10) ? 3s : 30ms, x, &machine_streams::read);
}

void machine_streams::read(const attempt_ptr& x) {
  x->reading = false;
  auto left = 1 + to_.random.below(20);
  for (; left > 0; --left) {
    const auto part = x->exchange.poll_part();
    if (!part) break;
    x->request.origin.on_way->take(part->data.size());
    x->reads.take(*part);
    if (!x->reads.over()) continue;
    count(part->last ? http_row::read_to_end : http_row::read_failed, *x);
    if (!x->asked.early) later(2s, x, &machine_streams::answer);
  }
  advance(x);
  if (left == 0) read_later(x);  // there may be more
}

void machine_streams::answer(const attempt_ptr& x) {
  to_.time.trace("actors  {} answers {}", of_->start.self.actor.str(), x->request.ticket);
  if (std::exchange(x->claimed, true)) return;
  if (!x->request.origin.claim->take()) {
    all_.erase(x->request.ticket);
    return to_.tell(
        internal::attempt_done{of_->start.self, x->request.exchange, x->request.ticket});
  }
  switch (x->asked.plan) {
    case answer_plan::cancel_then_whole:
      if (x->exchange.uploading()) count(http_row::upload_cancelled, *x);
      x->exchange.cancel_upload();
      return to_.random.percent(50) ? respond(x) : begin(x);
    case answer_plan::fail_before:
      count(http_row::failed_before_head, *x);
      x->exchange.fail("on purpose");
      return advance(x);
    case answer_plan::in_parts:
    case answer_plan::fail_midway:
      return begin(x);
    default:
      return respond(x);
  }
}

void machine_streams::respond(const attempt_ptr& x) {
  auto response = head_of_answer();
  if (x->asked.response != 0) response.body = x->asked.answer(0, x->asked.response);
  must(x->exchange.respond(std::move(response)).ok(), "response", "a good one was refused");
  const auto streams = x->exchange.streams() && x->asked.response > http_gateway::window;
  must(x->exchange.streaming() == streams, "response", "in parts though it fits, or not");
  count(streams ? http_row::answered_above_window : http_row::answered_whole, *x);
  if (!streams) transmit_now(*x);
  close(x);
}

void machine_streams::begin(const attempt_ptr& x) {
  to_.tell(internal::response_begun{of_->start.self, x->request.exchange, x->request.ticket});
  must(x->exchange.begin(head_of_answer()).ok(), "response", "a good head was refused");
  if (x->exchange.uploading()) count(http_row::begun_before_upload_end, *x);
  x->writing = true;
  write(x);
}

void machine_streams::write_later(const attempt_ptr& x) {
  if (x->writing || !x->exchange.writing()) return;
  x->writing = true;
  later(300ms, x, &machine_streams::write);
}

void machine_streams::write(const attempt_ptr& x) {
  x->writing = false;
  if (!x->exchange.writing()) return;
  const auto fails = x->asked.plan == answer_plan::fail_midway;
  const auto all = fails ? x->asked.response / 2 : x->asked.response;
  if (fails && x->written == all) {
    count(http_row::failed_midway, *x);
    x->exchange.fail("on purpose");
    return advance(x);
  }
  for (auto n = 1 + to_.random.below(4); n > 0 && x->written < all; --n) {
    const auto room = x->exchange.room();
    const std::uint64_t most = to_.random.percent(30) ? 500 : 200'000;
    const auto size = std::min<std::uint64_t>({room, all - x->written, 1 + to_.random.below(most)});
    if (size == 0) {
      count(http_row::response_window_full, *x);
      break;
    }
    must(
        x->exchange.write(x->asked.answer(x->written, size)).ok(),
        "response",
        "a part within room() was refused");
    x->written += size;
  }
  must(
      !x->exchange.streams() || x->exchange.unsent() <= http_gateway::window,
      "I13 backpressure",
      "more than the window waits here");
  if (!fails && x->written == all) {
    count(http_row::written_in_parts, *x);
    must(x->exchange.finish().ok(), "response", "an end was refused");
  }
  advance(x);
  if (find(x->request.ticket) == x && x->exchange.room() != 0) write_later(x);
}

// -- to the engine ----------------------------------------------------------------------------

void machine_streams::transmit_now(attempt& x) {
  const auto sent = transmit(x.exchange, to_.link, source_of(of_));
  if (sent.waits) count(http_row::waits_for_room, x);
  x.crowded = sent.waits;
}

void machine_streams::advance(const attempt_ptr& x) {
  if (find(x->request.ticket) != x) return;
  transmit_now(*x);
  if (x->exchange.done() || (x->crowded && x->exchange.whole())) close(x);
}

// What is left waits at the host, if anything.
void machine_streams::close(const attempt_ptr& x) {
  all_.erase(x->request.ticket);
  if (x->exchange.done())
    return to_.tell(
        internal::attempt_done{of_->start.self, x->request.exchange, x->request.ticket});
  count(http_row::moved_to_ingress, *x);
  to_.tell(internal::response_waits{of_->start.self, x->request.ticket, std::move(x->exchange)});
}

void machine_streams::handle_down(std::vector<internal::attempt_done>& answered) {
  down_ = true;
  for (const auto& [ticket, x] : std::exchange(all_, {})) {
    const auto ours = x->claimed || x->request.origin.claim->take();
    const auto complete =
        x->claimed && !x->exchange.writing() && (x->exchange.streaming() || x->exchange.whole());
    if (ours && !complete) {
      x->exchange.fail("the actor ended before it answered");
      transmit_now(*x);
    }
    if (!ours || x->exchange.done())
      answered.push_back({of_->start.self, x->request.exchange, ticket});
    else
      to_.tell(internal::response_waits{of_->start.self, ticket, std::move(x->exchange)});
  }
}

}  // namespace nuncio::simulation

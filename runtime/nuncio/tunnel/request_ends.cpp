// See request_routes.hpp. How requests end here: because there is no room, no response, or no client any more.
#include <algorithm>
#include <nuncio/instances/instance_table.hpp>
#include <nuncio/support/time_range.hpp>
#include <nuncio/tunnel/request_routes.hpp>
#include <nuncio/tunnel/transmit.hpp>

namespace nuncio {
namespace {

using abort_kind = protocol::http_stream_abort_reason_kind;

constexpr std::string_view stopped_coming =
    "the request body stopped arriving, and others need its place";
constexpr std::string_view not_heard_of =
    "the client was silent after a reconnect, and others need its place";

}  // namespace

// At a limit, requests whose clients may have gone are ended first, then those whose clients have been silent for too long, one
// by one until there is room. A silent client is at fault only if it has everything it needs to go on: a request held up by its
// handler, or by the link, is not ended.
// @returns the limit that still has no room
request_bound request_routes::make_room(instance& to, std::size_t requests, std::size_t bytes) {
  std::size_t leaving = 0;  // bytes that their actors release once they are notified
  for (;;) {
    const auto full = to.requests.full(requests, bytes);
    if (full == request_bound::none || (leaving != 0 && leaving >= bytes)) return full;
    if (const auto* const doubted = to.requests.doubted(full, core_.gateways, core_.now)) {
      const auto at = routes_.find(doubted->of());
      const auto kept = at->second.place.bytes(), before = room_.bytes();
      end_doubted(at);
      const auto freed = before - room_.bytes();
      leaving += kept - std::min(kept, freed);
      continue;
    }
    const auto* const silent = to.requests.longest_silent(full, core_.now);
    if (silent == nullptr) return full;
    const auto at = routes_.find(silent->id());
    if (at->second.linked())
      at->second.place.handle_heard(core_.now);  // its client may wait for what waits for room
    else
      end_silent(at);
  }
}

// The client may be there after all, and listening: it is told that this is the end.
void request_routes::end_doubted(route_map::iterator at) {
  auto& r = at->second;
  auto& x = *r.of;
  ++core_.stats.clients_doubted;
  r.place.vacate();
  if (!r.responding && r.begun && x.reachable) return tell_over(at, 0, not_heard_of);
  if (!r.responding && r.passes && x.reachable) return tell_over(at, 503, not_heard_of);
  if (!r.responding) return static_cast<void>(end_unanswered(at, 503, not_heard_of));
  r.exchange.abort(abort_kind::internal_error, not_heard_of);
  say_last(r.exchange, x.gate());
  erase(at);
  instances_.count_as_down(x);
}

void request_routes::end_silent(route_map::iterator at) {
  auto& r = at->second;
  ++core_.stats.requests_silent;
  if (r.passes) return tell_over(at, 408, stopped_coming);
  r.exchange.refuse(408, stopped_coming);
  say_last(r.exchange, r.of->gate());
  erase(at);
}

// Its instance sends the final message. It is not waited for if it has received everything: then it takes no place in its
// mailbox.
void request_routes::tell_over(route_map::iterator at, std::uint16_t status, std::string_view why) {
  auto& r = at->second;
  if (status == 0) r.uploading = false;
  r.place.handle_whole();
  if (!r.passes || r.passes->all_taken()) {
    r.place.resize(0);
    r.place.vacate();
  }
  core_.tell_first(*r.of, internal::upload_over{r.ticket, at->first, status, why});
}

void request_routes::watch(route_map::iterator at) {
  auto& r = at->second;
  unwatch(r);
  r.place.handle_heard(core_.now);
  r.stall = stalls_.emplace(later(r.place.heard(), core_.limits.stall_limit), at->first);
}

void request_routes::unwatch(route& r) {
  if (r.stall) stalls_.erase(*r.stall);
  r.stall.reset();
}

void request_routes::end_stalled() {
  const auto now = core_.now;
  while (!stalls_.empty() && stalls_.begin()->first <= now) {
    const auto at = routes_.find(stalls_.begin()->second);
    auto& r = at->second;
    unwatch(r);
    if (r.linked()) r.place.handle_heard(now);
    if (const auto due = later(r.place.heard(), core_.limits.stall_limit); due > now) {
      r.stall = stalls_.emplace(due, at->first);
      continue;
    }
    auto& x = *r.of;
    if ((r.begun || r.passes) && !r.responding) {  // only the instance knows whether it waits
      core_.tell(x, internal::stream_quiet{r.ticket});
      r.stall = stalls_.emplace(later(now, core_.limits.stall_limit), at->first);
      continue;
    }
    r.exchange.give_up_client();
    advance(at);
    instances_.count_as_down(x);
  }
}

// Ends late requests. A response that comes afterwards finds its exchange gone.
void request_routes::end_late() {
  if (!sweep_at_ || *sweep_at_ > core_.now) return;
  sweep_at_.reset();
  for (auto next = routes_.begin(); next != routes_.end();) {
    const auto at = next++;
    auto& r = at->second;
    if (r.due > core_.now || r.begun || r.responding) continue;
    r.due = time_point::max();
    if (r.passes && r.of->reachable)
      tell_over(at, 504, internal::answered_too_late);
    else if (!end_unanswered(at, 504, internal::answered_too_late))
      continue;
    ++core_.stats.requests_late;
  }
}

// Answers instead of the instance.
// @returns false if the instance has just answered: its message is on the way here
bool request_routes::end_unanswered(
    route_map::iterator at, std::uint16_t status, std::string_view why) {
  if (!at->second.claim->take()) return false;
  handle(internal::upload_over{at->second.ticket, at->first, status, why});
  return true;
}

// No handler has had it, so nothing was sent in it.
void request_routes::handle(const internal::upload_over& what) {
  const auto at = routes_.find(what.exchange);
  if (at == routes_.end() || at->second.ticket != what.ticket) return;
  auto& exchange = at->second.exchange;
  if (what.status != 0)
    exchange.refuse(what.status, what.why);
  else
    exchange.abort(abort_kind::internal_error, what.why);
  say_last(exchange, at->second.of->gate());
  cancel(at, text{what.why});
}

}  // namespace nuncio

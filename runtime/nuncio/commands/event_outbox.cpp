// The outbox's memory: records by actor, and all kept events in one list in order of creation. A cursor in that list is the
// whole sending state: events before it were sent on this connection, so nothing is sent twice. A Stopped is also in the list
// of its stage: unsent, in a frame, written, under a fence, fenced.
#include <algorithm>
#include <array>
#include <cassert>
#include <nuncio/commands/event_outbox.hpp>
#include <nuncio/support/intrusive_list.hpp>
#include <nuncio/support/overloaded.hpp>
#include <nuncio/utf8.hpp>
#include <unordered_map>
#include <utility>
#include <variant>

namespace nuncio {
namespace {

enum slot : std::size_t { running, intent, alarm, stopped, ask, slots };

enum stage : std::size_t { unsent, in_frame, written, fencing, fenced, stages };

struct by_creation;
struct by_stage;
struct record;

struct kept_event : list_hook<by_creation>, list_hook<by_stage> {
  record* of = nullptr;
  std::int64_t index = 0;
  time_point grace_end{};
  epoch sent_on = 0;
  std::size_t bytes = 0;
  protocol::event what;
};

// Remembered as long as the instance may send, for its counter; `kept` by slot. An ask is a Running that is only sent to get a
// lost ack again: one for each connection, last in order.
struct record {
  actor_ref who;
  std::int64_t next_index = event_index_first;
  std::array<std::unique_ptr<kept_event>, slots> kept{};
};

using records = std::unordered_multimap<actor_id, record>;

// In a frame, besides id and message: lengths, generation, index, tags and an alarm's time.
constexpr std::size_t event_bytes = 40;

constexpr std::size_t record_bytes = sizeof(record) + sizeof(actor_id) + 5 * sizeof(void*);

// Exceptions may contain anything; the wire accepts UTF-8 of limited size.
std::string clean(std::string x, std::size_t bytes_max) {
  if (x.size() > bytes_max) {
    x.resize(bytes_max);
    // Not in the middle of a character.
    auto end = x.size();
    while (end > 0 && x.size() - end < 4 &&
           (static_cast<unsigned char>(x[end - 1]) & 0xc0U) == 0x80U)
      --end;
    if (end > 0 && static_cast<unsigned char>(x[end - 1]) >= 0xc0U && !is_utf8(x))
      x.resize(end - 1);
  }
  if (!is_utf8(x))
    for (auto& c : x)
      if (static_cast<unsigned char>(c) >= 0x80U) c = '?';
  return x;
}

}  // namespace

struct event_outbox::impl {
  explicit impl(outbox_options o) : options(o) {}

  ~impl() { map.clear(); }

  // -- records

  records::iterator locate(const actor_ref& who) {
    auto [at, last] = map.equal_range(who.actor);
    while (at != last && at->second.who.generation != who.generation) ++at;
    return at == last ? map.end() : at;
  }

  // The record of `who`, created if needed; null if `who` is superseded.
  record* open(const actor_ref& who) {
    const auto [first, last] = map.equal_range(who.actor);
    record* found = nullptr;
    bool older = false;
    for (auto at = first; at != last; ++at) {
      if (at->second.who.generation > who.generation) return nullptr;
      if (at->second.who.generation == who.generation)
        found = &at->second;
      else
        older = true;
    }
    if (older) supersede(who.actor, who.generation);
    if (found) return found;
    auto at = map.emplace(who.actor, record{});
    at->second.who = who;
    ++stats.actors;
    stats.bytes += record_bytes + 2 * who.actor.heap_bytes();
    return &at->second;
  }

  void close(records::iterator at) {
    if (at->second.kept[stopped]) stopped_bytes -= bytes_of_stopped(at->second);
    for (std::size_t s = 0; s < slots; ++s) drop(at->second, static_cast<slot>(s));
    stats.bytes -= record_bytes + 2 * at->second.who.actor.heap_bytes();
    --stats.actors;
    map.erase(at);
    // A table that was large once is not kept large.
    if (map.bucket_count() > 1024 && map.size() < map.bucket_count() / 8)
      map.rehash(map.size() * 2);
  }

  void supersede(const actor_id& actor, std::uint32_t newest) {
    for (bool again = true; again;) {
      again = false;
      const auto [first, last] = map.equal_range(actor);
      for (auto at = first; at != last; ++at)
        if (at->second.who.generation < newest) {
          if (at->second.kept[stopped]) ++stats.forgotten;
          close(at);
          again = true;
          break;
        }
    }
  }

  // -- events

  void keep(record& r, slot s, std::int64_t index, protocol::event what, std::size_t extra = 0) {
    drop(r, s);
    auto& e = r.kept[s] = std::make_unique<kept_event>();
    e->of = &r;
    e->index = index;
    e->what = std::move(what);
    e->bytes = sizeof(kept_event) + 16 + extra;
    stats.bytes += e->bytes;
    ++stats.kept;
    order.push_back(*e);
    if (!cursor) cursor = e.get();
    if (s == stopped) at_stage[unsent].push_back(*e);
  }

  std::int64_t number(record& r) {
    return std::exchange(r.next_index, r.next_index + event_index_step);
  }

  void drop(record& r, slot s) {
    auto& e = r.kept[s];
    if (!e) return;
    if (cursor == e.get()) cursor = order.after(*e);
    stats.bytes -= e->bytes;
    --stats.kept;
    e.reset();
  }

  // All events sent on the last connection count as unsent on the next.
  void reset() {
    auto& first = at_stage[unsent];
    intrusive_list<kept_event, by_stage> all;
    for (auto s : {fenced, fencing, written, in_frame, unsent}) all.take_all(at_stage[s]);
    first.take_all(all);
    in_flight = false;
    outstanding = 0;
    up = false;
    cursor = order.front();
  }

  // The engine acks only at an index far enough beyond the last acked one: a lost ack never comes again.
  void ask_again() {
    for (auto* e = order.front(); e;) {
      auto& r = *e->of;
      e = order.after(*e);
      if (r.kept[ask] && r.kept[ask]->sent_on != connection) {
        if (e == r.kept[ask].get()) e = order.after(*e);
        drop(r, ask);
      }
    }
    auto* const last = order.front() ? order.back() : nullptr;
    for (auto* e = order.front(); e; e = order.after(*e)) {
      auto& r = *e->of;
      if (!r.kept[ask] && !r.kept[stopped] && needs_ask(r))
        keep(
            r, ask, number(r), protocol::event_actor_state_update{protocol::actor_state_running{}});
      if (e == last) break;
    }
  }

  static bool needs_ask(const record& r) {
    const kept_event* highest = nullptr;
    for (auto s : {running, intent, alarm})
      if (r.kept[s] && (!highest || r.kept[s]->index > highest->index)) highest = r.kept[s].get();
    return highest && highest->sent_on != 0;
  }

  void stop(
      const actor_ref& who,
      bool orphan,
      protocol::stop_code code,
      std::optional<std::string> message) {
    auto* r = open(who);
    if (!r || r->kept[stopped]) return;
    for (auto s : {running, intent, ask}) drop(*r, s);
    protocol::actor_state_stopped what{code, std::nullopt};
    std::size_t extra = 0;
    if (message) {
      what.message = clean(std::move(*message), options.message_bytes_max);
      extra = what.message->size() + 64;
    }
    keep(
        *r,
        stopped,
        orphan ? orphan_event_index : number(*r),
        protocol::event_actor_state_update{what},
        extra);
    ++stats.stopped;
    stopped_bytes += bytes_of_stopped(*r);
    keep_to_cap();
  }

  static std::size_t bytes_in_frame(const kept_event& e) {
    const auto n = event_bytes + e.of->who.actor.view().size();
    const auto* update = std::get_if<protocol::event_actor_state_update>(&e.what);
    if (update == nullptr) return n;
    const auto* over = std::get_if<protocol::actor_state_stopped>(&update->state);
    return over != nullptr && over->message ? n + over->message->size() : n;
  }

  static std::size_t bytes_of_stopped(const record& r) {
    return record_bytes + 2 * r.who.actor.heap_bytes() + r.kept[stopped]->bytes;
  }

  // Live instances are bounded anyway, and must not push out what the engine waits for.
  void keep_to_cap() {
    while (stopped_bytes > options.bytes_max) {
      kept_event* oldest = nullptr;
      for (auto s : {fenced, fencing, written, unsent})
        if (!oldest) oldest = at_stage[s].front();
      if (!oldest) return;
      close(locate(oldest->of->who));
      ++stats.dropped_at_cap;
    }
  }

  outbox_options options;
  records map;
  intrusive_list<kept_event, by_creation> order;
  std::array<intrusive_list<kept_event, by_stage>, stages> at_stage;
  kept_event* cursor = nullptr;   // next to send; null if all were sent
  std::size_t stopped_bytes = 0;  // of instances that are over
  epoch connection = 0;
  std::uint64_t outstanding = 0, last_fence = 0;
  bool up = false, in_flight = false, acks = false;
  outbox_stats stats;
};

event_outbox::event_outbox(outbox_options options) : impl_(std::make_unique<impl>(options)) {}

event_outbox::~event_outbox() = default;
event_outbox::event_outbox(event_outbox&&) noexcept = default;
event_outbox& event_outbox::operator=(event_outbox&&) noexcept = default;

void event_outbox::handle_running(const actor_ref& who) {
  auto* r = impl_->open(who);
  if (!r || r->kept[stopped]) return;
  impl_->keep(
      *r,
      running,
      impl_->number(*r),
      protocol::event_actor_state_update{protocol::actor_state_running{}});
}

void event_outbox::handle_intent(const actor_ref& who, protocol::actor_intent x) {
  auto* r = impl_->open(who);
  if (!r || r->kept[stopped]) return;
  impl_->keep(*r, intent, impl_->number(*r), protocol::event_actor_intent{x});
}

void event_outbox::handle_alarm(const actor_ref& who, std::optional<std::int64_t> alarm_ms) {
  auto* r = impl_->open(who);
  if (!r || r->kept[stopped]) return;
  impl_->keep(*r, alarm, impl_->number(*r), protocol::event_actor_set_alarm{alarm_ms});
}

void event_outbox::handle_stopped(
    const actor_ref& who, protocol::stop_code code, std::optional<std::string> message) {
  impl_->stop(who, false, code, std::move(message));
}

void event_outbox::handle_orphan_stop(const actor_ref& who) {
  impl_->stop(who, true, protocol::stop_code::ok, std::nullopt);
}

void event_outbox::handle_superseded(const actor_id& actor, std::uint32_t newest) {
  impl_->supersede(actor, newest);
}

void event_outbox::handle(const internal::outbox_input& what) {
  std::visit(
      overloaded{
          [this](const internal::say_running& x) { handle_running(x.who); },
          [this](const internal::say_intent& x) { handle_intent(x.who, x.intent); },
          [this](const internal::say_alarm& x) { handle_alarm(x.who, x.at_ms); },
          [this](const internal::say_stopped& x) {
            std::optional<std::string> message;
            if (!x.message.empty()) message = x.message;
            handle_stopped(x.who, x.code, std::move(message));
          },
          [this](const internal::answer_orphan_stop& x) { handle_orphan_stop(x.who); },
          [this](const internal::superseded& x) { handle_superseded(x.actor, x.newest); },
          [this](const protocol::to_envoy_ack_events& x) { handle_acked(x); }},
      what);
}

void event_outbox::handle_link_up(epoch connection, time_point) {
  auto& x = *impl_;
  if (connection <= x.connection) return;
  x.reset();
  x.connection = connection;
  x.up = true;
  x.ask_again();
}

void event_outbox::handle_link_down(time_point) { impl_->reset(); }

void event_outbox::handle_acked(const protocol::to_envoy_ack_events& acks) {
  auto& x = *impl_;
  for (const auto& at : acks.last_event_checkpoints) {
    const auto it = x.locate({at.actor_id, at.generation});
    if (it == x.map.end()) continue;
    auto& r = it->second;
    if (at.index < event_index_first || at.index >= r.next_index) continue;
    x.acks = true;
    for (auto s : {running, intent, alarm})
      if (r.kept[s] && r.kept[s]->index <= at.index) {
        x.drop(r, s);
        ++x.stats.acked;
      }
    const bool settled = !r.kept[running] && !r.kept[intent] && !r.kept[alarm];
    if (r.kept[ask] && (settled || r.kept[ask]->index <= at.index)) x.drop(r, ask);
  }
}

void event_outbox::handle_written(epoch connection) {
  auto& x = *impl_;
  if (!x.up || connection != x.connection) return;
  x.in_flight = false;
  x.at_stage[written].take_all(x.at_stage[in_frame]);
}

void event_outbox::handle_fence(epoch connection, std::uint64_t id, time_point now) {
  auto& x = *impl_;
  if (!x.up || connection != x.connection || id == 0 || id != x.outstanding) return;
  x.outstanding = 0;
  for (auto* e = x.at_stage[fencing].front(); e; e = x.at_stage[fencing].after(*e))
    e->grace_end = now + x.options.stopped_grace;
  x.at_stage[fenced].take_all(x.at_stage[fencing]);
}

void event_outbox::expire(time_point now) {
  auto& x = *impl_;
  while (auto* e = x.at_stage[fenced].front()) {
    if (e->grace_end > now) break;
    x.close(x.locate(e->of->who));
    ++x.stats.forgotten;
  }
}

std::optional<protocol::to_rivet_events> event_outbox::poll_transmit() {
  auto& x = *impl_;
  if (!x.up || x.in_flight || !x.cursor) return std::nullopt;
  protocol::to_rivet_events frame;
  auto left = x.options.frame_bytes_max;
  while (x.cursor && frame.events.size() < x.options.events_max) {
    auto& e = *x.cursor;
    const auto bytes = impl::bytes_in_frame(e);
    if (bytes > left && !frame.events.empty()) break;
    left -= std::min(left, bytes);
    assert(e.sent_on != x.connection);  // I10: never twice on one connection
    frame.events.push_back({{e.of->who.actor, e.of->who.generation, e.index}, e.what});
    if (e.sent_on != 0) ++x.stats.resent;
    e.sent_on = x.connection;
    ++x.stats.sent;
    if (e.of->kept[stopped].get() == &e) x.at_stage[in_frame].push_back(e);
    x.cursor = x.order.after(e);
  }
  x.in_flight = true;
  return frame;
}

std::optional<std::uint64_t> event_outbox::poll_fence() {
  auto& x = *impl_;
  if (!x.up || x.outstanding != 0 || x.at_stage[written].empty()) return std::nullopt;
  x.at_stage[fencing].take_all(x.at_stage[written]);
  return x.outstanding = ++x.last_fence;
}

std::optional<time_point> event_outbox::poll_timeout() const {
  const auto* e = impl_->at_stage[fenced].front();
  return e ? std::optional{e->grace_end} : std::nullopt;
}

bool event_outbox::engine_acks() const { return impl_->acks; }

const outbox_stats& event_outbox::stats() const { return impl_->stats; }

epoch event_outbox::connection() const { return impl_->connection; }

}  // namespace nuncio

// The ledger's memory: a chained hash table of one entry for each actor, whose entries of gone
// actors also stand in one of two lists by proof, oldest touch first. Own table, because an entry
// must stay below 128 bytes, all included.
#include <algorithm>
#include <cassert>
#include <limits>
#include <nuncio/command_ledger.hpp>
#include <nuncio/intrusive_list.hpp>
#include <vector>

namespace nuncio {
namespace {

struct by_age;

struct entry : list_hook<by_age> {
  explicit entry(const actor_id& x) : actor(x) {}

  actor_id actor;
  entry* chain = nullptr;  // next in the bucket
  std::int64_t last = 0;   // highest index processed of `generation`
  time_point touched{};    // last command, or the instance's end
  std::uint32_t generation = 0;
  epoch seen_on = 0;  // connection of the last command of the actor, of whatever generation
  bool live = false;
};

using age_list = intrusive_list<entry, by_age>;

// What malloc takes for `n` bytes: a header word, in steps of 16.
constexpr std::size_t chunk(std::size_t n) {
  return std::max<std::size_t>(32, (n + 8 + 15) & ~std::size_t{15});
}

constexpr std::size_t buckets_min = 64;

std::size_t bytes_of(const entry& e) {
  const auto far = e.actor.heap_bytes();
  return chunk(sizeof(entry)) + (far == 0 ? 0 : chunk(far));
}

static_assert(chunk(sizeof(entry)) + 2 * sizeof(void*) <= 128, "what a ledger entry may take");

}  // namespace

struct command_ledger::impl {
  explicit impl(ledger_options o) : options(o), buckets(buckets_min) {}

  ~impl() {
    for (auto* head : buckets)
      while (head) delete std::exchange(head, head->chain);
  }

  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;

  // -- the table

  [[nodiscard]] std::size_t bucket_of(const actor_id& actor) const {
    return std::hash<actor_id>{}(actor) & (buckets.size() - 1);
  }

  [[nodiscard]] entry* find(const actor_id& actor) const {
    auto* e = buckets[bucket_of(actor)];
    while (e && e->actor != actor) e = e->chain;
    return e;
  }

  entry& insert(const actor_id& actor) {
    if (stats.entries >= buckets.size()) rehash(buckets.size() * 2);
    auto* e = new entry(actor);
    auto& head = buckets[bucket_of(actor)];
    e->chain = std::exchange(head, e);
    ++stats.entries;
    entry_bytes += bytes_of(*e);
    return *e;
  }

  void erase(entry& e) {
    auto** at = &buckets[bucket_of(e.actor)];
    while (*at != &e) at = &(*at)->chain;
    *at = e.chain;
    entry_bytes -= bytes_of(e);
    if (e.linked() && !is_proven(e)) --stats.unproven;
    if (e.linked()) (is_proven(e) ? proven_bytes : unproven_bytes) -= bytes_of(e);
    delete &e;
    --stats.entries;
    if (buckets.size() > buckets_min && stats.entries < buckets.size() / 8)
      rehash(buckets.size() / 4);
  }

  void rehash(std::size_t size) {
    std::vector<entry*> old(std::max(size, buckets_min));
    old.swap(buckets);
    for (auto* head : old)
      while (head) {
        auto* e = std::exchange(head, head->chain);
        auto& to = buckets[bucket_of(e->actor)];
        e->chain = std::exchange(to, e);
      }
  }

  // -- proof

  [[nodiscard]] bool is_proven(const entry& e) const { return e.seen_on < barrier; }

  void leave_list(entry& e) {
    if (!e.linked()) return;
    (is_proven(e) ? proven_bytes : unproven_bytes) -= bytes_of(e);
    if (!is_proven(e)) --stats.unproven;
    e.unlink();
  }

  void join_list(entry& e) {
    (is_proven(e) ? proven_bytes : unproven_bytes) += bytes_of(e);
    if (!is_proven(e)) ++stats.unproven;
    (is_proven(e) ? proven : unproven).push_back(e);
  }

  // A command of the actor arrived: whatever it was, the engine held it, so the proof is gone.
  void touch(entry& e, epoch connection, time_point now) {
    leave_list(e);
    e.seen_on = std::max(e.seen_on, connection);
    e.touched = now;
    if (!e.live) join_list(e);
  }

  void prove(epoch connection) {
    age_list rest;
    rest.take_all(unproven);
    barrier = connection;
    stats.unproven = 0;
    unproven_bytes = 0;
    // Both lists are ordered by age, and stay so: a merge.
    auto* at = proven.front();
    while (auto* e = rest.front()) {
      e->unlink();
      if (!is_proven(*e)) {
        join_list(*e);
        continue;
      }
      while (at && at->touched <= e->touched) at = proven.after(*at);
      proven.insert_before(at, *e);
      proven_bytes += bytes_of(*e);
    }
  }

  // -- bounds

  [[nodiscard]] std::size_t bytes() const {
    return entry_bytes + buckets.capacity() * sizeof(void*);
  }

  [[nodiscard]] bool unproven_too_many() const {
    // A barrier must be worth its reconnect: it has to prove a twentieth of the bound at least.
    return stats.unproven != 0 && bytes() - proven_bytes >= options.bytes_max / 10 * 9 &&
           unproven_bytes >= options.bytes_max / 20;
  }

  [[nodiscard]] bool needs_barrier(time_point now) const {
    if (stalled || unproven_too_many()) return true;
    const auto* oldest = unproven.front();
    return oldest && oldest->touched + options.forget_after <= now;
  }

  void keep_to_cap(time_point now) {
    while (bytes() > options.bytes_max) {
      auto* oldest = stalled ? nullptr : proven.front();
      if (!oldest || oldest->touched + options.keep_min > now) {
        if (!over) ++stats.over_cap;
        over = true;
        return;
      }
      erase(*oldest);
      ++stats.dropped_at_cap;
    }
    over = false;
  }

  ledger_options options;
  std::vector<entry*> buckets;  // a power of two
  age_list proven, unproven;    // gone actors only, oldest touch first
  std::size_t entry_bytes = 0, proven_bytes = 0, unproven_bytes = 0;
  epoch barrier = 0;  // connection of the last complete replay
  time_point latest{};
  bool stalled = false, asked = false, over = false;
  mutable ledger_stats stats;
};

command_ledger::command_ledger(ledger_options options) : impl_(std::make_unique<impl>(options)) {}

command_ledger::~command_ledger() = default;
command_ledger::command_ledger(command_ledger&&) noexcept = default;
command_ledger& command_ledger::operator=(command_ledger&&) noexcept = default;

verdict command_ledger::admit(
    const protocol::actor_checkpoint& at,
    std::optional<duration> start_age,
    epoch connection,
    time_point now) {
  auto& x = *impl_;
  now = x.latest = std::max(now, x.latest);
  auto* e = x.find(at.actor_id);
  if (e && at.generation < e->generation) {
    x.touch(*e, connection, now);
    ++x.stats.superseded;
    return verdict::superseded;
  }
  if (e && at.generation == e->generation && at.index <= e->last) {
    x.touch(*e, connection, now);
    ++x.stats.duplicates;
    return verdict::duplicate;
  }
  if (e && at.generation == e->generation && start_age) {
    // A generation lives once, and its Start comes before all else: it lives, or had its Stopped.
    e->last = at.index;
    x.touch(*e, connection, now);
    ++x.stats.duplicates;
    ++x.stats.further_starts;
    return verdict::duplicate;
  }
  if (e && at.generation == e->generation) {
    if (static_cast<std::uint64_t>(at.index) - static_cast<std::uint64_t>(e->last) > 1)
      ++x.stats.gaps;
  } else {
    if (at.index != 1) ++x.stats.gaps;
    if (e) {
      x.leave_list(*e);
      e->live = false;
    } else {
      e = &x.insert(at.actor_id);
    }
    e->generation = at.generation;
  }
  e->last = at.index;  // I2: recorded before anybody can see the command
  x.touch(*e, connection, now);
  x.keep_to_cap(now);
  if (start_age && *start_age > x.options.start_limit) {
    ++x.stats.expired;
    return verdict::expired;
  }
  ++x.stats.fresh;
  return verdict::fresh;
}

void command_ledger::handle_gone(const actor_ref& who, time_point now) {
  auto& x = *impl_;
  now = x.latest = std::max(now, x.latest);
  auto* e = x.find(who.actor);
  if (!e || e->generation != who.generation) return;
  x.leave_list(*e);
  e->live = false;
  e->touched = now;
  x.join_list(*e);
}

void command_ledger::handle_live(const actor_ref& who) {
  auto* e = impl_->find(who.actor);
  if (!e || e->generation != who.generation) return;
  impl_->leave_list(*e);
  e->live = true;
}

void command_ledger::handle_barrier(epoch connection, time_point now) {
  auto& x = *impl_;
  if (connection <= x.barrier) return;
  x.prove(connection);
  x.stalled = x.asked = false;
  expire(now);
}

void command_ledger::handle_stall(time_point now) {
  impl_->latest = std::max(now, impl_->latest);
  impl_->stalled = true;
}

void command_ledger::expire(time_point now) {
  auto& x = *impl_;
  now = x.latest = std::max(now, x.latest);
  if (!x.stalled)
    while (auto* oldest = x.proven.front()) {
      if (oldest->touched + x.options.forget_after > now) break;
      x.erase(*oldest);
      ++x.stats.forgotten;
    }
  x.keep_to_cap(now);
}

bool command_ledger::poll_planned_reconnect(time_point now) {
  auto& x = *impl_;
  if (x.asked || !x.needs_barrier(std::max(now, x.latest))) return false;
  return x.asked = true;
}

std::optional<time_point> command_ledger::poll_timeout() const {
  const auto& x = *impl_;
  std::optional<time_point> next;
  const auto consider = [&](time_point t) { next = next ? std::min(*next, t) : t; };
  if (!x.asked && (x.stalled || x.unproven_too_many())) return x.latest;
  if (const auto* oldest = x.unproven.front(); oldest && !x.asked)
    consider(oldest->touched + x.options.forget_after);
  if (const auto* oldest = x.proven.front(); oldest && !x.stalled)
    consider(oldest->touched + (x.over ? x.options.keep_min : x.options.forget_after));
  return next;
}

std::optional<std::uint32_t> command_ledger::newest_generation(const actor_id& actor) const {
  const auto* e = impl_->find(actor);
  return e ? std::optional{e->generation} : std::nullopt;
}

std::optional<std::int64_t> command_ledger::last_index(const actor_ref& who) const {
  const auto* e = impl_->find(who.actor);
  return e && e->generation == who.generation ? std::optional{e->last} : std::nullopt;
}

const ledger_stats& command_ledger::stats() const {
  impl_->stats.bytes = impl_->bytes();
  return impl_->stats;
}

}  // namespace nuncio

// The ledger's memory: a chained hash table of one entry for each actor. Entries of gone actors are also in a list, oldest
// touch first. It is our own table because an entry must stay below 128 bytes, all included.
#include <algorithm>
#include <cassert>
#include <limits>
#include <nuncio/commands/command_ledger.hpp>
#include <nuncio/support/intrusive_list.hpp>
#include <vector>

namespace nuncio {
namespace {

struct by_age;

// create_ts may be any number; within these limits nothing overflows.
constexpr engine_ms created_max = engine_ms{1} << 61, created_min = -created_max;

struct entry : list_hook<by_age> {
  explicit entry(const actor_id& x) : actor(x) {}

  actor_id actor;
  entry* chain = nullptr;           // next in the bucket
  std::int64_t last = 0;            // highest index processed of `generation`
  time_point touched{};             // last command, or the instance's end
  engine_ms created = created_min;  // the newest create_ts of its Starts
  std::uint32_t generation = 0;
  bool live = false;
  bool over = false;  // `generation` was over when it was first seen
  bool gone = false;  // its instance here has ended
};

// Bytes that malloc uses for `n` bytes: a header word, in steps of 16.
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
  explicit impl(ledger_options o)
      : options(o),
        limit(std::chrono::floor<std::chrono::milliseconds>(o.start_limit).count()),
        buckets(buckets_min) {}

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
    leave_list(e);
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

  // -- the list of gone entries

  void leave_list(entry& e) {
    if (!e.linked()) return;
    --stats.gone;
    e.unlink();
  }

  void join_list(entry& e) {
    ++stats.gone;
    gone.push_back(e);
  }

  void touch(entry& e, std::optional<engine_ms> created, engine_ms engine_now, time_point now) {
    leave_list(e);
    e.touched = now;
    // A Start from the future is refused again whenever it comes, and must not make others look old.
    if (created && *created <= engine_now + limit) e.created = std::max(e.created, *created);
    if (!e.live) join_list(e);
  }

  // -- what may be forgotten

  void forget(entry& e) {
    forgotten_until = std::max(forgotten_until, e.created);
    erase(e);
  }

  void keep_to_cap(time_point now) {
    while (bytes() > options.bytes_max) {
      auto* oldest = gone.front();
      if (!oldest || oldest->touched + options.keep_min > now) {
        if (!over) ++stats.over_cap;
        over = true;
        return;
      }
      forget(*oldest);
      ++stats.dropped_at_cap;
    }
    over = false;
  }

  // Whether a Start created then must not run: the engine has given it up, its age is unknown, or it may be a forgotten one.
  [[nodiscard]] bool is_over(engine_ms created, engine_ms engine_now) const {
    return created < engine_now - limit || created > engine_now + limit ||
           created <= forgotten_until;
  }

  [[nodiscard]] std::size_t bytes() const {
    return entry_bytes + buckets.capacity() * sizeof(void*);
  }

  ledger_options options;
  engine_ms limit;                     // maximum age, or lead, of a Start
  std::vector<entry*> buckets;         // a power of two
  intrusive_list<entry, by_age> gone;  // oldest touch first
  std::size_t entry_bytes = 0;
  engine_ms forgotten_until = created_min;  // no forgotten Start was created later
  time_point latest{};
  bool over = false;
  mutable ledger_stats stats;
};

command_ledger::command_ledger(ledger_options options) : impl_(std::make_unique<impl>(options)) {}

command_ledger::~command_ledger() = default;
command_ledger::command_ledger(command_ledger&&) noexcept = default;
command_ledger& command_ledger::operator=(command_ledger&&) noexcept = default;

verdict command_ledger::admit(
    const protocol::actor_checkpoint& at,
    std::optional<engine_ms> created,
    engine_ms engine_now,
    time_point now) {
  auto& x = *impl_;
  now = x.latest = std::max(now, x.latest);
  engine_now = std::clamp(engine_now, created_min / 2, created_max / 2);
  if (created) created = std::clamp(*created, created_min, created_max);
  auto* e = x.find(at.actor_id);
  if (e && at.generation < e->generation) {
    x.touch(*e, created, engine_now, now);
    ++x.stats.superseded;
    return verdict::superseded;
  }
  const bool known = e && at.generation == e->generation;
  const bool had_a_life = e && !e->over;
  if (known && at.index <= e->last) {
    x.touch(*e, created, engine_now, now);
    ++x.stats.duplicates;
    return verdict::duplicate;
  }
  if (known && (created || e->gone)) {
    // A generation lives once, and its Start comes first: so it is living, or its life is over. If its end was reported,
    // another Stop needs no answer.
    e->last = at.index;
    x.touch(*e, created, engine_now, now);
    ++x.stats.duplicates;
    if (created) ++x.stats.further_starts;
    return verdict::duplicate;
  }
  if (known) {
    if (static_cast<std::uint64_t>(at.index) - static_cast<std::uint64_t>(e->last) > 1)
      ++x.stats.gaps;
  } else {
    if (at.index != 1) ++x.stats.gaps;
    if (e) {
      x.leave_list(*e);
      e->live = e->gone = false;
    } else {
      e = &x.insert(at.actor_id);
    }
    e->generation = at.generation;
  }
  e->last = at.index;  // I2: recorded before anything sees the command
  if (created) {
    e->over = x.is_over(*created, engine_now);
  } else if (!known) {
    // Its Start was acked: here and then forgotten, or by the earlier process with this key. Or it never came, which can't be
    // told for an actor that is still known.
    e->over = !x.options.key_had_a_past && !had_a_life;
    e->created = std::max(e->created, engine_now);
  }
  x.touch(*e, created, engine_now, now);
  const bool over = e->over;
  x.keep_to_cap(now);
  ++(over ? x.stats.expired : x.stats.fresh);
  return over ? verdict::expired : verdict::fresh;
}

void command_ledger::handle_gone(const actor_ref& who, time_point now) {
  auto& x = *impl_;
  now = x.latest = std::max(now, x.latest);
  auto* e = x.find(who.actor);
  if (!e || e->generation != who.generation) return;
  x.leave_list(*e);
  e->live = false;
  e->gone = true;
  e->touched = now;
  x.join_list(*e);
}

void command_ledger::handle_live(const actor_ref& who) {
  auto* e = impl_->find(who.actor);
  if (!e || e->generation != who.generation) return;
  impl_->leave_list(*e);
  e->live = true;
}

void command_ledger::expire(time_point now) {
  auto& x = *impl_;
  now = x.latest = std::max(now, x.latest);
  while (auto* oldest = x.gone.front()) {
    if (oldest->touched + x.options.forget_after > now) break;
    x.forget(*oldest);
    ++x.stats.forgotten;
  }
  x.keep_to_cap(now);
}

std::optional<time_point> command_ledger::poll_timeout() const {
  const auto& x = *impl_;
  const auto* oldest = x.gone.front();
  if (!oldest) return std::nullopt;
  return oldest->touched + (x.over ? x.options.keep_min : x.options.forget_after);
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

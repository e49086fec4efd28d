// See outbound_room.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <nuncio/connection/outbound_room.hpp>
#include <nuncio/instances/instance_base.hpp>

namespace nuncio {
namespace {

// The size that a sender with room for bodies is expected to take: one part.
constexpr std::size_t body_bytes = 64UL << 10U;

// A message longer than the queue goes alone: otherwise it would wait for ever, and everything behind it.
bool fits(std::size_t used, std::size_t n, std::size_t most) {
  return used == 0 || used + n <= most;
}

// The limit is never exceeded, not even for a moment: another sender would be refused for no reason.
outcome<void> take(std::atomic<std::size_t>& used, std::size_t n, std::size_t most) {
  auto before = used.load();
  while (fits(before, n, most))
    if (used.compare_exchange_weak(before, before + n)) return {};
  return failure{errc::queue_full, fmt::format("the outbound queue is full: {} bytes", most)};
}

bool has_ended(const room_waiter& who) {
  if (who.what != room_waiter::kind::instance) return false;
  const auto x = who.instance.lock();
  return !x || !x->gate.open.load();
}

}  // namespace

std::size_t outbound_room::bodies_max() const {
  return std::max<std::size_t>(bounds_.clients / 8, 1);
}

// -- any thread ---------------------------------------------------------------------
//
// A refused sender registers as waiting and then checks again; a thread that frees room checks for waiters after freeing. One
// of the two sees the other.

outcome<void> outbound_room::take_for_client(std::size_t n, bool bulk, const room_waiter& who) {
  auto taken = take(clients_, n, bounds_.clients);
  if (!taken) {
    wait_for(n, who);
  } else if (bulk) {
    bulk_.fetch_add(n);
  }
  return taken;
}

void outbound_room::wait_for(std::size_t bytes, const room_waiter& who) {
  const std::lock_guard guard{mutex_};
  auto& x = place_for(who);
  if (x.bytes == 0) ++for_bytes_;
  x.bytes = x.bytes == 0 ? bytes : std::min(x.bytes, bytes);
  if (fits(clients_.load(), bytes, bounds_.clients)) due_.store(true);
}

outcome<void> outbound_room::take_for_storage(std::size_t n) {
  auto taken = take(storage_, n, bounds_.storage);
  if (taken) return taken;
  const std::lock_guard guard{mutex_};
  storage_waits_ = n;
  somebody_waits_.store(true);
  if (fits(storage_.load(), n, bounds_.storage)) due_.store(true);
  return taken;
}

bool outbound_room::has_room_for_bodies(const room_waiter& who) {
  if (bulk_.load() < bodies_max()) return true;
  const std::lock_guard guard{mutex_};
  auto& x = place_for(who);
  if (!std::exchange(x.bodies, true)) ++for_bodies_;
  if (bulk_.load() < bodies_max()) due_.store(true);
  return false;
}

outbound_room::place& outbound_room::place_for(const room_waiter& who) {
  if (places_.size() >= drop_at_) drop_ended();
  const key of{who.what, who.instance.lock().get()};
  const auto [at, made] = place_of_.try_emplace(of);
  if (made) at->second = places_.insert(places_.end(), place{{}, of});
  at->second->who = who;  // an ended one may have had the same address
  somebody_waits_.store(true);
  return *at->second;
}

outbound_room::place_list::iterator outbound_room::erase(place_list::iterator at) {
  if (at->bytes != 0) --for_bytes_;
  if (at->bodies) --for_bodies_;
  place_of_.erase(at->of);
  return places_.erase(at);
}

void outbound_room::drop_ended() {
  for (auto at = places_.begin(); at != places_.end();)
    at = has_ended(at->who) ? erase(at) : std::next(at);
  drop_at_ = std::max<std::size_t>(64, 2 * places_.size());
}

void outbound_room::give_back_of_client(std::size_t n, bool bulk) {
  if (bulk) bulk_.fetch_sub(n);
  clients_.fetch_sub(n);
  handle_freed();
}

void outbound_room::give_back_of_storage(std::size_t n) {
  storage_.fetch_sub(n);
  handle_freed();
}

void outbound_room::handle_freed() {
  if (somebody_waits_.load()) due_.store(true);
}

void outbound_room::handle_connection_lost() {
  const std::lock_guard guard{mutex_};
  if (!somebody_waits_.load()) return;
  lost_ = true;
  due_.store(true);
}

// -- notices --------------------------------------------------------------------------

std::vector<room_waiter> outbound_room::poll_told() {
  std::vector<room_waiter> out;
  if (!due_.exchange(false)) return out;
  const std::lock_guard guard{mutex_};
  if (storage_waits_ != 0 && (lost_ || fits(storage_.load(), storage_waits_, bounds_.storage))) {
    storage_waits_ = 0;
    out.push_back({room_waiter::kind::storage, {}});
  }
  poll_clients(out);
  lost_ = false;
  somebody_waits_.store(!places_.empty() || storage_waits_ != 0);
  return out;
}

// A waiter never passes another one that waits for the same: otherwise a long message would never find room.
void outbound_room::poll_clients(std::vector<room_waiter>& out) {
  const auto clients = clients_.load(), bulk = bulk_.load();
  std::size_t offered = 0, bulk_offered = 0;
  const auto bytes_fit = [&](std::size_t n) {
    return clients == 0 || fits(clients + offered, n, bounds_.clients);
  };
  const auto bodies_fit = [&] { return bulk == 0 || bulk + bulk_offered < bodies_max(); };
  auto bytes_go = for_bytes_ != 0, bodies_go = for_bodies_ != 0 && bodies_fit();
  for (auto at = places_.begin(); at != places_.end() && (lost_ || bytes_go || bodies_go);) {
    const auto for_bodies = at->bodies && bodies_go;
    if (at->bytes != 0 && bytes_go) bytes_go = bytes_fit(at->bytes);
    const auto for_bytes = at->bytes != 0 && bytes_go;
    if (!lost_ && !for_bodies && !for_bytes) {
      ++at;
      continue;
    }
    if (for_bytes) offered += at->bytes;
    if (for_bodies) bulk_offered += body_bytes;
    bodies_go = bodies_go && bodies_fit();
    out.push_back(at->who);
    at = erase(at);
  }
}

}  // namespace nuncio

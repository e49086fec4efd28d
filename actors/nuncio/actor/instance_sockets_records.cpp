// The stored records of hibernating WebSockets: written on changes, and read by the next instance.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nuncio/actor/access.hpp>
#include <nuncio/actor/instance_sockets.hpp>
#include <nuncio/errors.hpp>
#include <nuncio/storage/kv_limits.hpp>

namespace nuncio::internal {
namespace {

// Whether the same records may be written once there is room.
bool goes_again(const caf::error& e) {
  const auto why = storage_failure_of(e);
  return why && why->code == errc::queue_full;
}

}  // namespace

std::uint64_t instance_sockets::wall_clock_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

void instance_sockets::save(const socket& x) {
  unsaved_.insert(x.ticket);
  ask_flush();
}

void instance_sockets::unsave(const exchange_id& id) {
  unerased_.push_back(id);
  ask_flush();
}

void instance_sockets::ask_flush() {
  if (!std::exchange(flush_asked_, true)) post(owner_, internal::flush{});
}

void instance_sockets::handle_flush() {
  flush_asked_ = false;
  write_records(false);
}

void instance_sockets::write_records(bool at_end) {
  erase_records();
  std::vector<std::pair<octets, octets>> entries;
  std::vector<std::uint64_t> tickets;
  std::size_t cost = 0;
  for (const auto ticket : std::exchange(unsaved_, {})) {
    const auto at = all_.find(ticket);
    if (at == all_.end()) continue;
    const auto& x = *at->second;
    const auto path = x.head.path();
    const socket_record record{
        text{nullptr, std::span{path}},
        x.head.headers(),
        x.state,
        x.session.next_index(),
        x.session.consumed(),
        x.session.exact() || (at_end && x.session.consumed()),
        x.accepted_ms};
    auto key = socket_record_key(x.session.id());
    auto value = encode(record);
    if (value.size() > kv_limits::value_bytes_max) {
      complain(
          fmt::format(
              "with its state and headers it takes {} bytes, at most {} are allowed",
              value.size(),
              kv_limits::value_bytes_max),
          1);
      continue;
    }
    const auto more = kv_limits::cost(key, value);
    if (tickets.size() == kv_limits::batch_keys_max || cost + more > kv_limits::put_bytes_max) {
      put_records(std::exchange(entries, {}), std::exchange(tickets, {}));
      cost = 0;
    }
    cost += more;
    entries.emplace_back(std::move(key), std::move(value));
    tickets.push_back(ticket);
  }
  if (!tickets.empty()) put_records(std::move(entries), std::move(tickets));
}

void instance_sockets::put_records(
    std::vector<std::pair<octets, octets>> entries, std::vector<std::uint64_t> tickets) {
  access::own_keys(storage_)
      .put_all(std::move(entries))
      .then(
          [] {},
          [this, tickets = std::move(tickets)](const caf::error& e) {
            if (!goes_again(e))
              return complain(nuncio::describe(owner_->system(), e), tickets.size());
            for (const auto ticket : tickets)
              if (all_.contains(ticket)) unsaved_.insert(ticket);
          });
}

void instance_sockets::erase_records() {
  auto ids = std::exchange(unerased_, {});
  while (!ids.empty()) {
    const auto n = std::min(ids.size(), kv_limits::batch_keys_max);
    const std::vector<exchange_id> some{ids.end() - static_cast<std::ptrdiff_t>(n), ids.end()};
    ids.resize(ids.size() - n);
    std::vector<octets> keys;
    keys.reserve(n);
    for (const auto& id : some) keys.emplace_back(socket_record_key(id));
    access::own_keys(storage_)
        .erase_all(std::move(keys))
        .then(
            [] {},
            [this, some](const caf::error& e) {
              if (!goes_again(e)) return;  // the next instance sees that its client has gone
              for (const auto& id : some)
                if (std::none_of(all_.begin(), all_.end(), [&](const auto& each) {
                      return each.second->session.id() == id;
                    }))
                  unerased_.push_back(id);
            });
  }
}

void instance_sockets::complain(std::string_view why, std::size_t count) {
  const auto& context = access::context(*owner_);
  log_limited(
      context,
      log_level::warning,
      "WebSockets could not be stored; they will not survive their actor",
      {{"count", fmt::to_string(count)}, {"reason", std::string{why}}});
}

void instance_sockets::restore(std::vector<socket_ptr> listed) {
  looked_up_ = true;
  looking_up_.emplace(
      lookup{kv_pages{bytes{socket_record_prefix}, bytes{socket_records_end}}, {}, {}});
  for (auto& x : listed) looking_up_->listed.emplace(x->session.id(), std::move(x));
  read_page();
}

void instance_sockets::read_page() {
  const auto& pages = looking_up_->pages;
  access::own_keys(storage_)
      .list({.first = pages.first(), .last = pages.last(), .limit = pages.limit()})
      .then(
          [this](const std::vector<kv_entry>& records) { handle_page(records); },
          [this](const caf::error& e) { handle_no_page(e); });
}

void instance_sockets::handle_no_page(const caf::error& why) {
  const auto failed = storage_failure_of(why);
  if (failed && failed->code == errc::too_large && looking_up_->pages.handle_too_long())
    return read_page();
  const auto& context = access::context(*owner_);
  log_limited(
      context,
      log_level::error,
      "the stored records of WebSockets can't be read; they are closed",
      {{"reason", nuncio::describe(owner_->system(), why)}});
  end_restore();
}

void instance_sockets::handle_page(const std::vector<kv_entry>& records) {
  auto& [pages, listed, unlisted] = *looking_up_;
  const auto now = wall_clock_ms();
  std::unordered_set<exchange_id> known;  // for each page again: others may have been accepted
  for (const auto& [ticket, x] : all_) known.insert(x->session.id());
  for (const auto& entry : records) {
    const auto id = socket_record_id(entry.key);
    if (!id) continue;
    const auto record = decode_socket_record(entry.value);
    const auto at = listed.find(*id);
    if (record && at != listed.end()) {
      take_up(at->second, *record);
      untold_.push_back(at->second);
      listed.erase(at);
      continue;
    }
    if (known.contains(*id)) continue;
    if (!record || at != listed.end()) {
      unsave(*id);
      continue;
    }
    auto x =
        std::make_shared<socket>(socket_session{*id}, next_own_--, access::shared_context(*owner_));
    take_up(x, *record);
    if (may_be_unlisted(*record, now)) {
      untold_.push_back(x);
      unlisted_.emplace(*id, x->ticket);
      unlisted.push_back(std::move(x));
      continue;
    }
    // Its client left while this actor slept.
    x->session.handle_closed();
    tell(*x, close_left, "the client left while the actor slept");
  }
  if (pages.handle_page(records.size(), records.empty() ? bytes{} : records.back().key))
    return read_page();
  end_restore();
}

void instance_sockets::end_restore() {
  auto found = *std::exchange(looking_up_, std::nullopt);
  for (auto& [id, x] : found.listed) {  // their state is unknown
    x->session = socket_session{id, 0, std::nullopt};
    all_.emplace(x->ticket, x);
    static_cast<void>(close(*x, close_restart, "the connection could not be restored"));
  }
  internal::tell(
      access::context(*owner_),
      sockets_restored{access::context(*owner_).start.self, std::move(found.unlisted)});
  if (!untold_.empty()) post(owner_, tell_restored{});
  for (const auto& each : std::exchange(failed_early_, {}))
    handle_failed(*each.socket, each.code, each.why);
}

void instance_sockets::take_up(const socket_ptr& x, const socket_record& record) {
  x->session = socket_session{x->session.id(), record.next_index, record.consumed, record.exact};
  x->head = {record.path, record.headers};
  x->state = bytes::copy_of(record.state.span());
  x->accepted_ms = record.accepted_ms;
  all_.emplace(x->ticket, x);
}

// Removes records of clients that left while this actor slept and nothing else woke it.
void instance_sockets::clean_up() {
  if (!looked_up_ && access::context(*owner_).start.self.generation > 1) restore({});
}

}  // namespace nuncio::internal

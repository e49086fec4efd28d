// See absent_sockets.hpp.
#include <nuncio/tunnel/absent_sockets.hpp>

namespace nuncio {

absent_sockets::absent_sockets(absent_sockets_options options)
    : options_(std::move(options)),
      left_(options_.listed_limit, options_.left_bytes_max),
      hibernated_(duration::max(), options_.left_bytes_max),
      ended_(options_.closed_limit, options_.closed_bytes_max),
      lost_(duration::max(), options_.closed_bytes_max),
      closed_(duration::max(), options_.closed_bytes_max) {}

void absent_sockets::handle_left(const actor_id& of, const exchange_id& id, time_point now) {
  static_cast<void>(left_.add(of, id, fate::open, now));
}

void absent_sockets::handle_hibernated(const actor_id& of, time_point now) {
  static_cast<void>(hibernated_.add(of, {}, now));
}

void absent_sockets::handle_closed(const actor_id& of, const exchange_id& id, time_point now) {
  static_cast<void>(left_.add(of, id, fate::closed, now));
}

void absent_sockets::handle_ended(const actor_id& of, const exchange_id& id, time_point now) {
  static_cast<void>(ended_.add(of, id, {}, now));
}

void absent_sockets::handle_present(const exchange_id& id) { static_cast<void>(ended_.take(id)); }

bool absent_sockets::take_hibernated(const actor_id& of, time_point now) {
  return hibernated_.take(of) || hibernated_.incomplete(now);
}

absent_sockets::fate absent_sockets::take_left(
    const actor_id& of, const exchange_id& id, time_point now) {
  if (const auto known = left_.take(id)) return *known;
  return left_.incomplete(of, now) ? fate::unknown : fate::open;
}

// A WebSocket that was closed while its actor slept may be missing from its next instance's list only: what is known about it
// stays, since its record may be young enough for the instance to look for it nevertheless.
absent_sockets::fate absent_sockets::take_listed(
    const actor_id& of, const exchange_id& id, time_point now) {
  if (const auto* const known = left_.find(id); known != nullptr && *known == fate::closed)
    return fate::closed;
  return take_left(of, id, now);
}

absent_sockets::fate absent_sockets::take_unlisted(
    const actor_id& of, const exchange_id& id, time_point now) {
  if (ended_.take(id) || closed_.take(id)) return fate::closed;
  const auto known = take_left(of, id, now);
  return known == fate::open && closed_.incomplete(now) ? fate::unknown : known;
}

void absent_sockets::end_restoring() {
  if (--restoring_ != 0) return;
  strays_ = decltype(strays_){};
  lost_.clear();
  closed_.clear();
}

bool absent_sockets::may_come_back(const exchange_id& id) {
  return restoring_ != 0 && ended_.find(id) == nullptr;
}

// For one that its last instance has left; or for one that is not listed, while an instance has not said yet whose it is. Any
// other close ends a WebSocket that was closed here.
void absent_sockets::handle_close(const exchange_id& id, time_point now) {
  if (auto* const known = left_.find(id))
    *known = fate::closed;
  else if (restoring_ != 0)
    static_cast<void>(closed_.add(id, {}, now));
}

// If there is no room, the first messages stay, so that a gap shows in the index, or here.
void absent_sockets::handle_message(
    const exchange_id& id,
    std::uint16_t index,
    protocol::to_envoy_web_socket_message& said,
    time_point now) {
  if (!may_come_back(id)) return;
  const auto [at, first] = strays_.try_emplace(id);
  auto& kept = at->second;
  if (first) kept.share.join(options_.said, 0, options_.said_bytes_max);
  if (kept.share.take(said.data.size() + waiting_message_bytes) != waiting_share::verdict::taken) {
    static_cast<void>(lost_.add(id, {}, now));
    if (first) strays_.erase(at);
    return;
  }
  kept.said.emplace_back(index, std::move(said));
}

void absent_sockets::handle_lost_message(const exchange_id& id, time_point now) {
  if (may_come_back(id)) static_cast<void>(lost_.add(id, {}, now));
}

absent_sockets::messages absent_sockets::take_messages(const exchange_id& id, time_point now) {
  if (lost_.take(id) || lost_.incomplete(now)) return std::nullopt;
  const auto at = strays_.find(id);
  if (at == strays_.end()) return std::vector<message>{};
  auto out = std::move(at->second.said);
  strays_.erase(at);
  return out;
}

}  // namespace nuncio

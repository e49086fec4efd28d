// See start_backoff.hpp.
#include <algorithm>
#include <nuncio/instances/start_backoff.hpp>

namespace nuncio {

std::uint32_t start_backoff::handle_failed(const actor_id& actor, time_point now) {
  expire(now);
  record next{actor, 1, now};
  if (const auto known = index_.find(actor); known != index_.end()) {
    next.failures += known->second->failures;
    erase(known->second);
  } else if (!failing_.empty() && failing_.size() >= options_.actors_max) {
    erase(failing_.begin());
  }
  failing_.push_back(next);
  index_.emplace(actor, std::prev(failing_.end()));
  return next.failures;
}

void start_backoff::handle_useful(const actor_id& actor) {
  if (failing_.empty()) return;
  if (const auto known = index_.find(actor); known != index_.end()) erase(known->second);
}

duration start_backoff::delay(const actor_id& actor, time_point now) const {
  if (failing_.empty()) return {};
  const auto known = index_.find(actor);
  if (known == index_.end()) return {};
  const auto& x = *known->second;
  return std::max(duration::zero(), x.last + wait_of(x) - now);
}

void start_backoff::erase(list::iterator at) {
  index_.erase(at->actor);
  failing_.erase(at);
}

void start_backoff::expire(time_point now) {
  while (!failing_.empty() && failing_.front().last + options_.forget_after <= now)
    erase(failing_.begin());
}

duration start_backoff::wait_of(const record& x) const {
  auto wait = options_.first;
  for (std::uint32_t n = 1; n < x.failures && wait < options_.longest; ++n) wait *= 2;
  return std::min(wait, options_.longest);
}

}  // namespace nuncio

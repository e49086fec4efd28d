// See address_race.hpp.
#include <algorithm>
#include <nuncio/connection/address_race.hpp>

namespace nuncio {

address_race::address_race(const std::vector<bool>& is_v6, address_race_options options)
    : options_(options) {
  // Alternating, beginning with the family that the resolver prefers.
  std::vector<std::size_t> first, second;
  for (std::size_t i = 0; i < is_v6.size(); ++i)
    (is_v6[i] == is_v6.front() ? first : second).push_back(i);
  for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) order_.push_back(first[i]);
    if (i < second.size()) order_.push_back(second[i]);
  }
  if (order_.size() > options_.addresses_max) order_.resize(options_.addresses_max);
}

void address_race::handle_failed() {
  ++failed_;
  due_ = {};
}

std::optional<std::size_t> address_race::poll_begin(time_point now) {
  if (next_ == order_.size() || now < due_) return std::nullopt;
  due_ = now + options_.stagger;
  return order_[next_++];
}

std::optional<time_point> address_race::poll_timeout() const {
  if (next_ == order_.size()) return std::nullopt;
  return due_;
}

}  // namespace nuncio

// Which of a name's addresses to connect to, and when: one after the other with a short delay, alternating between families,
// until one answers (RFC 8305). Pure; addresses are numbers in the resolver's order.
#pragma once

#include <cstddef>
#include <nuncio/detail/clock.hpp>
#include <optional>
#include <vector>

namespace nuncio {

struct address_race_options {
  duration stagger = std::chrono::milliseconds{250};  ///< RFC 8305 8: "Connection Attempt Delay"
  std::size_t addresses_max = 16;                     ///< further ones are not tried
};

class address_race {
public:
  /// @param is_v6  for each address
  explicit address_race(const std::vector<bool>& is_v6, address_race_options options = {});

  /// An attempt has failed: the next one need not wait.
  void handle_failed();

  /// The address to try now. Call it until it returns none.
  std::optional<std::size_t> poll_begin(time_point now);
  /// When to call poll_begin even if no attempt has failed.
  [[nodiscard]] std::optional<time_point> poll_timeout() const;

  /// Every attempt was started and has failed.
  [[nodiscard]] bool lost() const { return next_ == order_.size() && failed_ == order_.size(); }

private:
  address_race_options options_;
  std::vector<std::size_t> order_;
  std::size_t next_ = 0, failed_ = 0;
  time_point due_{};
};

}  // namespace nuncio

// Which of a name's addresses to connect to, and when: one after the other with a short wait between them, the families by
// turns, until one answers (RFC 8305). Pure; addresses are numbers in the order in which the resolver gave them.
#pragma once

#include <cstddef>
#include <nuncio/detail/clock.hpp>
#include <optional>
#include <vector>

namespace nuncio {

struct address_race_options {
  duration stagger = std::chrono::milliseconds{250};  ///< RFC 8305 8: "Connection Attempt Delay"
  std::size_t addresses_max = 16;                     ///< more are not tried
};

class address_race {
public:
  /// @param is_v6  of each address
  explicit address_race(const std::vector<bool>& is_v6, address_race_options options = {});

  /// That attempt has failed: the next need not wait any longer.
  void handle_failed();

  /// The address to begin with now. Call until it says none.
  std::optional<std::size_t> poll_begin(time_point now);
  /// When to call poll_begin though no attempt has failed.
  [[nodiscard]] std::optional<time_point> poll_timeout() const;

  /// Every attempt was begun and has failed.
  [[nodiscard]] bool lost() const { return next_ == order_.size() && failed_ == order_.size(); }

private:
  address_race_options options_;
  std::vector<std::size_t> order_;
  std::size_t next_ = 0, failed_ = 0;
  time_point due_{};
};

}  // namespace nuncio

// Keeps a log readable if the same thing happens again and again: ten lines of a kind per second, then one with the number of
// those left out. Pure except for the sink that it calls; owned by one actor.
#pragma once

#include <fmt/format.h>

#include <map>
#include <nuncio/detail/clock.hpp>
#include <nuncio/log.hpp>
#include <span>
#include <string>

namespace nuncio {

class log_limiter {
public:
  static constexpr unsigned lines_per_second_max = 10;

  explicit log_limiter(log_sink sink) : sink_(std::move(sink)) {}

  /// @param kind  a literal that lines of one kind share; also the message
  void log(
      time_point now,
      log_level level,
      std::string_view kind,
      std::initializer_list<log_field> fields = {}) {
    log(now, level, kind, std::span{fields.begin(), fields.size()});
  }

  void log(
      time_point now, log_level level, std::string_view kind, std::span<const log_field> fields) {
    auto& seen = seen_[kind];
    if (now - seen.since >= std::chrono::seconds{1}) {
      if (seen.left_out != 0)
        log_to(sink_, level, kind, {{"left_out", fmt::to_string(seen.left_out)}});
      seen = {now, 0, 0};
    }
    if (seen.lines < lines_per_second_max) {
      ++seen.lines;
      if (sink_) sink_(level, kind, fields);
    } else {
      ++seen.left_out;
    }
  }

private:
  struct window {
    time_point since{};
    unsigned lines = 0;
    std::uint64_t left_out = 0;
  };

  log_sink sink_;
  std::map<std::string_view, window> seen_;  // kinds are literals: a small fixed set
};

}  // namespace nuncio

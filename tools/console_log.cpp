// See console_log.hpp.
#include "console_log.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

namespace nuncio {
namespace {

spdlog::level::level_enum level_of(log_level x) {
  switch (x) {
    case log_level::debug:
      return spdlog::level::debug;
    case log_level::info:
      return spdlog::level::info;
    case log_level::warning:
      return spdlog::level::warn;
    case log_level::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// As much of a value as a line of text shows of it.
std::string shortened(std::string_view value) {
  constexpr std::size_t bytes_max = 4096;
  if (value.size() <= bytes_max) return std::string{value};
  return fmt::format("{}... ({} bytes more)", value.substr(0, bytes_max), value.size() - bytes_max);
}

std::string_view name_of(log_level x) {
  constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
  return names[static_cast<std::size_t>(x)];
}

}  // namespace

log_sink console_log(const std::string& format) {
  auto logger = std::make_shared<spdlog::logger>(
      "nuncio", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern(format == "json" ? "%v" : "%H:%M:%S.%e %^%-7l%$ %v");
  logger->flush_on(spdlog::level::debug);
  if (format == "json")
    return [logger](log_level level, std::string_view message, std::span<const log_field> fields) {
      nlohmann::ordered_json line;
      line["time_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count();
      line["level"] = name_of(level);
      line["message"] = shortened(message);
      for (const auto& f : fields) line[std::string{f.name}] = shortened(f.value);
      logger->log(
          level_of(level),
          "{}",
          // ASCII only, so that nothing in it can control a terminal.
          line.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace));
    };
  return [logger](log_level level, std::string_view message, std::span<const log_field> fields) {
    logger->log(level_of(level), "{}", log_line(message, fields));
  };
}

}  // namespace nuncio

// Logging: one sink in the host's options. It is called from any thread, must not block and must not throw.
//
//   options.log = nuncio::stderr_log();
//   options.log = [](nuncio::log_level level, std::string_view message, std::span<const nuncio::log_field> fields) {
//     my_log(level, nuncio::log_line(message, fields));
//   };
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace nuncio {

enum class log_level : std::uint8_t { debug, info, warning, error };

/// A named value of a message.
struct log_field {
  std::string_view name;
  std::string value;
};

using log_sink =
    std::function<void(log_level, std::string_view message, std::span<const log_field>)>;

/// A record as one line of text, `message name=value name="value with spaces"`. Values may hold text that others wrote, such as
/// actor names or an engine's errors. So everything that could end the line, control a terminal or reorder the display (control
/// characters, bidirectional marks and overrides, line separators, bytes that are not UTF-8) is escaped as `\n`, `\u{1b}` or
/// `\xff`, and a text is cut at 4096 bytes. For every sink that writes lines; sinks get unescaped texts.
std::string log_line(std::string_view message, std::span<const log_field> fields);

/// A sink for programs without one: writes lines at level `least` and above to standard error.
log_sink stderr_log(log_level least = log_level::info);

/// Calls `sink` if there is one.
inline void log_to(
    const log_sink& sink,
    log_level level,
    std::string_view message,
    std::initializer_list<log_field> fields = {}) {
  if (sink) sink(level, message, {fields.begin(), fields.size()});
}

}  // namespace nuncio

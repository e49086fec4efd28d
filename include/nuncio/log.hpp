// How the libraries log: one sink in the host's options. It is called from any thread, must not block and must not throw.
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

/// A named value that belongs to a message.
struct log_field {
  std::string_view name;
  std::string value;
};

using log_sink =
    std::function<void(log_level, std::string_view message, std::span<const log_field>)>;

/// A record as one line of text, `message name=value name="value with spaces"`. Names of actors, errors of an engine and
/// more that others wrote stand in values, so whatever could end the line, steer a terminal or reorder what is shown
/// (control characters, bidirectional marks and overrides, line separators, bytes that are no UTF-8) is escaped as `\n`,
/// `\u{1b}` or `\xff`; a text is cut at 4096 bytes. For every sink that writes lines; it gets texts as they are.
std::string log_line(std::string_view message, std::span<const log_field> fields);

/// A sink for programs that have none of their own: lines on standard error, from `least` on.
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

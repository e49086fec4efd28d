// See log.hpp.
#include <fmt/format.h>

#include <cstdio>
#include <nuncio/log.hpp>

namespace nuncio {

log_sink stderr_log(log_level least) {
  return [least](log_level level, std::string_view message, std::span<const log_field> fields) {
    if (level < least) return;
    static constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
    auto line = fmt::format("nuncio {}: {}", names[static_cast<std::size_t>(level)], message);
    for (const auto& f : fields) line += fmt::format(" {}={}", f.name, f.value);
    line += '\n';
    std::fwrite(
        line.data(),
        1,
        line.size(),
        stderr);  // one call, so that lines of several threads stay whole
  };
}

}  // namespace nuncio

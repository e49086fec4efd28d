// The command line's log sink: spdlog to standard error, as text or as one JSON object per line.
#pragma once

#include <nuncio/log.hpp>
#include <string>

namespace nuncio {

/// @param format  "text" or "json"
log_sink console_log(const std::string& format);

}  // namespace nuncio

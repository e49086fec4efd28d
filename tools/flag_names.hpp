// Settings that the library names by field become the flags that users of the command line know.
#pragma once

#include <nuncio/log.hpp>
#include <string>
#include <string_view>

namespace nuncio {

/// `text` with the `nuncio serve` flag in place of each `host_options::field`, and of each field in backticks.
std::string with_flag_names(std::string_view text);

/// Passes records on to `to`, with flag names in message and values.
log_sink with_flag_names(log_sink to);

}  // namespace nuncio

// The library names a setting by its field, which a user of the command line knows by its flag.
#pragma once

#include <nuncio/log.hpp>
#include <string>
#include <string_view>

namespace nuncio {

/// `text` with the flag of `nuncio serve` for each `host_options::field`, and for a field in backticks.
std::string with_flag_names(std::string_view text);

/// Hands records on with the flags' names in message and values.
log_sink with_flag_names(log_sink to);

}  // namespace nuncio

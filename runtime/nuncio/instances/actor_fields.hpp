// The fields of a log line about an instance.
#pragma once

#include <initializer_list>
#include <nuncio/log.hpp>
#include <nuncio/start_info.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace nuncio::internal {

/// The text of a hidden error for others, before its id.
inline constexpr std::string_view hidden_error_text = "an internal error occurred (error_id ";

/// Name, key, id and generation, and `more`.
std::vector<log_field> with_actor(const start_info& who, std::initializer_list<log_field> more);

/// The same with the reason, and the id of the error that `why` hides, if any.
std::vector<log_field> with_reason(const start_info& who, const std::string& why);

}  // namespace nuncio::internal

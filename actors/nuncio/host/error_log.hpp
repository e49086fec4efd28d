// The log of errors that clients may not see, and of what clients bring about. Any thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <nuncio/log.hpp>
#include <string>
#include <string_view>

namespace nuncio {

struct instance_context;

namespace internal {

/// Where the texts go: one for each ingress, whose instances share its bound of ten lines of a kind a second.
class error_log;
std::shared_ptr<error_log> make_error_log(log_sink sink);

/// Logs within that bound, for what clients can bring about, which actor it is and `more`. `kind` is a literal; also the
/// message.
void log_limited(
    const instance_context& of,
    log_level level,
    std::string_view kind,
    std::initializer_list<log_field> more = {});

/// Logs `real` beside an id. @returns what may be said of it to others, which names the id
std::string hidden(const instance_context& of, std::string_view real);

}  // namespace internal
}  // namespace nuncio

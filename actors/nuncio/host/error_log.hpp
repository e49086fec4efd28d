// The log of errors that clients may not see, and of events that clients cause. Any thread.
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

/// Takes the texts: one for each ingress, whose instances share its limit of ten lines of a kind per second.
class error_log;
std::shared_ptr<error_log> make_error_log(log_sink sink);

/// Logs an event that clients can cause, within that limit, with the actor and `more`. `kind` is a literal, and also the
/// message.
void log_limited(
    const instance_context& of,
    log_level level,
    std::string_view kind,
    std::initializer_list<log_field> more = {});

/// Logs `real` with an id. @returns the text for others, which names the id
std::string hidden(const instance_context& of, std::string_view real);

}  // namespace internal
}  // namespace nuncio

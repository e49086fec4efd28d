// HTTP's rules for methods, paths and header fields, for text from an actor, or from a client through it. Pure.
#pragma once

#include <string>
#include <string_view>

namespace nuncio {

/// `x` with A to Z as a to z; header names are compared this way.
std::string lowered(std::string_view x);
bool same_name(std::string_view a, std::string_view b);

/// Whether `x` may be a method or the name of a header (RFC 9110, 5.6.2).
bool is_token(std::string_view x);

/// Whether `x` may be the value of a header: visible ASCII, spaces and tabs.
bool is_field_value(std::string_view x);

/// Whether the header `name`, in lower case, is about a single connection, such as `transfer-encoding`: a part that forwards a
/// message leaves these out, since its own connection has others (RFC 9110, 7.6.1).
bool is_hop_by_hop(std::string_view name);

/// Whether a segment of the path before `?` is `.` or `..`, plain or percent-encoded, after a slash or what some servers treat
/// as one (`\`, `%2f`, `%5c`), with or without a parameter (`..;x`): a server that resolves it on the way requests another
/// resource than the caller meant.
bool has_dot_segment(std::string_view path_and_query);

}  // namespace nuncio

// What HTTP allows in methods, paths and header fields, for text that comes from an actor or through it from a client.
// Pure.
#pragma once

#include <string>
#include <string_view>

namespace nuncio {

/// `x` with A to Z as a to z; header names compare so.
std::string lowered(std::string_view x);
bool same_name(std::string_view a, std::string_view b);

/// A method or the name of a header (RFC 9110, 5.6.2).
bool is_token(std::string_view x);

/// The value of a header: visible ASCII, spaces and tabs.
bool is_field_value(std::string_view x);

/// Whether the header `name`, in lower case, is about one connection only, such as `transfer-encoding`: whoever passes a
/// message on leaves these out, since its own connection has others (RFC 9110, 7.6.1).
bool is_hop_by_hop(std::string_view name);

/// Whether a segment of the path before `?` is `.` or `..`, plain or percent-encoded, behind a slash or what some server
/// takes for one (`\`, `%2f`, `%5c`), with or without a parameter (`..;x`): whoever resolves it on the way asks for
/// another resource than the caller meant.
bool has_dot_segment(std::string_view path_and_query);

}  // namespace nuncio

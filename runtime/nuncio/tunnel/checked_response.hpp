// Checks a response before it is sent, whatever its source: the only place that knows how gateways and clients treat status,
// headers and body (docs/protocol.md G.3). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <nuncio/messages_tunnel.hpp>
#include <nuncio/outcome.hpp>
#include <optional>

namespace nuncio {

struct response_rules {
  std::size_t body_bytes_max = std::numeric_limits<std::size_t>::max();
  bool to_head = false;   ///< the request was a HEAD
  bool streamed = false;  ///< the body is written after the head
};

/// A response that may be sent.
struct checked_response {
  protocol::to_rivet_response_start start;
  bool has_body = true;  ///< false: for a HEAD, or with status 204, 205 or 304: nothing may follow
  /// The length of a streamed body, if its handler declared it.
  std::optional<std::uint64_t> length{};
};

/// Corrects harmless deviations, and refuses a handler's mistakes:
///
/// | what | result |
/// | status below 200 or above 999 | a failure: 100 to 199 are not final responses, and a client would go on waiting |
/// | a name that is not a token, a value that is not visible ASCII | a failure |
/// | names | lower case |
/// | `connection`, the headers that it names, and others about one connection (is_hop_by_hop) | left out |
/// | `content-length` of a body that is present | left out: the gateway counts |
/// | `content-length` for a HEAD without a body, or of a streamed body | kept; a failure if it is not a number |
/// | a body for a HEAD | left out; its length stays as `content-length` |
/// | a body with 204, 205 or 304, and `content-length` with them | left out |
/// | repeated `set-cookie` | kept, each under another spelling of the name, since the wire's map has one value for each |
/// | a repeated list (`vary`, `link`, ...) | joined by ", ", which HTTP considers equal |
/// | a repeated header with one value (`content-type`, `location`, ...) | a failure |
/// | a body above `body_bytes_max` | a failure |
///
/// @returns errc::invalid_argument or too_large with a message that names the mistake
outcome<checked_response> check_response(
    protocol::to_rivet_response_start response, const response_rules& rules);

}  // namespace nuncio

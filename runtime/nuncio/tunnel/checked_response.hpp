// What a response must be before it leaves, whoever made it: the one place that knows what gateways and clients make of
// status, headers and body (docs/protocol.md G.3). Pure.
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

/// A response as it may leave.
struct checked_response {
  protocol::to_rivet_response_start start;
  bool has_body = true;  ///< false: to a HEAD, or with status 204, 205 or 304: nothing may follow
  /// How many bytes its handler says that a streamed body has.
  std::optional<std::uint64_t> length{};
};

/// Corrects what has one right form, and refuses what is a mistake of the handler:
///
/// | what | becomes |
/// | status below 200 or above 999 | a failure: 100 to 199 are no answers, and a client goes on waiting |
/// | a name that is no token, a value that is not visible ASCII | a failure |
/// | names | lower case |
/// | `connection`, what it names, and whatever else is about one connection (is_hop_by_hop) | left out |
/// | `content-length` of a body that is there | left out: the gateway counts |
/// | `content-length` to a HEAD without a body, or of a streamed body | kept; a failure if it is no number |
/// | a body to a HEAD | left out; its length stays as `content-length` |
/// | a body with 204, 205 or 304, and `content-length` with them | left out |
/// | `set-cookie` more than once | kept, each under another spelling of the name, since the wire's map has one value for each |
/// | a list (`vary`, `link`, ...) more than once | joined by ", ", which HTTP calls the same |
/// | what has one value (`content-type`, `location`, ...) more than once | a failure |
/// | a body above `body_bytes_max` | a failure |
///
/// @returns errc::invalid_argument or too_large with a message that names the mistake
outcome<checked_response> check_response(
    protocol::to_rivet_response_start response, const response_rules& rules);

}  // namespace nuncio

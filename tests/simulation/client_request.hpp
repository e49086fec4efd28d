// What a client asks of a handler, and how: carried in the path of its request, so that both ends know which bytes are right.
// Values; both layers' handlers and the gateway's model use them.
#pragma once

#include <cstdint>
#include <nuncio/http.hpp>
#include <string_view>

#include "simulation/http_gateway.hpp"

namespace nuncio::simulation {

/// Which of the two gateways, and what the instance wants of the body (docs/protocol.md G.1).
enum class http_mode : std::uint8_t {
  buffered,   ///< whole both ways
  collected,  ///< the body comes in chunks without a window, the response goes whole
  bodyless,   ///< a stream back only
  joined,     ///< streams both ways; the handler gets the body whole
  parts,      ///< streams both ways; the handler gets it in parts
  modes
};

/// What the handler does.
enum class answer_plan : std::uint8_t {
  whole,              ///< one response
  in_parts,           ///< written bit by bit
  cancel_then_whole,  ///< it has read enough of the body
  fail_before,        ///< a failure instead of a response
  fail_midway,        ///< half of it is written
  plans
};

struct client_request {
  http_mode mode{};
  answer_plan plan{};
  bool early = false;                     ///< answered before the upload is complete
  std::uint16_t said = 0;                 ///< messages that the host is said to have sent before
  std::size_t upload_at = 0, upload = 0;  ///< of pattern()
  std::size_t response_at = 0, response = 0;

  [[nodiscard]] text path() const;
  static client_request of(std::string_view path);

  [[nodiscard]] bytes body() const { return pattern().part(upload_at, upload); }

  [[nodiscard]] bytes answer(std::uint64_t from, std::uint64_t size) const {
    return pattern().part(response_at + from, size);
  }

  [[nodiscard]] bool fails() const {
    return plan == answer_plan::fail_before || plan == answer_plan::fail_midway;
  }
};

/// What a handler has read of a body: each byte once and in order, and one end.
class body_check {
public:
  explicit body_check(const client_request& x) : of_(x) {}

  /// @throws violated
  void take(const request_part& part);

  [[nodiscard]] bool over() const { return over_; }

private:
  client_request of_;
  std::uint64_t taken_ = 0;
  bool over_ = false;
};

}  // namespace nuncio::simulation

// A client WebSocket as plain as can be: opens through the gateway and waits for the close frame. One blocking
// connection, with limits.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace nuncio::e2e {

struct socket_end {
  int http_status = 0;
  std::optional<std::uint16_t> code;  ///< of the close frame, if one came
};

socket_end open_and_await_close(std::uint16_t port, std::string_view path);

}  // namespace nuncio::e2e

// Splits a stream of WebSocket frames into pieces that can be forwarded or dropped: one control frame, or all frames of one
// message. Pure; either direction. It changes no byte and answers nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nuncio::proxy {

struct frame_piece {
  std::string raw;       ///< to forward
  bool message = false;  ///< a whole text or binary message; else a control frame
  std::string payload;   ///< of a message, unmasked
};

class frame_splitter {
public:
  /// Appends the pieces that `x` completes to `out`.
  /// @returns false if this is not a WebSocket stream, or a message is larger than 64 MiB
  [[nodiscard]] bool feed(std::string_view x, std::vector<frame_piece>& out);

private:
  std::string held_;     ///< bytes of an incomplete frame
  frame_piece message_;  ///< of an incomplete message
};

}  // namespace nuncio::proxy

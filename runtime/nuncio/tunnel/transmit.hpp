// Sends an exchange's messages to the link.
#pragma once

#include <nuncio/connection/link_port.hpp>
#include <nuncio/tunnel/http_exchange.hpp>
#include <optional>

namespace nuncio {

struct transmitted {
  bool waits = false;  ///< the rest waits for room in the link: `from`'s waiter will be notified
  std::optional<failure>
      refused{};  ///< why a message could not be sent at all: the client gets 500 or a cut
};

/// Sends what `exchange` has to send, as far as `link` has room.
transmitted transmit(http_exchange& exchange, link_port& link, const tunnel_source& from);

}  // namespace nuncio

// What instances have handled of the messages that clients send on hibernating WebSockets: each in order, none passed over, and
// none twice once an instance has recorded it. Kept outside the host, and asked by the gateway's model when an ack comes.
#pragma once

#include <cstdint>
#include <map>
#include <nuncio/connection/link_port.hpp>
#include <nuncio/ids.hpp>

#include "simulation/client_rows.hpp"

namespace nuncio::simulation {

class socket_watch {
public:
  /// A handler of `who` got message `number`, the first being 1.
  /// @param connection  of the link now
  /// @returns what is to be counted of it
  /// @throws violated
  socket_row handle_said(
      std::uint32_t client, const actor_ref& who, std::uint64_t number, epoch connection);

  /// `who` began on this connection.
  void handle_began(const actor_ref& who, epoch connection) { began_[who] = connection; }

  /// A record says for the next instance that all that `who` got were handled.
  void handle_recorded(std::uint32_t client, const actor_ref& who);

  /// The last message that was handled, with all before it.
  [[nodiscard]] std::uint64_t handled(std::uint32_t client) const;

private:
  struct socket {
    actor_ref here;
    std::uint64_t last = 0;  ///< that `here` got
    std::uint64_t highest = 0, recorded = 0;
  };

  std::map<std::uint32_t, socket> all_;
  std::map<actor_ref, epoch> began_;
};

}  // namespace nuncio::simulation

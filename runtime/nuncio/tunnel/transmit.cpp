// See transmit.hpp.
#include <nuncio/tunnel/transmit.hpp>

namespace nuncio {

transmitted transmit(http_exchange& exchange, link_port& link, const tunnel_source& from) {
  transmitted out;
  for (;;) {
    out.waits = exchange.bulky() && !link.has_room_for_bodies(from.waiter);
    if (out.waits) return out;
    auto message = exchange.poll_transmit();
    if (!message) return out;
    const auto sent = link.send_across_connections(from, std::move(*message));
    if (sent) continue;
    exchange.handle_not_sent(std::move(*message), sent.error());
    out.waits = sent.error().code == errc::queue_full;
    if (out.waits) return out;
    if (sent.error().code != errc::cancelled) out.refused = sent.error();
  }
}

}  // namespace nuncio

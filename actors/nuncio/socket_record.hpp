// What is stored of a hibernating WebSocket, so that another instance can go on with it. Value; encoded as BARE behind a
// version, under a key of its own in the actor's store.
#pragma once

#include <nuncio/http.hpp>
#include <nuncio/ids.hpp>
#include <nuncio/outcome.hpp>
#include <optional>

namespace nuncio::internal {

struct socket_record {
  text path;
  http_headers headers;
  bytes state;
  std::uint16_t next_index = 0;           ///< of the host's next message
  std::optional<std::uint16_t> consumed;  ///< the client's last message that the actor is done with
  bool exact = false;                     ///< no instance has consumed more since

  static constexpr auto wire = nuncio::wire::record(
      "SocketRecord",
      nuncio::wire::field("path", &socket_record::path),
      nuncio::wire::field("headers", &socket_record::headers),
      nuncio::wire::field("state", &socket_record::state),
      nuncio::wire::field("nextIndex", &socket_record::next_index),
      nuncio::wire::field("consumed", &socket_record::consumed),
      nuncio::wire::field("exact", &socket_record::exact));
  bool operator==(const socket_record&) const = default;
};

/// Before the key of each record (docs/client_protocol.md f.1).
inline constexpr std::string_view socket_record_prefix = "\x02";

bytes socket_record_key(const exchange_id& id);
std::optional<exchange_id> socket_record_id(const bytes& key);

bytes encode(const socket_record& x);
/// @returns errc::malformed for anything but what encode gives
outcome<socket_record> decode_socket_record(const bytes& x);

}  // namespace nuncio::internal

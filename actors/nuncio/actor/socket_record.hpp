// The stored record of a hibernating WebSocket, with which another instance continues. Value; encoded as BARE after a version,
// under its own key in the actor's store.
#pragma once

#include <chrono>
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
  std::optional<std::uint16_t> consumed;  ///< the client's last message that the actor has handled
  bool exact = false;                     ///< no instance has handled more since
  std::uint64_t accepted_ms = 0;          ///< wall clock, Unix time

  static constexpr auto wire = nuncio::wire::record(
      "SocketRecord",
      nuncio::wire::field("path", &socket_record::path),
      nuncio::wire::field("headers", &socket_record::headers),
      nuncio::wire::field("state", &socket_record::state),
      nuncio::wire::field("nextIndex", &socket_record::next_index),
      nuncio::wire::field("consumed", &socket_record::consumed),
      nuncio::wire::field("exact", &socket_record::exact),
      nuncio::wire::field("acceptedMs", &socket_record::accepted_ms));
  bool operator==(const socket_record&) const = default;
};

/// The engine lists a hibernating WebSocket only some time after it was accepted (docs/protocol.md M: 130 ms, more if it is
/// busy). So a WebSocket younger than this may be open although a Start does not list it.
inline constexpr std::chrono::seconds listing_delay{10};

/// Whether it may be open although a Start does not list it. The clocks of two hosts may differ.
/// @param now_ms  wall clock, Unix time
[[nodiscard]] constexpr bool may_be_unlisted(const socket_record& x, std::uint64_t now_ms) {
  const auto apart = now_ms > x.accepted_ms ? now_ms - x.accepted_ms : x.accepted_ms - now_ms;
  return apart < std::uint64_t{std::chrono::milliseconds{listing_delay}.count()};
}

/// The first byte of each record's key (docs/client_protocol.md f.1).
inline constexpr std::string_view socket_record_prefix = "\x02";
/// After all of these keys.
inline constexpr std::string_view socket_records_end = "\x03";

bytes socket_record_key(const exchange_id& id);
std::optional<exchange_id> socket_record_id(const bytes& key);

bytes encode(const socket_record& x);
/// @returns errc::malformed for anything that encode does not produce
outcome<socket_record> decode_socket_record(const bytes& x);

}  // namespace nuncio::internal

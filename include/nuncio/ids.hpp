// Small opaque ids of the wire, as distinct types that can't be mixed up: copy, compare, hash, print. Values; any thread.
//
//   std::unordered_set<nuncio::exchange_id> seen;
//   if (!seen.insert(request.exchange).second) …  // the gateway has repeated it
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <nuncio/actor_id.hpp>
#include <nuncio/detail/wire.hpp>

namespace nuncio {

using fixed4 = std::array<std::uint8_t, 4>;

/// The gateway that holds the client's side of an exchange: 4 opaque bytes.
struct gateway_id {
  fixed4 value{};

  static constexpr auto wire = nuncio::wire::newtype("GatewayId", &gateway_id::value);
  auto operator<=>(const gateway_id&) const = default;
};

/// The request within that gateway: 4 opaque bytes.
struct request_id {
  fixed4 value{};

  static constexpr auto wire = nuncio::wire::newtype("RequestId", &request_id::value);
  auto operator<=>(const request_id&) const = default;
};

/// One HTTP exchange or one client WebSocket. Unique among live exchanges only.
struct exchange_id {
  gateway_id gateway;
  request_id request;

  auto operator<=>(const exchange_id&) const = default;
};

/// One instance of an actor: the key of ledger entries, Stopped events and CAF actors.
struct actor_ref {
  actor_id actor;
  std::uint32_t generation = 0;

  auto operator<=>(const actor_ref&) const = default;
};

}  // namespace nuncio

template <>
struct std::hash<nuncio::exchange_id> {
  std::size_t operator()(const nuncio::exchange_id& x) const {
    std::uint64_t word = 0;
    static_assert(sizeof word == sizeof x);
    std::memcpy(&word, &x, sizeof word);
    word *= 0x9fb21c651e98df25ULL;
    return word ^ (word >> 32U);
  }
};

template <>
struct std::hash<nuncio::actor_ref> {
  std::size_t operator()(const nuncio::actor_ref& x) const {
    return std::hash<nuncio::actor_id>{}(x.actor) ^ (x.generation * 0x9e3779b97f4a7c15ULL);
  }
};

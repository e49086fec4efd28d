// Judges for wire_proxy that pick one tunnel message: the n-th of a kind, from 1.
#pragma once

#include <functional>
#include <type_traits>
#include <variant>

#include "wire_proxy.hpp"

namespace nuncio::e2e {

/// The kind of tunnel message that `m` is, or nothing.
template <class Kind, class Message>
const Kind* tunnel_kind(const Message& m) {
  using tunnel = std::conditional_t<
      std::is_same_v<Message, protocol::to_rivet>,
      protocol::to_rivet_tunnel_message,
      protocol::to_envoy_tunnel_message>;
  const auto* of = std::get_if<tunnel>(&m);
  return of != nullptr ? std::get_if<Kind>(&of->message_kind) : nullptr;
}

/// `what` becomes of the n-th of those for which `is` holds; the others pass.
template <class Kind, class Is>
auto nth(int n, fate what, Is is) {
  return [=, seen = 0](const auto& m) mutable {
    const auto* kind = tunnel_kind<Kind>(m);
    return kind != nullptr && is(*kind) && ++seen == n ? what : fate::pass;
  };
}

template <class Kind>
auto nth(int n, fate what) {
  return nth<Kind>(n, what, [](const Kind&) { return true; });
}

/// One place to cut at: either judge may be none.
struct cut_step {
  const char* name;
  std::function<fate(const protocol::to_rivet&)> to_engine{};
  std::function<fate(const protocol::to_envoy&)> to_host{};
};

}  // namespace nuncio::e2e

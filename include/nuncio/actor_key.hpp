// The key of an actor: a list of strings, and the one text that it has on the wire. Pure; any thread.
//
//   const nuncio::actor_key key{"eu", "lobby"};
//   if (auto good = nuncio::check(key); !good) …
//   nuncio::to_text(key);  // "eu/lobby"
#pragma once

#include <nuncio/outcome.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace nuncio {

/// Keys are equal when their elements are; no key at all is the empty list.
using actor_key = std::vector<std::string>;

/// As the engine and all clients write it (docs/client_protocol.md a.2): elements joined by `/`, in
/// which `\` escapes. Two keys have the same text only if they are equal.
std::string to_text(const actor_key& key);

/// The key behind a text. Every text has one: what to_text would not have written is read as
/// clients read it.
actor_key key_from_text(std::string_view text);

/// Whether engine and clients take the key: elements of at most 128 bytes of UTF-8, 1024 bytes of
/// text in all.
/// @returns errc::too_large or invalid_argument
outcome<void> check(const actor_key& key);

}  // namespace nuncio

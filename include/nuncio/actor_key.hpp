// The key of an actor: a list of strings, and its single text form on the wire. Pure; any thread.
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

/// Keys are equal if their elements are equal. An actor without a key has the empty list.
using actor_key = std::vector<std::string>;

/// The form that the engine and all clients use (docs/client_protocol.md a.2): elements joined by `/`, with `\` as the escape
/// character. Two keys have the same text only if they are equal.
std::string to_text(const actor_key& key);

/// The key for a text. Every text has one: text that to_text would not produce is read as clients read it.
actor_key key_from_text(std::string_view text);

/// Whether the engine and clients accept the key: elements of at most 128 bytes of UTF-8, 1024 bytes of text in total.
/// @returns errc::too_large or invalid_argument
outcome<void> check(const actor_key& key);

}  // namespace nuncio

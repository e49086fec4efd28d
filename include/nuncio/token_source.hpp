// Where a host's token for the engine comes from. It is read at the start, and again after the engine has refused the last one,
// so a token that is renewed in its file reaches a running host. A source is called from any thread, one call at a time for
// each host.
//
//   options.token_from = nuncio::token_from_file("/run/secrets/engine-token");
#pragma once

#include <functional>
#include <nuncio/outcome.hpp>
#include <string>
#include <string_view>

namespace nuncio {

/// Returns the token, empty for none. Called from any thread, one call at a time for each host; may read a small file.
using token_source = std::function<outcome<std::string>()>;

/// Parses a token from a file's contents, ignoring surrounding spaces and line ends. The token is sent in a header and in a
/// WebSocket subprotocol, so it must be one word of at most 4096 printable ASCII characters without a comma.
/// @returns errc::invalid_argument, whose text does not repeat the token
outcome<std::string> parse_token(std::string_view raw);

/// Reads a token in the only way that the library uses: from `source`, or `fixed` if there is no source, checked as by
/// parse_token().
outcome<std::string> read_token(const token_source& source, std::string_view fixed);

/// `text` without the token, both plain and URL-encoded: for texts of an engine, or of a proxy before it, which may repeat what
/// was sent.
std::string without_token(std::string text, std::string_view token);

/// Reads the file each time. @returns errc::invalid_argument naming the file
token_source token_from_file(std::string path);

/// RIVET_TOKEN, else the file that RIVET_TOKEN_FILE names, else no token.
token_source token_from_environment();

}  // namespace nuncio

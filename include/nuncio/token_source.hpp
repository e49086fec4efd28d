// Where a host's token for the engine comes from. Read at the start, and again when the engine has
// refused the last one, so that a token which is renewed in its file reaches a running host. A source is called from any
// thread, one call at a time for each host.
//
//   options.token_from = nuncio::token_from_file("/run/secrets/engine-token");
#pragma once

#include <functional>
#include <nuncio/outcome.hpp>
#include <string>
#include <string_view>

namespace nuncio {

/// Gives the token, empty for none. Called from any thread, one call at a time for each host; may
/// read a small file.
using token_source = std::function<outcome<std::string>()>;

/// A token as a file holds it: spaces and line ends around it do not count. It travels in a header
/// and in a WebSocket subprotocol, so it must be one word of at most 4096 printable ASCII
/// characters without a comma.
/// @returns errc::invalid_argument, which does not repeat the token
outcome<std::string> parse_token(std::string_view raw);

/// The one way by which a token comes in: what `source` gives, or `fixed` where there is no source, checked as
/// parse_token() does.
outcome<std::string> read_token(const token_source& source, std::string_view fixed);

/// `text` without the token, plain and as a URL holds it: for what an engine or something before it said, which may repeat
/// what it was sent.
std::string without_token(std::string text, std::string_view token);

/// The file is read each time. @returns errc::invalid_argument naming the file
token_source token_from_file(std::string path);

/// RIVET_TOKEN, else the file that RIVET_TOKEN_FILE names, else none.
token_source token_from_environment();

}  // namespace nuncio

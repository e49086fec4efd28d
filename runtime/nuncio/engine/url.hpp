// Parts of URLs and base64: of what goes into them, and of what comes from a client. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nuncio {

/// All but letters, digits, `-`, `.`, `_` and `~` as %XX.
std::string percent_encoded(std::string_view raw);

/// What stands behind a '%' that no two hexadecimal digits follow stays as it is.
std::string percent_decoded(std::string_view x, bool plus_is_space);

/// With padding, in the plain alphabet.
std::string base64(std::string_view raw);

/// Of the plain or the URL alphabet, padded or not; none if `x` is neither.
std::optional<std::string> base64_decoded(std::string_view x);

}  // namespace nuncio

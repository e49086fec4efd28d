// Parts of URLs and base64, in both directions. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nuncio {

/// Everything but letters, digits, `-`, `.`, `_` and `~` as %XX.
std::string percent_encoded(std::string_view raw);

/// A '%' without two hexadecimal digits after it is left unchanged.
std::string percent_decoded(std::string_view x, bool plus_is_space);

/// With padding, in the standard alphabet.
std::string base64(std::string_view raw);

/// From the standard or the URL alphabet, padded or not; none if `x` is neither.
std::optional<std::string> base64_decoded(std::string_view x);

}  // namespace nuncio

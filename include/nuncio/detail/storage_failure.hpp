// How a storage request can fail, and what happens to one whose answer was lost. Values; any thread.
#pragma once

#include <cstdint>
#include <nuncio/outcome.hpp>
#include <string>

namespace nuncio {

/// Why a storage request failed, or may have failed.
struct storage_failure {
  errc code = errc::internal;      ///< refused: the engine answered with an error
  std::string message;             ///< for a person; says whether a write may have happened
  bool may_have_happened = false;  ///< false: nothing was written and nothing will be
  std::string engine_code{};       ///< "group/code" of the engine's error, if it gave one

  bool operator==(const storage_failure&) const = default;
};

/// "code: message".
std::string to_string(const storage_failure& x);

/// What to do with a write whose answer was lost with the connection.
enum class write_mode : std::uint8_t {
  once,      ///< it fails: the caller decides whether to repeat it
  repeated,  ///< it is sent again, in order: doing it twice does no harm
  required,  ///< repeated; in addition, an instance that ends before the last of these is stored has failed
};

}  // namespace nuncio
